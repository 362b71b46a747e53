//! Edge cases of the root view, each named after what must hold.

use spandrel_attribution::*;
use spandrel_model::*;

use crate::text::{check, parse};

#[test]
fn a_wait_that_no_task_ended_is_its_own_cause() {
    check(
        "g1: run 0..10, net 10..30 by ext, run 30..40, sleep 40..50 by ext, run 50..60, chan/recv 60..80
         | span s on g1: 0..80",
        "s root: run 30, chan/recv 20, sleep 10, net 20",
    );
}

#[test]
fn a_wait_is_what_the_waker_did_meanwhile_and_not_what_it_did_before_or_after() {
    check(
        "g1: run 0..20, mutex 20..50 by g2, run 50..60
         | g2: net 0..10 by ext, run 10..30, net 30..45 by ext, ready 45..48, run 48..60
         | span s on g1: 0..60 | span t in s on g2 layer cache: 5..60",
        "s root: cache/run 12, cache/ready 3, cache/net 15, run 30",
    );
}

// Edge case 12.
#[test]
fn before_the_waker_was_born_its_creator_had_not_got_round_to_creating_it() {
    check(
        "g1: run 0..10, chan 10..80 by g3, run 80..90 | g2: run 0..30, net 30..50 by ext, run 50..90
         | g3 from g2: ready/created 60..65, run 65..85
         | span s on g1: 0..90 | span t in s on g2 layer t: 0..90 | span u in s on g3 layer u: 66..85",
        "s root: run 20, t/run 31, t/ready/created 5, t/net 20, u/run 14",
    );
}

// Edge case 9.
#[test]
fn a_waker_that_no_task_created_stands_for_what_created_it() {
    check(
        "g1: run 0..10, select 10..60 by g2, run 60..70 | g2: ready/created 50..55, run 55..65 | span s on g1: 0..70",
        "s root: run 20, helper:run 5, helper:ready/created 5, select 40",
    );
}

#[test]
fn a_helper_works_for_the_nearest_span_that_waits_for_it() {
    check(
        "g1: run 0..10, wg 10..90 by g2, run 90..100 | g2 from g1: run 5..20, select 20..80 by g3, run 80..95
         | g3: run 0..30, net 30..75 by ext, run 75..100
         | span GET on g1 layer handler: 0..100 | span SELECT in GET on g2 layer db: 10..90",
        "GET root: db/run 20, helper:db/run 15, helper:db/net 45, run 20 | SELECT root: run 20, helper:run 15, helper:net 45",
    );
}

#[test]
fn a_helper_of_another_trace_is_interference_by_that_trace() {
    check(
        "g1: run 0..10, mutex 10..90 by g2, run 90..100 | g2: run 0..20, select 20..80 by g3, run 80..95
         | g3: net 0..75 by ext, run 75..100
         | span GET on g1 layer handler: 0..100 | span PUT on g2 layer db: 0..95",
        "GET root: run 20, blocked/mutex 25 by PUT db/run, blocked/mutex 55 by PUT db/net \
         | PUT root: run 35, helper:run 5, helper:net 55",
    );
}

// Edge case 13.
#[test]
fn a_task_of_the_runtime_is_the_runtimes_whoever_waits() {
    check(
        "g1: run 0..10, assist/wait_for_work 10..50 by g9, run 50..60 | system g9: run 0..60 | span s on g1: 0..60",
        "s root: run 20, runtime:run 40",
    );
    check(
        "g1: run 0..10, mutex 10..50 by g2, run 50..60 | g2: run 0..15, other 15..45 by g9, run 45..60
         | system g9: run 0..60 | span s on g1 layer s: 0..60 | span t on g2 layer t: 0..60",
        "s root: run 20, runtime:run 30, blocked/mutex 10 by t t/run",
    );
}

#[test]
fn a_wait_for_the_network_ends_by_the_poller_even_if_a_task_of_the_runtime_asked_it() {
    check(
        "g1: run 0..10, net 10..50 by g9, run 50..60, sleep 60..70 by g9, run 70..80 | system g9: run 0..80
         | span s on g1: 0..80",
        "s root: run 30, sleep 10, net 40",
    );
    check(
        "g1: run 0..10, net/http_watch 10..50 by g2, run 50..60 | g2: run 0..60 | span s on g1: 0..60",
        "s root: run 20, helper:run 40",
    );
}

#[test]
fn a_wait_for_the_network_ends_by_the_poller_if_the_world_is_stopped_then() {
    check(
        "g1: run 0..10, net 10..50 by g2, stw 50..55, ready 55..57, run 57..60, sleep 60..70 by g2, stw 70..71, run 71..80
         | g2: run 0..80 | span s on g1: 0..80",
        "s root: run 22, ready 2, sleep 10, net 40, stw 6",
    );
    check(
        "g1: run 0..10, mutex 10..50 by g2, stw 50..55, run 55..60 | g2: run 0..60 | span s on g1: 0..60",
        "s root: run 15, helper:run 40, stw 5",
    );
    check(
        "g1: run 0..10, net 10..50 by g2, ready 50..52, stw 52..55, run 55..60 | g2: run 0..60 | span s on g1: 0..60",
        "s root: run 15, helper:run 40, ready 2, stw 3",
    );
}

#[test]
fn the_owner_of_the_waker_may_change_while_it_is_waited_for() {
    check(
        "g1: run 0..10, mutex 10..90 by g2, run 90..100 | g2: run 0..100
         | span GET on g1 layer handler: 0..100 | span a in GET on g2 layer a: 20..40 | span b on g2 layer b: 40..70",
        "GET root: a/run 20, run 20, helper:run 30, blocked/mutex 30 by b b/run",
    );
}

#[test]
fn the_culprit_is_the_request_in_the_layer_that_it_was_in() {
    check(
        "g1: run 0..10, mutex 10..50 by g2, run 50..60 | g2: run 0..20, net 20..45 by ext, run 45..60
         | span s on g1: 0..60 | span POST on g2 layer handler: 0..60 | span lock in POST on g2 layer cache: 5..60
         | span SELECT in lock on g2 layer db: 15..48",
        "s root: run 20, blocked/mutex 7 by POST cache/run, blocked/mutex 8 by POST db/run, blocked/mutex 25 by POST db/net",
    );
}

#[test]
fn nested_spans_of_two_traces_on_one_task_each_see_their_own_relation() {
    check(
        "g1: run 0..10, mutex 10..50 by g2, run 50..60 | g2: run 0..60
         | span a on g1 layer a: 0..60 | span b on g1 layer b: 5..55 | span c in b on g2 layer c: 0..60",
        "a root: run 10, b/run 10, b/blocked/mutex 40 by b c/run | b root: run 10, c/run 40",
    );
}

#[test]
fn a_helper_of_the_span_in_charge_is_a_helper_to_a_span_of_another_trace_around_it() {
    check(
        "g1: run 0..10, select 10..50 by g2, run 50..60 | g2: run 0..60
         | span a on g1 layer a: 0..60 | span b on g1 layer b: 5..55",
        "a root: run 10, b/run 10, helper:b/run 40 | b root: run 10, helper:run 40",
    );
}

// Edge case 5.
#[test]
fn what_a_goroutine_does_after_the_span_that_started_it_is_not_that_spans_doing() {
    check(
        "g1: run 0..10, mutex 10..50 by g3, run 50..60 | g2: run 0..60 | g3 from g2: run 5..60
         | span s on g1: 0..60 | span early on g2 layer t: 0..30",
        "s root: run 20, helper:run 20, blocked/mutex 20 by early t/run",
    );
}

// Edge case 12.
#[test]
fn a_task_that_wakes_itself_is_a_contradiction() {
    check(
        "g1: run 0..10, chan 10..50 by g1, run 50..60 | span s on g1: 0..60",
        "s root: run 20, ?wakes_contradict 40",
    );
}

#[test]
fn tasks_that_wake_each_other_at_once_contradict_only_while_both_wait() {
    check(
        "g1: run 0..10, chan 10..50 by g2, run 50..60 | g2: run 0..30, chan 30..50 by g1, run 50..60
         | span s on g1: 0..60",
        "s root: run 20, helper:run 20, ?wakes_contradict 20",
    );
}

#[test]
fn a_task_that_waits_for_longer_than_the_wait_that_it_ends_contradicts() {
    check(
        "g1: run 0..10, chan 10..50 by g2, run 50..90 | g2: run 0..30, net 30..40 by ext, chan 40..80 by g3, run 80..90
         | g3: run 0..90 | span s on g1: 0..90",
        "s root: run 50, helper:run 20, helper:net 10, ?wakes_contradict 10",
    );
}

#[test]
fn a_chain_of_wakes_in_one_instant_is_followed() {
    check(
        "g1: run 0..10, chan 10..50 by g2, run 50..60 | g2: run 0..20, chan 20..50 by g3, run 50..60
         | g3: run 0..30, chan 30..50 by g4, run 50..60 | g4: run 0..60 | span s on g1: 0..60",
        "s root: run 20, helper:run 40",
    );
}

// Edge case 12.
#[test]
fn a_waker_that_no_recording_has_is_unknown() {
    check(
        "g1: run 0..10, chan 10..50 by g7, run 50..60 | span s on g1: 0..60",
        "s root: run 20, ?waker_not_recorded 40",
    );
    check(
        "window 30..60 | g1: run 0..10, chan 10..50 by g2, run 50..60 | g2: run 0..20, net 20..35 by ext, run 35..60
         | span s says g1: 5..60",
        "s root: run 10, helper:run 15, helper:net 5, ?not_recorded 25",
    );
}

#[test]
fn a_waker_whose_state_is_not_recorded_is_unknown_and_nobodys_fault() {
    check(
        "g1: run 0..10, mutex 10..50 by g2, run 50..60 | g2: run 0..20, ? 20..40, run 40..60
         | span s on g1 layer s: 0..60 | span t on g2 layer t: 0..60",
        "s root: run 20, blocked/mutex 20 by t t/run, ?state_not_recorded 20",
    );
}

// Edge case 15.
#[test]
fn a_wait_across_recordings_is_one_wait_even_if_the_second_names_it_differently() {
    let timeline = "g1: run 0..10, mutex 10..30, other 30..50 by g2, run 50..60 | g2: run 0..60 | span s on g1: 0..60";
    let cut = format!("window 0..30 | window 30..60 | {timeline}");
    check(
        &cut,
        "s root: run 20, helper:run 40 | s self: run 20, mutex 20, other 20",
    );
    check(timeline, "s root: run 20, helper:run 20, mutex 20");
    let gap = format!("window 0..30 | window 31..60 | {timeline}");
    check(&gap, "s root: run 20, helper:run 19, mutex 20, ?not_recorded 1");
}

// Edge case 25.
#[test]
fn a_chain_is_followed_as_far_as_the_limit_and_counted_beyond() {
    let convoy = "g1: run 0..40 | g2: mutex 0..40 by g1, run 40..50 | g3: mutex 0..50 by g2, run 50..60
                  | g4: mutex 0..60 by g3, run 60..70 | span a on g1: 0..40 | span b on g2: 0..50 | span c on g3: 0..60
                  | span d on g4: 0..70";
    let scene = parse(convoy);
    let limited = |chain_limit| {
        let rules = Rules {
            chain_limit,
            ..Rules::default()
        };
        let recordings: Vec<_> = scene.recordings.iter().collect();
        attribute(&scene.world.process_spans(), &recordings, &rules)
    };
    let of_d = |result: &Attributed| {
        result
            .spans
            .iter()
            .find(|span| &*span.operation == "d")
            .unwrap()
            .truncated_ns
    };
    let truncated: Vec<i64> = (0..5).map(|limit| of_d(&limited(limit))).collect();
    assert_eq!(truncated, [60, 50, 40, 0, 0]);
    let counts = limited(2).walks;
    assert_eq!((counts.too_long, counts.depth_max), (1, 2));
}

#[test]
fn pieces_tell_who_was_waited_for_and_how_far_away() {
    let scene = parse(
        "g1: run 0..10, wg 10..50 by g2, run 50..60 | g2 from g1: run 5..20, chan 20..40 by g3, run 40..55
         | g3: run 0..60 | span s on g1: 0..60",
    );
    let pieces = scene
        .world
        .analyze(&scene.recordings)
        .root_pieces(scene.world.key("s"))
        .unwrap();
    let told: Vec<(i64, Option<TaskId>, u32)> = pieces
        .iter()
        .map(|piece| (piece.interval.duration_ns(), piece.task, piece.depth))
        .collect();
    let task = |id| Some(TaskId(id));
    assert_eq!(
        told,
        [
            (10, task(1), 0),
            (10, task(2), 1),
            (20, task(3), 2),
            (10, task(2), 1),
            (10, task(1), 0)
        ]
    );
}

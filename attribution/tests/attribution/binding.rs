//! Binding by user tasks: what is accepted is right, what is not certain stays unbound.

use spandrel_attribution::binding_word;
use spandrel_model::*;

use crate::invariants::log_of;
use crate::random::Random;
use crate::simulator::{Setup, Unusual, simulate};
use crate::text::{check, parse};
use crate::world::{WorldLog, interval};

fn words(timeline: &str) -> Vec<String> {
    let scene = parse(timeline);
    let result = scene.world.attribute(&scene.recordings);
    let word = |binding| match binding {
        Binding::Bound { task, .. } => format!("{} g{}", binding_word(binding), task.0),
        Binding::Unbound(_) => binding_word(binding).to_owned(),
    };
    result
        .spans
        .iter()
        .map(|span| format!("{}: {}", span.operation, word(span.binding)))
        .collect()
}

#[test]
fn a_span_runs_on_the_goroutine_that_began_the_task_of_its_name_and_times() {
    check(
        "g1: run 0..900000, net 900000..5000000, run 5000000..9000000 | g2: run 0..9000000
         | span q: 100000..8000000 | task 5 named q on g1: 112000..8001000 | task 6 named r on g2: 112000..8001000",
        "q self: run 3800000, net 4100000",
    );
}

#[test]
fn lags_beyond_the_limits_do_not_bind_where_the_goroutine_waited_meanwhile() {
    let bound = |begin: i64, end: i64| {
        let timeline = format!(
            "g1: run 0..14999500, sleep 14999500..15000000, run 15000000..44999500, sleep 44999500..45000000,
                 run 45000000..90000000
             | span q: 10000000..40000000 | task 5 named q on g1: {begin}..{end}"
        );
        words(&timeline) == ["q: user_task g1"]
    };
    assert!(bound(10_000_000, 40_000_000));
    assert!(bound(9_998_000, 39_998_000));
    assert!(bound(14_999_000, 44_999_000));
    assert!(!bound(9_997_000, 40_000_000));
    assert!(!bound(10_000_000, 39_997_000));
    assert!(!bound(15_001_000, 40_000_000));
    assert!(!bound(10_000_000, 45_001_000));
}

#[test]
fn a_goroutine_that_lost_its_processor_may_begin_or_end_its_task_late() {
    let stalled = |waits: &str, rival: &str| {
        words(&format!(
            "window 0..2000000000 | g1: run 0..300000000, {waits} 300000000..500000000, run 500000000..2000000000
             | g2: run 0..2000000000 | span q: 299000000..900000000
             | task 5 named q on g1: 501000000..{} {rival}",
            900_001_000
        ))
    };
    assert_eq!(stalled("ready/preempted", ""), ["q: user_task g1"]);
    assert_eq!(stalled("net", ""), ["q: no_matching_task"]);
    let other_begun = "| task 4 named p on g1: 500500000..900000500";
    assert_eq!(stalled("ready/preempted", other_begun), ["q: no_matching_task"]);
    let rival = "| task 6 named q on g2: 501000000..900002000";
    assert_eq!(stalled("ready/preempted", rival), ["q: no_matching_task"]);
}

#[test]
fn an_end_may_be_early_by_the_time_that_passed_between_two_clocks() {
    let timeline = |end: i64| {
        format!(
            "window 0..900000000 | g1: run 0..340000000, sleep 340000000..340000500, run 340000500..900000000
             | span q: 300000000..339999900 | task 5 named q on g1: 300060000..{end}"
        )
    };
    assert_eq!(words(&timeline(340_002_000)), ["q: user_task g1"]);
    let asleep = "window 0..900000000 | g1: run 0..339000000, sleep 339000000..340040000, run 340040000..900000000
        | span q: 300000000..339990000 | task 5 named q on g1: 300012000..340041000";
    assert_eq!(words(asleep), ["q: no_matching_task"]);
    assert_eq!(words(&asleep.replace("300012000", "300062000")), ["q: user_task g1"]);
}

#[test]
fn a_goroutine_that_was_not_running_at_the_start_or_the_end_is_out() {
    let tail = "| span q: 1000000..5000000 | task 5 named q on g1: 1012000..5001000";
    assert_eq!(words(&format!("g1: run 0..9000000 {tail}")), ["q: user_task g1"]);
    assert_eq!(
        words(&format!("g1: sleep 0..1010000, run 1010000..9000000 {tail}")),
        ["q: no_matching_task"]
    );
    assert_eq!(
        words(&format!("g1: run 0..4000000, net 4000000..9000000 {tail}")),
        ["q: no_matching_task"]
    );
    assert_eq!(
        words(&format!("g1: run 0..4000000, ? 4000000..9000000 {tail}")),
        ["q: ambiguous_task"]
    );
}

#[test]
fn a_task_begun_in_between_on_the_same_goroutine_rules_a_pair_out() {
    let timeline = "g1: run 0..9000000 | span q: 1000000..5000000
        | task 4 named p on g1: 1006000..6000000 | task 5 named q on g1: 1012000..5001000";
    assert_eq!(words(timeline), ["q: no_matching_task"]);
}

#[test]
fn equal_spans_that_nothing_tells_apart_stay_unbound() {
    let timeline = "g1: run 0..9000000 | g2: run 0..9000000
        | span w: 1000000..5000000 | span w: 1000500..5000300
        | task 5 named w on g1: 1012000..5001000 | task 6 named w on g2: 1012500..5001300";
    assert_eq!(words(timeline), ["w: ambiguous_task", "w: ambiguous_task"]);
}

#[test]
fn equal_spans_are_told_apart_by_the_end_where_only_one_order_is_possible() {
    let timeline = "g1: run 0..9000000 | g2: run 0..9000000 | g3: run 0..9000000
        | span w: 1000000..5000000 | span w: 1000500..5004000 | span w: 1000700..5008000
        | task 5 named w on g2: 1012000..5000900 | task 6 named w on g1: 1012500..5004800
        | task 7 named w on g3: 1012700..5008800";
    assert_eq!(
        words(timeline),
        ["w: user_task g2", "w: user_task g1", "w: user_task g3"]
    );
}

#[test]
fn a_bound_parent_tells_equal_children_apart_and_the_other_way_round() {
    let goroutines = "g1: run 0..9000000 | g2: run 0..9000000";
    let children = "span q in a: 1100000..4000000 | span q in b: 1100200..4000100
        | task 7 in 5 named q on g1: 1112000..4001000 | task 8 in 6 named q on g2: 1112200..4001100";
    let named_parents = "span a: 1000000..5000000 | span b: 1000100..5000100
        | task 5 named a on g1: 1012000..5001000 | task 6 named b on g2: 1012100..5001100";
    assert_eq!(
        words(&format!("{goroutines} | {named_parents} | {children}")),
        [
            "a: user_task g1",
            "b: user_task g2",
            "q: user_task g1",
            "q: user_task g2"
        ]
    );
    let equal_parents = "span a: 1000000..5000000 | span b: 1000100..5000100
        | task 5 named h on g1: 1012000..5001000 | task 6 named h on g2: 1012100..5001100";
    let mut scene = parse(&format!(
        "{goroutines} | {equal_parents} | span q in a: 1100000..4000000 | span r in b: 1100200..4000100
        | task 7 in 5 named q on g1: 1112000..4001000 | task 8 in 6 named r on g2: 1112200..4001100"
    ));
    for span in &mut scene.world.spans[..2] {
        span.name = "h".into();
    }
    let result = scene.world.attribute(&scene.recordings);
    let tasks: Vec<Binding> = result.spans.iter().map(|span| span.binding).collect();
    let bound = |task| Binding::Bound {
        task: TaskId(task),
        kind: BindingKind::UserTask,
    };
    assert_eq!(tasks, [bound(1), bound(2), bound(1), bound(2)]);
}

#[test]
fn a_span_renamed_after_its_start_is_found_through_its_child() {
    let renamed = "g1: run 0..90000000 | g2: run 0..90000000 | span GET: 10000000..50000000
        | task 5 named HTTP on g1: 11600000..50900000";
    assert_eq!(words(renamed), ["GET: no_matching_task"]);
    let child = "span q in GET: 20000000..30000000 | task 6 in 5 named q on g1: 20012000..30001000";
    assert_eq!(
        words(&format!("{renamed} | {child}")),
        ["GET: user_task g1", "q: user_task g1"]
    );
}

#[test]
fn a_span_renamed_after_its_start_is_found_by_tight_lags() {
    let renamed = "g1: run 0..90000000 | g2: run 0..90000000 | span GET: 10000000..50000000
        | task 5 named HTTP on g1: 10012000..50001000";
    assert_eq!(words(renamed), ["GET: user_task g1"]);
    let rival = "task 6 named HTTP on g2: 10013000..50002000";
    assert_eq!(words(&format!("{renamed} | {rival}")), ["GET: no_matching_task"]);
}

#[test]
fn a_span_started_without_its_parents_task_binds_by_tight_lags_only() {
    let parent = "g1: run 0..9000000 | g2: run 0..9000000
        | span p: 1000000..8000000 | task 5 named p on g1: 1012000..8001000";
    let tight = "span job in p: 2000000..3000000 | task 6 named job on g2: 2012000..3001000";
    let loose = "span job in p: 2000000..3000000 | task 6 named job on g2: 2112000..3001000";
    assert_eq!(
        words(&format!("{parent} | {tight}")),
        ["p: user_task g1", "job: user_task g2"]
    );
    assert_eq!(
        words(&format!("{parent} | {loose}")),
        ["p: user_task g1", "job: no_matching_task"]
    );
}

#[test]
fn a_span_open_at_the_end_of_the_recording_binds_by_its_beginning() {
    let timeline = "window 0..40000000 | g1: run 0..90000000
        | span q: 10000000..50000000 | task 5 named q on g1: 10012000..50001000";
    assert_eq!(words(timeline), ["q: user_task g1"]);
}

#[test]
fn near_the_border_of_a_recording_only_small_lags_count() {
    let lag = |lag: i64| {
        words(&format!(
            "window 0..40000000 | g1: run 0..90000000 | span q: 36000000..37000000 | task 5 named q on g1: 36012000..{}",
            37_000_000 + lag
        ))
    };
    assert_eq!(lag(7_000), ["q: user_task g1"]);
    assert_eq!(lag(9_000), ["q: ambiguous_task"]);
}

#[test]
fn a_pair_that_leaves_another_span_without_a_task_needs_more_than_a_small_lag() {
    let timeline = "g1: run 0..90000000 | g2: run 0..90000000
        | span w: 10000000..20000000 | span w: 10002000..20100000 | task 5 named w on g1: 10012000..20101000";
    assert_eq!(words(timeline), ["w: ambiguous_task", "w: ambiguous_task"]);
    let with_its_own = "task 6 named w on g2: 10014000..20000900";
    assert_eq!(
        words(&format!("{timeline} | {with_its_own}")),
        ["w: user_task g2", "w: user_task g1"]
    );
}

#[test]
fn a_task_that_begins_in_one_recording_and_ends_in_the_next_binds() {
    let timeline = "window 0..20000000 | window 40000000..90000000 | g1: run 0..90000000
        | span q: 10000000..50000000 | task 5 named q on g1: 10012000..50001000
        | span r in q: 30000000..49000000 | task 6 in 5 named r on g1: 30012000..49001000";
    assert_eq!(words(timeline), ["q: user_task g1", "r: began_before_recording"]);
}

#[test]
fn a_logged_id_and_a_goroutine_id_outrank_user_tasks() {
    let timeline =
        "g1: run 0..9000000 | g2: run 0..9000000 | span q on g2: 1000000..5000000 | span r says g2: 1000000..5000000
        | task 5 named q on g1: 1012000..5001000 | task 6 named r on g1: 1013000..5002000";
    assert_eq!(words(timeline), ["q: logged_id g2", "r: task_attribute g2"]);
}

#[test]
fn a_span_made_after_the_fact_is_bound_to_the_goroutine_that_made_it_if_that_noted_the_start() {
    let made = |before: &str, rest: &str| {
        words(&format!(
            "window 0..900000000 | g1: run 0..300000000, {before} 300000000..330000000, run 330000000..900000000
             | g2: run 0..900000000 | span q: 299990000..330020000 {rest}"
        ))
    };
    let task = "| task 5 named q on g1: 330015000..330021000";
    assert_eq!(made("net", task), ["q: after_the_fact g1"]);
    let of_other = "| task 5 named q on g2: 330015000..330021000";
    assert_eq!(made("net", of_other), ["q: user_task g2"], "it may have been stalled");
    let of_both = format!("{task} | task 6 named q on g2: 330015000..330022000");
    assert_eq!(made("net", &of_both), ["q: no_matching_task"]);
    let asleep_at_start = "window 0..900000000 | g1: sleep 0..310000000, run 310000000..320000000,
        net 320000000..330000000, run 330000000..900000000
        | span q: 299990000..330020000 | task 5 named q on g1: 330015000..330021000";
    assert_eq!(words(asleep_at_start), ["q: no_matching_task"]);
}

#[test]
fn a_span_made_after_the_fact_may_end_before_its_wait_by_as_much_as_the_clocks_are_uncertain() {
    for (end, binding) in [(329_998_500, "after_the_fact g1"), (329_990_000, "no_matching_task")] {
        let timeline = format!(
            "window 0..900000000 | g1: run 0..300000000, net 300000000..330000000, run 330000000..900000000
             | span q: 299990000..{end} | task 5 named q on g1: 330015000..330021000"
        );
        assert_eq!(words(&timeline), [format!("q: {binding}")]);
    }
}

#[test]
fn a_full_id_logged_outside_of_the_span_counts_if_the_goroutine_lived_when_it_started() {
    let logged = |goroutine: u64, at: i64| {
        let mut scene = parse(
            "window 0..900000000 | g1: run 0..900000000 | g2 from g1: run 20000000..900000000
             | span q: 10000000..30000000",
        );
        let log = log_of(&scene.world.spans[0], TaskId(goroutine));
        scene.world.logs.push(WorldLog { at, ..log });
        let result = scene.world.attribute(&[scene.world.record_all()]);
        binding_word(result.spans[0].binding)
    };
    assert_eq!(logged(1, 10_000_000), "logged_id");
    assert_eq!(logged(1, 700_000_000), "logged_id");
    assert_eq!(logged(1, 5_000_000), "logged_id");
    assert_eq!(logged(2, 30_000_000), "logged_id", "within the span");
    assert_eq!(logged(2, 700_000_000), "no_matching_task");
}

/// dd-trace-go begins a user task that has the name of the resource, and logs the id in it.
#[test]
fn an_id_that_datadogs_tracer_logs_binds_before_and_after_its_user_task_begins() {
    let bound = |at: i64, user_task: Option<u64>| {
        let mut scene = parse(
            "g1: run 0..9000000 | g2: run 0..9000000 | span http.request: 1000000..5000000
             | task 5 named http.request on g2: 1012000..5001000",
        );
        let span_id = scene.world.spans[0].span_id;
        scene.world.logs.push(WorldLog {
            task: 1,
            user_task,
            at,
            category: "datadog.uint64_span_id".to_owned(),
            message: span_id.as_bytes().iter().rev().copied().collect(),
        });
        let result = scene.world.attribute(&[scene.world.record_all()]);
        let Binding::Bound { task, .. } = result.spans[0].binding else {
            panic!("{:?}", result.spans[0].binding);
        };
        (binding_word(result.spans[0].binding), task.0)
    };
    assert_eq!(bound(1_011_000, None), ("logged_id", 1));
    assert_eq!(bound(1_013_000, Some(5)), ("logged_id", 1));
    assert_eq!(bound(4_999_000, Some(5)), ("logged_id", 1), "within the span");
    assert_eq!(bound(900_000, None), ("user_task", 2), "of another span");
}

#[test]
fn more_equal_tasks_than_can_be_looked_at_leave_the_span_ambiguous() {
    let mut timeline = "g1: run 0..9000000 | span q: 1000000..5000000".to_owned();
    for task in 0..300 {
        timeline.push_str(&format!(
            " | task {} named q on g{}: {}..{}",
            task + 5,
            task + 100,
            1_000_000 + task,
            5_000_000 + task
        ));
    }
    assert_eq!(words(&timeline), ["q: ambiguous_task"]);
}

/// Counts (spans whose beginning is recorded, bound, bound to the wrong goroutine).
fn score(setup: Setup, cuts: &[i64]) -> (usize, usize, usize) {
    let simulation = simulate(setup);
    let world = &simulation.world;
    let extent = world.extent();
    let part = |per_mille: i64| extent.start().0 + extent.duration_ns() * per_mille / 1000;
    let windows: Vec<Interval> = cuts.chunks(2).map(|cut| interval(part(cut[0]), part(cut[1]))).collect();
    let analysis = world.analyze(&world.record(&windows));
    let mut score = (0, 0, 0);
    for (span, truth) in world.spans.iter().zip(&simulation.truth) {
        score.0 += usize::from(windows.iter().any(|window| window.contains(span.interval.start())));
        if let Some(Binding::Bound { task, .. }) = analysis.binding(spandrel_attribution::SpanKey::of(span)) {
            score.1 += 1;
            score.2 += usize::from(task != *truth);
        }
    }
    score
}

/// Sums the scores of 120 random programs, the same in every run.
fn total_score(lost_percent: u64, unusual: Unusual, cuts: &[i64]) -> (usize, usize, usize) {
    let mut random = Random(lost_percent + 1);
    let mut total = (0, 0, 0);
    for _ in 0..120 {
        let setup = Setup {
            seed: random.next(),
            processors: usize::try_from(random.between(1, 6)).unwrap(),
            requests: random.below(80) + 1,
            renamed_percent: 50 * random.below(3),
            lost_percent,
            servers: 0,
            unusual,
        };
        let (recorded, bound, wrong) = score(setup, cuts);
        total = (total.0 + recorded, total.1 + bound, total.2 + wrong);
    }
    total
}

#[test]
fn no_binding_is_wrong_and_nearly_all_spans_are_bound_when_all_is_recorded() {
    let (recorded, bound, wrong) = total_score(0, Unusual::default(), &[0, 1001]);
    assert_eq!(wrong, 0);
    assert!(
        recorded > 30_000 && bound * 100 >= recorded * 97,
        "{bound} of {recorded}"
    );
}

#[test]
fn hardly_a_binding_is_wrong_when_spans_are_lost_and_recordings_have_gaps() {
    for lost_percent in [0, 2, 20] {
        for cuts in [&[0, 1001][..], &[100, 600], &[0, 300, 300, 700, 800, 1001]] {
            let (recorded, bound, wrong) = total_score(lost_percent, Unusual::default(), cuts);
            assert!(bound > 15_000, "{bound} of {recorded}");
            assert!(
                wrong * 5_000 <= bound,
                "{wrong} of {bound} wrong, {lost_percent} % lost, {cuts:?}"
            );
        }
    }
}

#[test]
fn spans_with_late_tasks_or_made_after_the_fact_are_bound_and_hardly_a_binding_is_wrong() {
    let after_the_fact = Unusual {
        after_the_fact: 20,
        ..Unusual::default()
    };
    let all = Unusual {
        stalled: 1,
        torn: 1,
        after_the_fact: 10,
        handed_over: 10,
    };
    for (unusual, lost_percent, bound_percent) in [(after_the_fact, 0, 98), (all, 0, 96), (all, 20, 95)] {
        let (recorded, bound, wrong) = total_score(lost_percent, unusual, &[0, 1001]);
        assert!(
            bound * 100 >= recorded * bound_percent,
            "{bound} of {recorded}: {unusual:?}"
        );
        assert!(wrong * 2_000 <= bound, "{wrong} of {bound} wrong: {unusual:?}");
    }
}

#[test]
fn a_short_id_that_many_spans_have_says_nothing() {
    let bound = |spans: u64| {
        let mut scene = parse("g1: run 0..1000000000 | span q: 1000..2000");
        let log = |at: i64| WorldLog {
            task: 1,
            user_task: None,
            at,
            category: "datadog.uint64_span_id".to_owned(),
            message: scene.world.spans[0].span_id.as_bytes().iter().rev().copied().collect(),
        };
        scene.world.logs = (0..i64::try_from(spans).unwrap())
            .map(|span| log(1_500 + 10_000_000 * span))
            .collect();
        let first = scene.world.spans[0].clone();
        scene.world.spans = (0..spans)
            .map(|span| Span {
                trace_id: TraceId::new(u128::from(span + 1).to_be_bytes()),
                interval: first.interval.shifted(10_000_000 * i64::try_from(span).unwrap()),
                ..first.clone()
            })
            .collect();
        let result = scene.world.attribute(&scene.world.record(&[scene.world.extent()]));
        result
            .spans
            .iter()
            .filter(|span| matches!(span.binding, Binding::Bound { .. }))
            .count()
    };
    assert_eq!((bound(1), bound(64), bound(65)), (1, 64, 0));
}

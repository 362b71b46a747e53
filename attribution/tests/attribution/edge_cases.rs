//! Edge cases of the definition, each named after what must hold.

use spandrel_attribution::*;
use spandrel_model::*;

use crate::text::{check, parse};
use crate::world::World;

/// The example that docs/attribution.md computes by hand.
pub(crate) const WORKED_EXAMPLE: &str = "window 0..98
    | g1: run 0..30, net 30..60 by ext, ready/unblocked 60..65, run 65..80, wg 80..95 by g2, run 95..100
    | g2 from g1: ready/created 70..75, run 75..95
    | span GET on g1 layer handler: 0..100 | span SELECT in GET on g1 layer db: 20..68
    | span render in GET on g2 layer service: 75..92";

#[test]
fn wait_on_a_channel_is_a_cell_of_its_own() {
    check(
        "g1: run 0..10, chan 10..40 | span s on g1: 0..40",
        "s self: run 10, chan 30",
    );
}

#[test]
fn the_worked_example_of_the_documentation_comes_out_as_written() {
    check(
        WORKED_EXAMPLE,
        "GET self: db/run 13, db/ready/unblocked 5, db/net 30, run 35, wg 15, ?not_recorded 2 \
         | SELECT self: run 13, ready/unblocked 5, net 30 | render self: run 17 \
         | GET root: db/run 13, db/ready/unblocked 5, db/net 30, run 38, ?not_recorded 2, service/run 12 \
         | SELECT root: run 13, ready/unblocked 5, net 30 | render root: run 17",
    );
}

#[test]
fn sub_states_are_cells_of_their_own() {
    check(
        "g1: ready/created 0..3, run 3..10, ready/preempted 10..12, run 12..20 | span s on g1: 1..20",
        "s self: run 15, ready/created 2, ready/preempted 2",
    );
}

// Edge case 1.
#[test]
fn a_nested_span_owns_its_time_and_the_parent_keeps_the_rest() {
    check(
        "g1: run 0..10, net 10..30, run 30..40 | span h on g1 layer handler: 0..40 | span q in h on g1 layer db: 5..32",
        "h self: db/run 7, db/net 20, run 13 | q self: run 7, net 20",
    );
}

// Edge case 2.
#[test]
fn of_overlapping_siblings_the_last_started_owns() {
    check(
        "g1: run 0..10, net 10..20 | span a on g1 layer a: 0..12 | span b on g1 layer b: 5..20",
        "a self: run 5, b/run 5, b/net 2 | b self: run 5, net 10",
    );
}

// Edge case 2: ties.
#[test]
fn of_spans_that_start_together_the_deeper_owns_then_the_larger_id() {
    check(
        "g1: run 0..10 | span p on g1 layer p: 0..10 | span c in p on g1 layer c: 0..6 | span d in p on g1 layer d: 0..4",
        "p self: c/run 2, d/run 4, run 4 | c self: run 2, d/run 4 | d self: run 4",
    );
}

// Edge case 3: ended on another goroutine.
#[test]
fn a_span_stays_with_the_goroutine_it_started_on_until_that_dies() {
    check(
        "g1: run 0..10 | g2 from g1: chan 5..30, run 30..40 | span s on g1: 0..35",
        "s self: run 10, ?task_not_alive 25",
    );
}

// Edge case 3: ended before it began, ended at once, exported twice.
#[test]
fn a_span_without_length_has_no_cells_and_a_span_sent_twice_counts_once() {
    let mut scene = parse("g1: run 0..10 | span z on g1: 4..4 | span s on g1: 2..8");
    scene.world.spans.push(scene.world.spans[1].clone());
    let result = scene.world.attribute(&scene.recordings);
    assert_eq!(result.violations, []);
    assert_eq!(result.spans.len(), 2);
    let z = result.spans.iter().find(|span| &*span.operation == "z").unwrap();
    assert_eq!((z.cells.len(), z.recorded_ns, z.exact_ns, z.unknown_ns), (0, 0, 0, 0));
    check(
        "g1: run 0..10 | span z on g1: 4..4 | span s on g1: 2..8",
        "z self: | s self: run 6",
    );
}

// Edge case 4.
#[test]
fn a_span_made_after_the_fact_is_bound_to_the_goroutine_whose_task_begins_at_its_end() {
    check(
        "g1: run 0..10000000, net 10000000..30000000, run 30000000..40000000
         | span q: 9000000..31000000 | task 1 named q on g1: 31001000..31002000",
        "q self: run 2000000, net 20000000",
    );
}

// Edge case 5.
#[test]
fn a_goroutine_works_for_the_span_it_was_created_in_until_that_ends() {
    let scene = parse(
        "g1: run 0..100 | g2 from g1: run 20..90 | g3 from g2: run 40..90
         | span outer on g1: 0..80 | span inner in outer on g1: 10..60",
    );
    let analysis = scene.world.analyze(&scene.recordings);
    let owner = |task, at| analysis.owner_at(TaskId(task), UnixNanos(at));
    let inner = scene.world.key("inner");
    assert_eq!(owner(1, 5), Some(scene.world.key("outer")));
    for task in [2, 3] {
        assert_eq!(owner(task, 59), Some(inner), "g{task}");
        assert_eq!(
            owner(task, 60),
            None,
            "g{task}: outer is open, inner is what it was created in"
        );
    }
}

// Edge case 7.
#[test]
fn a_fan_out_waits_in_the_parent_and_works_in_the_children() {
    check(
        "g1: run 0..5, wg 5..60, run 60..65
         | g2 from g1: run 3..10, net 10..40, run 40..41 | g3 from g1: run 4..10, net 10..58, run 58..60
         | span h on g1 layer handler: 0..65 | span a in h on g2 layer db: 5..41 | span b in h on g3 layer db: 6..60",
        "h self: run 10, wg 55 | a self: run 6, net 30 | b self: run 6, net 48",
    );
}

// Edge case 13.
#[test]
fn a_goroutine_of_the_runtime_works_for_no_span() {
    let scene = parse("g1: run 0..100 | system g2 from g1: run 20..90 | span s on g1: 0..100");
    let analysis = scene.world.analyze(&scene.recordings);
    assert_eq!(analysis.owner_at(TaskId(2), UnixNanos(50)), None);
}

// Edge case 14.
#[test]
fn what_no_recording_covers_is_unknown_and_never_extrapolated() {
    check(
        "window 0..50 | g1: run 0..10, net 10..100 | span s on g1: 5..80",
        "s self: run 5, net 40, ?not_recorded 30",
    );
    check(
        "window 0..50 | window 70..100 | g1: run 0..10, net 10..100 | span s on g1: 5..80",
        "s self: run 5, net 50, ?not_recorded 20",
    );
    check(
        "window 20..50 | g1: run 0..100 | span before: 10..30 | span outside: 60..90 | span inside: 30..40",
        "before self: ?began_before_recording 20 | outside self: ?not_recorded 30 | inside self: ?no_matching_task 10",
    );
}

#[test]
fn a_hole_in_the_recording_is_not_recorded_state() {
    check(
        "g1: run 0..10, ? 10..15, net 15..40 | span s on g1: 0..40",
        "s self: run 10, net 25, ?state_not_recorded 5",
    );
}

// Edge case 15.
#[test]
fn a_boundary_between_recordings_changes_no_cell() {
    let timeline = "g1: run 0..10, net 10..40, run 40..50 | span s on g1: 0..45 | span t in s on g1: 12..42";
    let expected = "s self: run 15, net 30 | t self: run 2, net 28";
    check(timeline, expected);
    check(&format!("window 0..20 | window 20..50 | {timeline}"), expected);
    check(&format!("window 0..30 | window 20..50 | {timeline}"), expected);
    let scene = parse(&format!("window 0..20 | window 20..50 | {timeline}"));
    let pieces = scene
        .world
        .analyze(&scene.recordings)
        .pieces(scene.world.key("t"))
        .unwrap();
    assert_eq!(pieces.len(), 2);
}

#[test]
fn of_recordings_that_disagree_about_an_instant_the_earlier_counts() {
    let first = parse("window 0..30 | g1: run 0..10, net 10..60 | span s on g1: 0..50");
    let second = parse("window 20..60 | g1: run 0..10, sleep 10..60");
    let recordings = [second.recordings[0].clone(), first.recordings[0].clone()];
    let result = first.world.attribute(&recordings);
    let cells = result.spans[0].cells.iter().filter(|cell| cell.view == View::SelfView);
    let cells: Vec<(State, i64)> = cells.map(|cell| (cell.state, cell.ns)).collect();
    assert_eq!(cells, [(State::Running, 10), (State::Sleep, 20), (State::Network, 20)]);
}

// Edge case 22.
#[test]
fn equal_span_ids_of_two_traces_are_two_spans() {
    let mut scene = parse("g1: run 0..10, net 10..20 | g2: sleep 0..20 | span a on g1: 0..10 | span b on g2: 0..20");
    scene.world.spans[1].span_id = scene.world.spans[0].span_id;
    let (trace_id, span_id) = (scene.world.spans[1].trace_id, scene.world.spans[1].span_id);
    let mut recording = scene.recordings[0].clone();
    recording.user_logs[1].message = [&trace_id.as_bytes()[..], span_id.as_bytes()].concat().into();
    let result = scene.world.attribute(&[recording]);
    let states: Vec<State> = result.spans.iter().map(|span| span.cells[0].state).collect();
    assert_eq!(states, [State::Running, State::Sleep]);
}

// Edge case 22: a 64-bit id alone.
#[test]
fn a_logged_64_bit_id_is_taken_only_if_one_open_span_has_it() {
    let scene = parse("g1: run 0..100000000 | g2: run 0..100000000 | span a: 10..30 | span b: 50000000..60000000");
    let mut world = scene.world;
    world.spans[1].span_id = world.spans[0].span_id;
    let number = u64::from_be_bytes(*world.spans[0].span_id.as_bytes());
    let log = |task, at| crate::world::WorldLog {
        task,
        user_task: None,
        at,
        category: "datadog.uint64_span_id".to_owned(),
        message: number.to_le_bytes().to_vec(),
    };
    world.logs = vec![log(1, 15), log(2, 50_000_100)];
    let bound = |world: &crate::world::World| -> Vec<Binding> {
        let result = world.attribute(&[world.record_all()]);
        result.spans.iter().map(|span| span.binding).collect()
    };
    let logged = |task| Binding::Bound {
        task: TaskId(task),
        kind: BindingKind::LoggedId,
    };
    assert_eq!(bound(&world), [logged(1), logged(2)]);
    world.spans[1].interval = crate::world::interval(12, 40);
    world.logs.truncate(1);
    let neither = Binding::Unbound(UnknownReason::NoMatchingTask);
    assert_eq!(bound(&world), [neither, neither]);
}

// Edge case 23.
#[test]
fn a_goroutine_id_of_an_earlier_run_of_the_process_is_not_believed() {
    check(
        "g1: run 0..40 | g7 from g1: run 20..40 | span s says g7: 5..30 | span t says g7: 25..30 | span u says g9: 5..9",
        "s self: ?no_matching_task 25 | t self: run 5 | u self: ?no_matching_task 4",
    );
}

#[test]
fn an_id_logged_as_text_binds_too() {
    let mut scene = parse("g1: run 0..10, net 10..20 | span s: 2..15");
    let span = &scene.world.spans[0];
    scene.world.logs.push(crate::world::WorldLog {
        task: 1,
        user_task: None,
        at: 3,
        category: "span".to_owned(),
        message: format!("{}-{}", span.trace_id, span.span_id).into_bytes(),
    });
    let result = scene.world.attribute(&[scene.world.record_all()]);
    assert_eq!(binding_word(result.spans[0].binding), "logged_id");
    assert_eq!(result.spans[0].exact_ns, 13);
}

#[test]
fn context_spans_own_time_but_yield_no_rows() {
    let scene =
        parse("g1: run 0..10, net 10..30 | span h on g1 layer handler: 0..30 | span q in h on g1 layer db: 5..30");
    let mut spans = scene.world.process_spans();
    let query = spans.spans.pop().unwrap();
    spans.context.push(query);
    let result = attribute(&spans, &[&scene.recordings[0]], &Rules::default());
    let cells: Vec<String> = result
        .spans
        .iter()
        .flat_map(|span| &span.cells)
        .filter(|cell| cell.view == View::SelfView)
        .map(|cell| format!("{}/{} {}", cell.layer, cell.state, cell.ns))
        .collect();
    assert_eq!(cells, ["db/running 5", "db/network 20", "handler/running 5"]);
    assert_eq!(result.spans.len(), 1);
}

#[test]
fn a_request_enters_the_process_by_parent_or_by_kind() {
    let scene = parse(
        "g1: run 0..50 | span root on g1: 0..50 | span child in root on g1: 1..9
         | span hop in root on g1 kind server: 10..20 | span job in root on g1 kind consumer: 20..30",
    );
    let mut world = scene.world;
    world.spans[1].parent_span_id = Some(SpanId::new([9; 8]));
    let result = world.attribute(&scene.recordings);
    let requests = |result: &Attributed| -> Vec<String> {
        let requests = result.spans.iter().filter(|span| span.is_request);
        requests.map(|span| span.operation.to_string()).collect()
    };
    assert_eq!(requests(&result), ["root", "child", "hop", "job"]);
    world.spans[1].parent_span_id = Some(world.spans[0].span_id);
    assert_eq!(requests(&world.attribute(&scene.recordings)), ["root", "hop", "job"]);
}

#[test]
fn a_span_whose_sdk_says_that_its_parent_is_local_is_no_request_even_if_the_parent_has_not_come() {
    let scene = parse("g1: run 0..50 | span root on g1: 0..50 | span child in root on g1: 1..9");
    let mut world = scene.world;
    let is_request = |world: &World| world.attribute(&scene.recordings).spans[1].is_request;
    world.spans[1].parent_span_id = Some(SpanId::new([9; 8]));
    world.spans[1].parent_is_remote = Some(false);
    assert!(!is_request(&world));
    world.spans[1].parent_is_remote = Some(true);
    assert!(is_request(&world));
}

#[test]
fn parents_in_a_circle_are_cut_and_nothing_hangs() {
    let mut scene = parse("g1: run 0..50 | span a on g1 layer a: 0..50 | span b in a on g1 layer b: 1..9");
    scene.world.spans[0].parent_span_id = Some(scene.world.spans[1].span_id);
    let result = scene.world.attribute(&scene.recordings);
    assert_eq!(result.violations, []);
    assert_eq!(
        result.spans.iter().map(|span| span.exact_ns).collect::<Vec<_>>(),
        [50, 8]
    );
}

#[test]
fn the_row_on_the_task_ends_with_the_task() {
    let scene = parse("g1: run 0..100 | g2 from g1: run 10..40 | span s on g2: 12..60 | span t: 12..60");
    let result = scene.world.attribute(&scene.recordings);
    let on_task: Vec<Option<TaskSpan>> = result.spans.iter().map(|span| span.on_task).collect();
    let expected = TaskSpan {
        task: TaskId(2),
        interval: crate::world::interval(12, 40),
        kind: BindingKind::LoggedId,
    };
    assert_eq!(on_task, [Some(expected), None]);
}

#[test]
fn spans_that_all_name_a_layer_of_their_own_are_told_apart_up_to_a_limit() {
    let spans: Vec<String> = (0..300)
        .map(|n| format!("span s{n} on g1 layer l{n}: {n}..1000"))
        .collect();
    let scene = parse(&format!("g1: run 0..1000 | {}", spans.join(" | ")));
    let result = scene.world.attribute(&scene.recordings);
    assert_eq!(result.violations, []);
    let layers: Vec<&str> = result.spans.iter().map(|span| span.layer.as_str()).collect();
    assert_eq!(layers[255], "l255");
    assert!(layers[256..].iter().all(|layer| *layer == "service"), "{layers:?}");
    let most = result.spans.iter().map(|span| span.cells.len()).max();
    assert_eq!(most, Some(2 * 257), "in each view a cell of each layer");
}

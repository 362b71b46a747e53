//! What spans alone say, as fixed matrices (I-22). Nanoseconds; `~` is inferred.

use spandrel_model::*;

use crate::text::{attribute_scenes, check_together, parse, parse_together, shown};

#[test]
fn i22_a_trace_without_runtime_data_goes_to_the_spans_that_were_waited_for() {
    check_together(
        "span GET layer handler: 0..100000 | span auth in GET layer service: 5000..30000
         | span q in auth layer db: 10000..25000 | span a in GET layer cache: 40000..60000
         | span b in GET layer db: 40000..90000",
        "GET root: ~db/?not_recorded 65000, ~?not_recorded 25000, ~service/?not_recorded 10000",
    );
    check_together(
        "span GET layer handler: 0..100000 | span auth in GET layer service: 5000..30000",
        "GET self: ?not_recorded 100000 | auth self: ?not_recorded 25000 | auth root: ~?not_recorded 25000",
    );
}

#[test]
fn i22_siblings_that_touch_leave_no_time_to_the_parent() {
    check_together(
        "span GET layer handler: 0..100000 | span a in GET layer db: 0..40000 | span b in GET layer cache: 40000..100000",
        "GET root: ~cache/?not_recorded 60000, ~db/?not_recorded 40000",
    );
}

#[test]
fn i22_siblings_that_overlap_by_one_percent_ran_in_parallel_unless_clocks_explain_it() {
    check_together(
        "span GET layer handler: 0..1000000 | span a in GET layer db: 0..510000
         | span b in GET layer cache: 500000..1000000",
        "GET root: ~cache/?not_recorded 500000, ~?not_recorded 500000",
    );
    check_together(
        "span GET layer handler: 0..200000 | span a in GET layer db: 0..102000
         | span b in GET layer cache: 100000..200000",
        "GET root: ~cache/?not_recorded 100000, ~db/?not_recorded 100000",
    );
}

#[test]
fn i22_a_child_that_outlives_its_parent_was_not_waited_for() {
    check_together(
        "span GET layer handler: 0..100000 | span a in GET layer db: 10000..30000
         | span job in GET layer service: 50000..150000 | span q in job layer db: 60000..90000",
        "GET root: ~db/?not_recorded 20000, ~?not_recorded 80000 \
         | job root: ~db/?not_recorded 30000, ~?not_recorded 70000",
    );
}

#[test]
fn a_span_that_is_not_bound_has_the_exact_cells_of_children_that_are() {
    check_together(
        "g1: run 0..20000, net 20000..50000 by ext, run 50000..100000 | span GET layer handler: 0..100000
         | span a in GET layer service: 10000..80000 | span q in a on g1 layer db: 15000..60000",
        "GET root: db/run 15000, db/net 30000, ~?no_matching_task 30000, ~service/?no_matching_task 25000",
    );
}

#[test]
fn a_child_that_counts_in_part_gives_the_cells_of_that_part() {
    check_together(
        "g1: run 0..31000, net 31000..60000 by ext | span GET layer handler: 0..60000
         | span a in GET on g1 layer db: 10000..31500 | span b in GET layer cache: 30000..60000",
        "a root: run 21000, net 500 | GET root: ~cache/?no_matching_task 30000, db/run 20000, ~?no_matching_task 10000",
    );
}

#[test]
fn inferred_time_stays_unknown_in_the_self_view_and_in_the_quality_of_a_span() {
    let result = attribute_scenes(&parse_together(
        "span GET: 0..100000 | span a in GET layer db: 0..40000",
    ));
    for span in &result.spans {
        let duration_ns = span.interval.duration_ns();
        assert_eq!(
            (span.exact_ns, span.unknown_ns, span.inferred_ns),
            (0, duration_ns, duration_ns)
        );
        assert!(span.cells.iter().all(|cell| match cell.view {
            View::SelfView => cell.evidence == Evidence::None,
            View::Root => cell.evidence == Evidence::Inferred,
        }));
    }
}

#[test]
fn spans_nested_deeply_cost_no_stack() {
    let mut timeline = "span s0 layer l0: 0..100000".to_owned();
    for depth in 1..2_000 {
        timeline += &format!(
            " | span s{depth} in s{} layer l{}: {depth}..100000",
            depth - 1,
            depth % 3
        );
    }
    let result = attribute_scenes(&parse_together(&timeline));
    assert_eq!(result.spans.len(), 2_000);
}

/// Spans that each end a nanosecond after the one around them.
fn reaching_beyond(spans: usize) -> String {
    let span = |number: usize| {
        let parent = number
            .checked_sub(1)
            .map_or(String::new(), |parent| format!("in s{parent}"));
        format!("span s{number} {parent}: {number}..{}", 1_000_000 + number)
    };
    (0..spans).map(span).collect::<Vec<_>>().join(" | ")
}

#[test]
fn spans_that_each_reach_beyond_their_parent_are_taken_apart_to_a_depth_only() {
    let attributed = |spans: usize| {
        let scene = parse(&reaching_beyond(spans));
        let result = scene.world.attribute(&scene.recordings);
        assert_eq!((&result.violations, result.spans.len()), (&vec![], spans));
        result
    };
    let (half, whole) = (attributed(1_000), attributed(2_000));
    assert!(whole.walks.inferred <= 2_000 * 66, "{:?}", whole.walks);
    assert!(10 * whole.walks.inferred <= 22 * half.walks.inferred);
    assert_eq!(whole.walks.too_long, 2_000 - 65);
    let first = whole.spans.iter().find(|span| &*span.operation == "s0").unwrap();
    assert_eq!(first.truncated_ns, 1_000_000 - 65);
    assert_eq!(
        shown(&whole, "s0 root"),
        "s0 root: ~?chain_too_long 999935, ~?not_recorded 65"
    );
    assert_eq!(shown(&whole, "s1999 root"), "s1999 root: ~?not_recorded 1000000");
}

#[test]
fn parts_of_many_spans_on_one_goroutine_cost_its_states_once() {
    const SPANS: usize = 300;
    let states = (0..2_000).map(|state| {
        format!(
            "run {0}..{1}, net {1}..{2} by ext",
            20 * state,
            20 * state + 9,
            20 * state + 20
        )
    });
    let mut timeline = format!("g1: {}", states.collect::<Vec<_>>().join(", "));
    for span in 0..SPANS {
        timeline +=
            &format!(" | span p{span} layer p: {span}..30000 | span c{span} in p{span} on g1 layer c: {span}..30001");
    }
    let scene = parse(&timeline);
    let result = scene.world.attribute(&scene.recordings);
    assert_eq!(result.violations, []);
    assert!(result.walks.pieces <= 4_000 + 4 * SPANS as u64, "{:?}", result.walks);
    assert_eq!(shown(&result, "p0 root"), "p0 root: c/run 13500, c/net 16500");
    assert_eq!(shown(&result, "p299 root"), "p299 root: c/run 13365, c/net 16336");
}

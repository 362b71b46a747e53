//! The matrix over requests.

use std::num::NonZeroI64;

use spandrel_attribution::{Matrix, MatrixRow, MatrixTables, Rules, SpanAttribution, attribute};
use spandrel_model::{State, View};

use crate::text::parse;

fn matrix(timeline: &str, window_ns: i64) -> Vec<MatrixRow> {
    let scene = parse(timeline);
    let recordings: Vec<_> = scene.recordings.iter().collect();
    let mut matrix = Matrix::new(NonZeroI64::new(window_ns).unwrap());
    for span in &attribute(&scene.world.process_spans(), &recordings, &Rules::default()).spans {
        matrix.add(span);
    }
    self_rows(&matrix)
}

fn self_rows(matrix: &Matrix) -> Vec<MatrixRow> {
    let rows = matrix.tables().cells.into_iter();
    rows.filter(|row| row.view == View::SelfView).collect()
}

fn show(row: &MatrixRow) -> String {
    format!(
        "{} {} {} {}/{}: n {} nonzero {} sum {} p50 {} p95 {} p99 {}",
        row.group.window_start.0,
        row.group.operation,
        row.view.as_str(),
        row.layer,
        row.state,
        row.times.n,
        row.n_nonzero,
        row.times.sum_ns,
        row.times.quantiles[0].ns,
        row.times.quantiles[1].ns,
        row.times.quantiles[2].ns
    )
}

// Edge case 26.
#[test]
fn a_request_with_nothing_in_a_cell_counts_as_zero() {
    let mut timeline = "g1: run 0..1000, net 1000..1100, run 1100..1200".to_owned();
    for start in 0..10 {
        // The last one, from 900 on, waits for the network for 100.
        let end = if start == 9 { 1150 } else { start * 100 + 50 };
        timeline.push_str(&format!(" | span s{start} on g1: {}..{end}", start * 100));
    }
    let mut scene = parse(&timeline);
    for span in &mut scene.world.spans {
        span.name = "GET /".into();
    }
    let result = scene.world.attribute(&scene.recordings);
    let mut matrix = Matrix::new(NonZeroI64::new(10_000).unwrap());
    result.spans.iter().for_each(|span| matrix.add(span));
    let rows: Vec<String> = self_rows(&matrix).iter().map(show).collect();
    assert_eq!(
        rows,
        [
            "0 GET / self service/running: n 10 nonzero 10 sum 600 p50 50 p95 150 p99 150",
            "0 GET / self service/network: n 10 nonzero 1 sum 100 p50 0 p95 100 p99 100",
        ]
    );
}

#[test]
fn requests_count_in_the_window_in_which_they_start_and_children_do_not_count() {
    let rows = matrix(
        "g1: run 0..300 | span a on g1: 10..150 | span c in a on g1: 20..30 | span b on g1: 160..290",
        100,
    );
    let rows: Vec<String> = rows.iter().map(show).collect();
    assert_eq!(
        rows,
        [
            "0 a self service/running: n 1 nonzero 1 sum 140 p50 140 p95 140 p99 140",
            "100 b self service/running: n 1 nonzero 1 sum 130 p50 130 p95 130 p99 130",
        ]
    );
}

#[test]
fn sub_states_add_up_to_their_state() {
    let rows = matrix(
        "g1: ready/created 0..5, run 5..10, ready/preempted 10..17, run 17..20 | span a on g1: 0..20",
        100,
    );
    let sums: Vec<i64> = rows.iter().map(|row| row.times.sum_ns).collect();
    assert_eq!(sums, [8, 12]);
}

#[test]
fn each_view_has_rows_of_its_own_that_sum_to_the_requests() {
    let timeline = "g1: run 0..10, mutex 10..60 by g2, run 60..100 | g2: run 0..70
                    | span a on g1: 0..100 | span b on g2: 0..70";
    let scene = parse(timeline);
    let mut matrix = Matrix::new(NonZeroI64::new(1_000).unwrap());
    let result = scene.world.attribute(&scene.recordings);
    result.spans.iter().for_each(|span| matrix.add(span));
    let rows: Vec<String> = matrix.tables().cells.iter().map(show).collect();
    assert_eq!(
        rows,
        [
            "0 a self service/running: n 1 nonzero 1 sum 50 p50 50 p95 50 p99 50",
            "0 a self service/mutex: n 1 nonzero 1 sum 50 p50 50 p95 50 p99 50",
            "0 a root service/running: n 1 nonzero 1 sum 50 p50 50 p95 50 p99 50",
            "0 a root service/blocked_on_other: n 1 nonzero 1 sum 50 p50 50 p95 50 p99 50",
            "0 b self service/running: n 1 nonzero 1 sum 70 p50 70 p95 70 p99 70",
            "0 b root service/running: n 1 nonzero 1 sum 70 p50 70 p95 70 p99 70",
        ]
    );
}

fn matrix_of<'a>(spans: impl IntoIterator<Item = &'a SpanAttribution>) -> Matrix {
    let mut matrix = Matrix::new(NonZeroI64::new(1_000).unwrap());
    spans.into_iter().for_each(|span| matrix.add(span));
    matrix
}

#[test]
fn a_request_that_comes_again_replaces_itself() {
    let spans = |timeline: &str| {
        let scene = parse(timeline);
        scene.world.attribute(&scene.recordings).spans
    };
    let early = spans("g1: run 0..40 | span a on g1: 0..100 | g2: run 0..30 | span b on g2: 0..30");
    let late =
        spans("g1: run 0..40, mutex 40..100 by g2 | span a on g1: 0..100 | g2: run 0..200 | span b on g2: 0..30");
    let replaced = matrix_of(early.iter().chain(&late));
    assert_eq!(replaced.tables(), matrix_of(&late).tables());
    assert_ne!(replaced.tables(), matrix_of(&early).tables());
}

#[test]
fn a_request_that_turns_out_to_be_none_counts_no_more() {
    let scene = parse("g1: run 0..40 | span a on g1: 0..10 | span b on g1: 10..40");
    let mut spans = scene.world.attribute(&scene.recordings).spans;
    let mut matrix = matrix_of(&spans);
    let group = matrix.group_of(&spans[1]);
    let tables_of = |matrix: &Matrix| {
        let mut tables = MatrixTables::default();
        matrix.tables_of(&group, &mut tables);
        tables
    };
    assert_eq!(tables_of(&matrix).operations.len(), 1);
    spans[1].is_request = false;
    matrix.add(&spans[1]);
    assert_eq!(tables_of(&matrix), MatrixTables::default());
    assert_eq!(matrix.tables(), matrix_of(&spans[..1]).tables());
}

#[test]
fn the_durations_of_an_operation_are_a_row_of_their_own() {
    let scene = parse("g1: run 0..100, net 100..150 | span a on g1: 0..200");
    let tables = matrix_of(&scene.world.attribute(&scene.recordings).spans).tables();
    let [row] = &tables.operations[..] else {
        panic!("{tables:?}")
    };
    assert_eq!(
        (&*row.group.operation, row.durations.n, row.durations.sum_ns),
        ("a", 1, 200)
    );
    assert_eq!(row.durations.quantiles.map(|quantile| quantile.ns), [200; 3]);
    assert_eq!(row.tails.map(|tail| (tail.n, tail.mean_ns)), [(1, 200); 3]);
    assert_eq!((row.coverage.exact_ns, row.coverage.unknown_ns), (150, 50));
}

#[test]
fn interference_says_who_waited_where_and_for_what() {
    let timeline = "g1: run 0..10, mutex 10..60 by g2, run 60..100 | g2: run 0..70
                    | span a on g1: 0..100 | span b on g2: 0..70";
    let scene = parse(timeline);
    let tables = matrix_of(&scene.world.attribute(&scene.recordings).spans).tables();
    let [row] = &tables.interference[..] else {
        panic!("{tables:?}")
    };
    assert_eq!(
        (&*row.group.operation, row.layer.as_str(), &*row.state),
        ("a", "service", "mutex")
    );
    assert_eq!(
        (&*row.culprit.operation, row.culprit.layer.as_str(), row.culprit.state),
        ("b", "service", State::Running)
    );
    assert_eq!((row.n, row.ns), (1, 50));
}

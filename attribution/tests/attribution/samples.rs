//! CPU samples divide running time, each test named after what must hold.

use std::collections::BTreeMap;
use std::num::NonZeroI64;

use proptest::prelude::*;
use spandrel_attribution::*;
use spandrel_model::*;

use crate::invariants::{parts, windows, worlds};
use crate::text::{Scene, parse};

pub(crate) fn matrix(spans: &[SpanAttribution]) -> MatrixTables {
    let mut matrix = Matrix::new(NonZeroI64::new(1_000_000_000_000).unwrap());
    spans.iter().for_each(|span| matrix.add(span));
    matrix.tables()
}

/// Operation, layer, layer of the function, function, samples and nanoseconds of each row.
fn rows_of(scene: &Scene, recordings: &[TaskRecording]) -> Vec<String> {
    let rows = matrix(&scene.world.attribute(recordings).spans).functions;
    let row = |row: &RunningFunctionRow| {
        let layers = format!("{}/{}", row.layer, row.function_layer);
        format!(
            "{} {layers} {} {} {}",
            row.group.operation, row.function, row.n_samples, row.ns
        )
    };
    rows.iter().map(row).collect()
}

fn check(timeline: &str, expected: &[&str]) {
    let scene = parse(timeline);
    assert_eq!(rows_of(&scene, &scene.recordings), expected, "{timeline}");
}

#[test]
fn running_time_of_each_layer_is_divided_as_its_samples_are() {
    check(
        "g1: run 0..30, net 30..50 by ext, run 50..100
         | span GET on g1 kind server: 0..100 | span SELECT in GET on g1 layer db: 20..60
         | cpu g1: 5 main.encode<main.handle | cpu g1: 10 main.encode<main.handle | cpu g1: 70 main.sort | cpu g1: 55 pgx.bind",
        &["GET db/db pgx.bind 1 20", "GET handler/handler main.encode 2 40", "GET handler/handler main.sort 1 20"],
    );
}

#[test]
fn samples_of_many_requests_are_added_up_before_time_is_divided() {
    check(
        "g1: run 0..10 | g2: run 0..90 | span GET on g1 kind server: 0..10 | span GET on g2 kind server: 0..90
         | cpu g1: 5 main.a | cpu g2: 5 main.b | cpu g2: 15 main.b | cpu g2: 25 main.b",
        &["GET handler/handler main.a 1 25", "GET handler/handler main.b 3 75"],
    );
}

#[test]
fn a_library_on_the_stack_gives_the_function_its_layer_but_not_the_cell() {
    check(
        "g1: run 0..40 | span GET on g1 kind server: 0..40 | span ask in GET on g1 kind client: 20..40
         | cpu g1: 5 bufio.(*Writer).Write<github.com/redis/go-redis/v9.(*Client).Get<main.handle | cpu g1: 7 main.handle
         | cpu g1: 25 bufio.(*Writer).Write<github.com/redis/go-redis/v9.(*Client).Get<main.handle",
        &[
            "GET handler/cache bufio.(*Writer).Write 1 10",
            "GET handler/handler main.handle 1 10",
            "GET service/service bufio.(*Writer).Write 1 20",
        ],
    );
}

#[test]
fn samples_elsewhere_and_those_that_contradict_the_states_do_not_count() {
    check(
        "g1: run 0..10, net 10..40 by ext, run 40..60 | g2 from g1: run 5..60
         | span GET on g1 kind server: 0..50 | cpu g1: 20 main.waits | cpu g2: 20 main.other | cpu g1: 55 main.late
         | cpu g9: 20 main.unknown | cpu g1: 45",
        &["GET handler/handler  1 20"],
    );
}

#[test]
fn a_function_that_the_scheduler_interrupts_is_what_runs() {
    check(
        "g1: run 0..20 | span GET on g1 kind server: 0..20 | cpu g1: 5 main.sort<main.handle
         | cpu g1: 7 runtime.asyncPreempt2<runtime.asyncPreempt<main.sort<main.handle",
        &["GET handler/handler main.sort 2 20"],
    );
}

#[test]
fn without_samples_there_are_no_rows() {
    check("g1: run 0..40 | span GET on g1 kind server: 0..40", &[]);
}

#[test]
fn a_sample_in_two_recordings_counts_once() {
    let scene = parse("g1: run 0..40 | span GET on g1 kind server: 0..40 | cpu g1: 5 main.a | cpu g1: 30 main.b");
    let whole = &scene.recordings[0];
    let late = scene
        .world
        .record(&[Interval::new(UnixNanos(20), UnixNanos(40)).unwrap()]);
    let recordings = [late[0].clone(), whole.clone(), whole.clone()];
    let expected = ["GET handler/handler main.a 1 20", "GET handler/handler main.b 1 20"];
    assert_eq!(rows_of(&scene, &recordings), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn functions_sum_to_the_exact_running_time_of_their_cell(world in worlds(16), parts in parts()) {
        let result = world.attribute(&world.record(&windows(&world, &parts)));
        let tables = matrix(&result.spans);
        let mut sums: BTreeMap<(RequestGroup, Layer), i64> = BTreeMap::new();
        for row in &tables.functions {
            prop_assert!(0 <= row.lo_ns && row.lo_ns <= row.ns && row.ns <= row.hi_ns);
            prop_assert!(row.n_samples > 0);
            *sums.entry((row.group.clone(), row.layer.clone())).or_default() += row.ns;
        }
        for ((group, layer), ns) in sums {
            let is_cell = |row: &&MatrixRow| {
                (row.view, row.state, &row.layer, &row.group) == (View::SelfView, State::Running, &layer, &group)
            };
            prop_assert_eq!(tables.cells.iter().find(is_cell).map(|row| row.times.sum_ns), Some(ns));
        }
        let samples: i64 = tables.functions.iter().map(|row| row.n_samples).sum();
        let of_requests = result.spans.iter().filter(|span| span.is_request);
        let seen: u32 = of_requests.flat_map(|span| &span.functions).map(|function| function.n).sum();
        prop_assert_eq!(samples, i64::from(seen));
        prop_assert!(result.spans.iter().all(|span| span.is_request || span.functions.is_empty()));
    }
}

//! Round trips: traces of simulated programs decode to what the simulation knows to have happened.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use gotrace::Recording;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use support::simulation::Simulation;
use support::simulation::accepts::{Accepts, go_lines};
use support::simulation::clocks::Clocks;
use support::simulation::decoded::{decode, lines};
use support::simulation::kept::assert_kept;
use support::simulation::script::{Script, script};
use support::simulation::sequences::sequences;
use support::simulation::view::{View, assert_same};
use support::writer::{Arrangement, Encoded, Ids, Layout, Numbers, encode};

const STEPS_MAX: usize = 400;
/// How many traces the reader of the Go project is asked about.
const GO_TRACES_COUNT: usize = 60;

fn layout() -> impl Strategy<Value = Layout> {
    let arrangement = prop::sample::select(vec![Arrangement::Runtime, Arrangement::Shuffled]);
    let numbers = prop::sample::select(vec![Numbers::Minimal, Numbers::PaddedSizes, Numbers::Padded]);
    let ids = prop::sample::select(vec![Ids::Sequential, Ids::Scattered, Ids::Huge]);
    let splits = prop::sample::select(vec![0_u64, 20, 200, 1000]);
    (any::<u64>(), arrangement, numbers, ids, splits).prop_map(|(seed, arrangement, numbers, ids, splits_per_mille)| {
        Layout {
            seed,
            arrangement,
            numbers,
            ids,
            splits_per_mille,
        }
    })
}

/// Everything is the same, to the nanosecond.
fn assert_equal(found: &View, expected: &View) {
    assert_same("events", &found.events, &expected.events);
    assert_same("generations", &found.generations, &expected.generations);
    assert_eq!((found.start, found.end), (expected.start, expected.end));
    assert_same("tasks", &found.tasks, &expected.tasks);
    assert_same("snapshots", &found.snapshots, &expected.snapshots);
    assert_same_lists(found, expected);
}

/// Everything is the same that does not depend on the clocks of threads.
fn assert_same_order(found: &View, expected: &View) {
    let times: Vec<i64> = found.events.iter().map(|line| line.time).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "times do not increase");
    let (found_lines, expected_lines) = (sequences(&found.events), sequences(&expected.events));
    for (resource, expected) in &expected_lines {
        let found = found_lines.get(resource).map(Vec::as_slice).unwrap_or_default();
        assert_same(&format!("events of {resource:?}"), found, expected);
    }
    assert_eq!(found_lines.len(), expected_lines.len());
    assert_same_lists(&found.untimed(), &expected.untimed());
}

fn assert_same_lists(found: &View, expected: &View) {
    assert_same("goroutines", &found.life_lines(), &expected.life_lines());
    assert_same("ranges", &sorted(&found.ranges), &sorted(&expected.ranges));
    assert_same("regions", &sorted(&found.regions), &sorted(&expected.regions));
    assert_same("logs", &found.logs, &expected.logs);
    assert_same("samples", &found.samples, &expected.samples);
    assert_eq!(found.counts, expected.counts);
}

fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort();
    list
}

/// The trace of a script, and what it says.
fn encoded(script: &Script, layout: &Layout) -> (Encoded, View) {
    let simulation = Simulation::run(script);
    let encoded = encode(&simulation.trace(Clocks::Agree), layout);
    let whole = simulation.expected(&encoded);
    (encoded, whole)
}

fn round_trip(script: &Script, layout: &Layout) {
    let simulation = Simulation::run(script);
    let encoded = encode(&simulation.trace(Clocks::Agree), layout);
    let (found, warnings) = decode(&encoded.bytes);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_equal(&found, &simulation.expected(&encoded));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(128), ..ProptestConfig::default() })]

    #[test]
    fn clocks_that_differ_change_no_order_that_matters(
        script in script(STEPS_MAX, false),
        layout in layout(),
        seed: u64,
    ) {
        let simulation = Simulation::run(&script);
        let expected = simulation.expected(&encode(&simulation.trace(Clocks::Agree), &layout));
        let encoded = encode(&simulation.trace(Clocks::Differ { seed }), &layout);
        let (found, warnings) = decode(&encoded.bytes);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_same_order(&found, &expected);
    }

    #[test]
    fn a_trace_cut_between_batches_keeps_the_generations_before_the_cut(
        script in script(STEPS_MAX / 8, true),
        layout in layout(),
    ) {
        let (encoded, whole) = encoded(&script, &layout);
        for frame in &encoded.frames {
            let cut = &encoded.bytes[..frame.bytes.start];
            assert_left(cut, &whole, |position| position < frame.generation);
            let lines = lines(cut);
            let generation = whole.generations[frame.generation];
            let kept = whole.events.iter().take_while(|line| line.time < generation.start).count();
            prop_assert_eq!(&lines[..kept], &whole.events[..kept]);
        }
    }

    #[test]
    fn decoding_gives_back_what_was_encoded(script in script(STEPS_MAX, true), layout in layout()) {
        round_trip(&script, &layout);
    }
}

/// Decodes a damaged trace and checks what is left of it: the generations that are not damaged.
fn assert_left(damaged: &[u8], whole: &View, is_kept: impl Fn(usize) -> bool) {
    let Ok(recording) = Recording::decode(damaged) else {
        let kept = (0..whole.generations.len()).find(|position| is_kept(*position));
        assert_eq!(kept, None, "no generation is left");
        return;
    };
    support::assert_tiled(&recording);
    let (found, warnings) = decode(damaged);
    println!("{warnings:#?}");
    assert_kept(&found, whole, is_kept);
}

/// So many scripts, the same each time.
fn scripts(count: usize, clocks_agree: bool) -> Vec<(Script, Layout, u64)> {
    let mut runner = TestRunner::deterministic();
    let strategy = (script(STEPS_MAX, clocks_agree), layout(), any::<u64>());
    let mut draw = || strategy.new_tree(&mut runner).unwrap().current();
    (0..count).map(|_| draw()).collect()
}

#[test]
fn the_reader_of_the_go_project_sees_what_was_simulated() {
    let Some(accepts) = Accepts::build() else { return };
    let mut traces = Vec::new();
    let mut expected = Vec::new();
    for (mut script, layout, _) in scripts(GO_TRACES_COUNT, true) {
        // Go rounds each event's time where a tick is no whole number of nanoseconds.
        script.ticks_per_second = 15_625_000;
        let simulation = Simulation::run(&script);
        let encoded = encode(&simulation.trace(Clocks::Agree), &layout);
        expected.push(simulation.expected(&encoded));
        traces.push(encoded.bytes);
    }
    for (answer, expected) in accepts.read(&traces).iter().zip(&expected) {
        assert_eq!(answer.error, None);
        assert_same("events", &answer.events, &go_lines(&expected.events));
    }
}

#[test]
fn the_reader_of_the_go_project_accepts_clocks_that_differ() {
    let Some(accepts) = Accepts::build() else { return };
    let trace = |(script, layout, seed)| {
        let simulation = Simulation::run(&script);
        encode(&simulation.trace(Clocks::Differ { seed }), &layout).bytes
    };
    let traces: Vec<Vec<u8>> = scripts(GO_TRACES_COUNT, false).into_iter().map(trace).collect();
    for (position, answer) in accepts.read(&traces).iter().enumerate() {
        assert_eq!(answer.error, None, "trace {position}");
    }
}

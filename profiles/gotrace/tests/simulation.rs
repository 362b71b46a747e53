//! Round trips: traces of simulated programs decode to what the simulation knows to have happened.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use gotrace::{ExecTrace, Recording, TraceNanos};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use support::accepts::{Accepts, go_lines};
use support::drawn::{layout, script};
use support::simulation::Simulation;

use support::simulation::clocks::Clocks;
use support::simulation::compare::{assert_equal, assert_same_order};
use support::simulation::decoded::{decode, lines};
use support::simulation::kept::assert_kept;
use support::simulation::script::Script;
use support::simulation::view::{View, assert_same};
use support::writer::{Encoded, Layout, encode};

const STEPS_MAX: usize = 400;
const HEADER_BYTES: usize = 16;
/// How many traces the reader of the Go project is asked about.
const GO_TRACES_COUNT: usize = 60;
/// Of those, whose order is compared: few hold what is special about clocks that differ.
const GO_ORDERS_COUNT: usize = 300;
/// Room between two ticks, so that the events of each thread, and the samples, have times of their own.
const SUBTICKS: u64 = 256;

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
    fn a_missing_batch_costs_its_generation(script in script(STEPS_MAX, true), layout in layout(), missing: Index) {
        let (encoded, whole) = encoded(&script, &layout);
        let missing = missing.index(encoded.frames.len());
        let generation = encoded.frames[missing].generation;
        assert_others_left(&encoded.without(missing), &whole, generation);
    }

    #[test]
    fn a_damaged_payload_costs_its_generation(
        script in script(STEPS_MAX, true),
        layout in layout(),
        damaged: Index,
        flips in vec((any::<Index>(), 1..=255_u8), 1..4),
    ) {
        let (mut encoded, whole) = encoded(&script, &layout);
        let frame = damaged.get(&encoded.frames).clone();
        prop_assume!(!frame.payload.is_empty());
        for (at, mask) in flips {
            encoded.bytes[frame.payload.start + at.index(frame.payload.len())] ^= mask;
        }
        assert_others_left(&encoded.bytes, &whole, frame.generation);
    }

    #[test]
    fn a_damaged_byte_leaves_the_generations_before_it(
        script in script(STEPS_MAX, true),
        layout in layout(),
        at: Index,
        mask in 1..=255_u8,
    ) {
        let (mut encoded, whole) = encoded(&script, &layout);
        let at = HEADER_BYTES + at.index(encoded.bytes.len() - HEADER_BYTES);
        encoded.bytes[at] ^= mask;
        let damaged = encoded.frames.iter().find(|frame| frame.bytes.contains(&at)).unwrap().generation;
        assert_left(&encoded.bytes, &whole, |position| position < damaged);
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
    fn i1_states_tile_the_life_of_each_goroutine(script in script(STEPS_MAX, true), layout in layout()) {
        let (encoded, whole) = encoded(&script, &layout);
        support::assert_tiled(&Recording::decode(&encoded.bytes).unwrap());
        let with_its_times = ExecTrace::open(&encoded.bytes).unwrap().with_times_of_go_reader();
        let recording = Recording::of(with_its_times).unwrap();
        support::assert_tiled(&recording);
        let at = |time: Option<TraceNanos>| time.map(|time| time.0);
        let found = recording.goroutines.iter().map(|life| (life.id.get(), at(life.birth), at(life.death)));
        let lived = whole.lives.iter().map(|life| (life.id, life.birth, life.death));
        prop_assert_eq!(found.collect::<Vec<_>>(), lived.collect::<Vec<_>>());
    }

    #[test]
    fn decoding_gives_back_what_was_encoded(script in script(STEPS_MAX, true), layout in layout()) {
        round_trip(&script, &layout);
    }
}

/// Checks what is left of a trace in which one generation is damaged: all others, if the damage shows there. What
/// contradicts nothing in its own generation is taken for true, until a later one contradicts it.
fn assert_others_left(damaged: &[u8], whole: &View, generation: usize) {
    let recording = Recording::decode(damaged);
    let warnings = recording.iter().flat_map(|recording| recording.warnings.as_slice());
    let damages = warnings.filter(|warning| warning.kind.offset_bytes().is_some());
    let accused = damages.filter_map(|damage| damage.generation).min();
    let numbers = whole.generations.iter().map(|generation| Some(generation.number));
    let shows = numbers.take_while(|number| *number != accused).count();
    assert!(shows >= generation, "a generation before the damage is accused");
    assert_left(damaged, whole, |position| !(generation..=shows).contains(&position));
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

/// The trace of a script with clocks that differ, in which no two threads write the same time.
fn without_equal_times(mut script: Script, layout: &Layout, seed: u64) -> Vec<u8> {
    // A tick is a nanosecond: Go rounds each event's time otherwise.
    script.ticks_per_second = 1_000_000_000;
    let mut trace = Simulation::run(&script).trace(Clocks::Differ { seed });
    for generation in &mut trace.generations {
        generation.start_ticks *= SUBTICKS;
        generation.end_ticks *= SUBTICKS;
        generation.snapshot.ticks *= SUBTICKS;
        for (stream, subtick) in generation.streams.iter_mut().zip((8..).step_by(4)) {
            for event in &mut stream.events {
                event.ticks = event.ticks * SUBTICKS + subtick;
            }
        }
        for sample in &mut generation.samples {
            sample.ticks = sample.ticks * SUBTICKS + SUBTICKS - 1;
        }
    }
    encode(&trace, layout).bytes
}

/// A status of a system call has the context of the thread that it names. Go's reader shows the proc of the thread that
/// writes it.
fn without_procs_of_syscalls(lines: &[String]) -> Vec<String> {
    let is_status = |line: &str| line.ends_with("->Syscall") && !line.ends_with("Running->Syscall");
    let without = |line: &String| match &line.split(' ').collect::<Vec<_>>()[..] {
        [time, thread, _, rest @ ..] if is_status(line) => format!("{time} {thread} {}", rest.join(" ")),
        _ => line.clone(),
    };
    lines.iter().map(without).collect()
}

#[test]
fn clocks_that_differ_give_the_order_of_the_go_project() {
    let Some(accepts) = Accepts::build() else { return };
    let traces: Vec<Vec<u8>> = scripts(GO_ORDERS_COUNT, false)
        .into_iter()
        .map(|(script, layout, seed)| without_equal_times(script, &layout, seed))
        .collect();
    let mut samples_count = 0;
    for (trace, answer) in traces.iter().zip(accepts.read(&traces)) {
        assert_eq!(answer.error, None);
        let found = without_procs_of_syscalls(&go_lines(&lines(trace)));
        samples_count += found.iter().filter(|line| line.ends_with("StackSample")).count();
        assert_same("events", &found, &without_procs_of_syscalls(&answer.events));
    }
    assert!(samples_count > GO_ORDERS_COUNT, "{samples_count}");
}

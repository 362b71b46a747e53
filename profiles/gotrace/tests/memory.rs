//! What a stream holds in memory does not depend on how long the trace is.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use gotrace::{ExecTrace, Visitor};
use peak_alloc::PeakAlloc;
use support::simulation::Simulation;
use support::simulation::clocks::Clocks;
use support::simulation::script::{Action, Choices, Script, Step, WEIGHTS};
use support::writer::layout::{Ids, Numbers};
use support::writer::{Arrangement, Layout, encode};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const STEPS_PER_GENERATION: usize = 2_000;

/// Takes nothing.
struct Passing;
impl Visitor for Passing {}

/// A program that has something to end whenever it begins something, for so many generations.
fn trace(generations_count: usize) -> Vec<u8> {
    let actions: Vec<Action> = WEIGHTS
        .iter()
        .flat_map(|(action, weight)| std::iter::repeat_n(*action, *weight))
        .filter(|action| *action != Action::AdvanceGeneration)
        .collect();
    let mut choices = Choices(7);
    let mut step = |number: usize| Step {
        action: match number % STEPS_PER_GENERATION {
            0 => Action::AdvanceGeneration,
            _ => choices.one_of(&actions).unwrap(),
        },
        choices: choices.below(u64::MAX),
    };
    let script = Script {
        minor: 26,
        first_generation: 1,
        forgotten_generations: 0,
        ticks_per_second: 15_625_000,
        procs: 4,
        clocks_agree: true,
        steps: (1..STEPS_PER_GENERATION * generations_count).map(&mut step).collect(),
    };
    let layout = Layout {
        seed: 1,
        arrangement: Arrangement::Runtime,
        numbers: Numbers::Minimal,
        ids: Ids::Sequential,
        splits_per_mille: 0,
    };
    encode(&Simulation::run(&script).trace(Clocks::Agree), &layout).bytes
}

/// The most bytes that the work holds at once.
fn peak_bytes(work: impl FnOnce()) -> usize {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    work();
    MEMORY.peak_usage().saturating_sub(before)
}

/// What is kept of a generation that has gone by: its number, place, start and clock, in vectors that double.
const BYTES_PER_GENERATION: usize = 300;

// One test, or another one's allocations count, too.
#[test]
fn a_stream_holds_no_more_of_a_long_trace_than_of_a_short_one() {
    let (short, long) = (trace(300), trace(1_200));
    let events = |trace: &[u8]| ExecTrace::read(trace).unwrap().events().for_each(drop);
    let visit = |trace: &[u8]| drop(ExecTrace::read(trace).unwrap().visit(&mut Passing).unwrap());
    for work in [&events as &dyn Fn(&[u8]), &visit] {
        let (of_short, of_long) = (peak_bytes(|| work(&short)), peak_bytes(|| work(&long)));
        assert!(of_short > 0);
        assert!(
            of_long <= of_short + 900 * BYTES_PER_GENERATION,
            "{of_long} bytes, and {of_short} of a quarter"
        );
        assert!(2 * of_long < long.len(), "{of_long} bytes of {}", long.len());
    }
}

//! Bytes as what a program does, how its trace is laid out, and what happens to the trace.

use arbitrary::{Result, Unstructured};

use super::{damage, promises};
use crate::support::simulation::Simulation;
use crate::support::simulation::clocks::Clocks;
use crate::support::simulation::compare::{assert_equal, assert_same_order};
use crate::support::simulation::decoded::decode;
use crate::support::simulation::script::{Script, Step, WEIGHTS};
use crate::support::writer::layout::{Ids, Numbers};
use crate::support::writer::{Arrangement, Encoded, Layout, encode};

const STEPS_MAX: usize = 300;

/// A program and how its trace is written.
struct Case {
    script: Script,
    layout: Layout,
    clocks: Clocks,
}

/// Checks a trace: against the program as long as it is undamaged, else for what holds for any trace.
pub(super) fn check(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let changes_count = input.int_in_range(0..=4_u32).unwrap_or_default();
    let changes = input
        .bytes(input.len().min(changes_count as usize * 16))
        .unwrap_or_default();
    let Ok(case) = case(&mut input) else { return };
    let simulation = Simulation::run(&case.script);
    let mut trace = simulation.trace(case.clocks);
    let mut input = Unstructured::new(changes);
    for _ in 0..changes_count {
        if damage::change(&mut trace, &mut input).is_err() {
            return;
        }
    }
    let encoded = encode(&trace, &case.layout);
    promises::check(&encoded.bytes);
    if changes_count == 0 {
        check_whole(&simulation, &case, &encoded);
    }
}

/// A whole trace says what the program did.
fn check_whole(simulation: &Simulation, case: &Case, encoded: &Encoded) {
    let (found, warnings) = decode(&encoded.bytes);
    assert!(warnings.is_empty(), "{warnings:?}");
    if case.script.clocks_agree {
        assert_equal(&found, &simulation.expected(encoded));
    } else {
        let agreed = encode(&simulation.trace(Clocks::Agree), &case.layout);
        assert_same_order(&found, &simulation.expected(&agreed));
    }
}

fn case(input: &mut Unstructured<'_>) -> Result<Case> {
    let clocks_agree = input.arbitrary()?;
    let layout = layout(input)?;
    let seed = layout.seed;
    Ok(Case {
        layout,
        clocks: if clocks_agree {
            Clocks::Agree
        } else {
            Clocks::Differ { seed }
        },
        script: script(input, clocks_agree)?,
    })
}

fn layout(input: &mut Unstructured<'_>) -> Result<Layout> {
    Ok(Layout {
        arrangement: *input.choose(&[Arrangement::Runtime, Arrangement::Shuffled])?,
        numbers: *input.choose(&[Numbers::Minimal, Numbers::PaddedSizes, Numbers::Padded])?,
        ids: *input.choose(&[Ids::Sequential, Ids::Scattered, Ids::Huge])?,
        splits_per_mille: *input.choose(&[0, 20, 200, 1000])?,
        seed: input.arbitrary::<u16>()?.into(),
    })
}

fn script(input: &mut Unstructured<'_>, clocks_agree: bool) -> Result<Script> {
    let mut script = Script {
        minor: *input.choose(&[22, 23, 25, 26])?,
        first_generation: *input.choose(&[1, 17, 300, u64::MAX - 500])?,
        forgotten_generations: input.int_in_range(0..=2)?,
        ticks_per_second: *input.choose(&[15_625_000, 1_000_000_000, 11_718_750, 2_999_999_999])?,
        procs: input.int_in_range(1..=4)?,
        clocks_agree,
        steps: Vec::new(),
    };
    while !input.is_empty() && script.steps.len() < STEPS_MAX {
        let (action, _) = *input.choose(WEIGHTS)?;
        let choices = input.arbitrary::<u32>()?.into();
        script.steps.push(Step { action, choices });
    }
    Ok(script)
}

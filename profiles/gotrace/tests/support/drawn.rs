//! Random scripts and layouts, drawn so that they shrink well.

use proptest::prelude::*;

use super::simulation::script::{Action, Script, Step, WEIGHTS};
use super::writer::layout::{Ids, Numbers};
use super::writer::{Arrangement, Layout};

/// Scripts of at most so many steps.
pub(crate) fn script(steps_max: usize, clocks_agree: bool) -> impl Strategy<Value = Script> {
    let drawn: Vec<Action> = WEIGHTS
        .iter()
        .flat_map(|(action, weight)| std::iter::repeat_n(*action, *weight))
        .collect();
    let step = (prop::sample::select(drawn), any::<u64>()).prop_map(|(action, choices)| Step { action, choices });
    // 64 ns, 1 ns, and two that do not divide a second.
    let frequency = prop::sample::select(vec![15_625_000_u64, 1_000_000_000, 11_718_750, 2_999_999_999]);
    (
        prop::sample::select(vec![22_u32, 23, 25, 26]),
        prop::sample::select(vec![1_u64, 17, 300, u64::MAX - 500]),
        0..3_usize,
        frequency,
        1..5_usize,
        prop::collection::vec(step, 0..steps_max),
    )
        .prop_map(
            move |(minor, first_generation, forgotten_generations, ticks_per_second, procs, steps)| Script {
                minor,
                first_generation,
                forgotten_generations,
                ticks_per_second,
                procs,
                clocks_agree,
                steps,
            },
        )
}

/// Any layout.
pub(crate) fn layout() -> impl Strategy<Value = Layout> {
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

//! The clocks of threads: one for all, or each with its own idea of the time.

use std::collections::BTreeMap;

use crate::support::writer::{Generation, Random, Stream};

/// How the clocks of different threads relate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clocks {
    /// Every event has the time at which it happened, and no two have the same.
    Agree,
    /// Only the order of events on one thread says anything.
    Differ { seed: u64 },
}

/// How far a clock may be off. Simulated generations are shorter than this.
const OFFSET_TICKS_MAX: u64 = 20_000;
/// Before any simulated time.
const EARLY_TICKS: u64 = 1 << 39;

/// What is wrong with a clock.
enum Fault {
    /// Always ahead by the same amount.
    Offset(u64),
    /// Off by a different amount at each event; it may seem to run backwards.
    Jitter,
    /// Runs at a multiple of the right speed.
    Fast(u64),
    Stopped,
    /// Runs backwards.
    Backwards,
}

impl Clocks {
    /// Changes the times of a generation from the true ones to those that the threads' clocks show.
    pub(super) fn distort(self, generation: &mut Generation) {
        let Self::Differ { seed } = self else { return };
        let mut random = Random::new(seed ^ generation.number.rotate_left(32));
        let mut faults: BTreeMap<u64, Fault> = BTreeMap::new();
        for stream in &mut generation.streams {
            let fault = faults.entry(stream.thread).or_insert_with(|| Fault::draw(&mut random));
            fault.distort(stream, generation.start_ticks, &mut random);
        }
        for sample in &mut generation.samples {
            sample.ticks += random.below(OFFSET_TICKS_MAX);
        }
    }
}

impl Fault {
    fn draw(random: &mut Random) -> Self {
        match random.below(6) {
            0 | 1 => Self::Offset(random.below(OFFSET_TICKS_MAX)),
            2 => Self::Jitter,
            3 => Self::Fast(random.below(7)),
            4 => Self::Stopped,
            _ => Self::Backwards,
        }
    }

    fn distort(&self, stream: &mut Stream, start_ticks: u64, random: &mut Random) {
        for event in &mut stream.events {
            let since = event.ticks - start_ticks;
            event.ticks = match self {
                Self::Offset(ticks) => event.ticks + ticks,
                Self::Jitter => event.ticks + random.below(OFFSET_TICKS_MAX),
                Self::Fast(times) => start_ticks + since * times,
                Self::Stopped => start_ticks,
                Self::Backwards => start_ticks - since.min(EARLY_TICKS),
            };
        }
    }
}

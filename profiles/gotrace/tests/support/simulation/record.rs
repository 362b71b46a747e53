//! What the simulated program leaves behind: events to be written, and what a reader should make of them.

use std::collections::BTreeMap;

use gotrace::WireEvent;

use super::truth::{Moment, Truth};
use super::view::Line;
use crate::support::writer::{Arg, Experiment, NONE, Sample};

/// An event as its thread writes it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) thread: u64,
    pub(super) ticks: u64,
    pub(super) event: WireEvent,
    pub(super) args: Vec<Arg>,
}

/// An event as a reader should see it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) generation: usize,
    pub(super) ticks: u64,
    pub(super) line: Line,
}

/// The parts of one generation.
#[derive(Clone, Debug)]
pub(super) struct GenerationRecord {
    pub(super) start_ticks: u64,
    pub(super) end_ticks: u64,
    pub(super) written: Vec<Written>,
    pub(super) samples: Vec<Sample>,
    pub(super) experiments: Vec<Experiment>,
}

impl GenerationRecord {
    fn new(start_ticks: u64) -> Self {
        Self {
            start_ticks,
            end_ticks: start_ticks,
            written: Vec::new(),
            samples: Vec::new(),
            experiments: Vec::new(),
        }
    }
}

/// Everything since the first generation that is not forgotten.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The last one is open.
    pub(super) generations: Vec<GenerationRecord>,
    /// In the order in which it happened.
    pub(super) seen: Vec<Seen>,
    pub(super) truth: Truth,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Record {
    pub(super) fn new(start_ticks: u64) -> Self {
        Self {
            generations: vec![GenerationRecord::new(start_ticks)],
            seen: Vec::new(),
            truth: Truth::default(),
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn open(&mut self) -> &mut GenerationRecord {
        self.generations.last_mut().expect("a generation is open")
    }

    pub(super) fn begin_generation(&mut self, ticks: u64) {
        self.generations.push(GenerationRecord::new(ticks));
    }

    /// Adds an event and what it should be read as, and returns the moment of the first of that.
    pub(super) fn event(
        &mut self,
        thread: Option<u64>,
        ticks: u64,
        event: WireEvent,
        args: Vec<Arg>,
        lines: Vec<Line>,
    ) -> Moment {
        let moment = self.see(ticks, lines);
        *self.counts.entry(event.name()).or_default() += 1;
        self.open().written.push(Written {
            thread: thread.unwrap_or(NONE),
            ticks,
            event,
            args,
        });
        moment
    }

    pub(super) fn sample(&mut self, sample: Sample, line: Line) {
        self.see(sample.ticks, vec![line]);
        *self.counts.entry(WireEvent::CpuSample.name()).or_default() += 1;
        self.open().samples.push(sample);
    }

    fn see(&mut self, ticks: u64, lines: Vec<Line>) -> Moment {
        let moment = Moment::Event(self.seen.len());
        let generation = self.generations.len() - 1;
        let seen = lines.into_iter().map(|line| Seen {
            generation,
            ticks,
            line,
        });
        self.seen.extend(seen);
        moment
    }
}

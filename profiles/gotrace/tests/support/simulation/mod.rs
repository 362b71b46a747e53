//! A random Go scheduler that writes traces as the runtime does, and knows what they should say.
//!
//! ```text
//! script -> machine: steps -> tracer -> record: what threads write  -> Trace -> writer -> bytes
//!                                               what readers should see, and truth  -> View
//! ```
//! Steps change the machine's threads, procs and goroutines. The tracer writes an event for each change, with the
//! statuses that the runtime promises. Next to that, truth notes what has happened. Nothing here asks the decoder,
//! except `decoded`, which gives its answers the form in which they are compared.

pub(crate) mod clocks;
pub(crate) mod compare;
pub(crate) mod decoded;
mod expect;
pub(crate) mod kept;
mod machine;
mod record;
mod runtime_work;
mod scheduling;
pub(crate) mod script;
pub(crate) mod sequences;
mod steps;
mod syscalls;
mod text;
mod tracer;
mod truth;
pub(crate) mod view;

use std::collections::BTreeMap;

use self::clocks::Clocks;
use self::machine::Machine;
use self::record::{GenerationRecord, Record};
use self::script::{Choices, Script};
use crate::support::writer::{Event, Generation, Snapshot, Stream, Trace};

/// A program that has run, with its trace.
#[derive(Clone, Debug)]
pub(crate) struct Simulation {
    pub(crate) minor: u32,
    first_generation: u64,
    ticks_per_second: u64,
    record: Record,
}

impl Simulation {
    /// Runs a script.
    pub(crate) fn run(script: &Script) -> Self {
        let mut machine = Machine::new(script);
        for step in &script.steps {
            machine.step(*step);
        }
        let mut choices = Choices(script.steps.last().map_or(0, |step| step.choices));
        while machine.forgotten_generations > 0 {
            machine.advance_generation(&mut choices);
        }
        let thread = machine.running_thread(&mut choices);
        machine.end_generation(thread, &mut choices);
        Self {
            minor: script.minor,
            first_generation: script.first_generation,
            ticks_per_second: script.ticks_per_second,
            record: machine.record,
        }
    }

    /// How many generations the trace has.
    pub(crate) fn generations_count(&self) -> usize {
        self.record.generations.len()
    }

    /// The trace, as it is with such clocks.
    pub(crate) fn trace(&self, clocks: Clocks) -> Trace {
        let generations = self.record.generations.iter().enumerate();
        let generations = generations.map(|(position, generation)| {
            let mut generation = self.generation(position, generation);
            clocks.distort(&mut generation);
            generation
        });
        Trace {
            minor: self.minor,
            ticks_per_second: self.ticks_per_second,
            generations: generations.collect(),
        }
    }

    fn generation(&self, position: usize, record: &GenerationRecord) -> Generation {
        let mut streams: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        for written in &record.written {
            streams.entry(written.thread).or_default().push(Event {
                ticks: written.ticks,
                event: written.event,
                args: written.args.clone(),
            });
        }
        let streams = streams.into_iter().map(|(thread, events)| Stream { thread, events });
        Generation {
            number: self.first_generation + position as u64,
            start_ticks: record.start_ticks,
            end_ticks: record.end_ticks,
            snapshot: self.snapshot(record.start_ticks),
            streams: streams.collect(),
            samples: record.samples.clone(),
            experiments: record.experiments.clone(),
        }
    }

    /// The reading of all clocks at the start of a generation. The wall clock drifts.
    fn snapshot(&self, start_ticks: u64) -> Snapshot {
        let ticks = start_ticks + 1;
        let ns = self.nanos(ticks) as u64;
        let drifted = ns + ns / 100_000;
        Snapshot {
            ticks,
            monotonic_ns: ns + 17,
            sec: 1_700_000_000 + drifted / 1_000_000_000,
            nsec: drifted % 1_000_000_000,
        }
    }
}

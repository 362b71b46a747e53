//! The [`View`] that a simulation's trace should have: computed from the simulation, without the decoder.

use super::Simulation;
use super::truth::Moment;
use super::view::{GenerationStart, Line, SampleView, Subject, View};
use crate::support::writer::Encoded;

const NS_PER_SECOND: u128 = 1_000_000_000;

impl Simulation {
    /// What a trace of this simulation says if clocks agree: everything, to the nanosecond.
    ///
    /// Events are in the order of their times, the generations one after the other. Times are whole ticks in nanoseconds,
    /// rounded down; one that does not lie after the event before is that event's plus one.
    pub(crate) fn expected(&self, encoded: &Encoded) -> View {
        let seen = &self.record.seen;
        let mut order: Vec<usize> = (0..seen.len()).collect();
        order.sort_by_key(|position| (seen[*position].generation, seen[*position].ticks, *position));
        let mut times = vec![0; seen.len()];
        let mut last = 0;
        let mut stamp = |ticks| {
            last = self.nanos(ticks).max(last + 1);
            last
        };
        let mut generations = Vec::new();
        let mut events = Vec::new();
        for (generation, start_ticks) in encoded.starts_ticks.iter().enumerate() {
            let start = stamp(*start_ticks);
            let number = self.first_generation + generation as u64;
            generations.push(GenerationStart {
                number,
                start,
                offset: encoded.offset_of(generation) as u64,
            });
            events.push(generation_start(number, start));
            for position in order
                .iter()
                .filter(|position| seen[**position].generation == generation)
            {
                times[*position] = stamp(seen[*position].ticks);
                events.push(Line {
                    time: times[*position],
                    ..seen[*position].line.clone()
                });
            }
        }
        let end = last + 1;
        let starts: Vec<i64> = generations.iter().map(|generation| generation.start).collect();
        let time = |moment| match moment {
            Moment::GenerationStart(generation) => starts[generation],
            Moment::Event(position) => times[position],
            Moment::End => end,
        };
        let truth = &self.record.truth;
        let samples = events.iter().filter(|line| line.name == "CPUSample").map(sample);
        View {
            start: starts[0],
            end,
            lives: truth.lives(time),
            ranges: truth.ranges(time),
            tasks: truth.tasks(time),
            regions: truth.regions(time),
            logs: truth.logs(time),
            samples: samples.collect(),
            snapshots: self.snapshots(),
            counts: self.record.counts.clone(),
            generations,
            events,
        }
    }

    /// Ticks in nanoseconds, rounded down.
    pub(super) fn nanos(&self, ticks: u64) -> i64 {
        (u128::from(ticks) * NS_PER_SECOND / u128::from(self.ticks_per_second)) as i64
    }

    fn snapshots(&self) -> Vec<(i64, u64, i64)> {
        if self.minor < 25 {
            return Vec::new();
        }
        let generations = self.record.generations.iter();
        let snapshots = generations.map(|generation| self.snapshot(generation.start_ticks));
        let view = snapshots.map(|snapshot| {
            let unix = snapshot.sec as i64 * NS_PER_SECOND as i64 + snapshot.nsec as i64;
            (self.nanos(snapshot.ticks), snapshot.monotonic_ns, unix)
        });
        view.collect()
    }
}

fn generation_start(number: u64, time: i64) -> Line {
    Line {
        time,
        thread: None,
        proc: None,
        goroutine: None,
        name: "GenerationStart",
        subject: Subject::Nothing,
        detail: number.to_string(),
        stack: String::new(),
    }
}

fn sample(line: &Line) -> SampleView {
    SampleView {
        time: line.time,
        thread: line.thread,
        proc: line.proc,
        goroutine: line.goroutine,
        stack: line.stack.clone(),
    }
}

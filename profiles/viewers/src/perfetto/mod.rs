//! Timelines for [Perfetto](https://ui.perfetto.dev): its native protobuf packets.
//!
//! ```text
//! process
//! |- garbage collection      concurrent mark phases
//! |- stop the world          named by what for
//! |- heap_alloc, heap_goal, gomaxprocs      counters
//! |- procs
//! |  '- P0, P1 ...           which goroutine runs
//! |- user tasks
//! |  '- GET /report          a root task; tasks begun in it nest below
//! |- goroutines
//! |  '- G12 main.worker      one slice for each piece of state; `wake` and `create` lead to what they caused
//! |     '- regions
//! '- runtime goroutines
//! ```
//! A slice's category is the base state, its name the refined one. Arguments: the runtime's `reason`, the `waker`, `proc`
//! and `thread`, the innermost frames as `stack`; the whole stack is attached as a call stack. User logs and CPU samples
//! are instants on their goroutine.
//!
//! Times are those of the trace, which on Linux is CLOCK_MONOTONIC; clock snapshots give the wall time (Go 1.25 and later).
//!
//! Each packet is written when the fact that it shows is known, at the end of what it shows. So packets are not in the order
//! of time, and a goroutine's track is described behind its slices. Perfetto asks for neither: it reads all and sorts. Only
//! packets of one moment on one track must be in order.

mod counters;
mod goroutines;
mod intern;
mod lanes;
mod packets;
mod procs;
mod proto;
mod regions;
mod runtime;
mod tasks;
mod tracks;

use std::io;

use gotrace::{
    CpuSample, ExecTrace, GenerationInfo, Goroutine, Lookup, Metric, RuntimeRange, StateInterval, Summary, TraceNanos,
    UserLog, UserRegion, UserTask, Visitor,
};

use self::counters::Counters;
use self::goroutines::Goroutines;
use self::procs::Procs;
use self::regions::Regions;
use self::runtime::Runtime;
use self::tasks::{Note, Tasks};
use self::tracks::Timeline;
use crate::{Options, WriteError};

/// Reads a trace and writes the timeline meanwhile.
///
/// # Errors
/// If no generation of the trace is whole, and those of `out`.
pub fn write(trace: ExecTrace<'_>, options: &Options<'_>, out: impl io::Write) -> Result<Summary, WriteError> {
    let mut writer = Writer::new(options, out);
    let summary = trace.visit_in_background(&mut writer)?;
    writer.finish(&summary)?;
    Ok(summary)
}

/// Writes what a trace tells.
struct Writer<'a, W> {
    title: &'a str,
    timeline: Timeline<W>,
    goroutines: Goroutines<'a>,
    procs: Procs,
    runtime: Runtime,
    tasks: Tasks,
    regions: Regions,
    counters: Counters,
    /// Start of the trace, once it has begun.
    start: Option<TraceNanos>,
    /// How many clock snapshots have been looked at.
    snapshots_count: usize,
    failure: Option<io::Error>,
}

impl<'a, W: io::Write> Writer<'a, W> {
    fn new(options: &Options<'a>, out: W) -> Self {
        Self {
            title: options.title,
            timeline: Timeline::new(out),
            goroutines: Goroutines::new(options.rules),
            procs: Procs::default(),
            runtime: Runtime::new(),
            tasks: Tasks::default(),
            regions: Regions::default(),
            counters: Counters::default(),
            start: None,
            snapshots_count: 0,
            failure: None,
        }
    }

    /// The first failure ends the trace.
    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failure.get_or_insert(error);
        }
    }

    fn write_state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) -> io::Result<()> {
        self.goroutines.state(&mut self.timeline, interval, lookup)?;
        let function = self.goroutines.function(interval.goroutine);
        self.procs.state(&mut self.timeline, interval, function, lookup.symbols)
    }

    fn write_goroutine(&mut self, goroutine: &Goroutine, lookup: Lookup<'_>) -> io::Result<()> {
        let (timeline, symbols) = (&mut self.timeline, lookup.symbols);
        self.goroutines.ended(timeline, goroutine, symbols)?;
        self.procs
            .named(timeline, goroutine.id, goroutine.start_function, symbols)?;
        self.regions.goroutine_ended(timeline, goroutine, &self.tasks, symbols)
    }

    fn write_range(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) -> io::Result<()> {
        let goroutine = self.goroutines.label(range.goroutine, lookup.symbols);
        self.runtime
            .range(&mut self.timeline, range, &goroutine, lookup.symbols)
    }

    /// The file begins with the first generation; at each one the clocks that were read before it are told.
    fn write_generation(&mut self, at: TraceNanos, lookup: Lookup<'_>) -> io::Result<()> {
        if self.start.is_none() {
            self.start = Some(at);
            self.timeline.packets.begin()?;
            self.timeline.packets.clocks(at, lookup.clock)?;
            self.timeline.describe_process(self.title)?;
        }
        self.write_clocks(at, lookup)
    }

    fn write_clocks(&mut self, until: TraceNanos, Lookup { clock, .. }: Lookup<'_>) -> io::Result<()> {
        let unseen = clock.snapshots().get(self.snapshots_count..).unwrap_or_default();
        for snapshot in unseen.iter().take_while(|snapshot| snapshot.trace <= until) {
            self.snapshots_count += 1;
            if self.start.is_some_and(|start| snapshot.trace > start) {
                self.timeline.packets.clocks(snapshot.trace, clock)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, summary: &Summary) -> io::Result<()> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let lookup = Lookup {
            symbols: &summary.symbols,
            clock: &summary.clock,
        };
        self.write_clocks(TraceNanos(i64::MAX), lookup)?;
        self.goroutines.finish(&mut self.timeline, lookup.symbols)?;
        self.tasks.finish(&mut self.timeline, summary, &self.goroutines)?;
        self.timeline.packets.finish()
    }
}

impl<W: io::Write> Visitor for Writer<'_, W> {
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        let written = self.write_state(interval, lookup);
        self.note(written);
    }

    fn goroutine(&mut self, goroutine: &Goroutine, lookup: Lookup<'_>) {
        let written = self.write_goroutine(goroutine, lookup);
        self.note(written);
    }

    fn range_begins(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.goroutines.refiner.range_begins(range);
    }

    fn range(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.goroutines.refiner.range_ends(range);
        let written = self.write_range(range, lookup);
        self.note(written);
    }

    fn task(&mut self, task: &UserTask, lookup: Lookup<'_>) {
        let start = self.start.unwrap_or_default();
        let written = (self.tasks).ended(&mut self.timeline, task, start, &self.goroutines, lookup.symbols);
        self.note(written);
    }

    fn region(&mut self, region: &UserRegion, lookup: Lookup<'_>) {
        let written = (self.regions).region(&mut self.timeline, region, &mut self.tasks, lookup.symbols);
        self.note(written);
    }

    fn log(&mut self, log: &UserLog<'_>, lookup: Lookup<'_>) {
        let written = (self.tasks).note(&mut self.timeline, Note::Log(log.clone().into_owned()), lookup.symbols);
        self.note(written);
    }

    fn cpu_sample(&mut self, sample: &CpuSample, lookup: Lookup<'_>) {
        let written = (self.goroutines).sample(&mut self.timeline, sample, lookup.symbols);
        self.note(written);
    }

    fn metric(&mut self, metric: &Metric, _: Lookup<'_>) {
        let written = self.counters.metric(&mut self.timeline, metric);
        self.note(written);
    }

    fn generation(&mut self, generation: &GenerationInfo, runnable_since: TraceNanos, lookup: Lookup<'_>) {
        self.goroutines.refiner.generation_begins(runnable_since);
        let written = self.write_generation(generation.start, lookup);
        self.note(written);
    }

    fn is_done(&self) -> bool {
        self.failure.is_some()
    }
}

#[cfg(test)]
mod tests {
    use spandrel_profiles::go_execution_trace::StateRules;

    use super::*;

    const MIX: &[u8] = include_bytes!("../../../gotrace/tests/fixtures/mix.trace");

    fn write_mix(trace: &[u8], out: impl io::Write) -> Result<Summary, WriteError> {
        let options = Options {
            title: "mix",
            system: false,
            rules: StateRules::built_in(),
        };
        write(ExecTrace::open(trace).unwrap(), &options, out)
    }

    /// A disk with so much room.
    struct Disk(usize);

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.checked_sub(bytes.len()) {
                Some(left) => self.0 = left,
                None => return Err(io::ErrorKind::StorageFull.into()),
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_failure_of_the_output_is_told() {
        for room in [0, 100_000] {
            let error = write_mix(MIX, Disk(room)).unwrap_err();
            assert!(
                matches!(&error, WriteError::Output(error) if error.kind() == io::ErrorKind::StorageFull),
                "{error}"
            );
        }
    }

    #[test]
    fn of_a_trace_without_a_whole_generation_nothing_is_written() {
        let error = write_mix(&MIX[..200], Disk(0)).unwrap_err();
        assert!(matches!(&error, WriteError::Trace(_)), "{error}");
    }

    #[test]
    fn the_same_trace_gives_the_same_bytes() {
        let written = || {
            let mut out = Vec::new();
            write_mix(MIX, &mut out).unwrap();
            out
        };
        assert_eq!(written(), written());
    }
}

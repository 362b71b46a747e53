//! Traces made to cost time: each is read in time in proportion to its bytes, where a search, a sweep or a copy too many
//! would take minutes (I-24).

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::time::{Duration, Instant};

use gotrace::{ExecTrace, GoEvent, Recording, UnixCursor, Visitor, WireEvent};
use support::text::uvarint;

/// Many times what any of these traces takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
const BATCH_BYTES_MAX: usize = 60_000;
/// On the wire: no thread.
const NONE: u64 = u64::MAX;
const RUNNABLE: u64 = 1;
const SYSCALL: u64 = 3;
const ABANDONED: u64 = 4;

/// A trace of Go 1.22.
struct Trace(Vec<u8>);

impl Trace {
    fn new() -> Self {
        Self(b"go 1.22 trace\0\0\0".to_vec())
    }

    fn batch(&mut self, generation: u64, thread: u64, payload: &[u8]) {
        self.0.push(WireEvent::EventBatch.byte());
        for number in [generation, thread, 1, payload.len() as u64] {
            uvarint(&mut self.0, number);
        }
        self.0.extend(payload);
    }

    /// Events of one thread in as many batches as they need.
    fn events(&mut self, generation: u64, thread: u64, events: impl IntoIterator<Item = (WireEvent, Vec<u64>)>) {
        let mut payload = Vec::new();
        for (event, args) in events {
            payload.push(event.byte());
            args.iter().for_each(|arg| uvarint(&mut payload, *arg));
            if payload.len() > BATCH_BYTES_MAX {
                self.batch(generation, thread, &payload);
                payload.clear();
            }
        }
        self.batch(generation, thread, &payload);
    }

    /// What every generation needs.
    fn tables(&mut self, generation: u64) {
        self.batch(generation, NONE, &[WireEvent::Frequency.byte(), 1]);
        self.batch(generation, NONE, &[WireEvent::Stacks.byte()]);
        self.batch(generation, NONE, &[WireEvent::Strings.byte()]);
    }
}

fn runnable(goroutine: u64) -> (WireEvent, Vec<u64>) {
    (WireEvent::GoStatus, vec![1, goroutine, NONE, RUNNABLE])
}

fn proc_status(proc: u64, status: u64) -> (WireEvent, Vec<u64>) {
    (WireEvent::ProcStatus, vec![1, proc, status])
}

/// Takes no fact.
struct Idle;

impl Visitor for Idle {}

/// Reads a trace in every way; none may take long.
fn read(trace: &[u8]) -> Option<Recording> {
    let begin = Instant::now();
    let slice: Vec<GoEvent> = ExecTrace::open(trace).unwrap().events().collect();
    let source: Vec<GoEvent> = ExecTrace::read(trace).unwrap().events().collect();
    assert_eq!(slice, source);
    let recording = Recording::decode(trace).ok();
    let _ = ExecTrace::open(trace).unwrap().intervals().count();
    let behind = ExecTrace::open(trace).unwrap().visit_in_background(&mut Idle);
    assert_eq!(
        behind.ok().map(|summary| summary.generations),
        recording.as_ref().map(|recording| recording.generations.clone())
    );
    assert!(
        begin.elapsed() < LIMIT,
        "{} bytes took {:?}",
        trace.len(),
        begin.elapsed()
    );
    recording
}

#[test]
fn i24_a_run_of_ends_of_generations_behind_damage() {
    let mut trace = Trace::new();
    trace.0.push(0);
    trace.0.extend([WireEvent::EndOfGeneration.byte()].repeat(300_000));
    trace.0.push(0);
    assert!(read(&trace.0).is_none());
}

#[test]
fn i24_many_short_runs_of_batches_behind_damage() {
    let mut trace = Trace::new();
    trace.0.extend([0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0].repeat(30_000));
    assert!(read(&trace.0).is_none());
}

/// The first batch behind a hole may be the only one of its generation that is left.
#[test]
fn i24_a_hole_at_the_end_of_what_a_source_holds_hides_no_generation() {
    for hole in (261_900..262_200).step_by(3) {
        let mut trace = Trace::new();
        trace.tables(1);
        trace.0.extend(vec![0; hole]);
        trace.batch(2, NONE, &[WireEvent::Strings.byte()]);
        trace.tables(3);
        trace.tables(4);
        let numbers: Vec<u64> = read(&trace.0)
            .unwrap()
            .generations
            .iter()
            .map(|info| info.number)
            .collect();
        assert_eq!(numbers, [1, 3, 4], "a hole of {hole} bytes");
    }
}

/// A source holds much more than what is cut off or forgotten at a time.
#[test]
fn i24_many_tiny_generations_whole_and_damaged() {
    let mut trace = Trace::new();
    for generation in (1..200_000).step_by(2) {
        trace.tables(generation);
        trace.tables(generation + 1);
        trace.0.push(0);
    }
    let recording = read(&trace.0).unwrap();
    assert_eq!(recording.generations.len(), 100_001);
    let damages_count = recording.warnings.as_slice().len() as u64 + recording.warnings.dropped_count();
    assert_eq!(damages_count, 100_000);
}

#[test]
fn i24_statuses_of_a_proc_in_a_system_call_among_many_threads() {
    let mut trace = Trace::new();
    trace.tables(1);
    for thread in 1000..89_000 {
        trace.events(1, thread, [runnable(thread)]);
    }
    let in_syscall = (WireEvent::GoStatus, vec![1, 1, 90_000, SYSCALL]);
    trace.events(1, 90_000, [proc_status(0, SYSCALL), in_syscall]);
    trace.events(1, 90_001, (0..400_000).map(|_| proc_status(0, ABANDONED)));
    let recording = read(&trace.0).unwrap();
    assert_eq!(recording.event_counts["ProcStatus"], 400_001);
}

/// Whether a sample is due depends on all threads that wait, and changes with each that goes on.
#[test]
fn i24_samples_among_many_threads_that_wait() {
    let mut trace = Trace::new();
    trace.tables(1);
    let threads = 1000..40_000;
    for thread in threads.clone() {
        trace.events(1, thread, [(WireEvent::GoStart, vec![1, thread, 1])]);
    }
    trace.events(1, 1, threads.clone().map(runnable));
    let mut samples = vec![WireEvent::CpuSamples.byte()];
    for time in 0..400_000 {
        if samples.len() > BATCH_BYTES_MAX {
            trace.batch(1, NONE, &samples);
            samples.truncate(1);
        }
        samples.push(WireEvent::CpuSample.byte());
        [time, 1, 0, 0, 0]
            .iter()
            .for_each(|number| uvarint(&mut samples, *number));
    }
    trace.batch(1, NONE, &samples);
    let recording = read(&trace.0).unwrap();
    assert!(!recording.warnings.is_empty());
}

#[test]
fn i24_many_gaps_behind_many_goroutines() {
    let mut trace = Trace::new();
    trace.tables(1);
    trace.events(1, NONE, (2..200_000).map(runnable));
    for generation in (3..60_000).step_by(2) {
        trace.tables(generation);
        trace.events(generation, NONE, [runnable(1)]);
    }
    let recording = read(&trace.0).unwrap();
    assert_eq!(recording.goroutines.len(), 199_999);
}

#[test]
fn i24_many_gaps_behind_many_threads() {
    let mut trace = Trace::new();
    trace.tables(1);
    for thread in 1..200_000 {
        trace.events(1, thread, [proc_status(thread, 1)]);
    }
    for generation in (3..60_000).step_by(2) {
        trace.tables(generation);
        trace.events(generation, 1, [proc_status(0, 1)]);
    }
    assert!(read(&trace.0).unwrap().goroutines.is_empty());
}

#[test]
fn i24_wall_times_across_many_generations() {
    let mut trace = Trace(b"go 1.25 trace\0\0\0".to_vec());
    for generation in 1..100_000_u64 {
        let mut sync = vec![WireEvent::Sync.byte(), WireEvent::Frequency.byte()];
        uvarint(&mut sync, 1_000_000_000);
        sync.push(WireEvent::ClockSnapshot.byte());
        let clocks = [1000 * generation, 1, 1_700_000_000 + generation, 0];
        clocks.iter().for_each(|number| uvarint(&mut sync, *number));
        trace.batch(generation, NONE, &sync);
        trace.batch(generation, NONE, &[WireEvent::Stacks.byte()]);
        trace.batch(generation, NONE, &[WireEvent::Strings.byte()]);
    }
    let recording = read(&trace.0).unwrap();
    let begin = Instant::now();
    let mut cursor = UnixCursor::default();
    let clock = &recording.clock;
    for generation in &recording.generations {
        assert_eq!(cursor.unix(clock, generation.start), clock.unix(generation.start));
    }
    assert!(begin.elapsed() < LIMIT / 30, "{:?}", begin.elapsed());
}

//! Compares what lasted: a `Recording` with the totals of `tests/programs/reference/totals.go`, which folds the events of
//! Go's own reader independently.
//!
//! Everything is equal but times, which may differ by what ties have shifted (see `lanes`).

use std::collections::{BTreeMap, BTreeSet};

use gotrace::{CpuSample, Goroutine, GoroutineState, RangeKind, Recording, StackId, UserLog, UserRegion, Waker};
use serde::Deserialize;

use crate::lanes::{Shifts, TIE_NS};
use crate::steps::hash_of;

/// What `reference totals` prints.
#[derive(Deserialize)]
pub(crate) struct Totals {
    first_ns: i64,
    end_ns: i64,
    goroutines: BTreeMap<i64, GoroutineTotals>,
    wakes: BTreeMap<String, u64>,
    ranges: BTreeMap<String, RangeTotals>,
    tasks: Vec<Task>,
    regions: Vec<Region>,
    logs: Vec<Log>,
    samples: Vec<Sample>,
    snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
struct GoroutineTotals {
    name: String,
    creator: i64,
    states: BTreeMap<String, i64>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct RangeTotals {
    count: u64,
    total_ns: i64,
}

#[derive(Deserialize)]
struct Task {
    id: u64,
    parent: u64,
    name: String,
    begin: bool,
    time_ns: i64,
    goroutine: i64,
}

#[derive(Deserialize)]
struct Region {
    goroutine: i64,
    task: u64,
    name: String,
    begin_ns: Option<i64>,
    end_ns: Option<i64>,
    stack: String,
}

#[derive(Deserialize)]
struct Log {
    task: u64,
    key: String,
    value: String,
    time_ns: i64,
    goroutine: i64,
}

#[derive(Deserialize)]
struct Sample {
    time_ns: i64,
    thread: i64,
    proc: i64,
    goroutine: i64,
    stack: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Snapshot {
    trace_ns: i64,
    monotonic_ns: u64,
    unix_ns: i64,
}

/// Something with times, in the order of which it stands among others of the same lane.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// A goroutine or thread.
    lane: i64,
    times_ns: [Option<i64>; 2],
    what: String,
}

/// Panics where the readings differ.
pub(crate) fn compare(recording: &Recording, expected: &Totals, shifts: &Shifts) {
    assert_eq!(
        (recording.start.0, recording.end.0),
        (expected.first_ns, expected.end_ns),
        "start and end"
    );
    compare_goroutines(recording, &expected.goroutines, shifts);
    assert_eq!(wakes(recording), expected.wakes);
    compare_ranges(recording, &expected.ranges, shifts);
    compare_entries("task events", task_events(recording), expected.task_events());
    compare_entries("regions", regions(recording), expected.regions());
    compare_entries("logs", logs(recording), expected.logs());
    compare_entries("samples", samples(recording), expected.samples());
    assert_eq!(snapshots(recording), expected.snapshots);
}

fn compare_goroutines(recording: &Recording, expected: &BTreeMap<i64, GoroutineTotals>, shifts: &Shifts) {
    let mut lives: BTreeMap<i64, Vec<&Goroutine>> = BTreeMap::new();
    for goroutine in &recording.goroutines {
        lives.entry(goroutine.id.get() as i64).or_default().push(goroutine);
    }
    assert!(lives.keys().eq(expected.keys()), "goroutines");
    for (id, lives) in lives {
        let expected = &expected[&id];
        let last = lives.last().unwrap();
        let name = last.start_function.map(|name| recording.text(name)).unwrap_or_default();
        // The stack of a status that confirms a state names a goroutine for us, not for Go.
        assert!(
            name == expected.name || expected.name.is_empty(),
            "{name} is {}",
            expected.name
        );
        assert_eq!(number(last.creator), expected.creator, "{last:?}");
        let ours = states_ns(recording, &lives);
        assert!(
            ours.keys().eq(expected.states.keys()),
            "{last:?}: {ours:?}, Go's {:?}",
            expected.states
        );
        for (state, ns) in &ours {
            let difference_ns = (ns - expected.states[state]).abs();
            assert!(
                difference_ns <= shifts.of_goroutine_ns(id),
                "{state} of {last:?}: {ns}, Go's {}",
                expected.states[state]
            );
        }
    }
}

/// Nanoseconds by state, over all lives of an id.
fn states_ns(recording: &Recording, lives: &[&Goroutine]) -> BTreeMap<String, i64> {
    let mut states = BTreeMap::new();
    for interval in lives.iter().flat_map(|life| recording.states_of(life)) {
        let state = match interval.state {
            GoroutineState::Undetermined => "Undetermined".to_owned(),
            GoroutineState::Runnable { .. } => "Runnable".to_owned(),
            GoroutineState::Running { .. } => "Running".to_owned(),
            GoroutineState::Syscall => "Syscall".to_owned(),
            GoroutineState::SyscallBlocked => "SyscallBlocked".to_owned(),
            GoroutineState::Waiting { reason, .. } => format!("Waiting:{}", recording.wait_reason(reason)),
        };
        *states.entry(state).or_default() += interval.duration_ns();
    }
    states
}

/// How often each goroutine was woken by which: -1 is the runtime.
fn wakes(recording: &Recording) -> BTreeMap<String, u64> {
    let mut wakes = BTreeMap::new();
    for interval in &recording.states {
        let GoroutineState::Waiting { waker, .. } = interval.state else {
            continue;
        };
        let by = match waker {
            Waker::Goroutine(id) => id.get() as i64,
            Waker::External => -1,
            Waker::None => continue,
        };
        *wakes.entry(format!("{} by {by}", interval.goroutine)).or_default() += 1;
    }
    wakes
}

fn compare_ranges(recording: &Recording, expected: &BTreeMap<String, RangeTotals>, shifts: &Shifts) {
    let mut ours: BTreeMap<String, RangeTotals> = BTreeMap::new();
    for range in &recording.ranges {
        let name = match range.kind {
            RangeKind::StopTheWorld { kind } => format!("stop-the-world ({})", recording.text(kind)),
            RangeKind::GcMark => "GC concurrent mark phase".to_owned(),
            RangeKind::MarkAssist => "GC mark assist".to_owned(),
            RangeKind::Sweep { .. } => "GC incremental sweep".to_owned(),
            other => panic!("{other:?}"),
        };
        let total = ours.entry(name).or_default();
        total.count += 1;
        total.total_ns += range.end.0 - range.start.0;
    }
    assert!(ours.keys().eq(expected.keys()), "{ours:?}, Go's {expected:?}");
    for (name, ours) in ours {
        let expected = &expected[&name];
        assert_eq!(ours.count, expected.count, "{name}");
        let difference_ns = (ours.total_ns - expected.total_ns).abs();
        assert!(difference_ns <= shifts.all_ns, "{name}: {ours:?}, Go's {expected:?}");
    }
}

fn compare_entries(what: &str, mut ours: Vec<Entry>, mut expected: Vec<Entry>) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    ours.sort();
    expected.sort();
    for (our, their) in ours.iter().zip(&expected) {
        assert_eq!((our.lane, &our.what), (their.lane, &their.what), "{what}");
        for (our_ns, their_ns) in our.times_ns.iter().zip(their.times_ns) {
            let difference_ns = our_ns.zip(their_ns).map_or(0, |(our, their)| (our - their).abs());
            assert!(
                our_ns.is_some() == their_ns.is_some() && difference_ns <= TIE_NS,
                "{what}: {our:?}, Go's {their:?}"
            );
        }
    }
}

impl Totals {
    fn task_events(&self) -> Vec<Entry> {
        let entry = |task: &Task| {
            let edge = if task.begin { "begins" } else { "ends" };
            Entry {
                lane: task.goroutine,
                times_ns: [Some(task.time_ns), None],
                what: format!("{} {edge} in {}: {}", task.id, task.parent as i64, task.name),
            }
        };
        // A task may end again and again; a recording keeps the first end.
        let mut ended = BTreeSet::new();
        let is_kept = |task: &&Task| {
            if task.begin {
                ended.remove(&task.id);
                return true;
            }
            ended.insert(task.id)
        };
        self.tasks.iter().filter(is_kept).map(entry).collect()
    }

    fn regions(&self) -> Vec<Entry> {
        let entry = |region: &Region| Entry {
            lane: region.goroutine,
            times_ns: [region.begin_ns, region.end_ns],
            what: format!("{} in {} at {}", region.name, region.task, region.stack),
        };
        self.regions.iter().map(entry).collect()
    }

    fn logs(&self) -> Vec<Entry> {
        let entry = |log: &Log| Entry {
            lane: log.goroutine,
            times_ns: [Some(log.time_ns), None],
            what: format!("{}={} in {}", log.key, log.value, log.task),
        };
        self.logs.iter().map(entry).collect()
    }

    fn samples(&self) -> Vec<Entry> {
        let entry = |sample: &Sample| Entry {
            lane: sample.thread,
            times_ns: [Some(sample.time_ns), None],
            what: format!("{} on {} at {}", sample.goroutine, sample.proc, sample.stack),
        };
        self.samples.iter().map(entry).collect()
    }
}

fn task_events(recording: &Recording) -> Vec<Entry> {
    let mut entries = Vec::new();
    for task in &recording.tasks {
        let (parent, name) = (number(task.parent), recording.text(task.name));
        for (edge, word) in [(task.begin, "begins"), (task.end, "ends")] {
            let Some(edge) = edge else { continue };
            entries.push(Entry {
                lane: number(edge.goroutine),
                times_ns: [Some(edge.time.0), None],
                what: format!("{} {word} in {parent}: {name}", task.id),
            });
        }
    }
    entries
}

fn regions(recording: &Recording) -> Vec<Entry> {
    let entry = |region: &UserRegion| Entry {
        lane: number(region.goroutine),
        times_ns: [region.start, region.end].map(|time| time.map(|time| time.0)),
        what: format!(
            "{} in {} at {}",
            recording.text(region.name),
            region.task,
            stack(recording, region.stack)
        ),
    };
    recording.regions.iter().map(entry).collect()
}

fn logs(recording: &Recording) -> Vec<Entry> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let entry = |log: &UserLog<'_>| Entry {
        lane: number(log.goroutine),
        times_ns: [Some(log.time.0), None],
        what: format!("{}={} in {}", recording.text(log.key), hex(&log.message), log.task),
    };
    recording.logs.iter().map(entry).collect()
}

fn samples(recording: &Recording) -> Vec<Entry> {
    let entry = |sample: &CpuSample| Entry {
        lane: number(sample.thread),
        times_ns: [Some(sample.time.0), None],
        what: format!(
            "{} on {} at {}",
            number(sample.goroutine),
            number(sample.proc),
            stack(recording, sample.stack)
        ),
    };
    recording.cpu_samples.iter().map(entry).collect()
}

fn snapshots(recording: &Recording) -> Vec<Snapshot> {
    let snapshots = recording.generations.iter().filter_map(|generation| generation.clock);
    snapshots
        .map(|clock| Snapshot {
            trace_ns: clock.trace.0,
            monotonic_ns: clock.monotonic_ns,
            unix_ns: clock.unix.0,
        })
        .collect()
}

fn stack(recording: &Recording, stack: Option<StackId>) -> String {
    let frames = stack.map(|stack| recording.frames(stack)).unwrap_or_default();
    hash_of(frames.iter().map(|frame| frame.pc))
}

/// Go prints "none" as -1.
fn number<I: Into<u64>>(id: Option<I>) -> i64 {
    id.map_or(-1, |id| id.into() as i64)
}

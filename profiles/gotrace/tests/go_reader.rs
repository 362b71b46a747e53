//! Our view of real traces against that of Go's own reader (golang.org/x/exp/trace).

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use gotrace::{
    EventKind, ExecTrace, GoStatus, Goroutine, GoroutineState, ProcStatus, RangeKind, Recording, TaskId, Waker,
};
use serde::Deserialize;
use support::go;

/// The report of `tests/programs/reference`.
#[derive(Deserialize)]
struct Reference {
    first_ns: i64,
    end_ns: i64,
    kinds: BTreeMap<String, u64>,
    transitions: BTreeMap<String, u64>,
    goroutines: BTreeMap<String, ReferenceGoroutine>,
    wakes: BTreeMap<String, u64>,
    ranges: BTreeMap<String, ReferenceRange>,
    tasks: Vec<ReferenceTask>,
    logs: Vec<ReferenceLog>,
    snapshots: Vec<(i64, i64)>,
}

#[derive(Deserialize)]
struct ReferenceGoroutine {
    name: String,
    creator: i64,
    states: BTreeMap<String, i64>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct ReferenceRange {
    count: u64,
    total_ns: i64,
}

#[derive(Debug, PartialEq, Deserialize)]
struct ReferenceTask {
    id: u64,
    parent: u64,
    name: String,
    begin: bool,
    time_ns: i64,
    goroutine: i64,
}

#[derive(Debug, PartialEq, Deserialize)]
struct ReferenceLog {
    task: u64,
    key: String,
    value: String,
    time_ns: i64,
    goroutine: i64,
}

/// Go's reader and ours may hand out events of the same tick on different threads in another order. Each such tie shifts
/// times by one nanosecond an event; a goroutine is compared with one tick of 64 ns for each of its intervals.
const TICK_NS: i64 = 64;

#[test]
fn agrees_with_the_reader_of_the_go_project() {
    if !go::is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let workload = go::build("workload", folder.path());
    let reference = go::build("reference", folder.path());
    for (run_ms, generation_ms) in [(300, 50), (500, 10_000)] {
        compare(
            &reference,
            &go::record(&workload, folder.path(), "mix", run_ms, generation_ms),
        );
    }
    compare(
        &reference,
        &go::record(&workload, folder.path(), "pingpong", 100, 10_000),
    );
}

#[test]
fn agrees_on_the_fixture() {
    if !go::is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let reference = go::build("reference", folder.path());
    compare(
        &reference,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mix.trace"),
    );
}

fn compare(reference: &Path, trace: &Path) {
    let expected: Reference = serde_json::from_slice(&go::run(Command::new(reference).arg(trace))).unwrap();
    let bytes = std::fs::read(trace).unwrap();
    let recording = Recording::decode(&bytes).unwrap();
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    support::assert_tiled(&recording);
    assert_eq!(
        (recording.start.0, recording.end.0),
        (expected.first_ns, expected.end_ns)
    );
    assert_eq!(counts_by_go_kind(&recording), expected.kinds);
    assert_eq!(transitions(&bytes), expected.transitions);
    compare_goroutines(&recording, &expected.goroutines);
    assert_eq!(wakes(&recording), expected.wakes);
    compare_ranges(&recording, &expected.ranges);
    compare_user_events(&recording, &expected);
    let snapshots: Vec<(i64, i64)> = recording
        .clock
        .snapshots()
        .iter()
        .map(|snapshot| (snapshot.trace.0, snapshot.unix.0))
        .collect();
    let mut expected_snapshots = expected.snapshots;
    expected_snapshots.dedup();
    assert_eq!(snapshots, expected_snapshots);
}

fn counts_by_go_kind(recording: &Recording) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::from([("Sync".to_owned(), recording.generations.len() as u64 + 1)]);
    for (name, count) in &recording.event_counts {
        let (kind, events_each) = match *name {
            "GoLabel" => ("Label", 1),
            "UserLog" => ("Log", 1),
            "ProcsChange" | "HeapAlloc" | "HeapGoal" => ("Metric", 1),
            "GCActive" | "GCSweepActive" | "GCMarkAssistActive" => ("RangeActive", 1),
            "GCBegin" | "GCSweepBegin" | "GCMarkAssistBegin" | "STWBegin" => ("RangeBegin", 1),
            "GCEnd" | "GCSweepEnd" | "GCMarkAssistEnd" | "STWEnd" => ("RangeEnd", 1),
            "UserRegionBegin" => ("RegionBegin", 1),
            "UserRegionEnd" => ("RegionEnd", 1),
            "UserTaskBegin" => ("TaskBegin", 1),
            "UserTaskEnd" => ("TaskEnd", 1),
            "CPUSample" => ("StackSample", 1),
            "GoSwitch" | "GoSwitchDestroy" => ("StateTransition", 3),
            _ => ("StateTransition", 1),
        };
        *counts.entry(kind.to_owned()).or_default() += count * events_each;
    }
    counts
}

/// Counts state transitions, named as Go names them.
fn transitions(bytes: &[u8]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in ExecTrace::open(bytes).unwrap().events() {
        let name = match event.kind {
            EventKind::ProcStart { .. } => "proc Idle->Running",
            EventKind::ProcStop { .. } => "proc Running->Idle",
            EventKind::ProcSteal { victim: Some(_), .. } => "proc Running->Idle",
            EventKind::ProcSteal { victim: None, .. } => "proc Idle->Idle",
            EventKind::ProcStatus { status, first, .. } => {
                let to = match status {
                    ProcStatus::Running | ProcStatus::Syscall => "Running",
                    ProcStatus::Idle | ProcStatus::SyscallAbandoned => "Idle",
                };
                let from = if first { "Undetermined" } else { to };
                *counts.entry(format!("proc {from}->{to}")).or_default() += 1;
                continue;
            }
            EventKind::GoCreate { blocked: false, .. } => "goroutine NotExist->Runnable",
            EventKind::GoCreate { blocked: true, .. } => "goroutine NotExist->Waiting",
            EventKind::GoStart { .. } => "goroutine Runnable->Running",
            EventKind::GoDestroy { .. } => "goroutine Running->NotExist",
            EventKind::GoStop { .. } => "goroutine Running->Runnable",
            EventKind::GoBlock { .. } => "goroutine Running->Waiting",
            EventKind::GoUnblock { .. } => "goroutine Waiting->Runnable",
            EventKind::GoSyscallBegin { .. } => "goroutine Running->Syscall",
            EventKind::GoSyscallEnd { .. } => "goroutine Syscall->Running",
            EventKind::GoSyscallEndBlocked { .. } => "goroutine Syscall->Runnable",
            EventKind::GoStatus { status, first, .. } => {
                let to = match status {
                    GoStatus::Runnable => "Runnable",
                    GoStatus::Running => "Running",
                    GoStatus::Syscall => "Syscall",
                    GoStatus::Waiting => "Waiting",
                };
                let from = if first { "Undetermined" } else { to };
                *counts.entry(format!("goroutine {from}->{to}")).or_default() += 1;
                continue;
            }
            _ => continue,
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

fn compare_goroutines(recording: &Recording, expected: &BTreeMap<String, ReferenceGoroutine>) {
    assert_eq!(recording.goroutines.len(), expected.len());
    for goroutine in &recording.goroutines {
        let expected = &expected[&goroutine.id.to_string()];
        let name = goroutine
            .start_function
            .map(|name| recording.text(name))
            .unwrap_or_default();
        // The stack of a status that confirms a state names a goroutine for us, not for Go.
        assert!(
            name == expected.name || expected.name.is_empty(),
            "{name} is {}",
            expected.name
        );
        let creator = goroutine.creator.map_or(-1, |id| id.get() as i64);
        assert_eq!(creator, expected.creator);
        let ours = states_ns(recording, goroutine);
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            expected.states.keys().collect::<Vec<_>>(),
            "{goroutine:?}"
        );
        for (state, ns) in &ours {
            let tolerance_ns = TICK_NS * goroutine.states.len() as i64;
            let difference_ns = (ns - expected.states[state]).abs();
            assert!(
                difference_ns <= tolerance_ns,
                "{state} of {goroutine:?}: {ns}, Go says {}",
                expected.states[state]
            );
        }
    }
}

fn states_ns(recording: &Recording, goroutine: &Goroutine) -> BTreeMap<String, i64> {
    let mut states = BTreeMap::new();
    for interval in recording.states_of(goroutine) {
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
        let by = match interval.state {
            GoroutineState::Waiting {
                waker: Waker::Goroutine(id),
                ..
            } => id.get() as i64,
            GoroutineState::Waiting {
                waker: Waker::External, ..
            } => -1,
            _ => continue,
        };
        *wakes.entry(format!("{} by {by}", interval.goroutine)).or_default() += 1;
    }
    wakes
}

fn compare_ranges(recording: &Recording, expected: &BTreeMap<String, ReferenceRange>) {
    let mut ours: BTreeMap<String, ReferenceRange> = BTreeMap::new();
    for range in &recording.ranges {
        let name = match range.kind {
            RangeKind::StopTheWorld { kind } => format!("stop-the-world ({})", recording.text(kind)),
            RangeKind::GcMark => "GC concurrent mark phase".to_owned(),
            RangeKind::MarkAssist => "GC mark assist".to_owned(),
            RangeKind::Sweep { .. } => "GC incremental sweep".to_owned(),
        };
        let total = ours.entry(name).or_default();
        total.count += 1;
        total.total_ns += range.end.0 - range.start.0;
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, ours) in ours {
        let expected = &expected[&name];
        assert_eq!(ours.count, expected.count, "{name}");
        assert!(
            (ours.total_ns - expected.total_ns).abs() <= TICK_NS * ours.count as i64,
            "{name}: {ours:?} {expected:?}"
        );
    }
}

/// Tasks and logs, ids, names, goroutines and bytes exactly, times within a tick.
fn compare_user_events(recording: &Recording, expected: &Reference) {
    let mut tasks = Vec::new();
    for task in &recording.tasks {
        for (edge, begin) in [(task.begin, true), (task.end, false)] {
            let Some(edge) = edge else { continue };
            tasks.push(ReferenceTask {
                id: task.id.get(),
                parent: task.parent.map_or(u64::MAX, TaskId::get),
                name: recording.text(task.name).into_owned(),
                begin,
                time_ns: edge.time.0,
                goroutine: edge.goroutine.unwrap().get() as i64,
            });
        }
    }
    tasks.sort_by_key(|task| task.time_ns);
    assert_eq!(tasks.len(), expected.tasks.len());
    for (ours, theirs) in tasks.iter().zip(&expected.tasks) {
        assert!((ours.time_ns - theirs.time_ns).abs() <= TICK_NS, "{ours:?} {theirs:?}");
        assert_eq!(
            (ours.id, ours.parent, &ours.name),
            (theirs.id, theirs.parent, &theirs.name)
        );
        assert_eq!((ours.begin, ours.goroutine), (theirs.begin, theirs.goroutine));
    }
    assert_eq!(recording.logs.len(), expected.logs.len());
    for (ours, theirs) in recording.logs.iter().zip(&expected.logs) {
        assert!((ours.time.0 - theirs.time_ns).abs() <= TICK_NS);
        assert_eq!(ours.task.get(), theirs.task);
        assert_eq!(recording.text(ours.key), theirs.key);
        let value: String = recording
            .bytes(ours.value)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(value, theirs.value);
        assert_eq!(ours.goroutine.unwrap().get() as i64, theirs.goroutine);
    }
}

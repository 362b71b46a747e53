//! What the decoder promises of any bytes.
//!
//! * All ways to the events give the same: one by one, all at once, from a slice, from a source of uneven pieces.
//! * Times increase; the events are a possible history; names are in their tables; counts add up.
//! * A source that fails midway gives what a file cut there gives.
//! * The recording agrees with the events, its intervals tile lives, and it is in proportion to the bytes.

use std::mem::size_of;

use gotrace::{
    ClockSync, EventKind, Events, ExecTrace, GenerationInfo, GoEvent, Goroutine, Metric, Recording, RuntimeRange,
    StackTable, StateInterval, StringId, StringTable, TraceError, TraceNanos, UnixCursor, UserLog, UserRegion,
    UserTask, WarningKind, Warnings,
};

use super::history;
use super::ragged::{FAILURE, Ragged};
use crate::support::assert_tiled;

/// A recording takes at most so many bytes for each byte of its trace.
const RECORDING_BYTES_PER_BYTE: usize = 64;
/// What even the smallest one may take.
const RECORDING_BYTES_FREE: usize = 4096;
/// A file that fails inside its header is not decoded.
const HEADER_BYTES: usize = 16;

/// Everything that a stream of events says.
#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<GoEvent>,
    /// Of each generation.
    tables: Vec<(StringTable, StackTable)>,
    generations: Vec<GenerationInfo>,
    warnings: Warnings,
    clock: ClockSync,
    counts: Vec<(&'static str, u64)>,
}

/// Decodes bytes in every way there is, and panics if a promise is broken.
pub(crate) fn check(file: &[u8]) {
    let read = ExecTrace::read(Ragged::whole(file));
    let opened = match ExecTrace::open(file) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(error.offset_bytes() <= file.len() as u64, "{error}");
            assert_eq!(read.err(), Some(error.clone()));
            assert_eq!(Recording::decode(file).err(), Some(TraceError::Open(error)));
            return;
        }
    };
    let told = one_by_one(opened.events());
    check_told(&told, file);
    history::check(&told.events);
    check_all_at_once(file, &told.events);
    assert_eq!(one_by_one(read.expect("a slice is opened").events()), told);
    check_failing_source(file, told.events.len());
    check_recording(file, &told);
}

fn one_by_one(mut events: Events<'_>) -> Told {
    let mut all = Vec::new();
    let mut tables: Vec<(StringTable, StackTable)> = Vec::new();
    while let Some(event) = events.next() {
        if matches!(event.kind, EventKind::GenerationStart { .. }) {
            tables.push((events.strings().clone(), events.stacks().clone()));
        }
        check_names(&event, events.strings(), events.stacks());
        all.push(event);
    }
    assert_eq!(events.next(), None, "the end is not the end");
    Told {
        tables,
        generations: events.generations().to_vec(),
        warnings: events.warnings().clone(),
        clock: events.clock().clone(),
        counts: events.event_counts().collect(),
        events: all,
    }
}

/// What an event names is in its generation's tables.
fn check_names(event: &GoEvent, strings: &StringTable, stacks: &StackTable) {
    let entry = match event.kind {
        EventKind::GoCreate { entry, .. } => entry,
        _ => None,
    };
    for stack in [event.stack, entry].into_iter().flatten() {
        assert!(stack.index() < stacks.count(), "{event:?}");
        for frame in stacks.frames(stack) {
            assert!(
                is_in(frame.function, strings) && is_in(frame.file, strings),
                "{event:?}"
            );
        }
    }
    let (name, other) = match event.kind {
        EventKind::GoStop { reason, .. } => (Some(reason), None),
        EventKind::GoBlock { reason, .. } => (reason, None),
        EventKind::StwBegin { kind } => (Some(kind), None),
        EventKind::GoLabel { label } => (Some(label), None),
        EventKind::UserTaskBegin { name, .. }
        | EventKind::UserRegionBegin { name, .. }
        | EventKind::UserRegionEnd { name, .. } => (Some(name), None),
        EventKind::UserLog { key, value, .. } => (Some(key), Some(value)),
        _ => (None, None),
    };
    for name in [name, other].into_iter().flatten() {
        assert!(is_in(name, strings), "{event:?}");
    }
}

fn is_in(name: StringId, strings: &StringTable) -> bool {
    name.index() < strings.count()
}

fn check_told(told: &Told, file: &[u8]) {
    let Told {
        events, generations, ..
    } = told;
    // Every event takes two bytes, and the few that stand for three take four.
    assert!(
        events.len() <= file.len(),
        "{} events of {} bytes",
        events.len(),
        file.len()
    );
    let times = events.iter().map(|event| event.time);
    assert!(times.clone().is_sorted_by(|a, b| a < b), "times do not increase");
    assert!(times.clone().all(|time| time > TraceNanos(0)));
    check_clock(&told.clock, times);
    let starts: Vec<_> = events.iter().filter_map(generation_start).collect();
    let announced: Vec<_> = generations
        .iter()
        .map(|generation| (generation.number, generation.start))
        .collect();
    assert_eq!(starts, announced);
    check_offsets(generations, file.len() as u64);
    check_counts(told);
    check_warnings(&told.warnings, file.len() as u64);
    if starts.is_empty() {
        assert!(
            file.len() == HEADER_BYTES || !told.warnings.is_empty(),
            "nothing is said of nothing"
        );
    }
}

/// The wall clock runs backwards only where somebody has set it back.
fn check_clock(clock: &ClockSync, times: impl Iterator<Item = TraceNanos>) {
    let mut cursor = UnixCursor::default();
    let mut latest = None;
    let steps_back = clock.steps().any(|step| step.step_ns < 0);
    for time in times {
        let wall = clock.unix(time);
        assert_eq!(cursor.unix(clock, time), wall, "{time:?}");
        assert!(wall.is_none() || !clock.snapshots().is_empty());
        assert!(
            wall.is_none() || wall >= latest || steps_back,
            "the wall clock runs backwards at {time:?}"
        );
        latest = wall.or(latest);
    }
}

fn generation_start(event: &GoEvent) -> Option<(u64, TraceNanos)> {
    match event.kind {
        EventKind::GenerationStart { generation } => Some((generation, event.time)),
        _ => None,
    }
}

/// Generations stand in the file one behind the other.
fn check_offsets(generations: &[GenerationInfo], file_bytes: u64) {
    let mut end = HEADER_BYTES as u64;
    for generation in generations {
        assert!(generation.offset_bytes >= end, "{generation:?} begins before {end}");
        end = generation.offset_bytes + generation.length_bytes;
    }
    assert!(end <= file_bytes || generations.is_empty(), "{generations:?}");
}

/// Wire events and events are as many, but for switches, which are three, and thefts that are implied.
fn check_counts(told: &Told) {
    let count = |name| {
        told.counts
            .iter()
            .find(|(other, _)| *other == name)
            .map_or(0, |(_, count)| *count)
    };
    let wire: u64 = told.counts.iter().map(|(_, count)| count).sum();
    let is_marker = |event: &&GoEvent| matches!(event.kind, EventKind::GenerationStart { .. } | EventKind::Gap);
    let markers = told.events.iter().filter(is_marker).count();
    let events = (told.events.len() - markers) as u64;
    let switches = count("GoSwitch") + count("GoSwitchDestroy");
    let least = wire + 2 * switches;
    let most = least + count("GoDestroySyscall");
    assert!(
        (least..=most).contains(&events),
        "{events} events, counts {:?}",
        told.counts
    );
}

fn check_warnings(warnings: &Warnings, file_bytes: u64) {
    assert!(warnings.dropped_count() == 0 || warnings.as_slice().len() >= 100);
    for warning in warnings.as_slice() {
        let offset = warning.kind.offset_bytes().unwrap_or(0);
        assert!(offset <= file_bytes, "{warning}");
        let text = warning.to_string();
        assert!(text.len() < 300 && text.is_ascii(), "{text}");
    }
}

fn check_all_at_once(file: &[u8], expected: &[GoEvent]) {
    let events = || ExecTrace::open(file).expect("it was opened before").events();
    let mut all = Vec::new();
    events().for_each(|event| all.push(event));
    assert_eq!(all, expected);
    // From one by one to all at once in the middle of a buffer.
    let mut some = events();
    let mut first: Vec<GoEvent> = some.by_ref().take(3).collect();
    some.for_each(|event| first.push(event));
    assert_eq!(first, expected);
    let mut some = events();
    let mut first: Vec<GoEvent> = some.by_ref().take(3).collect();
    some.for_each_event(|event| first.push(event));
    assert_eq!(first, expected);
    assert_eq!(some.next(), None);
    some.for_each_event(|event| panic!("{event:?} behind the end"));
}

/// A source that fails gives what a file cut there gives, and says so.
fn check_failing_source(file: &[u8], events_count: usize) {
    let length = HEADER_BYTES + (file.len() - HEADER_BYTES) / 2;
    let cut = &file[..length];
    let expected = one_by_one(ExecTrace::open(cut).expect("the header is there").events());
    let found = one_by_one(
        ExecTrace::read(Ragged::failing_after(cut))
            .expect("the header is there")
            .events(),
    );
    assert_eq!(found.events, expected.events);
    assert!(found.events.len() <= events_count.max(file.len()));
    let (found, expected) = (found.warnings, expected.warnings);
    assert!(found.as_slice().starts_with(expected.as_slice()));
    let more = &found.as_slice()[expected.as_slice().len()..];
    let says_so = more
        .iter()
        .any(|warning| matches!(&warning.kind, WarningKind::SourceFailed { message } if message == FAILURE));
    assert!(says_so || found.dropped_count() > expected.dropped_count(), "{found:?}");
}

fn check_recording(file: &[u8], told: &Told) {
    let decoded = Recording::decode(file);
    let read = Recording::read(Ragged::whole(file));
    let (recording, read) = match (decoded, read) {
        (Ok(recording), Ok(read)) => (recording, read),
        (Err(error), Err(other)) => {
            assert_eq!(error, other);
            assert!(told.generations.is_empty(), "{error}");
            assert!(error.offset_bytes() <= file.len() as u64, "{error}");
            return;
        }
        (decoded, read) => panic!("a slice gives {:?}, a source {:?}", decoded.err(), read.err()),
    };
    assert_tiled(&recording);
    check_intervals(file, &recording, told);
    assert_same(&recording, &read);
    assert_agrees(&recording, told);
    let bytes = recording_bytes(&recording);
    let limit = RECORDING_BYTES_PER_BYTE * file.len() + RECORDING_BYTES_FREE;
    assert!(bytes <= limit, "a recording of {bytes} bytes from {}", file.len());
}

/// Intervals one by one are those of the recording, in the order of their ends. How long a goroutine was out of sight in a
/// gap shows only later.
fn check_intervals(file: &[u8], recording: &Recording, told: &Told) {
    let mut intervals = ExecTrace::open(file).expect("it was opened before").intervals();
    let mut states: Vec<StateInterval> = intervals.by_ref().collect();
    let has_gap = told.events.iter().any(|event| event.kind == EventKind::Gap);
    assert!(has_gap || states.is_sorted_by_key(|state| state.end));
    assert_eq!(intervals.warnings(), recording.warnings);
    assert_eq!(intervals.clock(), &recording.clock);
    let key = |state: &StateInterval| (state.goroutine, state.start);
    states.sort_by_key(key);
    assert!(recording.states.is_sorted_by_key(key));
    assert_eq!(states, recording.states);
}

fn assert_same(one: &Recording, other: &Recording) {
    assert_eq!(one.goroutines, other.goroutines);
    assert_eq!(one.states, other.states);
    assert_eq!(one.ranges, other.ranges);
    assert_eq!(one.tasks, other.tasks);
    assert_eq!(one.regions, other.regions);
    assert_eq!(one.logs, other.logs);
    assert_eq!(one.cpu_samples, other.cpu_samples);
    assert_eq!(one.metrics, other.metrics);
    assert_eq!(one.warnings, other.warnings);
    assert!(one.stacks().eq(other.stacks()));
}

/// The recording is of these events.
fn assert_agrees(recording: &Recording, told: &Told) {
    let events = &told.events;
    let is_marker = |event: &&GoEvent| matches!(event.kind, EventKind::GenerationStart { .. } | EventKind::Gap);
    let mut own = events.iter().filter(|event| !is_marker(event)).map(|event| event.time);
    assert_eq!(Some(recording.start), events.first().map(|event| event.time));
    assert_eq!(Some(recording.end.0 - 1), events.last().map(|event| event.time.0));
    assert_eq!(recording.first_event, own.next());
    assert_eq!(recording.last_event, own.next_back().or(recording.first_event));
    assert_eq!(recording.generations, told.generations);
    assert_eq!(recording.clock, told.clock);
    assert!(recording.event_counts.iter().map(|(name, count)| (*name, *count)).eq({
        let mut counts = told.counts.clone();
        counts.sort_unstable();
        counts
    }));
    let count = |is: fn(&EventKind) -> bool| events.iter().filter(|event| is(&event.kind)).count();
    assert_eq!(
        recording.logs.len(),
        count(|kind| matches!(kind, EventKind::UserLog { .. }))
    );
    assert_eq!(
        recording.cpu_samples.len(),
        count(|kind| matches!(kind, EventKind::CpuSample))
    );
    let warnings = told.warnings.as_slice();
    assert!(recording.warnings.as_slice().starts_with(warnings));
}

/// Memory of what a recording owns, without what its vectors have in reserve.
fn recording_bytes(recording: &Recording) -> usize {
    let frames: usize = recording.stacks().map(|(_, frames)| frames.len()).sum();
    recording.goroutines.len() * size_of::<Goroutine>()
        + recording.states.len() * size_of::<StateInterval>()
        + recording.ranges.len() * size_of::<RuntimeRange>()
        + recording.tasks.len() * size_of::<UserTask>()
        + recording.regions.len() * size_of::<UserRegion>()
        + recording.logs.len() * size_of::<UserLog<'_>>()
        + recording.generations.len() * size_of::<GenerationInfo>()
        + recording.metrics.len() * size_of::<Metric>()
        + frames * size_of::<gotrace::Frame>()
}

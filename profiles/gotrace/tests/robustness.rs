//! Damaged, cut and hostile traces: never a panic, never a hang, always a result or an error with a place (I-24).

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use gotrace::{EventKind, ExecTrace, GoEvent, Recording, TraceError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use support::frames::{Frame, join, split, to_go_1_23, to_go_1_25};
use support::text::uvarint;

/// A trace of `tests/programs/workload` with Go 1.26: six generations of ten milliseconds.
static FIXTURE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mix.trace");
    std::fs::read(path).unwrap()
});

/// The fixture in the framing of each version that frames differently.
static FIXTURES: LazyLock<[Vec<u8>; 3]> =
    LazyLock::new(|| [FIXTURE.clone(), to_go_1_25(&FIXTURE), to_go_1_23(&FIXTURE)]);

static FRAMES: LazyLock<Vec<Frame>> = LazyLock::new(|| split(&FIXTURE));

/// The fixture's events, in each framing.
static EVENTS: LazyLock<[Vec<GoEvent>; 3]> = LazyLock::new(|| FIXTURES.each_ref().map(|trace| events(trace)));

fn events(trace: &[u8]) -> Vec<GoEvent> {
    ExecTrace::open(trace).unwrap().events().collect()
}

/// Decodes anything, and checks what holds for anything.
fn decode(trace: &[u8]) -> Result<Recording, TraceError> {
    let decoded = Recording::decode(trace);
    match &decoded {
        Ok(recording) => support::assert_tiled(recording),
        Err(error) => {
            assert!(error.offset_bytes() <= trace.len() as u64, "{error}");
            assert!(
                error.to_string().contains(&format!("byte {}", error.offset_bytes())),
                "{error}"
            );
        }
    }
    decoded
}

#[test]
fn the_fixture_is_whole() {
    let recording = decode(&FIXTURE).unwrap();
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    assert_eq!(recording.generations.len(), 6);
    assert!(recording.goroutines.len() > 50);
}

#[test]
fn older_framings_hold_the_same_events() {
    for trace in FIXTURES.iter() {
        assert!(decode(trace).unwrap().warnings.is_empty());
    }
    let [go_1_26, go_1_25, go_1_23] = &*EVENTS;
    assert_eq!(go_1_26, go_1_25);
    // The batch of a frequency is as old as that of the clocks: the events begin at the same time.
    assert_eq!(go_1_26, go_1_23);
}

/// A cut trace holds the events of the generations before the cut, and no others.
fn assert_prefix(version: usize, length: usize) {
    let trace = &FIXTURES[version][..length];
    let full = &EVENTS[version];
    let Ok(opened) = ExecTrace::open(trace) else {
        assert!(length < 16);
        assert!(decode(trace).is_err());
        return;
    };
    let cut: Vec<GoEvent> = opened.events().collect();
    assert_eq!(cut[..], full[..cut.len()]);
    let at_boundary = full
        .get(cut.len())
        .is_none_or(|next| matches!(next.kind, EventKind::GenerationStart { .. }));
    assert!(at_boundary, "cut at {length}: {} of {} events", cut.len(), full.len());
    match decode(trace) {
        Ok(recording) => assert_eq!(recording.warnings.is_empty(), BOUNDARIES[version].contains(&length)),
        Err(error) => assert!(cut.is_empty(), "{error}"),
    }
}

/// Where generations end in each fixture.
static BOUNDARIES: LazyLock<[Vec<usize>; 3]> = LazyLock::new(|| {
    FIXTURES.each_ref().map(|trace| {
        let starts = Recording::decode(trace).unwrap().generations;
        let ends = starts.iter().skip(1).map(|generation| generation.offset_bytes as usize);
        ends.chain([trace.len()]).collect()
    })
});

#[test]
fn a_trace_cut_at_a_batch_boundary_is_a_prefix_of_generations() {
    for version in 0..FIXTURES.len() {
        let mut at = 16;
        for frame in split(&FIXTURES[version]) {
            assert_prefix(version, at);
            assert_prefix(version, at + 1);
            at += frame.bytes.len();
        }
        assert_prefix(version, at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_trace_cut_anywhere_is_a_prefix_of_generations(version in 0..3_usize, at: Index) {
        assert_prefix(version, at.index(FIXTURES[version].len()));
    }

    #[test]
    fn i24_flipped_bytes_cost_no_more_than_their_generations(
        version in 0..3_usize,
        flips in vec((any::<Index>(), 1..=255_u8), 1..12),
    ) {
        let mut trace = FIXTURES[version].clone();
        for (at, mask) in flips {
            let at = at.index(trace.len());
            trace[at] ^= mask;
        }
        let _ = decode(&trace);
    }

    #[test]
    fn one_flipped_payload_byte_leaves_the_other_generations(at: Index, mask in 1..=255_u8) {
        let mut frames = FRAMES.clone();
        let frame = at.index(frames.len());
        let last = frames[frame].bytes.len() - 1;
        prop_assume!(last > 20);
        frames[frame].bytes[last] ^= mask;
        let recording = decode(&join(26, &frames)).unwrap();
        prop_assert!(recording.generations.len() >= 5, "{:?}", recording.warnings);
    }

    #[test]
    fn i24_batches_in_any_order_do_no_harm(
        minor in prop::sample::select(vec![22_u32, 23, 25, 26]),
        picked in vec(any::<Index>(), 0..200),
    ) {
        let frames: Vec<Frame> = picked.iter().map(|at| at.get(&FRAMES).clone()).collect();
        let _ = decode(&join(minor, &frames));
    }

    #[test]
    fn i24_missing_batches_do_no_harm(missing in vec(any::<Index>(), 1..20)) {
        let mut frames = FRAMES.clone();
        for at in missing {
            frames.remove(at.index(frames.len()));
        }
        let _ = decode(&join(26, &frames));
    }

    #[test]
    fn i24_any_bytes_after_a_header_do_no_harm(
        minor in prop::sample::select(vec![22_u32, 23, 25, 26]),
        bytes in vec(any::<u8>(), 0..4096),
    ) {
        let mut trace = format!("go 1.{minor} trace\0\0\0").into_bytes();
        trace.extend(bytes);
        let _ = decode(&trace);
    }

    #[test]
    fn i24_any_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes);
    }
}

/// A batch of Go 1.22.
fn batch(trace: &mut Vec<u8>, thread: u64, payload: &[u8]) {
    batch_at(trace, thread, 1, payload);
}

fn batch_at(trace: &mut Vec<u8>, thread: u64, time: u64, payload: &[u8]) {
    trace.push(1);
    for number in [1, thread, time, payload.len() as u64] {
        uvarint(trace, number);
    }
    trace.extend(payload);
}

fn event(payload: &mut Vec<u8>, event: u8, args: &[u64]) {
    payload.push(event);
    args.iter().for_each(|arg| uvarint(payload, *arg));
}

/// Threads that wait for one goroutine whose state changes all the time: each change could wake all of them.
#[test]
fn i24_many_threads_that_wait_for_one_goroutine_do_not_take_forever() {
    let mut trace = b"go 1.22 trace\0\0\0".to_vec();
    batch(&mut trace, u64::MAX, &[8, 1]);
    for thread in 2..40_000 {
        let mut payload = Vec::new();
        event(&mut payload, 16, &[0, 1, 1_000_000]);
        batch(&mut trace, thread, &payload);
    }
    let mut payload = Vec::new();
    event(&mut payload, 13, &[1, 0, 1]);
    event(&mut payload, 25, &[1, 1, 1, 2]);
    for call in 1..10_000 {
        event(&mut payload, 22, &[1, call, 0]);
        event(&mut payload, 23, &[1]);
        if payload.len() > 60_000 {
            batch(&mut trace, 1, &payload);
            payload.clear();
        }
    }
    batch(&mut trace, 1, &payload);
    batch(&mut trace, u64::MAX, &[2]);
    batch(&mut trace, u64::MAX, &[4]);
    let begin = Instant::now();
    let recording = decode(&trace).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let warning = recording.warnings.as_slice()[0].to_string();
    assert!(warning.contains("threads wait for each other more often"), "{warning}");
}

/// A generation of Go 1.22 with these batches of threads, each with its time and events.
fn generation(batches: &[(u64, u64, &[u8])]) -> Vec<u8> {
    let mut trace = b"go 1.22 trace\0\0\0".to_vec();
    batch(&mut trace, u64::MAX, &[8, 1]);
    for (thread, time, payload) in batches {
        batch_at(&mut trace, *thread, *time, payload);
    }
    batch(&mut trace, u64::MAX, &[2]);
    batch(&mut trace, u64::MAX, &[4]);
    trace
}

/// What is wrong with a thread's next event shows when it is due, not when it is first looked at.
#[test]
fn damage_costs_no_earlier_events_of_other_threads() {
    let mut good = Vec::new();
    event(&mut good, 13, &[1, 0, 1]);
    (0..100).for_each(|_| event(&mut good, 37, &[1, 5]));
    for (damaged, kept, damage) in [
        (
            &[5, 60, 1, 1][..],
            69,
            "expected an event with a time, found type byte 5",
        ),
        (
            &[37, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            9,
            "not a 64-bit LEB128 number",
        ),
        (
            &[37, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 2],
            100,
            "is out of range",
        ),
        (&[37], 9, "the bytes end where an event's time was expected"),
    ] {
        let recording = decode(&generation(&[(8, 1_000, &good), (9, 1_010, damaged)])).unwrap();
        let warning = recording.warnings.as_slice()[0].to_string();
        assert!(warning.contains(damage), "{warning}");
        assert_eq!(recording.event_counts["HeapAlloc"], kept, "{damaged:?}");
        // Behind an event of its own.
        let later = [&[13, 0, 1, 1][..], damaged].concat();
        let recording = decode(&generation(&[(8, 1_000, &good), (9, 1_010, &later)])).unwrap();
        assert_eq!(recording.event_counts["HeapAlloc"], kept, "{damaged:?}");
    }
    let time_max = 1 << 62;
    let recording = decode(&generation(&[(8, 1_000, &good), (9, time_max, &good)])).unwrap();
    let warning = recording.warnings.as_slice()[0].to_string();
    assert!(
        warning.contains("batch time 4611686018427387904 is out of range"),
        "{warning}"
    );
    assert_eq!(recording.event_counts["HeapAlloc"], 100);
}

/// A frame behind a cut generation that claims to be of another one is no proof that the one before was whole.
#[test]
fn garbage_that_names_another_generation_makes_no_generation_whole() {
    let mut trace = b"go 1.22 trace\0\0\0".to_vec();
    batch(&mut trace, u64::MAX, &[8, 1]);
    batch(&mut trace, u64::MAX, &[2]);
    // 65,537 bytes of generation 99.
    trace.extend([1, 99, 7, 100, 0x81, 0x80, 0x04]);
    trace.extend([0; 50]);
    let error = decode(&trace).unwrap_err().to_string();
    assert!(error.contains("65537 batch bytes announced"), "{error}");
}

/// Gives some bytes, and fails.
struct Torn<'a>(&'a [u8]);

impl std::io::Read for Torn<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::Error::other("connection reset by peer")),
            count => Ok(count),
        }
    }
}

#[test]
fn a_source_that_fails_before_a_generation_is_whole_is_blamed() {
    for length in [16, 40, 80, 5_000] {
        let error = Recording::read(Torn(&FIXTURE[..length])).unwrap_err();
        assert!(matches!(error, TraceError::SourceFailed { .. }), "{length}: {error}");
        assert!(
            error.to_string().contains("connection reset by peer"),
            "{length}: {error}"
        );
        assert!(error.offset_bytes() <= length as u64, "{length}: {error}");
    }
    let recording = Recording::read(Torn(&FIXTURE)).unwrap();
    let warning = recording.warnings.as_slice().last().unwrap().to_string();
    assert!(warning.contains("connection reset by peer"), "{warning}");
}

#[test]
fn a_source_that_fails_behind_much_damage_is_blamed() {
    let mut trace = b"go 1.22 trace\0\0\0".to_vec();
    for _ in 0..300 {
        batch(&mut trace, u64::MAX, &[8, 1]);
        trace.push(52);
        batch(&mut trace, u64::MAX, &[8, 1]);
        trace.push(0);
    }
    let error = Recording::read(Torn(&trace)).unwrap_err();
    assert!(error.to_string().contains("connection reset by peer"), "{error}");
}

/// A count is refused before anything is allocated for it, however many times it is repeated.
#[test]
fn i24_announced_counts_take_no_memory() {
    let mut trace = b"go 1.22 trace\0\0\0".to_vec();
    let mut payload = vec![2];
    event(&mut payload, 3, &[1, u64::MAX]);
    batch(&mut trace, u64::MAX, &payload);
    batch(&mut trace, u64::MAX, &[8, 1]);
    batch(&mut trace, u64::MAX, &[4]);
    let error = decode(&trace).unwrap_err().to_string();
    assert!(
        error.contains("18446744073709551615 stack frames announced, at most 0 fit"),
        "{error}"
    );
}

//! CPU profiles that come early, late, often, and in the company of execution traces.

use std::sync::Arc;
use std::time::Duration;

use spandrel_model::*;
use spandrel_pipeline::ProfileFormat;

use super::super::AttributionConfig;
use super::super::cpu_profiles::{CpuProfileLimits, DecodedCpuProfile};
use super::super::held_spans::Lateness;
use super::stream::Stream;
use super::world::{World, WorldState, WorldTask, interval};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn process(instance: Option<&str>) -> Arc<ProcessIdentity> {
    Arc::new(ProcessIdentity {
        service_name: Arc::from("shop"),
        service_instance_id: instance.map(Arc::from),
        ..ProcessIdentity::default()
    })
}

/// A request on goroutine 1 of instance 1.
fn request(id: u8, start: i64, end: i64) -> Span {
    Span {
        trace_id: TraceId::new([1; 16]),
        span_id: SpanId::new([id; 8]),
        parent_span_id: None,
        parent_is_remote: None,
        process: process(Some("1")),
        name: Arc::from("GET /"),
        kind: SpanKind::Server,
        scope_name: Arc::from(""),
        interval: interval(start, end),
        attributes: vec![("go.goroutine.id".to_owned(), AttributeValue::Int(1))],
    }
}

/// Goroutine 1 runs all the time.
pub(super) fn recording(start: i64, end: i64) -> TaskRecording {
    World {
        process: process(Some("1")),
        tasks: vec![WorldTask {
            id: 1,
            creator: None,
            birth: 0,
            death: None,
            kind: TaskKind::Application,
        }],
        states: vec![WorldState {
            task: 1,
            interval: interval(start, end),
            state: State::Running,
            sub_state: String::new(),
            waker: Waker::None,
            stack: Vec::new(),
        }],
        ..World::default()
    }
    .record_all()
}

/// A profile of a sender that does not know the instance: samples of requests, by their ids, in functions.
pub(super) fn profile(window: Interval, samples: &[(u8, &str)]) -> CpuProfile {
    let mut names = Names::new();
    let stacks = (1..).zip(samples).map(|(id, (_, function))| Stack {
        id: StackId(id),
        frames: vec![Frame {
            function: names.intern(function),
            file: Names::EMPTY,
            line: 1,
        }],
    });
    let stacks: Vec<Stack> = stacks.collect();
    let of_request = |id: u8| LabeledSpan {
        trace_id: None,
        span_id: SpanId::new([id; 8]),
    };
    CpuProfile {
        process: process(None),
        source: Arc::from("cpu.pprof"),
        window,
        period_ns: 1,
        names,
        samples: (stacks.iter().zip(samples))
            .map(|(stack, (id, _))| CpuSamples {
                stack: Some(stack.id),
                count: 1,
                cpu_ns: 1,
                span: (*id > 0).then(|| of_request(*id)),
            })
            .collect(),
        stacks,
    }
}

/// Function, samples and nanoseconds.
fn functions(stream: &Stream) -> Vec<String> {
    let rows = stream.table(Table::RunningFunctions).into_iter();
    let mut rows: Vec<String> = rows
        .map(|row| format!("{} {} {}", row["function"], row["n_samples"], row["ns"]))
        .collect();
    rows.sort();
    rows
}

/// One request, recorded and joined.
fn joined() -> Stream {
    let mut stream = Stream::new(AttributionConfig::default());
    stream.spans(vec![request(1, 0, 900)]);
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(25));
    assert_eq!(functions(&stream), [] as [&str; 0]);
    stream
}

#[test]
fn a_profile_that_comes_late_divides_the_running_time_and_a_second_one_replaces_that() {
    let mut stream = joined();
    let of_spans = |stream: &Stream| [Table::Attribution, Table::SpanQuality].map(|table| stream.sent[&table]);
    let sent = of_spans(&stream);
    stream.cpu_profile(profile(
        interval(0, 1_000),
        &[(1, "main.sort"), (1, "main.encode"), (0, "main.other")],
    ));
    stream.advance(seconds(40));
    assert_eq!(functions(&stream), ["main.encode 1 450", "main.sort 1 450"]);
    assert_eq!(of_spans(&stream), sent, "rows of spans stay as they are");

    stream.spans(vec![request(2, 3_000, 4_000)]);
    stream.cpu_profile(profile(interval(2_500, 5_000), &[(2, "main.sort")]));
    stream.advance(seconds(70));
    assert_eq!(
        functions(&stream),
        ["main.encode 1 300", "main.sort 2 600"],
        "the second request was not recorded"
    );
    let late = Lateness {
        is_late: true,
        is_too_late: false,
    };
    assert_eq!(stream.late_recordings.iter().filter(|found| **found == late).count(), 2);
}

#[test]
fn a_profile_that_comes_before_its_spans_counts_like_one_that_comes_after() {
    let mut stream = Stream::new(AttributionConfig::default());
    stream.cpu_profile(profile(interval(0, 1_000), &[(1, "main.sort")]));
    stream.advance(seconds(50));
    stream.spans(vec![request(1, 0, 900)]);
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(90));
    assert_eq!(functions(&stream), ["main.sort 1 900"]);
}

#[test]
fn replicas_that_send_profiles_under_the_name_of_the_service_keep_their_own_samples() {
    let of_instance_2 = Span {
        process: process(Some("2")),
        trace_id: TraceId::new([2; 16]),
        ..request(2, 500, 900)
    };
    let recording_2 = TaskRecording {
        process: process(Some("2")),
        ..recording(0, 2_000)
    };
    let mut stream = Stream::new(AttributionConfig::default());
    stream.spans(vec![request(1, 400, 900), of_instance_2]);
    stream.recording(recording(0, 2_000));
    stream.recording(recording_2);
    stream.cpu_profile(profile(interval(0, 1_000), &[(1, "main.sort")]));
    stream.cpu_profile(profile(interval(300, 1_300), &[(2, "main.encode")]));
    stream.advance(seconds(50));
    assert_eq!(functions(&stream), ["main.encode 1 450", "main.sort 1 450"]);
}

#[test]
fn a_profile_that_names_no_span_is_not_held_and_changes_nothing() {
    let mut stream = joined();
    let sent = stream.sent.clone();
    stream.cpu_profile(profile(interval(0, 1_000), &[(0, "main.sort")]));
    stream.advance(seconds(60));
    assert_eq!(stream.sent, sent);
}

#[test]
fn a_profile_after_the_retention_is_counted_and_corrects_nothing() {
    let mut stream = joined();
    stream.advance(seconds(100));
    stream.cpu_profile(profile(interval(0, 1_000), &[(1, "main.sort")]));
    stream.advance(seconds(160));
    assert_eq!(functions(&stream), [] as [&str; 0]);
    let too_late = Lateness {
        is_late: false,
        is_too_late: true,
    };
    assert_eq!(stream.late_recordings.last(), Some(&too_late));
}

/// Samples of requests 10 to `10 + count`, each in a function of its own.
fn profile_of_many(count: u8) -> CpuProfile {
    let many: Vec<(u8, String)> = (10..10 + count).map(|id| (id, format!("main.function{id}"))).collect();
    let many: Vec<(u8, &str)> = many.iter().map(|(id, function)| (*id, &**function)).collect();
    profile(interval(500, 1_000), &many)
}

/// A connector whose part of memory for CPU profiles holds this one and little else.
fn with_room_for(profile: &CpuProfile) -> Stream {
    Stream::new(AttributionConfig {
        recording_limit_bytes: 8 * (profile.size_bytes() + 100),
        ..AttributionConfig::default()
    })
}

#[test]
fn a_profile_that_takes_more_than_the_room_of_all_is_refused() {
    let limits = CpuProfileLimits::of(&with_room_for(&profile_of_many(10)).config);
    assert!(DecodedCpuProfile::new(profile_of_many(10), limits).is_ok());
    let refused = DecodedCpuProfile::new(profile_of_many(20), limits).unwrap_err();
    let shown = refused.to_string();
    for part in ["cpu.pprof", "recording_limit"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn the_oldest_profiles_go_for_want_of_room_and_what_they_said_stays() {
    let of_many = profile_of_many(10);
    let mut stream = with_room_for(&of_many);
    stream.spans(vec![request(1, 0, 900)]);
    stream.recording(recording(0, 2_000));
    stream.cpu_profile(profile(interval(0, 1_000), &[(1, "main.sort")]));
    stream.advance(seconds(25));
    let without_labels = CpuProfile {
        samples: (of_many.samples.iter())
            .map(|samples| CpuSamples {
                span: None,
                ..samples.clone()
            })
            .collect(),
        ..of_many.clone()
    };
    stream.cpu_profile(without_labels);
    assert_eq!(stream.evicted, 0, "what is not held takes no room");
    stream.cpu_profile(of_many);
    assert_eq!(stream.evicted, 1);
    stream.advance(seconds(60));
    assert_eq!(functions(&stream), ["main.sort 1 900"]);
}

#[test]
fn on_disk_profiles_have_a_share_and_the_oldest_go() {
    let with_share = |bytes: u64| {
        Stream::with_disk(AttributionConfig {
            recordings_directory: Some("anywhere".into()),
            recordings_directory_limit_bytes: 4 * bytes,
            ..AttributionConfig::default()
        })
    };
    let profiles = || (0..10).map(|number| profile(interval(0, 1_000 + number), &[(1, "main.sort")]));
    let mut plenty = with_share(1 << 20);
    profiles().for_each(|profile| plenty.cpu_profile(profile));
    let bytes = plenty.disk_bytes();
    assert_eq!(plenty.evicted, 0);
    // Their files are not quite equally long: of ten, five fit, and not six.
    let mut scarce = with_share(bytes / 20 * 11);
    scarce.recording(recording(0, 2_000));
    profiles().for_each(|profile| scarce.cpu_profile(profile));
    assert_eq!(scarce.evicted, 5);
    scarce.advance(seconds(20));
    let (share, limits) = (bytes / 20 * 11, CpuProfileLimits::of(&scarce.config));
    let mut evict = |format, bytes, missing_bytes| {
        let evicted = scarce.pending.evict_from_disk(format, bytes, missing_bytes, limits);
        evicted.map(|evicted| (evicted.recordings, scarce.kept_cpu_profiles()))
    };
    let (trace, cpu) = (ProfileFormat::GoExecutionTrace, ProfileFormat::CpuProfile);
    assert_eq!(evict(trace, 1, 1 << 30), None, "all would not be enough, so all stay");
    assert_eq!(evict(cpu, bytes / 10, 1), Some((1, 4)), "the share is full");
    assert_eq!(
        evict(cpu, bytes / 20, 1),
        Some((1, 4)),
        "the recording, as the share is not full"
    );
    assert_eq!(evict(cpu, 1, 1), Some((1, 3)), "there is no recording");
    assert_eq!(evict(cpu, share, 1), Some((1, 2)));
    assert_eq!(evict(trace, 1, bytes / 10 + 50), Some((2, 0)));
    assert_eq!(evict(trace, 1, 1), None);
}

#[test]
fn on_disk_recordings_that_wait_cost_no_cpu_profile() {
    let mut stream = Stream::with_disk(AttributionConfig::default());
    stream.cpu_profile(profile(interval(0, 1_000), &[(1, "main.sort")]));
    let bytes = stream.disk_bytes();
    stream.recording(recording(0, 2_000));
    let limits = CpuProfileLimits::of(&stream.config);
    let mut evict = |missing_bytes| {
        let trace = ProfileFormat::GoExecutionTrace;
        stream
            .pending
            .evict_from_disk(trace, missing_bytes, missing_bytes, limits)
            .is_some()
    };
    assert!(!evict(bytes + 1), "the recording waits to be joined");
    assert!(evict(bytes), "so the CPU profile is still there");
}

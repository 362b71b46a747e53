//! What comes late corrects rows, until it is too late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_attribution::{ProcessSpans, Rules, SpanAttribution, attribute};
use spandrel_model::*;

use super::super::AttributionConfig;
use super::super::emitted::{Changes, Emitted};
use super::super::held_spans::Lateness;
use super::super::join::run_join;
use super::super::pending::{Evicted, Pending};
use super::super::windows::{WindowRows, WindowRules, Windows};
use super::join_of;
use super::stream::Stream;
use super::world::{World, WorldState, WorldTask, interval};

const SECOND: i64 = 1_000_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn process() -> Arc<ProcessIdentity> {
    Arc::new(ProcessIdentity {
        service_name: Arc::from("shop"),
        ..ProcessIdentity::default()
    })
}

/// A span on goroutine 1, by its id and that of its parent.
fn span(id: u8, parent: Option<u8>, start: i64, end: i64) -> Span {
    Span {
        trace_id: TraceId::new([1; 16]),
        span_id: SpanId::new([id; 8]),
        parent_span_id: parent.map(|id| SpanId::new([id; 8])),
        parent_is_remote: None,
        process: process(),
        name: Arc::from(format!("span {id}")),
        kind: SpanKind::Internal,
        scope_name: Arc::from(""),
        interval: interval(start, end),
        attributes: vec![("go.goroutine.id".to_owned(), AttributeValue::Int(1))],
    }
}

/// Goroutine 1 runs for half of the window and then waits for the network.
fn recording(start: i64, end: i64) -> TaskRecording {
    let middle = start + (end - start) / 2;
    let state = |state, interval| WorldState {
        task: 1,
        interval,
        state,
        sub_state: String::new(),
        waker: Waker::External,
        stack: Vec::new(),
    };
    World {
        process: process(),
        tasks: vec![WorldTask {
            id: 1,
            creator: None,
            birth: 0,
            death: None,
            kind: TaskKind::Application,
        }],
        states: vec![
            state(State::Running, interval(start, middle)),
            state(State::Network, interval(middle, end)),
        ],
        ..World::default()
    }
    .record_all()
}

fn stream() -> Stream {
    Stream::new(AttributionConfig::default())
}

fn bindings(stream: &Stream) -> Vec<String> {
    stream.column(Table::SpanQuality, "binding")
}

#[test]
fn a_recording_that_arrives_after_the_join_corrects_what_was_not_recorded() {
    let mut stream = stream();
    stream.spans(vec![span(1, None, 0, 2_000)]);
    stream.advance(seconds(12));
    assert_eq!(bindings(&stream), ["not_recorded"]);
    assert_eq!(stream.column(Table::Attribution, "state"), ["unknown", "unknown"]);
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(30));
    assert_eq!(bindings(&stream), ["task_attribute"]);
    let states = stream.column(Table::Attribution, "state");
    assert_eq!(
        states.iter().filter(|state| *state == "running").count(),
        2,
        "{states:?}"
    );
    assert!(!states.contains(&"unknown".to_owned()), "{states:?}");
    assert_eq!(stream.table(Table::TaskSpans).len(), 1);
    assert!(stream.late_recordings.contains(&Lateness {
        is_late: true,
        is_too_late: false
    }));
}

#[test]
fn a_corrected_request_replaces_what_it_counted_for_in_the_matrix() {
    let mut stream = stream();
    stream.spans(vec![span(1, None, 0, 2_000)]);
    stream.advance(seconds(25));
    assert_eq!(
        stream.column(Table::Matrix, "state"),
        ["unknown", "unknown"],
        "one row in each view"
    );
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(45));
    let matrix = stream.table(Table::Matrix);
    assert_eq!(matrix.len(), 4);
    for row in matrix {
        assert_eq!([&*row["n"], &*row["sum_ns"], &*row["emission"]], ["1", "1000", "0"]);
    }
}

#[test]
fn functions_that_a_late_recording_saw_divide_the_running_time() {
    let mut stream = stream();
    stream.spans(vec![span(1, None, 0, 2_000)]);
    stream.advance(seconds(25));
    assert_eq!(stream.table(Table::RunningFunctions), []);
    let mut sampled = recording(0, 2_000);
    let [sort, handle] = ["main.sort", "main.handle"].map(|name| sampled.names.intern(name));
    let stack = |id, function| Stack {
        id: StackId(id),
        frames: vec![Frame {
            function,
            file: Names::EMPTY,
            line: 1,
        }],
    };
    sampled.stacks = vec![stack(1, sort), stack(2, handle)];
    sampled.runtime_events = [(100, 1), (200, 1), (300, 2), (1_500, 2)]
        .map(|(at, id)| RuntimeEvent {
            task: Some(TaskId(1)),
            stack: Some(StackId(id)),
            ..RuntimeEvent::new(RuntimeEventKind::CpuSample, Names::EMPTY, interval(at, at))
        })
        .into();
    stream.recording(sampled);
    stream.advance(seconds(45));
    let rows = stream.table(Table::RunningFunctions);
    let found: Vec<[&str; 3]> = (rows.iter())
        .map(|row| [&*row["function"], &*row["n_samples"], &*row["ns"]])
        .collect();
    assert_eq!(
        found,
        [["main.handle", "1", "333"], ["main.sort", "2", "667"]],
        "the sample of the wait counts for nothing"
    );
}

#[test]
fn a_request_whose_parent_arrives_late_is_none() {
    let mut stream = stream();
    stream.spans(vec![span(2, Some(1), 20 * SECOND, 20 * SECOND + 5)]);
    stream.advance(seconds(25));
    assert_eq!(stream.column(Table::SpanQuality, "is_request"), ["true"]);
    assert_eq!(stream.column(Table::Matrix, "operation"), ["span 2", "span 2"]);
    // It had ended long before its child began.
    stream.spans(vec![span(1, None, 0, 5)]);
    stream.advance(seconds(55));
    let mut is_request = stream.column(Table::SpanQuality, "is_request");
    is_request.sort();
    assert_eq!(is_request, ["false", "true"]);
    assert_eq!(stream.column(Table::Matrix, "operation"), ["span 1", "span 1"]);
}

#[test]
fn what_comes_after_the_retention_is_counted_and_corrects_nothing() {
    let mut stream = stream();
    stream.spans(vec![span(1, None, 0, 2_000)]);
    stream.advance(seconds(80));
    let before = stream.table(Table::Attribution);
    stream.recording(recording(0, 2_000));
    assert_eq!(stream.spans(vec![span(2, Some(1), 500, 1_500)]).too_late, 1);
    stream.advance(seconds(120));
    assert!(stream.late_recordings.contains(&Lateness {
        is_late: false,
        is_too_late: true
    }));
    assert_eq!(
        bindings(&stream),
        ["not_recorded", "task_attribute"],
        "the late span is joined with what is held"
    );
    let after = stream.table(Table::Attribution);
    assert!(before.iter().all(|row| after.contains(row)), "what was final stays");
}

#[test]
fn a_correction_loses_nothing_that_was_known_before() {
    let mut stream = stream();
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(50));
    stream.spans(vec![span(1, None, 0, 2_000)]);
    stream.advance(seconds(100));
    assert_eq!(bindings(&stream), ["task_attribute"]);
    // The recording is older than the retention, but the span is not.
    stream.spans(vec![span(2, Some(1), 500, 1_500)]);
    stream.advance(seconds(115));
    assert_eq!(bindings(&stream), ["task_attribute"; 2]);
}

#[test]
fn a_server_that_reports_late_corrects_the_client_that_called_it() {
    const MILLI: i64 = 1_000_000;
    let back = Arc::new(ProcessIdentity {
        service_name: Arc::from("back"),
        ..ProcessIdentity::default()
    });
    let client = Span {
        kind: SpanKind::Client,
        ..span(1, None, 0, 20 * MILLI)
    };
    let server = Span {
        kind: SpanKind::Server,
        process: back.clone(),
        ..span(2, Some(1), 12 * MILLI, 18 * MILLI)
    };
    let mut stream = stream();
    stream.spans(vec![client]);
    stream.recording(recording(0, 20 * MILLI));
    let relations = |stream: &Stream| -> BTreeSet<String> {
        let rows = stream.table(Table::Attribution).into_iter();
        let of_client = rows.filter(|row| row["span_id"] == "01".repeat(8));
        of_client.map(|row| row["relation"].clone()).collect()
    };
    stream.advance(seconds(20));
    assert_eq!(relations(&stream), BTreeSet::from(["same".to_owned()]));
    stream.spans(vec![server]);
    stream.advance(seconds(40));
    assert!(
        relations(&stream).contains("remote"),
        "the server stands in the place of the network wait"
    );
    let state_of_server = |stream: &Stream| -> BTreeSet<String> {
        let rows = stream.table(Table::Attribution).into_iter();
        let of_server = rows.filter(|row| row["span_id"] == "01".repeat(8) && row["relation"] == "remote");
        of_server.map(|row| row["state"].clone()).collect()
    };
    assert!(!state_of_server(&stream).contains("running"));
    stream.recording(TaskRecording {
        process: back,
        ..recording(10 * MILLI, 30 * MILLI)
    });
    stream.advance(seconds(75));
    assert!(
        state_of_server(&stream).contains("running"),
        "what the server's runtime says counts too"
    );
}

#[test]
fn several_late_arrivals_make_one_correction() {
    let mut stream = stream();
    stream.spans(vec![span(1, None, 0, 4_000)]);
    stream.advance(seconds(20));
    for part in 0..4 {
        stream.recording(recording(part * 1_000, part * 1_000 + 1_000));
        stream.advance(seconds(20) + Duration::from_millis(500));
    }
    stream.advance(seconds(40));
    assert_eq!(stream.sent[&Table::SpanQuality], 2);
}

#[test]
fn spans_that_go_for_want_of_room_are_final_and_not_taken_twice() {
    let mut stream = Stream::new(AttributionConfig {
        span_limit: 4,
        ..AttributionConfig::default()
    });
    stream.spans(vec![span(1, None, 0, 2_000), span(2, None, 0, 2_000)]);
    stream.advance(seconds(12));
    let added = stream.spans((3..=6).map(|id| span(id, None, 100 * SECOND, 101 * SECOND)).collect());
    assert_eq!(added.accepted, 4);
    assert_eq!(
        stream
            .released
            .iter()
            .map(|released| released.sealed_early)
            .sum::<u64>(),
        2
    );
    assert_eq!(stream.spans(vec![]).duplicates, 0);
    assert_eq!(
        stream
            .pending
            .add_spans(vec![span(1, None, 0, 2_000)], std::time::Instant::now())
            .duplicates,
        1
    );
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(30));
    assert_eq!(bindings(&stream)[..2], ["not_recorded", "not_recorded"]);
}

#[test]
fn a_recording_that_no_span_has_named_stays_for_spans_that_wait() {
    let mut stream = stream();
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(55));
    stream.spans(vec![span(1, None, 0, 2_000)]);
    // The recording is older than the retention before the span is due.
    stream.advance(seconds(70));
    assert_eq!(bindings(&stream), ["task_attribute"]);
    stream.advance(seconds(200));
    let room = stream.pending.make_room_for_recording(1, 0);
    assert_eq!(room, Some(Evicted::default()), "it is let go in the end");
}

#[test]
fn joined_spans_make_room_where_others_wait() {
    let mut stream = Stream::new(AttributionConfig {
        span_limit: 4,
        ..AttributionConfig::default()
    });
    stream.spans(vec![
        span(1, None, 0, 2_000),
        span(2, None, 0, 2_000),
        span(3, None, 0, 2_000),
    ]);
    stream.advance(seconds(12));
    // In every slot something waits.
    stream.spans(vec![span(4, None, 0, 2_000)]);
    stream.spans(vec![span(5, None, 0, 2_000), span(6, None, 0, 2_000)]);
    let sealed: u64 = stream.released.iter().map(|released| released.sealed_early).sum();
    assert_eq!(sealed, 3);
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(30));
    let mut bindings = bindings(&stream);
    bindings.sort();
    assert_eq!(
        bindings,
        [["not_recorded"; 3], ["task_attribute"; 3]].concat(),
        "what waited is joined as ever"
    );
    let again = stream
        .pending
        .add_spans(vec![span(1, None, 0, 2_000)], std::time::Instant::now());
    assert_eq!(again.duplicates, 1);
}

#[test]
fn spans_that_wait_are_not_let_go_and_nothing_goes_in_vain() {
    let mut stream = Stream::new(AttributionConfig {
        span_limit: 4,
        ..AttributionConfig::default()
    });
    stream.spans(vec![span(1, None, 0, 2_000)]);
    stream.advance(seconds(12));
    stream.spans(vec![
        span(2, None, 0, 2_000),
        span(3, None, 0, 2_000),
        span(4, None, 0, 2_000),
    ]);
    assert_eq!(stream.pending.make_room(2, 4), None);
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(30));
    assert_eq!(
        bindings(&stream),
        ["task_attribute"; 4],
        "the first can still be corrected"
    );
}

#[test]
fn a_window_stays_as_long_as_requests_in_it_can_be_corrected() {
    let mut stream = stream();
    let client = |id, start| span(id, Some(1), start, start + 10);
    stream.spans(vec![span(1, None, 0, 2_000)]);
    // Spans that are no requests keep the slot correctable, and change nothing in the window.
    for (id, at) in [(2, 40), (3, 80), (4, 120)] {
        stream.advance(seconds(at));
        stream.spans(vec![client(id, i64::from(id) * 100)]);
    }
    stream.advance(seconds(150));
    stream.recording(recording(0, 2_000));
    stream.advance(seconds(180));
    let states: BTreeSet<String> = stream.column(Table::Matrix, "state").into_iter().collect();
    assert!(states.contains("running"), "{states:?}");
    assert_eq!(stream.too_late_requests, 0);
    assert_eq!(stream.column(Table::Operations, "n"), ["1"]);
}

#[test]
fn a_request_that_is_none_for_a_while_counts_once_though_its_window_was_let_go() {
    let span = span(1, None, 0, 2_000);
    let spans = ProcessSpans {
        process: process(),
        spans: vec![&span],
        context: Vec::new(),
    };
    let attributed = |is_request: bool| SpanAttribution {
        is_request,
        ..attribute(&spans, &[], &Rules::default()).spans.remove(0)
    };
    let rules = WindowRules {
        request_limit: 0,
        ..AttributionConfig::default().window_rules(0)
    };
    let (mut windows, now) = (Windows::new(rules), std::time::Instant::now());
    windows.add(&attributed(true), now);
    let n = |rows: Vec<WindowRows>| -> i64 {
        let operations = rows.iter().flat_map(|window| &window.tables.operations);
        operations.map(|row| row.durations.n).sum()
    };
    assert_eq!(
        n(windows.take_due(now, UnixNanos(i64::MAX), &[])),
        1,
        "there is no room for more"
    );
    assert!(!windows.correct(&attributed(false), true, now), "its rows have left");
    assert!(!windows.correct(&attributed(true), false, now), "it counts already");
    assert_eq!(n(windows.take_all()), 0);
}

#[test]
fn processes_that_report_the_same_ids_do_not_replace_the_rows_of_each_other() {
    let proxy = Arc::new(ProcessIdentity {
        service_instance_id: Some(Arc::from("proxy")),
        ..(*process()).clone()
    });
    let copy = Span {
        process: proxy.clone(),
        ..span(1, None, 0, 2_000)
    };
    let origin = Arc::new(ProcessIdentity {
        service_instance_id: Some(Arc::from("origin")),
        ..(*process()).clone()
    });
    let original = Span {
        process: origin.clone(),
        ..span(1, None, 0, 2_000)
    };
    let mut stream = stream();
    stream.spans(vec![original, copy]);
    stream.advance(seconds(25));
    assert_eq!(bindings(&stream), ["not_recorded"; 2]);
    assert_eq!(stream.column(Table::Operations, "n"), ["2"]);
    stream.recording(TaskRecording {
        process: origin,
        ..recording(0, 2_000)
    });
    stream.advance(seconds(45));
    let mut of_process: Vec<(String, String)> = (stream.table(Table::SpanQuality).into_iter())
        .map(|row| (row["process_id"].clone(), row["binding"].clone()))
        .collect();
    of_process.sort();
    let expected = [("origin", "task_attribute"), ("proxy", "not_recorded")];
    assert_eq!(
        of_process,
        expected.map(|(process, binding)| (process.to_owned(), binding.to_owned()))
    );
    assert_eq!(stream.column(Table::Operations, "n"), ["2"]);
}

/// Joins the only slot, while something else happens between the last comparison and the end. Returns how many spans that
/// made final.
fn join_interrupted(pending: &mut Pending, at: Instant, interruption: impl FnOnce(&mut Pending)) -> u64 {
    let config = AttributionConfig::default();
    let round = config.round(at, false);
    let due = pending.due(&round);
    let [place] = &due[..] else {
        panic!("one slot, found {due:?}");
    };
    let mut join = join_of(pending, place.clone(), &round);
    let opened = join.open_recordings(&config.state_rules, u64::MAX);
    let spans = run_join(&join, &opened, &join.profiles(), &config.rules)
        .spans
        .into_iter();
    let spans = spans.map(|span| {
        let emitted = Emitted::of(&span);
        (span, emitted)
    });
    pending.compare(&join.place, spans.collect(), &mut Changes::default());
    interruption(pending);
    pending.end_join(&join, &round, Duration::ZERO)
}

#[test]
fn room_made_during_a_join_takes_no_span_of_which_the_join_has_not_ended() {
    const LIMIT: usize = 4;
    let (mut pending, start) = (Pending::default(), Instant::now());
    pending.add_spans(vec![span(1, None, 0, 2_000)], start);
    assert_eq!(join_interrupted(&mut pending, start + seconds(12), |_| {}), 0);
    pending.add_spans(vec![span(2, None, 0, 2_000)], start + seconds(13));

    let later = start + seconds(30);
    let sealed = join_interrupted(&mut pending, later, |pending| {
        let released = pending.make_room(3, LIMIT).expect("one waits");
        assert_eq!(released.sealed_early, 1, "the first span goes");
        let added = pending.add_spans((3..=5).map(|id| span(id, None, 0, 2_000)).collect(), later);
        assert_eq!(added.accepted, 3);
    });
    assert_eq!(sealed, 1, "the second could not be corrected without the first");
    assert_eq!(pending.waiting_count(), 3, "those that came during the join");
    join_interrupted(&mut pending, later + seconds(20), |_| {});
    assert_eq!(pending.waiting_count(), 0);
    let again = pending.add_spans((1..=5).map(|id| span(id, None, 0, 2_000)).collect(), later);
    assert_eq!((again.accepted, again.duplicates), (0, 5));
}

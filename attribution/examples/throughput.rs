//! Measures attribution on a made-up service: `cargo run --release -p spandrel-attribution --example throughput`.
//!
//! 20,000 requests of five spans each (handler, middleware, service, cache, database), with user tasks, over ten seconds
//! on 2,000 goroutines that each serve one connection; ten state intervals per span, one million in all. An argument
//! changes the seconds: with less time more requests overlap, and binding has more to choose from.

use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::{Analysis, ProcessSpans, Rules};
use spandrel_model::*;

const REQUESTS: u64 = 20_000;
const GOROUTINES: u64 = 2_000;
const STATES_PER_REQUEST: i64 = 50;
const STATE_NS: i64 = 20_000;
/// Name, start and end of the spans of a request, in state intervals.
const SPANS: [(&str, i64, i64); 5] = [
    ("GET /item", 0, 48),
    ("middleware auth", 2, 46),
    ("item.load", 4, 44),
    ("redis GET", 6, 16),
    ("SELECT", 20, 40),
];

fn main() {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(10.0);
    let (recording, spans) = service(seconds);
    let input = ProcessSpans {
        process: recording.process.clone(),
        spans: spans.iter().collect(),
        context: Vec::new(),
    };
    let rules = Rules::default();
    for _ in 0..3 {
        let start = Instant::now();
        let analysis = Analysis::new(&input, &[&recording], &rules);
        let bound_after = start.elapsed();
        let result = analysis.attributed();
        let seconds = start.elapsed().as_secs_f64();
        let bound = result.spans.iter().filter(|span| span.on_task.is_some()).count();
        let cells: usize = result.spans.iter().map(|span| span.cells.len()).sum();
        println!(
            "{} states, {} spans, {bound} bound, {cells} cells: bound after {:.3} s, done after {seconds:.3} s",
            recording.states.len(),
            spans.len(),
            bound_after.as_secs_f64(),
        );
    }
}

/// Requests arrive evenly; each goroutine serves one after the other.
fn service(seconds: f64) -> (TaskRecording, Vec<Span>) {
    let process = Arc::new(ProcessIdentity {
        service_name: "shop".into(),
        ..ProcessIdentity::default()
    });
    let mut names = Names::new();
    let mut states = Vec::new();
    let mut user_tasks = Vec::new();
    let mut spans = Vec::new();
    for goroutine in 1..=GOROUTINES {
        for turn in 0..REQUESTS / GOROUTINES {
            // Neighbors in id are no neighbors in time.
            let request = turn * GOROUTINES + goroutine * 7_919 % GOROUTINES;
            let begin = 10_000_000 + (seconds * 1e9 / REQUESTS as f64 * request as f64) as i64;
            add_states(&mut states, &mut names, TaskId(goroutine), begin);
            add_spans(
                &mut spans,
                &mut user_tasks,
                &mut names,
                &process,
                TaskId(goroutine),
                request,
                begin,
            );
        }
    }
    let task = |id| Task {
        id: TaskId(id),
        entry_function: Names::EMPTY,
        creator: None,
        birth: None,
        death: None,
        kind: TaskKind::Application,
    };
    user_tasks.sort_by_key(|task: &UserTask| task.id);
    let last = states
        .iter()
        .map(|state: &TaskState| state.interval.end())
        .max()
        .expect("there are states");
    let recording = TaskRecording {
        process,
        source: "made up".into(),
        window: Interval::new(UnixNanos(0), last).expect("time goes on"),
        clock: RecordingClock::Recorded,
        names,
        tasks: (1..=GOROUTINES).map(task).collect(),
        states,
        user_tasks,
        user_logs: Vec::new(),
        stacks: Vec::new(),
        runtime_events: Vec::new(),
        warnings: Vec::new(),
    };
    (recording, spans)
}

fn add_states(states: &mut Vec<TaskState>, names: &mut Names, task: TaskId, begin: i64) {
    let kinds = [
        (State::Running, ""),
        (State::Network, ""),
        (State::Running, ""),
        (State::Runnable, "unblocked"),
        (State::Running, ""),
        (State::Mutex, ""),
    ];
    for index in 0..STATES_PER_REQUEST {
        // Spans start and end in even intervals, which are running.
        let kind = if index % 2 == 0 {
            0
        } else {
            usize::try_from(index).expect("small") % kinds.len()
        };
        let start = UnixNanos(begin + index * STATE_NS);
        states.push(TaskState {
            task,
            interval: Interval::new(start, start.plus(STATE_NS)).expect("states take time"),
            state: kinds[kind].0,
            sub_state: names.intern(kinds[kind].1),
            reason: Names::EMPTY,
            stack: None,
            waker: Waker::None,
        });
    }
}

fn add_spans(
    spans: &mut Vec<Span>,
    user_tasks: &mut Vec<UserTask>,
    names: &mut Names,
    process: &Arc<ProcessIdentity>,
    task: TaskId,
    request: u64,
    begin: i64,
) {
    for (index, (name, start, end)) in SPANS.into_iter().enumerate() {
        let index = u64::try_from(index).expect("small");
        let id = request * 8 + index + 1;
        let (start, end) = (
            UnixNanos(begin + start * STATE_NS + 1_000),
            UnixNanos(begin + end * STATE_NS + 1_000),
        );
        let parent = index.checked_sub(1).map(|parent| request * 8 + parent.min(2) + 1);
        user_tasks.push(UserTask {
            id,
            parent,
            name: Some(names.intern(name)),
            begin: Some((task, start.plus(12_000))),
            end: Some((task, end.plus(1_000))),
        });
        let database = (
            "db.system.name".to_owned(),
            AttributeValue::String("postgresql".to_owned()),
        );
        spans.push(Span {
            trace_id: TraceId::new(u128::from(request + 1).to_be_bytes()),
            span_id: SpanId::new(id.to_be_bytes()),
            parent_span_id: parent.map(|parent| SpanId::new(parent.to_be_bytes())),
            parent_is_remote: None,
            process: process.clone(),
            name: name.into(),
            kind: if index == 0 {
                SpanKind::Server
            } else {
                SpanKind::Internal
            },
            scope_name: "".into(),
            interval: Interval::new(start, end).expect("spans take time"),
            attributes: if name == "SELECT" { vec![database] } else { Vec::new() },
        });
    }
}

//! What a process does, written down goroutine by goroutine, and what a recording and spans show of it.

use std::sync::Arc;

use spandrel_model::{
    Attribute, Interval, Names, ProcessIdentity, RecordingClock, Span, SpanId, SpanKind, State, Task, TaskId, TaskKind,
    TaskRecording, TaskState, TraceId, UnixNanos, UserLog, UserTask, Waker,
};

use super::Input;
use super::random::Random;

/// From the start of a span until the helper for Go has logged its id, or the SDK has begun its user task.
const BEGIN_LAG_NS: i64 = 700;
/// From the end of a span to that of its user task.
const END_LAG_NS: i64 = 300;

/// Position of a goroutine.
pub(super) type Goroutine = usize;

/// How the recording tells on which goroutine a span started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    LoggedId,
    UserTask,
}

/// A span to be.
pub(super) struct Opened<'a> {
    pub(super) name: &'a str,
    pub(super) kind: SpanKind,
    pub(super) attributes: &'a [Attribute],
    /// Position of the parent among the spans.
    pub(super) parent: Option<usize>,
}

/// A process being made up.
pub(super) struct Script {
    pub(super) random: Random,
    evidence: Evidence,
    process: Arc<ProcessIdentity>,
    names: Names,
    tasks: Vec<Task>,
    // By goroutine: its states, and when the last one ends.
    states: Vec<Vec<TaskState>>,
    at: Vec<i64>,
    spans: Vec<Span>,
    user_tasks: Vec<UserTask>,
    logs: Vec<UserLog>,
}

impl Script {
    pub(super) fn new(evidence: Evidence) -> Self {
        Self {
            random: Random::new(1),
            evidence,
            process: Arc::new(ProcessIdentity {
                service_name: "shop".into(),
                ..ProcessIdentity::default()
            }),
            names: Names::new(),
            tasks: Vec::new(),
            states: Vec::new(),
            at: Vec::new(),
            spans: Vec::new(),
            user_tasks: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// A goroutine that was there before the recording.
    pub(super) fn old(&mut self) -> Goroutine {
        self.goroutine(None, None, 0)
    }

    /// A goroutine that `creator` starts now.
    pub(super) fn spawn(&mut self, creator: Goroutine) -> Goroutine {
        let at = self.at[creator];
        self.goroutine(Some(id(creator)), Some(UnixNanos(at)), at)
    }

    fn goroutine(&mut self, creator: Option<TaskId>, birth: Option<UnixNanos>, at: i64) -> Goroutine {
        let goroutine = self.tasks.len();
        self.tasks.push(Task {
            id: id(goroutine),
            entry_function: Names::EMPTY,
            creator,
            birth,
            death: None,
            kind: TaskKind::Application,
        });
        self.states.push(Vec::new());
        self.at.push(at);
        goroutine
    }

    /// The goroutine ends now.
    pub(super) fn end(&mut self, goroutine: Goroutine) {
        self.tasks[goroutine].death = Some(UnixNanos(self.at[goroutine]));
    }

    /// Until when it is known what the goroutine does.
    pub(super) fn now(&self, goroutine: Goroutine) -> i64 {
        self.at[goroutine]
    }

    /// Runs, or whatever else is no wait, for some time.
    pub(super) fn spend(&mut self, goroutine: Goroutine, ns: i64, state: State, sub_state: &str) {
        self.wait(goroutine, self.at[goroutine] + ns, (state, sub_state), Waker::None);
    }

    /// Waits until somebody ends it; nothing if that instant has passed.
    pub(super) fn wait(&mut self, goroutine: Goroutine, until: i64, state: (State, &str), waker: Waker) {
        let from = self.at[goroutine];
        let Some(interval) = Interval::new(UnixNanos(from), UnixNanos(until)).filter(|time| !time.is_empty()) else {
            return;
        };
        self.states[goroutine].push(TaskState {
            task: id(goroutine),
            interval,
            state: state.0,
            sub_state: self.names.intern(state.1),
            reason: Names::EMPTY,
            stack: None,
            waker,
        });
        self.at[goroutine] = until;
    }

    /// A span that opens on `goroutine` at `start`, and its evidence; returns its position. It ends by [`Self::close`].
    pub(super) fn open(&mut self, goroutine: Goroutine, start: i64, span: &Opened<'_>) -> usize {
        let trace_id = match span.parent {
            Some(parent) => self.spans[parent].trace_id,
            None => TraceId::new((u128::from(self.random.next()) << 64 | 1).to_be_bytes()),
        };
        let position = self.spans.len();
        let start = UnixNanos(start);
        self.spans.push(Span {
            trace_id,
            span_id: SpanId::new(self.random.next().to_be_bytes()),
            parent_span_id: span.parent.map(|parent| self.spans[parent].span_id),
            parent_is_remote: None,
            process: self.process.clone(),
            name: span.name.into(),
            kind: span.kind,
            scope_name: "".into(),
            interval: Interval::new(start, start).expect("no time has passed"),
            attributes: span.attributes.to_vec(),
        });
        let at = start.plus(BEGIN_LAG_NS);
        match self.evidence {
            Evidence::LoggedId => self.log(goroutine, position, at),
            Evidence::UserTask => self.user_tasks.push(UserTask {
                id: position as u64 + 1,
                parent: span.parent.map(|parent| parent as u64 + 1),
                name: Some(self.names.intern(span.name)),
                begin: Some((id(goroutine), at)),
                end: None,
            }),
        }
        position
    }

    /// What the helper for Go logs: trace id and span id.
    fn log(&mut self, goroutine: Goroutine, span: usize, at: UnixNanos) {
        let span = &self.spans[span];
        let message = [&span.trace_id.as_bytes()[..], span.span_id.as_bytes()].concat();
        self.logs.push(UserLog {
            task: id(goroutine),
            user_task: None,
            at,
            category: self.names.intern("otel"),
            message: message.into(),
        });
    }

    /// The span ends on `goroutine` at `end`.
    pub(super) fn close(&mut self, span: usize, goroutine: Goroutine, end: i64) {
        let interval = &mut self.spans[span].interval;
        *interval = Interval::new(interval.start(), UnixNanos(end)).expect("spans end after they start");
        if let Some(task) = self.user_tasks.get_mut(span) {
            task.end = Some((id(goroutine), UnixNanos(end).plus(END_LAG_NS)));
        }
    }

    /// Who ends the wait of another.
    pub(super) fn waker(goroutine: Goroutine) -> Waker {
        Waker::Task(id(goroutine))
    }

    /// The recording, from 0 to the end of the last state, and the spans.
    pub(super) fn finish(mut self) -> Input {
        let end = self.at.iter().copied().max().unwrap_or(0);
        self.logs.sort_by_key(|log| log.at);
        let recording = TaskRecording {
            process: self.process,
            source: "made up".into(),
            window: Interval::new(UnixNanos(0), UnixNanos(end)).expect("time goes on"),
            clock: RecordingClock::Recorded,
            names: self.names,
            tasks: self.tasks,
            states: self.states.concat(),
            user_tasks: self.user_tasks,
            user_logs: self.logs,
            stacks: Vec::new(),
            runtime_events: Vec::new(),
            warnings: Vec::new(),
        };
        Input {
            recording,
            spans: self.spans,
        }
    }
}

fn id(goroutine: Goroutine) -> TaskId {
    TaskId(goroutine as u64 + 1)
}

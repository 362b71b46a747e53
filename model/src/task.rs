//! What a runtime knew about the tasks of one process, whatever recorded it.

use std::sync::Arc;

use crate::{Interval, NameId, Names, ProcessIdentity, RecordingClock, StackId, State, TaskId, UnixNanos};

/// The task states of one process over one window of time, with what else its runtime recorded.
///
/// Invariants: `states` is sorted by (task, start); the states of a task do not overlap and tile the part of its life
/// that lies in `window`, [`State::Unknown`] where the recording does not say. [`NameId`]s belong to `names`.
#[derive(Clone, Debug)]
pub struct TaskRecording {
    /// Process that was recorded.
    pub process: Arc<ProcessIdentity>,
    /// Where it came from, for messages: a file, a target.
    pub source: Arc<str>,
    /// Time that the recording covers.
    pub window: Interval,
    /// How the times of the recording are known on the wall clock.
    pub clock: RecordingClock,
    /// Strings that the rest refers to.
    pub names: Names,
    /// Tasks seen, sorted by id.
    pub tasks: Vec<Task>,
    /// State intervals, sorted by (task, start).
    pub states: Vec<TaskState>,
    /// `runtime/trace` tasks, sorted by id.
    pub user_tasks: Vec<UserTask>,
    /// `runtime/trace` log messages, in the order of time.
    pub user_logs: Vec<UserLog>,
    /// Stacks that states refer to, each once, sorted by id.
    pub stacks: Vec<Stack>,
    /// Garbage collections, annotations of the program, samples and the like, sorted by start.
    pub runtime_events: Vec<RuntimeEvent>,
    /// What could not be read, in words for the operator.
    pub warnings: Vec<String>,
}

impl TaskRecording {
    /// About the memory that it occupies.
    pub fn size_bytes(&self) -> u64 {
        let logs: usize = (self.user_logs.iter())
            .map(|log| size_of::<UserLog>() + log.message.len())
            .sum();
        let stacks: usize = (self.stacks.iter())
            .map(|stack| size_of::<Stack>() + size_of_val(&*stack.frames))
            .sum();
        let texts: usize = (self.runtime_events.iter())
            .filter_map(|event| event.text.as_ref())
            .map(|text| text.len())
            .sum();
        let rest = size_of_val(&*self.states)
            + size_of_val(&*self.tasks)
            + size_of_val(&*self.user_tasks)
            + size_of_val(&*self.runtime_events);
        (logs + stacks + texts + rest) as u64
    }
}

/// A runtime task: a goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Id, unique within the process.
    pub id: TaskId,
    /// Function that it was started with; empty when the recording does not say.
    pub entry_function: NameId,
    /// Task that created it.
    pub creator: Option<TaskId>,
    /// Creation, if it lies in the window.
    pub birth: Option<UnixNanos>,
    /// End, if it lies in the window.
    pub death: Option<UnixNanos>,
    /// Whose task it is.
    pub kind: TaskKind,
}

/// Whether a task belongs to the program or to its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Started by the program or its libraries.
    Application,
    /// Started by the runtime: garbage collector workers, scavenger, trace reader.
    System,
}

/// One state of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// The task.
    pub task: TaskId,
    /// Time of the state, never empty.
    pub interval: Interval,
    /// The state.
    pub state: State,
    /// Finer kind, such as `recv` or `unblocked`; empty when there is none.
    pub sub_state: NameId,
    /// Reason string exactly as the runtime gave it; empty when it gave none.
    pub reason: NameId,
    /// Stack at which the state was entered.
    pub stack: Option<StackId>,
    /// Who ended the wait.
    pub waker: Waker,
}

/// Who made a waiting task runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waker {
    /// Another task, or the task itself.
    Task(TaskId),
    /// No task: the network poller or a timer.
    External,
    /// Not a wait, or still waiting when the recording ended.
    None,
}

/// A `runtime/trace` task: begun by `trace.NewTask`, ended by `Task.End`, perhaps on different goroutines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTask {
    /// Id, counted up by the process for as long as it lives.
    pub id: u64,
    /// Task of the context in which it began.
    pub parent: Option<u64>,
    /// Name; `None` when only the end lies in the window.
    pub name: Option<NameId>,
    /// Goroutine and instant of the beginning, if it lies in the window.
    pub begin: Option<(TaskId, UnixNanos)>,
    /// Goroutine and instant of the end, if it lies in the window.
    pub end: Option<(TaskId, UnixNanos)>,
}

/// A `runtime/trace` log message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLog {
    /// Goroutine that logged.
    pub task: TaskId,
    /// Id of the user task of the context; `None` in the background.
    pub user_task: Option<u64>,
    /// Instant.
    pub at: UnixNanos,
    /// Category.
    pub category: NameId,
    /// Message; Datadog's tracer logs 8 raw bytes.
    pub message: Arc<[u8]>,
}

/// A call stack, innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Hash of the frames.
    pub id: StackId,
    /// Frames, innermost first.
    pub frames: Vec<Frame>,
}

/// One frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Function with its package path.
    pub function: NameId,
    /// Source file as the compiler recorded it.
    pub file: NameId,
    /// Line, counted from 1; 0 when unknown.
    pub line: u32,
}

/// Something that a runtime recorded beside the states of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// What.
    pub kind: RuntimeEventKind,
    /// The runtime's or the program's own name of it, such as `GC mark termination`; of a log message the category.
    pub detail: NameId,
    /// Time that it took, as far as the window shows; empty for an instant.
    pub interval: Interval,
    /// Task on which it began, where it began on one.
    pub task: Option<TaskId>,
    /// Log message. Hardly two are the same, so it is no name.
    pub text: Option<Box<str>>,
    /// Value of a metric.
    pub value: Option<i64>,
    /// User task that it is or belongs to.
    pub user_task: Option<u64>,
    /// User task in which that user task began.
    pub parent_user_task: Option<u64>,
    /// Stack at which it began.
    pub stack: Option<StackId>,
}

impl RuntimeEvent {
    /// An event of which no more is known.
    pub const fn new(kind: RuntimeEventKind, detail: NameId, interval: Interval) -> Self {
        Self {
            kind,
            detail,
            interval,
            task: None,
            text: None,
            value: None,
            user_task: None,
            parent_user_task: None,
            stack: None,
        }
    }
}

/// Kinds of [`RuntimeEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeEventKind {
    /// A concurrent mark phase of the garbage collector.
    Gc,
    /// A stopped world.
    Stw,
    /// A task of the program (`trace.NewTask`).
    UserTask,
    /// A region of the program (`trace.StartRegion`).
    UserRegion,
    /// A log message of the program (`trace.Log`).
    UserLog,
    /// A look of the CPU profiler.
    CpuSample,
    /// A number that the runtime told.
    Metric,
}

impl RuntimeEventKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Gc,
        Self::Stw,
        Self::UserTask,
        Self::UserRegion,
        Self::UserLog,
        Self::CpuSample,
        Self::Metric,
    ];

    /// The word in `kind` columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gc => "gc",
            Self::Stw => "stw",
            Self::UserTask => "user_task",
            Self::UserRegion => "user_region",
            Self::UserLog => "user_log",
            Self::CpuSample => "cpu_sample",
            Self::Metric => "metric",
        }
    }

    /// Position in [`Self::ALL`].
    pub const fn position(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_know_their_positions() {
        for (position, kind) in RuntimeEventKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.position(), position);
        }
    }
}

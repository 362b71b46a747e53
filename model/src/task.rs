//! What a runtime knew about the tasks of one process, whatever recorded it.

use std::sync::Arc;

use crate::{Interval, NameId, Names, ProcessIdentity, StackId, State, TaskId, UnixNanos};

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
    /// Garbage collections, stop-the-world pauses and the like, sorted by start.
    pub runtime_events: Vec<RuntimeEvent>,
    /// What could not be read, in words for the operator.
    pub warnings: Vec<String>,
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
    pub message: Box<[u8]>,
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

/// Something that the runtime did as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// `gc` (a concurrent mark phase) or `stw` (a stopped world).
    pub kind: NameId,
    /// The runtime's own name of it, such as `GC mark termination`.
    pub detail: NameId,
    /// Time that it took, as far as the window shows.
    pub interval: Interval,
    /// Task on which it ran, where it ran on one.
    pub task: Option<TaskId>,
}

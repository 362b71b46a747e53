//! What the decoder hands out: ordered events with their context, their strings and stacks resolved.

use crate::clock::TraceNanos;
use crate::ids::{GoroutineId, ProcId, StackId, StringId, TaskId, ThreadId};
use crate::spec::WireEvent;

/// One event, in its place in the order of the whole program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoEvent {
    /// Strictly increasing over a trace: like Go's reader, a time that does not lie after the event before becomes
    /// that event's time plus one nanosecond.
    pub time: TraceNanos,
    /// Where it happened, before it took effect: a `GoStart` has no goroutine yet.
    pub context: Context,
    /// The stack of the running goroutine, or for [`EventKind::GoStatus`] of the goroutine that it names.
    pub stack: Option<StackId>,
    /// What happened.
    pub kind: EventKind,
}

/// The thread, proc and goroutine that an event came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The thread that wrote the event; `None` for the runtime's end-of-generation statuses.
    pub thread: Option<ThreadId>,
    /// The proc that the thread held.
    pub proc: Option<ProcId>,
    /// The goroutine that the thread ran.
    pub goroutine: Option<GoroutineId>,
}

/// Status of a goroutine as announced in a generation (runtime/tracestatus.go).
///
/// A closed set: to the decoder another number is damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoStatus {
    /// Ready to run.
    Runnable,
    /// Running on a thread and a proc.
    Running,
    /// In a system call or in C code.
    Syscall,
    /// Blocked.
    Waiting,
}

/// Status of a proc as announced in a generation (runtime/tracestatus.go).
///
/// A closed set: to the decoder another number is damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcStatus {
    /// Held by a thread that runs Go code.
    Running,
    /// Held by no thread.
    Idle,
    /// Held by a thread that is in a system call: another thread may steal it.
    Syscall,
    /// As `Syscall`, but which thread held it is not known.
    SyscallAbandoned,
}

/// What happened. Names and meanings are those of `internal/trace/tracev2/events.go`; fields name what the event
/// is about, [`GoEvent::context`] says who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "fields say what their types do; each variant is documented")]
pub enum EventKind {
    /// A generation starts. Its time is that of the earliest batch.
    GenerationStart { generation: u64 },
    /// Events are missing from here to the next `GenerationStart`: a generation was damaged or left out. What was
    /// known of any state ends here.
    Gap,
    /// CPU profile sample of the context: a CPU profile ran at the same time.
    CpuSample,

    /// Announces GOMAXPROCS.
    ProcsChange { gomaxprocs: u64 },
    /// The thread takes an idle proc.
    ProcStart { proc: ProcId },
    /// The thread gives up its proc.
    ProcStop { proc: ProcId },
    /// The thread takes a proc away from a thread in a system call; `victim` is the goroutine in that call, where known.
    ProcSteal { proc: ProcId, victim: Option<GoroutineId> },
    /// The proc's status before the next event about it; `first` if nothing was known of the proc before.
    ProcStatus {
        proc: ProcId,
        status: ProcStatus,
        first: bool,
    },

    /// A goroutine is born runnable, or waiting if `blocked` (coroutines). `entry` is the stack of its start function.
    GoCreate {
        goroutine: GoroutineId,
        entry: Option<StackId>,
        blocked: bool,
    },
    /// A goroutine appears in a system call: C code calls Go.
    GoCreateSyscall { goroutine: GoroutineId },
    /// Runnable to running.
    GoStart { goroutine: GoroutineId },
    /// The running goroutine ends.
    GoDestroy { goroutine: GoroutineId },
    /// The goroutine of a C-to-Go call disappears.
    GoDestroySyscall { goroutine: GoroutineId },
    /// Running to runnable: "preempted", "runtime.Gosched".
    GoStop { goroutine: GoroutineId, reason: StringId },
    /// Running to waiting. No reason: a coroutine switch (`GoSwitch`).
    GoBlock {
        goroutine: GoroutineId,
        reason: Option<StringId>,
    },
    /// Waiting to runnable. The context and stack are the waker's; a context without goroutine is the runtime itself
    /// (network poller, timers).
    GoUnblock { goroutine: GoroutineId },
    /// Running to system call.
    GoSyscallBegin { goroutine: GoroutineId },
    /// System call to running, proc kept.
    GoSyscallEnd { goroutine: GoroutineId },
    /// System call to runnable: the proc was lost during the call.
    GoSyscallEndBlocked { goroutine: GoroutineId },
    /// The goroutine's status before the next event about it. `first` if nothing was known of it before: then the
    /// status holds since the generation's start. Otherwise it only confirms what is known.
    GoStatus {
        goroutine: GoroutineId,
        status: GoStatus,
        first: bool,
    },

    /// The goroutine begins to stop the world; `kind` says what for.
    StwBegin { kind: StringId },
    /// The world runs again.
    StwEnd,
    /// A concurrent mark phase was already running.
    GcActive,
    /// A concurrent mark phase begins.
    GcBegin,
    /// The concurrent mark phase ends.
    GcEnd,
    /// The proc was already sweeping.
    SweepActive { proc: ProcId },
    /// The proc begins to sweep.
    SweepBegin { proc: ProcId },
    /// The proc ends to sweep.
    SweepEnd {
        proc: ProcId,
        swept_bytes: u64,
        reclaimed_bytes: u64,
    },
    /// The goroutine was already in mark assist.
    MarkAssistActive { goroutine: GoroutineId },
    /// The goroutine begins to help the garbage collector mark.
    MarkAssistBegin { goroutine: GoroutineId },
    /// The goroutine ends its mark assist.
    MarkAssistEnd { goroutine: GoroutineId },
    /// Live heap.
    HeapAlloc { bytes: u64 },
    /// Heap goal; 0 if the collector is off.
    HeapGoal { bytes: u64 },

    /// The runtime's label of the running goroutine ("GC (dedicated)"); not a pprof label.
    GoLabel { label: StringId },
    /// `trace.NewTask`.
    UserTaskBegin {
        task: TaskId,
        parent: Option<TaskId>,
        name: StringId,
    },
    /// `Task.End`, from any goroutine.
    UserTaskEnd { task: TaskId },
    /// `trace.StartRegion`.
    UserRegionBegin { task: TaskId, name: StringId },
    /// `Region.End`.
    UserRegionEnd { task: TaskId, name: StringId },
    /// `trace.Log`. The value may be any bytes.
    UserLog {
        task: TaskId,
        key: StringId,
        value: StringId,
    },

    /// An event of the AllocFree experiment, uninterpreted: what exists, begins or ends to exist.
    Experimental {
        event: WireEvent,
        /// Of the span, object or stack.
        id: u64,
        /// Pages of a span, type of an object, order of a stack; 0 where it ends.
        value: u64,
        /// Kind and class of a span.
        kind_class: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_small() {
        assert!(size_of::<GoEvent>() <= 64, "{} bytes", size_of::<GoEvent>());
    }
}

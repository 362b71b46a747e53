//! The result of attribution: where the time of a span went, and how we know.

use std::sync::Arc;

use crate::{Layer, State, TaskId};

/// Which question a cell answers. Each view of a span sums to the span's duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// What the span's own task did.
    SelfView,
    /// What the span's task was really waiting for.
    Root,
}

impl View {
    /// The word in `view` columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfView => "self",
            Self::Root => "root",
        }
    }
}

/// Time of one span in one view, given to one cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// Question answered.
    pub view: View,
    /// Layer of the span that owned the task at that time; that of the waiting span where no span of the trace did.
    pub layer: Layer,
    /// State of the task.
    pub state: State,
    /// Finer kind of the state; for [`State::Unknown`], the [`UnknownReason`]; for [`State::BlockedOnOther`], the state
    /// of the span's own task.
    pub sub_state: Arc<str>,
    /// Whose doing it was.
    pub relation: Relation,
    /// What the other trace did, exactly if the state is [`State::BlockedOnOther`]. There are
    /// millions of cells, few culprits.
    pub culprit: Option<Arc<Culprit>>,
    /// How it is known.
    pub evidence: Evidence,
    /// Nanoseconds, greater than zero.
    pub ns: i64,
}

/// What work of another trace did while a span waited for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Culprit {
    /// Name of the span with which that work entered the process.
    pub operation: Arc<str>,
    /// Layer of the span that was open.
    pub layer: Layer,
    /// State of the task that was waited for.
    pub state: State,
}

/// Whose doing the time was, seen from the span. The self view knows only [`Relation::Same`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The span's own trace.
    Same,
    /// A task that no span owns, working for this one.
    Helper,
    /// A task of another trace, or one that no span owns, working for it.
    Interference,
    /// A task of the runtime.
    Runtime,
    /// What a server that the span called was waiting for or doing, in the server's process.
    Remote,
}

impl Relation {
    /// The word in `relation` columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Helper => "helper",
            Self::Interference => "interference",
            Self::Runtime => "runtime",
            Self::Remote => "remote",
        }
    }
}

/// How the state of a cell is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// From the runtime's own transitions.
    Exact,
    /// From samples.
    Sampled,
    /// From the spans alone.
    Inferred,
    /// Not known.
    None,
}

impl Evidence {
    /// The word in `evidence` columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Sampled => "sampled",
            Self::Inferred => "inferred",
            Self::None => "none",
        }
    }
}

/// Why time is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnknownReason {
    /// No recording of the process covers the time.
    NotRecorded,
    /// A recording covers the time, and nothing in it can be the span's beginning.
    NoMatchingTask,
    /// Several beginnings fit the span equally well.
    AmbiguousTask,
    /// The span began before the recording, so its task was never named.
    BeganBeforeRecording,
    /// The span's task had ended, or had not begun.
    TaskNotAlive,
    /// The recording does not say what the task did.
    StateNotRecorded,
    /// The task that ended the wait, or the creator of it, is in no recording.
    WakerNotRecorded,
    /// More tasks waited for each other than are followed.
    ChainTooLong,
    /// By the recording, a task woke or created another one while it was itself waiting for that to happen.
    WakesContradict,
}

impl UnknownReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NotRecorded,
        Self::NoMatchingTask,
        Self::AmbiguousTask,
        Self::BeganBeforeRecording,
        Self::TaskNotAlive,
        Self::StateNotRecorded,
        Self::WakerNotRecorded,
        Self::ChainTooLong,
        Self::WakesContradict,
    ];

    /// The word in `sub_state` and `binding` columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRecorded => "not_recorded",
            Self::NoMatchingTask => "no_matching_task",
            Self::AmbiguousTask => "ambiguous_task",
            Self::BeganBeforeRecording => "began_before_recording",
            Self::TaskNotAlive => "task_not_alive",
            Self::StateNotRecorded => "state_not_recorded",
            Self::WakerNotRecorded => "waker_not_recorded",
            Self::ChainTooLong => "chain_too_long",
            Self::WakesContradict => "wakes_contradict",
        }
    }
}

/// Which task a span ran on, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// The span ran on this task.
    Bound {
        /// The task it started on.
        task: TaskId,
        /// How that is known.
        kind: BindingKind,
    },
    /// The task is not known.
    Unbound(UnknownReason),
}

/// Evidence for a binding, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindingKind {
    /// The span id was logged into the recording.
    LoggedId,
    /// The span carries the task id as an attribute.
    TaskAttribute,
    /// A user task of the same name, begin, end and parent, unique.
    UserTask,
    /// A user task of the same name that began and ended when the span was over: the span was made after the fact.
    AfterTheFact,
}

impl BindingKind {
    /// The word in `binding` columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoggedId => "logged_id",
            Self::TaskAttribute => "task_attribute",
            Self::UserTask => "user_task",
            Self::AfterTheFact => "after_the_fact",
        }
    }
}

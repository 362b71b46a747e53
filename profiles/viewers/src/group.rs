//! The base states of goroutines: the coarsest distinction, and the one that the decoder makes.

use gotrace::GoroutineState;

/// A base state without its details. Refined states divide these and never cross them: mark assist of a running goroutine
/// is a part of `Running`, and a stopped world a part of `Runnable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    Waiting,
    Runnable,
    Syscall,
    Running,
    /// The trace does not say.
    Unknown,
}

impl Group {
    pub(crate) fn of(state: GoroutineState) -> Self {
        match state {
            GoroutineState::Waiting { .. } => Self::Waiting,
            GoroutineState::Runnable { .. } => Self::Runnable,
            GoroutineState::Syscall | GoroutineState::SyscallBlocked => Self::Syscall,
            GoroutineState::Running { .. } => Self::Running,
            GoroutineState::Undetermined => Self::Unknown,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Runnable => "runnable",
            Self::Syscall => "syscall",
            Self::Running => "running",
            Self::Unknown => "unknown",
        }
    }
}

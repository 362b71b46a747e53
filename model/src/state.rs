//! What a runtime task was doing.

/// State of a task over an interval. The finer `sub_state` (why runnable, which kind of wait) stands beside it as text.
///
/// The mapping from Go's events is that of the crate `spandrel-profiles`; [`State::Other`] keeps a wait whose reason
/// string is unknown, with the raw reason beside it, and [`State::Unknown`] is time that no evidence covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// On a processor of the runtime (the kernel may still have descheduled the thread).
    Running,
    /// Ready, waiting for a processor of the runtime.
    Runnable,
    /// Waiting for a `sync.Mutex`.
    Mutex,
    /// Waiting for a `sync.RWMutex`.
    RwMutex,
    /// Waiting in `sync.WaitGroup.Wait`.
    WaitGroup,
    /// Waiting for another goroutine's `sync.Once`.
    Once,
    /// Waiting on a runtime semaphore that no rule names more closely.
    Sync,
    /// Waiting in `sync.Cond.Wait`.
    Cond,
    /// Sending to or receiving from a channel.
    Channel,
    /// Waiting in `select`.
    Select,
    /// Sleeping or waiting for a timer.
    Sleep,
    /// Waiting for the network poller.
    Network,
    /// Inside a system call or a cgo call.
    Syscall,
    /// Helping the garbage collector to mark, as the price of allocating.
    GcAssist,
    /// Stopped because the world is stopped.
    GcStw,
    /// Sweeping on behalf of an allocation.
    GcSweep,
    /// Any other wait for the garbage collector.
    GcOther,
    /// Waiting for what can never happen: a nil channel, an empty select.
    Forever,
    /// Waiting for the work of another trace. The root view alone says this; no task is ever recorded in it.
    BlockedOnOther,
    /// Waiting for a reason that no rule knows.
    Other,
    /// No evidence.
    Unknown,
}

impl State {
    /// Every state, in the order in which reports show them.
    pub const ALL: [Self; 21] = [
        Self::Running,
        Self::Runnable,
        Self::Mutex,
        Self::RwMutex,
        Self::WaitGroup,
        Self::Once,
        Self::Sync,
        Self::Cond,
        Self::Channel,
        Self::Select,
        Self::Sleep,
        Self::Network,
        Self::Syscall,
        Self::GcAssist,
        Self::GcStw,
        Self::GcSweep,
        Self::GcOther,
        Self::Forever,
        Self::BlockedOnOther,
        Self::Other,
        Self::Unknown,
    ];

    /// Position in [`Self::ALL`].
    #[inline]
    pub const fn position(self) -> usize {
        self as usize
    }

    /// The word in `state` columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Mutex => "mutex",
            Self::RwMutex => "rwmutex",
            Self::WaitGroup => "waitgroup",
            Self::Once => "once",
            Self::Sync => "sync",
            Self::Cond => "cond",
            Self::Channel => "channel",
            Self::Select => "select",
            Self::Sleep => "sleep",
            Self::Network => "network",
            Self::Syscall => "syscall",
            Self::GcAssist => "gc_assist",
            Self::GcStw => "gc_stw",
            Self::GcSweep => "gc_sweep",
            Self::GcOther => "gc_other",
            Self::Forever => "forever",
            Self::BlockedOnOther => "blocked_on_other",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a task in this state always stands still until something wakes it. [`State::GcAssist`] does not say: it is
    /// work or a wait.
    pub const fn is_wait(self) -> bool {
        match self {
            Self::Running
            | Self::Runnable
            | Self::Syscall
            | Self::GcAssist
            | Self::GcStw
            | Self::GcSweep
            | Self::BlockedOnOther
            | Self::Unknown => false,
            Self::Mutex
            | Self::RwMutex
            | Self::WaitGroup
            | Self::Once
            | Self::Sync
            | Self::Cond
            | Self::Channel
            | Self::Select
            | Self::Sleep
            | Self::Network
            | Self::GcOther
            | Self::Forever
            | Self::Other => true,
        }
    }

    /// The inverse of [`Self::as_str`].
    pub fn from_column(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_word_of_its_own() {
        for (position, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(State::from_column(state.as_str()), Some(state));
            assert_eq!(state.position(), position);
        }
    }
}

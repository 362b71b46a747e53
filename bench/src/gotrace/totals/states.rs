//! How long goroutines were in each state, as `bench/gotrace/reader/states.go` adds it up.

use gotrace::{Goroutine, GoroutineState, Lookup, Recording, StateInterval, Visitor};

use crate::gotrace::facts::Facts;

/// Totals by the states of Go's reader. Takes them from a visited trace, or from a recording.
#[derive(Debug, Default)]
pub(crate) struct StateTotals {
    goroutines_count: u64,
    intervals_count: u64,
    runnable_ns: i64,
    running_ns: i64,
    syscall_ns: i64,
    waiting_ns: i64,
}

impl Visitor for StateTotals {
    #[inline]
    fn state(&mut self, interval: &StateInterval, _: Lookup<'_>) {
        self.add(interval);
    }

    fn goroutine(&mut self, _: &Goroutine, _: Lookup<'_>) {
        self.goroutines_count += 1;
    }
}

impl StateTotals {
    pub(crate) fn of(recording: &Recording) -> Self {
        let mut totals = Self::default();
        recording.states.iter().for_each(|interval| totals.add(interval));
        totals.goroutines_count = recording.goroutines.len() as u64;
        totals
    }

    #[inline]
    fn add(&mut self, interval: &StateInterval) {
        self.intervals_count += 1;
        let total_ns = match interval.state {
            GoroutineState::Undetermined => return,
            GoroutineState::Runnable { .. } => &mut self.runnable_ns,
            GoroutineState::Running { .. } => &mut self.running_ns,
            GoroutineState::Syscall | GoroutineState::SyscallBlocked => &mut self.syscall_ns,
            GoroutineState::Waiting { .. } => &mut self.waiting_ns,
        };
        *total_ns += interval.duration_ns();
    }

    pub(crate) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts.set("goroutines", self.goroutines_count);
        facts.set("intervals", self.intervals_count);
        facts.set("runnable_ns", self.runnable_ns);
        facts.set("running_ns", self.running_ns);
        facts.set("syscall_ns", self.syscall_ns);
        facts.set("waiting_ns", self.waiting_ns);
        facts.set(
            "states_ns",
            self.runnable_ns + self.running_ns + self.syscall_ns + self.waiting_ns,
        );
        facts
    }
}

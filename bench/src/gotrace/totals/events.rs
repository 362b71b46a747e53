//! Kind, time and goroutine of each event, in order, as `bench/gotrace/reader/events.go` adds them up.

use gotrace::{EventKind, GoEvent};

use crate::gotrace::facts::Facts;

/// Totals by the kinds of Go's reader.
#[derive(Debug, Default)]
pub(crate) struct EventTotals {
    counts: [u64; GO_KINDS.len()],
    goroutines: [u64; GO_KINDS.len()],
    first_ns: Option<i64>,
    time_sum_ns: i64,
}

/// Names of the kinds of golang.org/x/exp/trace, in the order of [`go_kind`].
const GO_KINDS: [&str; 13] = [
    "Metric",
    "Label",
    "StackSample",
    "RangeBegin",
    "RangeActive",
    "RangeEnd",
    "TaskBegin",
    "TaskEnd",
    "RegionBegin",
    "RegionEnd",
    "Log",
    "StateTransition",
    "Experimental",
];

impl EventTotals {
    #[inline]
    pub(crate) fn add(&mut self, event: &GoEvent) {
        let Some(kind) = go_kind(&event.kind) else { return };
        let first_ns = *self.first_ns.get_or_insert(event.time.0);
        self.counts[kind] += 1;
        self.goroutines[kind] += event.context.goroutine.map_or(0, |id| id.get() + 1);
        self.time_sum_ns += event.time.0 - first_ns;
    }

    pub(crate) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts.set("events", self.counts.iter().sum::<u64>());
        facts.set("time_sum_ns", self.time_sum_ns);
        for (kind, name) in GO_KINDS.iter().enumerate().filter(|(kind, _)| self.counts[*kind] > 0) {
            facts.set(format!("events.{name}"), self.counts[kind]);
            facts.set(format!("goroutine_sum.{name}"), self.goroutines[kind]);
        }
        facts
    }
}

/// Position in [`GO_KINDS`]; `None` for what is no event of the program.
#[inline]
fn go_kind(kind: &EventKind) -> Option<usize> {
    Some(match kind {
        EventKind::GenerationStart { .. } | EventKind::Gap => return None,
        EventKind::ProcsChange { .. } | EventKind::HeapAlloc { .. } | EventKind::HeapGoal { .. } => 0,
        EventKind::GoLabel { .. } => 1,
        EventKind::CpuSample => 2,
        EventKind::StwBegin { .. }
        | EventKind::GcBegin
        | EventKind::SweepBegin { .. }
        | EventKind::MarkAssistBegin { .. } => 3,
        EventKind::GcActive | EventKind::SweepActive { .. } | EventKind::MarkAssistActive { .. } => 4,
        EventKind::StwEnd | EventKind::GcEnd | EventKind::SweepEnd { .. } | EventKind::MarkAssistEnd { .. } => 5,
        EventKind::UserTaskBegin { .. } => 6,
        EventKind::UserTaskEnd { .. } => 7,
        EventKind::UserRegionBegin { .. } => 8,
        EventKind::UserRegionEnd { .. } => 9,
        EventKind::UserLog { .. } => 10,
        EventKind::ProcStart { .. }
        | EventKind::ProcStop { .. }
        | EventKind::ProcSteal { .. }
        | EventKind::ProcStatus { .. }
        | EventKind::GoCreate { .. }
        | EventKind::GoCreateSyscall { .. }
        | EventKind::GoStart { .. }
        | EventKind::GoDestroy { .. }
        | EventKind::GoDestroySyscall { .. }
        | EventKind::GoStop { .. }
        | EventKind::GoBlock { .. }
        | EventKind::GoUnblock { .. }
        | EventKind::GoSyscallBegin { .. }
        | EventKind::GoSyscallEnd { .. }
        | EventKind::GoSyscallEndBlocked { .. }
        | EventKind::GoStatus { .. } => 11,
        EventKind::Experimental { .. } => 12,
        // A kind that is not in this list is missing in the totals, which then disagree with Go's.
        _ => return None,
    })
}

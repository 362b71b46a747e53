//! What the runtime itself did for a while: stop the world, mark, assist, sweep.

use std::collections::BTreeMap;

use crate::clock::TraceNanos;
use crate::event::GoEvent;
use crate::ids::{GoroutineId, ProcId, StackId, StringId};

/// A stretch of runtime work. Ranges of different kinds overlap each other and goroutine states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeRange {
    /// What.
    pub kind: RangeKind,
    /// First nanosecond; the start of the trace or of the data after a gap if it began before.
    pub start: TraceNanos,
    /// One after the last nanosecond; the end of the data if the trace does not show the end.
    pub end: TraceNanos,
    /// The goroutine that did it: the one stopping the world or assisting; for a sweep the one running on the proc when the
    /// sweep began; none for a mark phase.
    pub goroutine: Option<GoroutineId>,
    /// The proc: of a sweep the one swept for, of the others the one where it began.
    pub proc: Option<ProcId>,
    /// Where it began.
    pub stack: Option<StackId>,
    /// Whether the trace shows the beginning.
    pub began: bool,
    /// Whether the trace shows the end.
    pub ended: bool,
}

/// Kinds of [`RuntimeRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RangeKind {
    /// No goroutine runs; `kind` says what for ("GC mark termination", "GOMAXPROCS", ...).
    StopTheWorld {
        /// The runtime's word.
        kind: StringId,
    },
    /// The concurrent mark phase of the garbage collector.
    GcMark,
    /// A goroutine helps to mark, in proportion to what it allocates. It may block meanwhile.
    MarkAssist,
    /// A proc sweeps spans before it allocates.
    Sweep {
        /// Bytes examined; 0 if the end was not seen.
        swept_bytes: u64,
        /// Bytes freed; 0 if the end was not seen.
        reclaimed_bytes: u64,
    },
}

/// What can be open at most once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RangeScope {
    StopTheWorld(Option<GoroutineId>),
    GcMark,
    MarkAssist(GoroutineId),
    Sweep(ProcId),
}

/// Pairs the beginnings and ends of ranges.
#[derive(Debug, Default)]
pub(super) struct OpenRanges(BTreeMap<RangeScope, RuntimeRange>);

impl OpenRanges {
    /// A range begins. Returns it, and one that was open already: that one ends here, unseen.
    pub(super) fn begin(
        &mut self,
        scope: RangeScope,
        kind: RangeKind,
        event: &GoEvent,
        stack: Option<StackId>,
    ) -> (RuntimeRange, Option<RuntimeRange>) {
        let range = RuntimeRange {
            kind,
            start: event.time,
            end: event.time,
            goroutine: event.context.goroutine.filter(|_| scope != RangeScope::GcMark),
            proc: event.context.proc,
            stack,
            began: true,
            ended: false,
        };
        let before = self.0.insert(scope, range);
        let end = event.time;
        (range, before.map(|range| RuntimeRange { end, ..range }))
    }

    /// A range is under way since the generation began. Returns it if it was not known before.
    pub(super) fn active(&mut self, scope: RangeScope, kind: RangeKind, since: TraceNanos) -> Option<RuntimeRange> {
        if self.0.contains_key(&scope) {
            return None;
        }
        let (goroutine, proc) = match scope {
            RangeScope::StopTheWorld(goroutine) => (goroutine, None),
            RangeScope::GcMark => (None, None),
            RangeScope::MarkAssist(goroutine) => (Some(goroutine), None),
            RangeScope::Sweep(proc) => (None, Some(proc)),
        };
        let range = RuntimeRange {
            kind,
            start: since,
            end: since,
            goroutine,
            proc,
            stack: None,
            began: false,
            ended: false,
        };
        self.0.insert(scope, range);
        Some(range)
    }

    /// A range ends. `kind` replaces the range's kind, where the end knows more. `None` if none was open.
    pub(super) fn end(&mut self, scope: RangeScope, kind: Option<RangeKind>, at: TraceNanos) -> Option<RuntimeRange> {
        let range = self.0.remove(&scope)?;
        Some(RuntimeRange {
            end: at,
            ended: true,
            kind: kind.unwrap_or(range.kind),
            ..range
        })
    }

    /// Cuts all open ranges: events are missing from here on, or there are no more.
    pub(super) fn cut(&mut self, at: TraceNanos) -> impl Iterator<Item = RuntimeRange> + use<> {
        let open = std::mem::take(&mut self.0);
        open.into_values().map(move |range| RuntimeRange { end: at, ..range })
    }
}

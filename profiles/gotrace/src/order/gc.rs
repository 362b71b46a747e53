//! Rules for the mark phase: begin and end may be on different threads, so both carry a number of their own.

use super::{Answer, At, NO_SLOT, Order, Resource, Sink, wake};
use crate::event::EventKind;
use crate::ids::StackId;

/// What is known of the mark phase, and the number of the last event about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GcPhase {
    Undetermined,
    Off { number: u64 },
    On { number: u64 },
}

impl GcPhase {
    fn number(self) -> u64 {
        match self {
            Self::Undetermined => 0,
            Self::Off { number } | Self::On { number } => number,
        }
    }
}

impl Order {
    /// Marking was under way at the start of the generation.
    pub(super) fn gc_active(&mut self, at: &At, number: u64, sink: &mut impl Sink) -> Answer {
        if self.initial {
            if self.gc != GcPhase::Undetermined {
                return Err(at.expected("no event of the garbage collector before"));
            }
            return self.set_gc(at, GcPhase::On { number }, None, EventKind::GcActive, sink);
        }
        if !self.is_next_gc(number) {
            return Ok(Some(Resource::Gc));
        }
        if !matches!(self.gc, GcPhase::On { .. }) {
            return Err(at.expected("marking to be under way"));
        }
        at.user_code()?;
        self.set_gc(at, GcPhase::On { number }, None, EventKind::GcActive, sink)
    }

    pub(super) fn gc_begin(&mut self, at: &At, number: u64, stack: Option<StackId>, sink: &mut impl Sink) -> Answer {
        if self.gc != GcPhase::Undetermined {
            if !self.is_next_gc(number) {
                return Ok(Some(Resource::Gc));
            }
            if matches!(self.gc, GcPhase::On { .. }) {
                return Err(at.expected("marking not to be under way"));
            }
            at.user_code()?;
        }
        self.set_gc(at, GcPhase::On { number }, stack, EventKind::GcBegin, sink)
    }

    pub(super) fn gc_end(&mut self, at: &At, number: u64, sink: &mut impl Sink) -> Answer {
        if !self.is_next_gc(number) {
            return Ok(Some(Resource::Gc));
        }
        if !matches!(self.gc, GcPhase::On { .. }) {
            return Err(at.expected("marking to be under way"));
        }
        at.user_code()?;
        self.set_gc(at, GcPhase::Off { number }, None, EventKind::GcEnd, sink)
    }

    fn is_next_gc(&self, number: u64) -> bool {
        self.gc.number().checked_add(1) == Some(number)
    }

    fn set_gc(
        &mut self,
        at: &At,
        phase: GcPhase,
        stack: Option<StackId>,
        kind: EventKind,
        sink: &mut impl Sink,
    ) -> Answer {
        self.gc = phase;
        wake(&mut self.gc_waiters, &mut self.woken);
        self.emit(at, stack, kind, NO_SLOT, sink);
        Ok(None)
    }
}

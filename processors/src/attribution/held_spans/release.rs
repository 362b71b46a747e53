//! Letting go of spans: of those whose time is over, and of others to make room.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::SpanKey;
use spandrel_model::{Interval, ProcessIdentity};

use super::super::relatives::Place;
use super::super::slots::{Round, Slot, SlotId};
use super::{HeldSpans, Released};

/// Slots of a process that are remembered for having been let go.
const REMEMBERED_SLOTS: usize = 10_000;
/// Processes that are remembered without spans.
const REMEMBERED_PROCESSES: usize = 1_000;

impl HeldSpans {
    /// Lets go of spans whose time is over and that none needs whose time is not: of `count`, or a slot more. Returns
    /// whether there may be others.
    pub(in super::super) fn forget(&mut self, round: &Round, count: usize) -> bool {
        for held in self.processes.values_mut() {
            for (id, slot) in &mut held.slots {
                if slot.is_over(round) && !slot.is_due(*id, round) {
                    slot.seal();
                    remember(&mut held.let_go, *id);
                }
            }
        }
        let are_more = self.drop_sealed(count);
        if self.processes.len() > REMEMBERED_PROCESSES {
            self.processes.retain(|_, held| !held.slots.is_empty());
        }
        are_more
    }

    /// Lets go of spans until `count` more fit below `limit`, beginning with those that were joined first. What waits is
    /// never let go; `None` if that alone leaves no room.
    ///
    /// Whole slots go first, in which nothing waits. If that is not enough, because a few spans wait wherever one looks,
    /// the joined spans of other slots go, and the rows that depend on them become final.
    ///
    /// What leaves is forgotten a little at a time: twice as much as comes, so that it does not pile up.
    pub(in super::super) fn make_room(&mut self, count: usize, limit: usize) -> Option<Released> {
        // One batch always fits when nothing waits: it could never be taken otherwise.
        if self.waiting_count > 0 && self.waiting_count + count > limit {
            return None;
        }
        let mut released = Released {
            sealed_early: 0,
            forgotten_ids: self.forget_some(2 * count, limit).unwrap_or(0),
        };
        let is_full = |spans: &Self| spans.span_count + count > limit;
        if is_full(self) {
            self.drop_sealed(self.span_count + count - limit);
        }
        let mut settled = match is_full(self) {
            true => self.joined_slots(Slot::is_settled),
            false => Vec::new(),
        };
        while is_full(self)
            && let Some((_, place)) = settled.pop()
        {
            released.sealed_early += self.seal(&place);
            self.drop_sealed_of(&place.process, limit.saturating_sub(count));
        }
        let mut others = match is_full(self) {
            true => self.joined_slots(Slot::has_joined_spans),
            false => Vec::new(),
        };
        while is_full(self)
            && let Some((_, place)) = others.pop()
        {
            released.sealed_early += self.seal_with_dependents(&place);
            self.drop_joined(&place);
        }
        Some(released)
    }

    /// Slots that have been joined, those joined first at the end.
    fn joined_slots(&self, is_wanted: impl Fn(&Slot) -> bool) -> Vec<(Instant, Place)> {
        let mut joined = Vec::new();
        for (process, held) in &self.processes {
            let slots = held.slots.iter().filter(|(_, slot)| is_wanted(slot));
            joined.extend(slots.filter_map(|(id, slot)| {
                let place = Place {
                    process: process.clone(),
                    slot: *id,
                };
                Some((slot.joined_at()?, place))
            }));
        }
        joined.sort_unstable_by(|one, other| other.cmp(one));
        joined
    }

    pub(super) fn seal(&mut self, place: &Place) -> u64 {
        let Some(held) = self.processes.get_mut(&place.process) else {
            return 0;
        };
        remember(&mut held.let_go, place.slot);
        held.slots.get_mut(&place.slot).map_or(0, |slot| slot.seal() as u64)
    }

    /// Makes the rows of a slot final, and those that a correction could not make without its spans: of slots that it
    /// touches, of children, and of callers.
    fn seal_with_dependents(&mut self, place: &Place) -> u64 {
        let Some(slot) = self.slot(place) else {
            return 0;
        };
        let hull = slot.hull();
        let children = slot.spans().flat_map(|span| self.relatives.children(SpanKey::of(span)));
        let children = children.filter(|child| child.process == place.process);
        let dependents: BTreeSet<Place> = children.chain(self.relatives.callers(place)).cloned().collect();
        let sealed = self.seal(place) + self.seal_touching(&place.process, hull);
        sealed + dependents.iter().map(|dependent| self.seal(dependent)).sum::<u64>()
    }

    /// Makes rows final that depend on something that goes before its time, in `interval`. Returns of how many spans.
    pub(in super::super) fn seal_touching(&mut self, process: &Arc<ProcessIdentity>, interval: Interval) -> u64 {
        let Some(held) = self.processes.get_mut(process) else {
            return 0;
        };
        let mut sealed = 0;
        for range in SlotId::touching(interval) {
            for (id, slot) in held.slots.range_mut(range) {
                if slot.touches(interval) {
                    sealed += slot.seal() as u64;
                    remember(&mut held.let_go, *id);
                }
            }
        }
        sealed
    }

    /// Takes note that evidence of this time is let go.
    pub(in super::super) fn close(&mut self, process: &Arc<ProcessIdentity>, interval: Interval) {
        let (first, last) = (SlotId::shortest(interval.start()), SlotId::shortest(interval.end()));
        if let Some(held) = self.processes.get_mut(process) {
            for slot in first.until(last).take(REMEMBERED_SLOTS) {
                remember(&mut held.let_go, slot);
            }
        }
    }

    /// Lets go of `count` spans or more in sealed slots that none needs. Returns whether it came to so many.
    fn drop_sealed(&mut self, count: usize) -> bool {
        let before = self.span_count;
        let enough = before.saturating_sub(count);
        let processes: Vec<Arc<ProcessIdentity>> = self.processes.keys().cloned().collect();
        for process in &processes {
            self.drop_sealed_of(process, enough);
            if self.span_count <= enough {
                break;
            }
        }
        before - self.span_count >= count
    }

    /// Stops when no more than `enough` spans are left.
    fn drop_sealed_of(&mut self, process: &Arc<ProcessIdentity>, enough: usize) {
        let Some(held) = self.processes.get(process) else {
            return;
        };
        let sealed = held.slots.iter().filter(|(_, slot)| !slot.is_open());
        let sealed: Vec<SlotId> = sealed.map(|(id, _)| *id).collect();
        for slot in sealed {
            let process = process.clone();
            let place = Place { process, slot };
            if self.is_unneeded(&place) {
                self.drop_joined(&place);
            }
            if self.span_count <= enough {
                return;
            }
        }
    }

    fn is_unneeded(&self, place: &Place) -> bool {
        let slot = self.slot(place);
        slot.is_some_and(|slot| {
            !self.is_needed(&place.process, slot.hull()) && !self.has_open_children(&place.process, slot)
        })
    }

    fn has_open_children(&self, process: &Arc<ProcessIdentity>, slot: &Slot) -> bool {
        let mut places = slot.spans().flat_map(|span| self.relatives.children(SpanKey::of(span)));
        places.any(|place| place.process == *process && self.slot(place).is_some_and(Slot::is_open))
    }

    /// Lets go of the spans of a slot that do not wait.
    fn drop_joined(&mut self, place: &Place) {
        let Some(held) = self.processes.get_mut(&place.process) else {
            return;
        };
        let Some(slot) = held.slots.get_mut(&place.slot) else {
            return;
        };
        let dropped = slot.take_joined();
        if slot.span_count() == 0 {
            held.slots.remove(&place.slot);
            self.relatives.remove_slot(place);
        }
        self.span_count -= dropped.len();
        let dropped = dropped.into_iter().map(|span| (place.process.clone(), span));
        self.leaving.extend(dropped);
    }

    /// Takes `count` of the spans that have been let go out of the relatives, and remembers the ids of `limit` such spans.
    /// Returns how many other ids are no longer recognized, or `None` when all are done.
    pub(in super::super) fn forget_some(&mut self, count: usize, limit: usize) -> Option<u64> {
        if self.leaving.is_empty() {
            return None;
        }
        let mut forgotten = 0;
        for (process, span) in self.leaving.drain(self.leaving.len().saturating_sub(count)..) {
            self.relatives.remove(&process, &span);
            forgotten += self.let_go.add((process, SpanKey::of(&span)), limit);
        }
        Some(forgotten)
    }
}

fn remember(let_go: &mut BTreeSet<SlotId>, slot: SlotId) {
    let_go.insert(slot);
    while let_go.len() > REMEMBERED_SLOTS {
        let_go.pop_first();
    }
}

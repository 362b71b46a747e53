//! The spans of all processes: found by process and slot, by id and by parent; bounded.

mod gathering;
mod release;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::SpanKey;
use spandrel_model::{Interval, ProcessIdentity, Span};

use super::duplicates::Latest;
use super::emitted::Emitted;
use super::relatives::{Place, Relatives};
use super::slots::{Round, Slot, SlotId, hull, touches};

pub(super) use self::restore::Restored;
pub(super) use gathering::Gathering;

/// Every span that waits, is correctable or is context for one that is.
#[derive(Debug, Default)]
pub(super) struct HeldSpans {
    processes: BTreeMap<Arc<ProcessIdentity>, Process>,
    relatives: Relatives,
    /// Spans that are no longer held, so that one sent again does not count again.
    let_go: Latest<(Arc<ProcessIdentity>, SpanKey)>,
    /// Spans that have been let go and are still among the relatives. They count no more.
    leaving: Vec<(Arc<ProcessIdentity>, Arc<Span>)>,
    span_count: usize,
    waiting_count: usize,
}

#[derive(Debug, Default)]
struct Process {
    slots: BTreeMap<SlotId, Slot>,
    /// Slots in which something has been let go: what comes for them now is too late.
    let_go: BTreeSet<SlotId>,
}

/// Outcome of [`HeldSpans::add`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    /// Accepted ones whose slot had been joined already.
    pub(super) late: u64,
    /// Accepted ones in a stretch of time for which rows are final.
    pub(super) too_late: u64,
}

/// What letting go has cost.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// Spans that could have been corrected for longer, had there been room.
    pub(super) sealed_early: u64,
    /// Ids that are no longer recognized when they are sent again.
    pub(super) forgotten_ids: u64,
}

/// What is known of a stretch of time of a process when something comes for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lateness {
    /// Spans in it have been joined.
    pub(super) is_late: bool,
    /// Rows of spans in it are final.
    pub(super) is_too_late: bool,
}

impl HeldSpans {
    /// Adds the spans of a batch. Slots that were joined and that they touch are due again.
    pub(super) fn add(&mut self, spans: Vec<Span>, now: Instant) -> Added {
        let mut added = Added::default();
        let mut touched: BTreeMap<Place, Interval> = BTreeMap::new();
        for span in spans {
            let Some((place, interval)) = self.add_one(span, Emitted::NOTHING, now, &mut added) else {
                continue;
            };
            touched
                .entry(place)
                .and_modify(|all| *all = hull(*all, interval))
                .or_insert(interval);
        }
        for (place, interval) in touched {
            self.change(&place.process, interval, now);
        }
        added
    }

    /// `before` is what an earlier run has sent on.
    fn add_one(&mut self, span: Span, before: Emitted, now: Instant, added: &mut Added) -> Option<(Place, Interval)> {
        let (key, interval) = (SpanKey::of(&span), span.interval);
        let process = match self.processes.get_key_value(&span.process) {
            Some((process, _)) => process.clone(),
            None => span.process.clone(),
        };
        if self.relatives.find(&process, key).is_some() || self.let_go.contains(&(process.clone(), key)) {
            added.duplicates += 1;
            return None;
        }
        let place = Place {
            slot: SlotId::of(interval),
            process: process.clone(),
        };
        self.relatives.add(&span, place.clone());
        let held = self.processes.entry(process).or_default();
        let slot = held.slots.entry(place.slot).or_insert_with(|| Slot::new(interval));
        added.accepted += 1;
        added.late += u64::from(slot.is_joined());
        let is_final = |slot: SlotId| held.let_go.contains(&slot);
        added.too_late += u64::from(is_final(place.slot) || is_final(SlotId::shortest(interval.start())));
        slot.add(Arc::new(span), before, now);
        self.span_count += 1;
        self.waiting_count += 1;
        self.change_children(key, &place.process, now);
        Some((place, interval))
    }

    /// A span that begins after its parent has ended need not touch it; whether it is a request depends on it all the same.
    fn change_children(&mut self, parent: SpanKey, process: &Arc<ProcessIdentity>, now: Instant) {
        let Some(held) = self.processes.get_mut(process) else {
            return;
        };
        for child in self.relatives.children(parent) {
            if child.process == *process
                && let Some(slot) = held.slots.get_mut(&child.slot)
            {
                slot.change(now);
            }
        }
    }

    /// Makes the joined slots due again that depend on what a process did in `interval`: its own slots that touch it, and
    /// those of other processes that have called these.
    pub(super) fn change(&mut self, process: &Arc<ProcessIdentity>, interval: Interval, now: Instant) -> Lateness {
        let mut lateness = Lateness::default();
        let Some(held) = self.processes.get_mut(process) else {
            return lateness;
        };
        let mut callers = BTreeSet::new();
        for range in SlotId::touching(interval) {
            lateness.is_too_late |= held.let_go.range(range.clone()).next().is_some();
            for (id, slot) in held.slots.range_mut(range) {
                if slot.touches(interval) {
                    lateness.is_late |= slot.is_joined();
                    slot.change(now);
                    let process = process.clone();
                    callers.extend(self.relatives.callers(&Place { process, slot: *id }).cloned());
                }
            }
        }
        for caller in callers {
            if let Some(slot) = self.slot_mut(&caller) {
                slot.change(now);
            }
        }
        lateness
    }

    /// The processes that have spans, and the latest that had.
    pub(super) fn known_processes(&self) -> impl Iterator<Item = &Arc<ProcessIdentity>> {
        self.processes.keys()
    }

    /// The spans of a process, those that touch `interval` if one is given.
    pub(super) fn spans_of(&self, process: &Arc<ProcessIdentity>, interval: Option<Interval>) -> Vec<Arc<Span>> {
        let Some(held) = self.processes.get(process).map(ProcessSlots) else {
            return Vec::new();
        };
        match interval {
            Some(interval) => held.touching(interval).cloned().collect(),
            None => held.spans().cloned().collect(),
        }
    }

    /// The processes that have spans, each with its spans.
    pub(super) fn processes(&self) -> impl Iterator<Item = (&Arc<ProcessIdentity>, ProcessSlots<'_>)> {
        let with_spans = self.processes.iter().filter(|(_, held)| !held.slots.is_empty());
        with_spans.map(|(process, held)| (process, ProcessSlots(held)))
    }

    /// The times in which spans begin that wait or may still be corrected.
    pub(super) fn open_times(&self) -> Vec<Interval> {
        let slots = self.processes.values().flat_map(|held| &held.slots);
        let open = slots.filter(|(_, slot)| slot.is_open());
        let times: BTreeSet<Interval> = open.map(|(id, _)| id.starts()).collect();
        times.into_iter().collect()
    }

    /// Spans accepted and not yet joined.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// The slots that are to be joined.
    pub(super) fn due(&self, round: &Round) -> Vec<Place> {
        let mut due = Vec::new();
        for (process, held) in &self.processes {
            let slots = held.slots.iter().filter(|(id, slot)| slot.is_due(**id, round));
            due.extend(slots.map(|(id, _)| Place {
                process: process.clone(),
                slot: *id,
            }));
        }
        due
    }

    fn slot(&self, place: &Place) -> Option<&Slot> {
        self.processes.get(&place.process)?.slots.get(&place.slot)
    }

    /// The slot of which a join has ended.
    pub(super) fn slot_mut(&mut self, place: &Place) -> Option<&mut Slot> {
        self.processes.get_mut(&place.process)?.slots.get_mut(&place.slot)
    }

    /// Takes note that so many spans no longer wait.
    pub(super) fn joined(&mut self, count: usize) {
        self.waiting_count -= count;
    }

    /// Whether a slot that waits or may still be corrected depends on what a process did in `interval`.
    pub(super) fn is_needed(&self, process: &Arc<ProcessIdentity>, interval: Interval) -> bool {
        let Some(held) = self.processes.get(process) else {
            return false;
        };
        let near = SlotId::touching(interval).flat_map(|range| held.slots.range(range));
        let mut touching = near.filter(|(_, slot)| slot.touches(interval));
        touching.any(|(id, slot)| {
            let process = process.clone();
            slot.is_open() || self.has_open_callers(&Place { process, slot: *id })
        })
    }

    fn has_open_callers(&self, place: &Place) -> bool {
        let mut callers = self.relatives.callers(place);
        callers.any(|caller| self.slot(caller).is_some_and(Slot::is_open))
    }
}

/// The spans of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessSlots<'a>(&'a Process);

impl<'a> ProcessSlots<'a> {
    fn spans(self) -> impl Iterator<Item = &'a Arc<Span>> {
        self.0.slots.values().flat_map(Slot::spans)
    }

    /// Whether spans wait that are due.
    pub(super) fn has_due_spans(self, round: &Round) -> bool {
        self.0.slots.values().any(|slot| slot.has_due_spans(round))
    }

    fn touching(self, interval: Interval) -> impl Iterator<Item = &'a Arc<Span>> {
        let ranges = SlotId::touching(interval);
        let slots = ranges.flat_map(move |range| self.0.slots.range(range));
        let spans = slots.flat_map(|(_, slot)| slot.spans());
        spans.filter(move |span| touches(span.interval, interval))
    }

    /// Whether a slot that touches `interval` is to be joined.
    pub(super) fn has_due_slot(self, interval: Interval, round: &Round) -> bool {
        SlotId::touching(interval)
            .flat_map(|range| self.0.slots.range(range))
            .any(|(id, slot)| slot.is_due(*id, round) && slot.touches(interval))
    }
}

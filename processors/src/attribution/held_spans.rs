//! The spans of all processes: found by process and slot, by id and by parent; bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::SpanKey;
use spandrel_model::{Interval, ProcessIdentity, Span, SpanId};

use super::duplicates::Latest;
use super::slots::{Round, Slot, SlotId, hull, touches};

/// Slots of a process that are remembered for having been let go.
const REMEMBERED_SLOTS: usize = 10_000;
/// Processes that are remembered without spans.
const REMEMBERED_PROCESSES: usize = 1_000;

/// Every span that waits, is correctable or is context for one that is.
#[derive(Debug, Default)]
pub(super) struct HeldSpans {
    processes: BTreeMap<Arc<ProcessIdentity>, Process>,
    /// Where spans are held. An id can occur in several processes.
    places: HashMap<SpanKey, Vec<Place>>,
    /// Spans by the id of their parent, and their own. A parent can have very many.
    children: BTreeMap<(SpanKey, SpanId), Vec<Place>>,
    /// Spans that are no longer held, so that one sent again does not count again.
    let_go: Latest<(Arc<ProcessIdentity>, SpanKey)>,
    span_count: usize,
    waiting_count: usize,
}

#[derive(Debug, Default)]
struct Process {
    slots: BTreeMap<SlotId, Slot>,
    /// Slots in which something has been let go: what comes for them now is too late.
    let_go: BTreeSet<SlotId>,
}

/// A slot of a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) process: Arc<ProcessIdentity>,
    pub(super) slot: SlotId,
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

/// The spans of one join.
#[derive(Debug)]
pub(super) struct JoinSpans {
    /// Spans that yield rows. The first `due` of them for the first time.
    pub(super) spans: Vec<Arc<Span>>,
    pub(super) due: usize,
    /// Other spans of the slot, those that touch it, and parents.
    pub(super) context: Vec<Arc<Span>>,
    /// Time covered by the slot.
    pub(super) hull: Interval,
}

impl HeldSpans {
    /// Adds the spans of a batch. Slots that were joined and that they touch are due again.
    pub(super) fn add(&mut self, spans: Vec<Span>, now: Instant) -> Added {
        let mut added = Added::default();
        let mut touched: BTreeMap<Place, Interval> = BTreeMap::new();
        for span in spans {
            let Some((place, interval)) = self.add_one(span, now, &mut added) else {
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

    fn add_one(&mut self, span: Span, now: Instant, added: &mut Added) -> Option<(Place, Interval)> {
        let (key, interval) = (SpanKey::of(&span), span.interval);
        let process = match self.processes.get_key_value(&span.process) {
            Some((process, _)) => process.clone(),
            None => span.process.clone(),
        };
        let places = self.places.entry(key).or_default();
        if places.iter().any(|place| place.process == process) || self.let_go.contains(&(process.clone(), key)) {
            added.duplicates += 1;
            return None;
        }
        let place = Place {
            slot: SlotId::of(interval),
            process: process.clone(),
        };
        places.push(place.clone());
        if let Some(span_id) = span.parent_span_id {
            let parent = SpanKey { span_id, ..key };
            let places = self.children.entry((parent, key.span_id)).or_default();
            places.push(place.clone());
        }
        let held = self.processes.entry(process).or_default();
        let slot = held.slots.entry(place.slot).or_insert_with(|| Slot::new(interval));
        added.accepted += 1;
        added.late += u64::from(slot.is_joined());
        let is_final = |slot: SlotId| held.let_go.contains(&slot);
        added.too_late += u64::from(is_final(place.slot) || is_final(SlotId::shortest(interval.start())));
        slot.add(Arc::new(span), now);
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
        for child in self.children.range(children_of(parent)).flat_map(|(_, places)| places) {
            if child.process == *process
                && let Some(slot) = held.slots.get_mut(&child.slot)
            {
                slot.change(now);
            }
        }
    }

    /// Makes the joined slots of a process that touch `interval` due again.
    pub(super) fn change(&mut self, process: &Arc<ProcessIdentity>, interval: Interval, now: Instant) -> Lateness {
        let mut lateness = Lateness::default();
        let Some(held) = self.processes.get_mut(process) else {
            return lateness;
        };
        for range in SlotId::touching(interval) {
            lateness.is_too_late |= held.let_go.range(range.clone()).next().is_some();
            for (_, slot) in held.slots.range_mut(range) {
                if slot.touches(interval) {
                    lateness.is_late |= slot.is_joined();
                    slot.change(now);
                }
            }
        }
        lateness
    }

    /// The processes that have spans, each with its spans.
    pub(super) fn processes(&self) -> impl Iterator<Item = (&Arc<ProcessIdentity>, ProcessSlots<'_>)> {
        let with_spans = self.processes.iter().filter(|(_, held)| !held.slots.is_empty());
        with_spans.map(|(process, held)| (process, ProcessSlots(held)))
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

    /// Begins the join of a slot.
    pub(super) fn begin_join(&mut self, place: &Place, round: &Round) -> Option<JoinSpans> {
        let held = self.processes.get_mut(&place.process)?;
        let slot = held.slots.get_mut(&place.slot)?;
        let hull = slot.hull();
        let (spans, due, mut context) = slot.begin_join(round);
        for range in SlotId::touching(hull) {
            for (id, slot) in held.slots.range(range) {
                if *id != place.slot && slot.touches(hull) {
                    context.extend(slot.spans().filter(|span| touches(span.interval, hull)).cloned());
                }
            }
        }
        let parents = spans.iter().filter_map(|span| {
            let span_id = span.parent_span_id?;
            self.find(
                &place.process,
                SpanKey {
                    span_id,
                    ..SpanKey::of(span)
                },
            )
        });
        let parents: BTreeMap<SpanKey, Arc<Span>> = parents
            .filter(|parent| !touches(parent.interval, hull))
            .map(|parent| (SpanKey::of(parent), parent.clone()))
            .collect();
        context.extend(parents.into_values());
        Some(JoinSpans {
            spans,
            due,
            context,
            hull,
        })
    }

    fn find(&self, process: &Arc<ProcessIdentity>, key: SpanKey) -> Option<&Arc<Span>> {
        let places = self.places.get(&key)?;
        let place = places.iter().find(|place| place.process == *process)?;
        self.slot(place)?.find(key)
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

    /// Whether a slot that may still be corrected, or that waits, touches `interval`.
    pub(super) fn is_open(&self, process: &Arc<ProcessIdentity>, interval: Interval) -> bool {
        self.processes.get(process).is_some_and(|held| held.is_open(interval))
    }

    /// Lets go of spans whose time is over and that none needs whose time is not.
    pub(super) fn forget(&mut self, round: &Round, limit: usize) -> Released {
        for held in self.processes.values_mut() {
            for (id, slot) in &mut held.slots {
                if slot.is_over(round) && !slot.is_due(*id, round) {
                    slot.seal();
                    remember(&mut held.let_go, *id);
                }
            }
        }
        let forgotten_ids = self.drop_sealed(limit);
        if self.processes.len() > REMEMBERED_PROCESSES {
            self.processes.retain(|_, held| !held.slots.is_empty());
        }
        Released {
            sealed_early: 0,
            forgotten_ids,
        }
    }

    /// Lets go of spans until `count` more fit below `limit`, beginning with those that were joined first. `None` if that
    /// is not enough.
    pub(super) fn make_room(&mut self, count: usize, limit: usize) -> Option<Released> {
        let mut released = Released::default();
        if self.span_count + count > limit {
            released.forgotten_ids += self.drop_sealed(limit);
        }
        let mut sealable = match self.span_count + count > limit {
            true => self.sealable(),
            false => Vec::new(),
        };
        while self.span_count + count > limit
            && let Some((_, place)) = sealable.pop()
        {
            released.sealed_early += self.seal(&place);
            released.forgotten_ids += self.drop_sealed_of(&place.process, limit);
        }
        // One batch always fits when nothing waits: it could never be taken otherwise.
        (self.waiting_count == 0 || self.span_count + count <= limit).then_some(released)
    }

    /// Slots in which nothing waits, those joined first at the end.
    fn sealable(&self) -> Vec<(Instant, Place)> {
        let mut sealable = Vec::new();
        for (process, held) in &self.processes {
            let slots = held.slots.iter();
            sealable.extend(slots.filter_map(|(id, slot)| {
                let place = Place {
                    process: process.clone(),
                    slot: *id,
                };
                Some((slot.sealable_since()?, place))
            }));
        }
        sealable.sort_unstable_by(|one, other| other.cmp(one));
        sealable
    }

    fn seal(&mut self, place: &Place) -> u64 {
        let Some(held) = self.processes.get_mut(&place.process) else {
            return 0;
        };
        remember(&mut held.let_go, place.slot);
        held.slots.get_mut(&place.slot).map_or(0, |slot| slot.seal() as u64)
    }

    /// Makes rows final that depend on something that goes before its time, in `interval`. Returns of how many spans.
    pub(super) fn seal_touching(&mut self, process: &Arc<ProcessIdentity>, interval: Interval) -> u64 {
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
    pub(super) fn close(&mut self, process: &Arc<ProcessIdentity>, interval: Interval) {
        let (first, last) = (SlotId::shortest(interval.start()), SlotId::shortest(interval.end()));
        if let Some(held) = self.processes.get_mut(process) {
            for slot in first.until(last).take(REMEMBERED_SLOTS) {
                remember(&mut held.let_go, slot);
            }
        }
    }

    fn drop_sealed(&mut self, limit: usize) -> u64 {
        let processes: Vec<Arc<ProcessIdentity>> = self.processes.keys().cloned().collect();
        let dropped = processes.iter().map(|process| self.drop_sealed_of(process, limit));
        dropped.sum()
    }

    fn drop_sealed_of(&mut self, process: &Arc<ProcessIdentity>, limit: usize) -> u64 {
        let Some(held) = self.processes.get(process) else {
            return 0;
        };
        let sealed = held.slots.iter().filter(|(_, slot)| !slot.is_open());
        let unneeded: Vec<SlotId> = sealed
            .filter(|(_, slot)| !held.is_open(slot.hull()) && !self.has_open_children(process, slot))
            .map(|(id, _)| *id)
            .collect();
        let mut forgotten = 0;
        for id in unneeded {
            let held = self.processes.get_mut(process);
            let Some(slot) = held.and_then(|held| held.slots.remove(&id)) else {
                continue;
            };
            self.span_count -= slot.span_count();
            for span in slot.spans() {
                self.unlink(process, span);
                forgotten += self.let_go.add((process.clone(), SpanKey::of(span)), limit);
            }
        }
        forgotten
    }

    fn has_open_children(&self, process: &Arc<ProcessIdentity>, slot: &Slot) -> bool {
        let mut places = slot.spans().flat_map(|span| {
            let children = self.children.range(children_of(SpanKey::of(span)));
            children.flat_map(|(_, places)| places)
        });
        places.any(|place| place.process == *process && self.slot(place).is_some_and(Slot::is_open))
    }

    fn unlink(&mut self, process: &Arc<ProcessIdentity>, span: &Span) {
        let key = SpanKey::of(span);
        if let Some(places) = self.places.get_mut(&key) {
            places.retain(|place| place.process != *process);
            if places.is_empty() {
                self.places.remove(&key);
            }
        }
        let Some(span_id) = span.parent_span_id else {
            return;
        };
        let child = (SpanKey { span_id, ..key }, key.span_id);
        if let Some(places) = self.children.get_mut(&child) {
            places.retain(|place| place.process != *process);
            if places.is_empty() {
                self.children.remove(&child);
            }
        }
    }
}

impl Process {
    fn is_open(&self, interval: Interval) -> bool {
        SlotId::touching(interval)
            .flat_map(|range| self.slots.range(range))
            .any(|(_, slot)| slot.is_open() && slot.touches(interval))
    }
}

fn children_of(parent: SpanKey) -> RangeInclusive<(SpanKey, SpanId)> {
    (parent, SpanId::new([0; 8]))..=(parent, SpanId::new([0xff; 8]))
}

fn remember(let_go: &mut BTreeSet<SlotId>, slot: SlotId) {
    let_go.insert(slot);
    while let_go.len() > REMEMBERED_SLOTS {
        let_go.pop_first();
    }
}

/// The spans of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessSlots<'a>(&'a Process);

impl<'a> ProcessSlots<'a> {
    /// All spans held.
    pub(super) fn spans(self) -> impl Iterator<Item = &'a Arc<Span>> {
        self.0.slots.values().flat_map(Slot::spans)
    }

    /// Whether spans wait that are due.
    pub(super) fn has_due_spans(self, round: &Round) -> bool {
        self.0.slots.values().any(|slot| slot.has_due_spans(round))
    }

    /// The spans that touch `interval`.
    pub(super) fn touching(self, interval: Interval) -> impl Iterator<Item = &'a Arc<Span>> {
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

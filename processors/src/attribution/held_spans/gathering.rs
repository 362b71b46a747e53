//! Gathering what a join needs, in steps: senders wait while spans are looked up, so each step looks at few.
//!
//! What arrives between two steps is a change of the slot, which is joined again then.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use spandrel_attribution::SpanKey;
use spandrel_model::{CpuProfile, Interval, ProcessIdentity, Span};

use super::super::held_profile::Lent;
use super::super::join::{Join, Part};
use super::super::recording_source::RecordingSource;
use super::super::relatives::{Descent, Place, parent_of};
use super::super::slots::Round;
use super::{HeldSpans, ProcessSlots};

/// Spans of which a step looks up the relatives.
const SPANS_PER_STEP: usize = 2_000;

/// What has been found for a join so far.
#[derive(Debug)]
pub(in super::super) struct Gathering {
    place: Place,
    /// Spans that yield rows. The first `due` of them for the first time.
    spans: Vec<Arc<Span>>,
    due: usize,
    /// Other spans of the slot.
    of_slot: Vec<Arc<Span>>,
    /// The search for slots that these have called.
    descent: Descent,
    /// Slots still to be looked at: the own one and those that it has called.
    around: Option<Vec<Place>>,
    /// Spans whose parents are still to be looked up.
    children: Vec<(Arc<ProcessIdentity>, Arc<Span>)>,
    surroundings: BTreeMap<Arc<ProcessIdentity>, Surroundings>,
}

/// What is looked at because of slots of a process.
#[derive(Debug, Default)]
pub(in super::super) struct Surroundings {
    /// The spans of the slots, those that touch these, and parents. Some more than once.
    spans: Vec<Arc<Span>>,
    /// Times for which recordings are needed.
    pub(in super::super) hulls: Vec<Interval>,
    /// These recordings.
    pub(in super::super) recordings: Vec<Lent<RecordingSource>>,
    /// CPU profiles of these times.
    pub(in super::super) cpu_profiles: Vec<Lent<Arc<CpuProfile>>>,
}

impl HeldSpans {
    /// Begins the join of a slot.
    pub(in super::super) fn begin_join(&mut self, place: Place, round: &Round) -> Option<Gathering> {
        let slot = self.slot_mut(&place)?;
        let (spans, due, of_slot) = slot.begin_join(round);
        Some(Gathering {
            descent: Descent::from(spans.iter().map(|span| SpanKey::of(span))),
            place,
            spans,
            due,
            of_slot,
            around: None,
            children: Vec::new(),
            surroundings: BTreeMap::new(),
        })
    }

    /// One step. Returns whether there are more.
    pub(in super::super) fn gather(&self, gathering: &mut Gathering) -> bool {
        let Some(around) = &mut gathering.around else {
            if !gathering.descent.go_on(&self.relatives, SPANS_PER_STEP) {
                let mut around: Vec<Place> = gathering.descent.take_called().into_iter().collect();
                around.push(gathering.place.clone());
                gathering.around = Some(around);
            }
            return true;
        };
        if !gathering.children.is_empty() {
            let rest = gathering.children.len().saturating_sub(SPANS_PER_STEP);
            for (process, span) in gathering.children.drain(rest..) {
                if let Some(parent) = self.parent(&process, &span) {
                    gathering
                        .surroundings
                        .entry(process)
                        .or_default()
                        .spans
                        .push(parent.clone());
                }
            }
            return true;
        }
        let Some(place) = around.pop() else {
            return false;
        };
        if let Some((held, slot)) =
            (self.processes.get(&place.process)).and_then(|held| Some((held, held.slots.get(&place.slot)?)))
        {
            let surroundings = gathering.surroundings.entry(place.process.clone()).or_default();
            surroundings.hulls.push(slot.hull());
            surroundings
                .spans
                .extend(ProcessSlots(held).touching(slot.hull()).cloned());
            let children = slot.spans().filter(|span| span.parent_span_id.is_some());
            gathering
                .children
                .extend(children.map(|span| (place.process.clone(), span.clone())));
        }
        true
    }

    fn parent(&self, process: &Arc<ProcessIdentity>, span: &Span) -> Option<&Arc<Span>> {
        let parent = parent_of(span)?;
        self.slot(self.relatives.find(process, parent)?)?.find(parent)
    }
}

impl Gathering {
    /// What was looked at of each process.
    pub(in super::super) fn surroundings(
        &mut self,
    ) -> impl Iterator<Item = (&Arc<ProcessIdentity>, &mut Surroundings)> {
        self.surroundings.iter_mut()
    }

    /// The join, when all is gathered.
    pub(in super::super) fn into_join(mut self) -> Join {
        let emitting: HashSet<SpanKey> = self.spans.iter().map(|span| SpanKey::of(span)).collect();
        let mut own = self.surroundings.remove(&self.place.process).unwrap_or_default();
        own.spans.append(&mut self.of_slot);
        own.spans.retain(|span| !emitting.contains(&SpanKey::of(span)));
        let own = own.into_part(self.place.process.clone(), self.spans);
        let called = self.surroundings.into_iter();
        let called = called.map(|(process, surroundings)| surroundings.into_part(process, Vec::new()));
        Join {
            place: self.place,
            due: self.due,
            parts: std::iter::once(own).chain(called).collect(),
        }
    }
}

impl Surroundings {
    fn into_part(mut self, process: Arc<ProcessIdentity>, spans: Vec<Arc<Span>>) -> Part {
        self.spans.sort_unstable_by_key(|span| SpanKey::of(span));
        self.spans.dedup_by_key(|span| SpanKey::of(span));
        Part {
            cpu_profiles: match spans.is_empty() {
                true => Vec::new(),
                false => self.cpu_profiles,
            },
            process,
            spans,
            context: self.spans,
            recordings: self.recordings,
        }
    }
}

//! Parents and children among the spans held, in whatever process, and which slots call which.
//!
//! What a span waited for can be the work of another process: that of the spans that it called, directly or through
//! others. So a slot depends on the slots that hold these, and is one of their *callers*.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use spandrel_attribution::SpanKey;
use spandrel_model::{ProcessIdentity, Span, SpanId};

use super::slots::SlotId;

/// How far up and down a trace calls are looked for when a span comes. Corrupt parents can form circles.
const GENERATIONS: usize = 64;
const DESCENDANTS: usize = 10_000;

/// A slot of a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) process: Arc<ProcessIdentity>,
    pub(super) slot: SlotId,
}

/// The spans held, by id and by the id of their parent.
#[derive(Debug, Default)]
pub(super) struct Relatives {
    /// Where spans are held. An id can occur in several processes.
    places: HashMap<SpanKey, Vec<Member>>,
    /// The same by the id of their parent, and their own. A parent can have very many.
    children: BTreeMap<(SpanKey, SpanId), Vec<Place>>,
    /// Slots with ancestors of the spans of a slot, in other processes or beyond.
    callers: BTreeMap<Place, BTreeSet<Place>>,
}

#[derive(Debug)]
struct Member {
    place: Place,
    parent: Option<SpanKey>,
}

impl Relatives {
    /// Where a span of a process is held.
    pub(super) fn find(&self, process: &Arc<ProcessIdentity>, key: SpanKey) -> Option<&Place> {
        let mut places = self.places.get(&key)?.iter().map(|member| &member.place);
        places.find(|place| place.process == *process)
    }

    /// Where the children of a span are held.
    pub(super) fn children(&self, parent: SpanKey) -> impl Iterator<Item = &Place> {
        let children = self.children.range(children_of(parent));
        children.flat_map(|(_, places)| places)
    }

    /// The slots that depend on this one because they hold callers of its spans.
    pub(super) fn callers(&self, place: &Place) -> impl Iterator<Item = &Place> {
        self.callers.get(place).into_iter().flatten()
    }

    pub(super) fn add(&mut self, span: &Span, place: Place) {
        let (key, parent) = (SpanKey::of(span), parent_of(span));
        if let Some(parent) = parent {
            let places = self.children.entry((parent, key.span_id)).or_default();
            places.push(place.clone());
        }
        let member = Member {
            place: place.clone(),
            parent,
        };
        self.places.entry(key).or_default().push(member);
        let mut called = self.called([key], DESCENDANTS);
        if self.is_called(&place, parent) {
            called.insert(place.clone());
        }
        if called.is_empty() {
            return;
        }
        let mut callers = self.ancestors(parent);
        callers.insert(place);
        for place in called {
            let others = callers.iter().filter(|caller| **caller != place).cloned();
            self.callers.entry(place.clone()).or_default().extend(others);
        }
    }

    pub(super) fn remove(&mut self, process: &Arc<ProcessIdentity>, span: &Span) {
        let key = SpanKey::of(span);
        if let Some(members) = self.places.get_mut(&key) {
            members.retain(|member| member.place.process != *process);
            if members.is_empty() {
                self.places.remove(&key);
            }
        }
        let Some(parent) = parent_of(span) else {
            return;
        };
        let child = (parent, key.span_id);
        if let Some(places) = self.children.get_mut(&child) {
            places.retain(|place| place.process != *process);
            if places.is_empty() {
                self.children.remove(&child);
            }
        }
    }

    /// Forgets who calls a slot that is let go.
    pub(super) fn remove_slot(&mut self, place: &Place) {
        self.callers.remove(place);
    }

    /// The slots with spans that `spans` have called in other processes, directly or through others. Looks at no more than
    /// `limit` spans.
    fn called(&self, spans: impl IntoIterator<Item = SpanKey>, limit: usize) -> BTreeSet<Place> {
        let mut descent = Descent::from(spans);
        descent.go_on(self, limit);
        descent.called
    }

    /// Whether a span held in `place` has a parent, and that only in other processes.
    fn is_called(&self, place: &Place, parent: Option<SpanKey>) -> bool {
        let parents = parent.and_then(|parent| self.places.get(&parent));
        parents.is_some_and(|parents| parents.iter().all(|parent| parent.place.process != place.process))
    }

    fn ancestors(&self, mut parent: Option<SpanKey>) -> BTreeSet<Place> {
        let mut places = BTreeSet::new();
        for _ in 0..GENERATIONS {
            let Some(members) = parent.and_then(|parent| self.places.get(&parent)) else {
                break;
            };
            places.extend(members.iter().map(|member| member.place.clone()));
            parent = members.iter().find_map(|member| member.parent);
        }
        places
    }
}

/// A search for the slots with spans that some spans have called in other processes, directly or through others.
#[derive(Debug)]
pub(super) struct Descent {
    next: Vec<SpanKey>,
    seen: HashSet<SpanKey>,
    called: BTreeSet<Place>,
}

impl Descent {
    /// From these spans downwards.
    pub(super) fn from(spans: impl IntoIterator<Item = SpanKey>) -> Self {
        let next: Vec<SpanKey> = spans.into_iter().collect();
        Self {
            seen: next.iter().copied().collect(),
            next,
            called: BTreeSet::new(),
        }
    }

    /// Looks at the children of `count` spans. Returns whether there are more.
    pub(super) fn go_on(&mut self, relatives: &Relatives, count: usize) -> bool {
        for _ in 0..count {
            let Some(key) = self.next.pop() else {
                return false;
            };
            for ((_, span_id), places) in relatives.children.range(children_of(key)) {
                let called = places.iter().filter(|place| relatives.is_called(place, Some(key)));
                self.called.extend(called.cloned());
                let child = SpanKey {
                    span_id: *span_id,
                    ..key
                };
                if self.seen.insert(child) {
                    self.next.push(child);
                }
            }
        }
        !self.next.is_empty()
    }

    /// What was found.
    pub(super) fn take_called(&mut self) -> BTreeSet<Place> {
        std::mem::take(&mut self.called)
    }
}

/// The id of the parent of a span.
pub(super) fn parent_of(span: &Span) -> Option<SpanKey> {
    let (trace_id, span_id) = (span.trace_id, span.parent_span_id?);
    Some(SpanKey { trace_id, span_id })
}

fn children_of(parent: SpanKey) -> RangeInclusive<(SpanKey, SpanId)> {
    (parent, SpanId::new([0; 8]))..=(parent, SpanId::new([0xff; 8]))
}

#[cfg(test)]
mod tests {
    use spandrel_model::{Interval, SpanKind, TraceId, UnixNanos};

    use super::*;

    fn process(name: &str) -> Arc<ProcessIdentity> {
        Arc::new(ProcessIdentity {
            service_name: name.into(),
            ..ProcessIdentity::default()
        })
    }

    fn span(process: &Arc<ProcessIdentity>, id: u8, parent: Option<u8>, second: i64) -> (Span, Place) {
        let at = UnixNanos(second * 1_000_000_000);
        let interval = Interval::new(at, at).unwrap();
        let span = Span {
            trace_id: TraceId::new([1; 16]),
            span_id: SpanId::new([id; 8]),
            parent_span_id: parent.map(|id| SpanId::new([id; 8])),
            parent_is_remote: None,
            process: process.clone(),
            name: "GET /".into(),
            kind: SpanKind::Internal,
            scope_name: "".into(),
            interval,
            attributes: vec![],
        };
        let slot = SlotId::of(interval);
        (
            span,
            Place {
                process: process.clone(),
                slot,
            },
        )
    }

    #[test]
    fn a_slot_is_called_by_all_ancestors_in_other_processes_in_whatever_order_they_come() {
        let (front, back) = (process("front"), process("back"));
        let spans = [
            span(&front, 1, None, 0),
            span(&front, 2, Some(1), 10),
            span(&back, 3, Some(2), 20),
            span(&back, 4, Some(3), 30),
            span(&front, 5, Some(4), 40),
        ];
        let orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 4, 2, 0, 3]];
        for order in orders {
            let mut relatives = Relatives::default();
            for index in order {
                relatives.add(&spans[index].0, spans[index].1.clone());
            }
            let callers = |of: usize| -> Vec<&Place> { relatives.callers(&spans[of].1).collect() };
            let places = |of: &[usize]| -> Vec<&Place> {
                let places: BTreeSet<&Place> = of.iter().map(|index| &spans[*index].1).collect();
                places.into_iter().collect()
            };
            assert_eq!(callers(0), places(&[]), "{order:?}");
            assert_eq!(callers(1), places(&[]), "{order:?}");
            assert_eq!(callers(2), places(&[0, 1]), "{order:?}");
            assert_eq!(
                callers(3),
                places(&[]),
                "what only its own process depends on is found by time"
            );
            assert_eq!(callers(4), places(&[0, 1, 2, 3]), "{order:?}");
            let called = relatives.called([SpanKey::of(&spans[0].0)], usize::MAX);
            assert_eq!(called.iter().collect::<Vec<_>>(), places(&[2, 4]), "{order:?}");
        }
    }
}

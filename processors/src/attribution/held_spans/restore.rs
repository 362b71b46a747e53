//! Spans that an earlier run held, taken up again.
//!
//! A span without rows waits, as if it had arrived now. One that has rows is joined anew, as the rows of a correction
//! may have been lost, and where nothing is new nothing is sent. It can be corrected for `retention` from now, if a
//! correction can know all that its rows were made from. Otherwise they are final, and it is context for others:
//!
//! * It was final when the earlier run ended, as was all of its slot.
//! * A recording that covered it is no longer held.
//! * It was no request, for its parent was there, and the parent is not.
//! * A slot that it called in another process is one of these.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::SpanKey;
use spandrel_model::{Interval, ProcessIdentity};

use super::{Added, HeldSpans};
use crate::attribution::emitted::Emitted;
use crate::attribution::relatives::{Place, parent_of};
use crate::attribution::restart::RecalledSpan;

/// What was taken up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::attribution) struct Restored {
    /// Spans that wait.
    pub(in crate::attribution) waiting: u64,
    /// Spans that can be corrected.
    pub(in crate::attribution) correctable: u64,
    /// Spans whose rows are final.
    pub(in crate::attribution) sealed: u64,
}

impl HeldSpans {
    /// Takes up spans. `recorded` says of which times recordings of a process are held.
    pub(in crate::attribution) fn restore(
        &mut self,
        recalled: Vec<RecalledSpan>,
        recorded: &dyn Fn(&ProcessIdentity) -> Vec<Interval>,
        now: Instant,
    ) -> Restored {
        let (joined, waiting): (Vec<_>, Vec<_>) = recalled.into_iter().partition(|span| span.recorded_ns.is_some());
        // Those that wait first: they may be the parents of others.
        let mut waits = Added::default();
        for RecalledSpan { span, emitted, .. } in waiting {
            self.add_one(span, emitted, now, &mut waits);
        }
        let mut added = Added::default();
        let joined: Vec<(Place, Joined)> = (joined.into_iter())
            .filter_map(|span| self.restore_joined(span, now, &mut added))
            .collect();
        let sealed = self.seal_incomplete(&joined, recorded);
        self.change_all(now);
        Restored {
            waiting: waits.accepted,
            correctable: added.accepted.saturating_sub(sealed),
            sealed,
        }
    }

    fn restore_joined(&mut self, recalled: RecalledSpan, now: Instant, added: &mut Added) -> Option<(Place, Joined)> {
        let joined = Joined {
            key: SpanKey::of(&recalled.span),
            needed_parent: needed_parent(&recalled),
            interval: recalled.span.interval,
            is_correctable: recalled.is_correctable,
            recorded_ns: recalled.recorded_ns?,
        };
        let (place, _) = self.add_one(recalled.span, Emitted::NOTHING, now, added)?;
        let slot = self.slot_mut(&place)?;
        slot.restore_rows(joined.key, recalled.emitted, now);
        self.waiting_count -= 1;
        Some((place, joined))
    }

    /// Makes the rows of all slots final of which a correction would not know enough. Returns of how many spans.
    fn seal_incomplete(
        &mut self,
        joined: &[(Place, Joined)],
        recorded: &dyn Fn(&ProcessIdentity) -> Vec<Interval>,
    ) -> u64 {
        let (mut all, mut correctable, mut incomplete) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut windows: Option<(Arc<ProcessIdentity>, Vec<Interval>)> = None;
        for (place, span) in joined {
            let of_process = match &windows {
                Some((process, windows)) if *process == place.process => windows,
                _ => &windows.insert((place.process.clone(), recorded(&place.process))).1,
            };
            all.insert(place);
            if span.is_correctable {
                correctable.insert(place);
            }
            let is_held = |parent| self.relatives.find(&place.process, parent).is_some();
            let lacks_parent = span.needed_parent.is_some_and(|parent| !is_held(parent));
            if lacks_parent || covered_ns(span.interval, of_process) < span.recorded_ns {
                incomplete.insert(place);
                incomplete.extend(self.relatives.callers(place));
            }
        }
        let sealed = all
            .iter()
            .filter(|place| !correctable.contains(*place) || incomplete.contains(*place));
        let sealed: Vec<Place> = sealed.map(|place| (*place).clone()).collect();
        sealed.iter().map(|place| self.seal(place)).sum()
    }

    /// Has all that can be corrected joined anew: a crash may have cost a correction.
    fn change_all(&mut self, now: Instant) {
        let slots = self.processes.values_mut().flat_map(|held| held.slots.values_mut());
        slots.for_each(|slot| slot.change(now));
    }
}

/// A span whose rows were sent on.
#[derive(Debug)]
struct Joined {
    key: SpanKey,
    /// Because of which it is no request.
    needed_parent: Option<SpanKey>,
    interval: Interval,
    is_correctable: bool,
    recorded_ns: i64,
}

/// The parent of a span that is no request because its parent was there: its SDK does not say so.
fn needed_parent(recalled: &RecalledSpan) -> Option<SpanKey> {
    let decides = recalled.span.parent_is_remote.is_none() && !recalled.emitted.is_request();
    parent_of(&recalled.span).filter(|_| decides)
}

/// How much of `interval` the others cover together, nanoseconds. These are sorted by their starts.
fn covered_ns(interval: Interval, others: &[Interval]) -> i64 {
    let (mut covered_ns, mut from) = (0_i64, interval.start());
    for other in others {
        let (start, end) = (from.max(other.start()), interval.end().min(other.end()));
        if start < end {
            covered_ns += end.0 - start.0;
            from = end;
        }
    }
    covered_ns
}

#[cfg(test)]
mod tests {
    use spandrel_model::UnixNanos;

    use super::*;

    #[test]
    fn what_several_recordings_cover_counts_once() {
        let interval = |start, end| Interval::new(UnixNanos(start), UnixNanos(end)).unwrap();
        let recordings = [interval(0, 12), interval(11, 14), interval(12, 13), interval(18, 30)];
        assert_eq!(covered_ns(interval(10, 20), &recordings), 6);
        assert_eq!(covered_ns(interval(10, 20), &[]), 0);
    }
}

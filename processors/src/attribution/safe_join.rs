//! A join that panics is done without the profile that makes it.
//!
//! Spans are not lost for it: they get the rows that they would have had without that profile.

use std::slice;

use spandrel_attribution::Attributed;

use super::guarded::{Panicked, catching};
use super::held_profile::{HeldProfile, ProfileId};
use super::join::Join;

/// So many profiles are found for which a join panics. Each costs some joins.
const CULPRITS_MAX: usize = 4;

/// What came out of a join.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) result: Attributed,
    /// Spans joined before whose rows stay as they are, because profiles were left out.
    pub(super) uncorrected: u64,
    /// Spans that have no rows, because no join is possible.
    pub(super) lost: u64,
    /// Profiles that it was done without because they make it panic.
    pub(super) culprits: Vec<HeldProfile>,
}

/// Joins spans with `profiles`, or with those of them for which that is possible. If it panics even with none, the spans
/// have no rows.
pub(super) fn join_safely(
    join: &mut Join,
    profiles: Vec<HeldProfile>,
    attribute: impl Fn(&Join, &[HeldProfile]) -> Attributed,
) -> Joined {
    let attempt = |join: &Join, profiles: &[HeldProfile]| catching(|| attribute(join, profiles));
    let panicked = match attempt(join, &profiles) {
        Ok(result) => {
            return Joined {
                result,
                uncorrected: 0,
                lost: 0,
                culprits: Vec::new(),
            };
        }
        Err(panicked) => panicked,
    };
    let Culprits { culprits, others } = Culprits::find(profiles, |profiles| attempt(join, profiles).is_ok());
    report(join, &culprits, &panicked);
    let uncorrected = join.leave_joined_spans();
    let (result, lost) = match attempt(join, &others) {
        Ok(result) => (result, 0),
        Err(_) => (Attributed::default(), join.due as u64),
    };
    Joined {
        result,
        uncorrected,
        lost,
        culprits,
    }
}

/// Profiles for which a join panics.
struct Culprits {
    culprits: Vec<HeldProfile>,
    /// Those with which it is possible: none if there are more than [`CULPRITS_MAX`] culprits, or it panics in any case.
    others: Vec<HeldProfile>,
}

impl Culprits {
    /// Which of `profiles` make a join panic that panics with all of them. None if it is not because of them.
    fn find(profiles: Vec<HeldProfile>, is_possible: impl Fn(&[HeldProfile]) -> bool) -> Self {
        let mut found = Self {
            culprits: Vec::new(),
            others: Vec::new(),
        };
        if !is_possible(&[]) {
            return found;
        }
        let mut suspects = profiles;
        while found.culprits.len() < CULPRITS_MAX
            && let Some(culprit) = first_culprit(&suspects, &is_possible)
        {
            suspects = without(&suspects, slice::from_ref(&culprit));
            found.culprits.push(culprit);
            if is_possible(&suspects) {
                found.others = suspects;
                break;
            }
        }
        found
    }
}

/// The profile up to which a join is possible that is possible with none and not with all. None if there are none.
fn first_culprit(profiles: &[HeldProfile], is_possible: impl Fn(&[HeldProfile]) -> bool) -> Option<HeldProfile> {
    // It is possible with so many of the first ones, and not with so many.
    let (mut possible, mut impossible) = (0, profiles.len());
    while impossible - possible > 1 {
        let middle = usize::midpoint(possible, impossible);
        match is_possible(&profiles[..middle]) {
            true => possible = middle,
            false => impossible = middle,
        }
    }
    profiles.get(possible).cloned()
}

/// Those of `profiles` that are none of `others`.
pub(super) fn without(profiles: &[HeldProfile], others: &[HeldProfile]) -> Vec<HeldProfile> {
    let others: Vec<ProfileId> = others.iter().map(|profile| profile.id).collect();
    let rest = profiles.iter().filter(|profile| !others.contains(&profile.id));
    rest.cloned().collect()
}

fn report(join: &Join, culprits: &[HeldProfile], panicked: &Panicked) {
    let process = &join.place.process;
    match culprits.len() {
        0 => {
            tracing::error!(%process, due = join.due, "spans are attributed without runtime profiles, if at all: {panicked}")
        }
        count => tracing::error!(%process, count, "spans are attributed without some runtime profiles: {panicked}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spandrel_model::{Interval, Span, SpanId, SpanKind, TraceId, UnixNanos};

    use super::super::join::Part;
    use super::super::relatives::Place;
    use super::super::slots::SlotId;
    use super::*;

    fn span(id: u8) -> Arc<Span> {
        Arc::new(Span {
            trace_id: TraceId::new([1; 16]),
            span_id: SpanId::new([id; 8]),
            parent_span_id: None,
            parent_is_remote: None,
            process: Arc::default(),
            name: "GET /".into(),
            kind: SpanKind::Server,
            scope_name: "".into(),
            interval: Interval::new(UnixNanos(0), UnixNanos(1)).unwrap(),
            attributes: vec![],
        })
    }

    /// Three spans, of which one has no rows yet.
    fn join() -> Join {
        Join {
            place: Place {
                process: Arc::default(),
                slot: SlotId::shortest(UnixNanos(0)),
            },
            due: 1,
            parts: vec![Part {
                process: Arc::default(),
                spans: (1..=3).map(span).collect(),
                context: vec![],
                recordings: vec![],
                cpu_profiles: vec![],
            }],
        }
    }

    fn ids(profiles: &[HeldProfile]) -> Vec<ProfileId> {
        profiles.iter().map(|profile| profile.id).collect()
    }

    /// Joins with the profiles 1 to 7, which panics with those that `fail`. Returns with which ones it was done at last, the
    /// culprits, and how many spans were not corrected, and lost.
    fn join_with(fail: impl Fn(&[ProfileId]) -> bool) -> (Vec<ProfileId>, Vec<ProfileId>, [u64; 2]) {
        let profiles = (1..=7).map(|id| HeldProfile {
            id,
            source: "x.trace".into(),
            stored: None,
        });
        let attribute = |_: &Join, profiles: &[HeldProfile]| {
            let ids = ids(profiles);
            assert!(!fail(&ids), "as wanted");
            let mut result = Attributed::default();
            result.walks.waits = ids.iter().map(|id| 1 << id).sum();
            result
        };
        let joined = join_safely(&mut join(), profiles.collect(), attribute);
        let used = (1..=7).filter(|id| joined.result.walks.waits & (1 << id) != 0);
        (used.collect(), ids(&joined.culprits), [joined.uncorrected, joined.lost])
    }

    #[test]
    fn a_join_without_a_panic_uses_all_profiles() {
        assert_eq!(join_with(|_| false), ((1..=7).collect(), vec![], [0, 0]));
    }

    #[test]
    fn one_culprit_is_found_and_all_others_are_used_for_spans_without_rows() {
        for culprit in 1..=7 {
            let others = (1..=7).filter(|id| *id != culprit).collect();
            let joined = join_with(|ids| ids.contains(&culprit));
            assert_eq!(joined, (others, vec![culprit], [2, 0]));
        }
        // Two that do not go together: without either of them it is possible.
        let (used, culprits, _) = join_with(|ids| ids.contains(&2) && ids.contains(&5));
        assert_eq!((used, culprits), (vec![1, 2, 3, 4, 6, 7], vec![5]));
    }

    #[test]
    fn several_culprits_are_found_one_after_the_other() {
        let joined = join_with(|ids| ids.contains(&2) || ids.contains(&5));
        assert_eq!(joined, (vec![1, 3, 4, 6, 7], vec![2, 5], [2, 0]));
        let joined = join_with(|ids| ids.iter().any(|id| id % 2 == 1));
        assert_eq!(joined, (vec![2, 4, 6], vec![1, 3, 5, 7], [2, 0]));
    }

    #[test]
    fn where_too_many_are_culprits_none_is_used_and_few_are_blamed() {
        let joined = join_with(|ids| !ids.is_empty());
        assert_eq!(joined, (vec![], vec![1, 2, 3, 4], [2, 0]));
    }

    #[test]
    fn profiles_are_not_blamed_for_what_happens_without_them_and_lost_spans_are_counted() {
        assert_eq!(join_with(|_| true), (vec![], vec![], [2, 1]));
    }
}

//! A join that panics is done without the profile that makes it.
//!
//! Spans are not lost for it: they get the rows that they would have had without that profile.

use spandrel_attribution::Attributed;

use super::guarded::{Panicked, catching};
use super::held_profile::{HeldProfile, ProfileId};
use super::join::Join;

/// What came out of a join.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) result: Attributed,
    /// Spans joined before whose rows stay as they are, because profiles were left out.
    pub(super) uncorrected: u64,
    /// Profiles that it was done without.
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
                culprits: Vec::new(),
            };
        }
        Err(panicked) => panicked,
    };
    let culprits = culprits(&profiles, |profiles| attempt(join, profiles).is_ok());
    report(join, &culprits, &panicked);
    let others = match culprits.is_empty() {
        true => Vec::new(),
        false => without(&profiles, &culprits),
    };
    let uncorrected = join.leave_joined_spans();
    Joined {
        result: attempt(join, &others).unwrap_or_default(),
        uncorrected,
        culprits,
    }
}

/// Which of `profiles` make a join panic that panics with all of them: one, if it does not without that, else all. None if
/// it is not because of them.
fn culprits(profiles: &[HeldProfile], is_possible: impl Fn(&[HeldProfile]) -> bool) -> Vec<HeldProfile> {
    if profiles.is_empty() || !is_possible(&[]) {
        return Vec::new();
    }
    // It is possible with so many of the first ones, and not with so many.
    let (mut possible, mut impossible) = (0, profiles.len());
    while impossible - possible > 1 {
        let middle = usize::midpoint(possible, impossible);
        match is_possible(&profiles[..middle]) {
            true => possible = middle,
            false => impossible = middle,
        }
    }
    let culprit = &profiles[possible..impossible];
    match is_possible(&without(profiles, culprit)) {
        true => culprit.to_vec(),
        false => profiles.to_vec(),
    }
}

fn without(profiles: &[HeldProfile], others: &[HeldProfile]) -> Vec<HeldProfile> {
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
    /// culprits, and how many spans were not corrected.
    fn join_with(fail: impl Fn(&[ProfileId]) -> bool) -> (Vec<ProfileId>, Vec<ProfileId>, u64) {
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
        (used.collect(), ids(&joined.culprits), joined.uncorrected)
    }

    #[test]
    fn a_join_without_a_panic_uses_all_profiles() {
        assert_eq!(join_with(|_| false), ((1..=7).collect(), vec![], 0));
    }

    #[test]
    fn one_culprit_is_found_and_all_others_are_used_for_spans_without_rows() {
        for culprit in 1..=7 {
            let others = (1..=7).filter(|id| *id != culprit).collect();
            let joined = join_with(|ids| ids.contains(&culprit));
            assert_eq!(joined, (others, vec![culprit], 2));
        }
        // Two that do not go together: without either of them it is possible.
        let (used, culprits, _) = join_with(|ids| ids.contains(&2) && ids.contains(&5));
        assert_eq!((used, culprits), (vec![1, 2, 3, 4, 6, 7], vec![5]));
    }

    #[test]
    fn where_several_are_culprits_none_is_used() {
        let joined = join_with(|ids| ids.contains(&2) || ids.contains(&5));
        assert_eq!(joined, (vec![], (1..=7).collect(), 2));
    }

    #[test]
    fn profiles_are_not_blamed_for_what_happens_without_them() {
        assert_eq!(join_with(|_| true), (vec![], vec![], 2));
        let joined = join_with(|ids| !ids.is_empty());
        assert_eq!(joined, (vec![], (1..=7).collect(), 2));
    }
}

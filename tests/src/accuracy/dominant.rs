//! The cause of most of a request's time: the truth's and Spandrel's.

use std::collections::BTreeMap;

use super::cells::Cell;
use super::judge::{RUNTIME, WAITS_FOR_COLLECTOR, base, name, tolerance_ns};
use super::truth::{Part, Step};

/// What most of a request's time went to.
#[derive(Clone, Debug)]
pub struct Dominant {
    /// By the truth; none if the clocks leave open which of several it is.
    pub expected: Option<String>,
    /// By Spandrel.
    pub found: String,
    /// Whether it is what the truth says, or one of those that it leaves open.
    pub is_right: bool,
}

/// A cause that may be the one of most of the time.
struct Candidate<'a> {
    part: &'a Part,
    states: &'a [String],
    /// Bounds of its time.
    least_ns: i64,
    most_ns: i64,
}

/// What a part may be: its cause, or what cannot be told from it.
fn candidates(part: &Part) -> [Candidate<'_>; 2] {
    let least_ns = if part.plus.is_empty() {
        part.ns
    } else {
        part.least_ns.min(part.ns)
    };
    let candidate = |states, least_ns, most_ns| Candidate {
        part,
        states,
        least_ns,
        most_ns,
    };
    [
        candidate(&part.states[..], least_ns, part.ns),
        candidate(&part.plus[..], 0, part.ns - least_ns),
    ]
}

/// Compares the cause of most of the time.
pub(super) fn dominant(parts: &[(&Step, &Part)], cells: &[Cell]) -> Dominant {
    let candidates: Vec<Candidate<'_>> = parts.iter().flat_map(|(_, part)| candidates(part)).collect();
    let certain_ns = candidates.iter().map(|candidate| candidate.least_ns).max().unwrap_or(0);
    let may_be_most = |ns: i64| ns + tolerance_ns(ns) >= certain_ns;
    let possible = |candidate: &&Candidate<'_>| !candidate.states.is_empty() && may_be_most(candidate.most_ns);
    let possible: Vec<&Candidate<'_>> = candidates.iter().filter(possible).collect();
    // In time that no clock watched, anything may have happened.
    let unwatched = parts
        .iter()
        .filter(|(step, part)| may_be_most(step.unwatched_ns + part.unwatched_ns));
    let unwatched: Vec<&str> = unwatched.map(|(_, part)| part.layer.as_str()).collect();
    let (layer, relation, state, culprit) = most(cells);
    let is_right = possible.iter().any(|candidate| {
        let Part {
            layer: its_layer,
            relation: its_relation,
            culprit_operation: its_culprit,
            ..
        } = candidate.part;
        let it_is = |its: &String| base(its) == state && its_relation == relation && its_culprit.as_deref() == culprit;
        let is_collector = |its: &String| its == WAITS_FOR_COLLECTOR && relation == RUNTIME;
        its_layer == layer && candidate.states.iter().any(|its| it_is(its) || is_collector(its))
    });
    let is_right = is_right || unwatched.contains(&layer);
    let expected = match possible[..] {
        [only] if unwatched.is_empty() => Some(name(&only.part.relation, &only.states[0])),
        _ => None,
    };
    let mut found = name(relation, state);
    if !is_right && expected.as_ref() == Some(&found) {
        let is_in_layer = possible.iter().any(|only| only.part.layer == layer);
        found += if is_in_layer {
            " by another operation"
        } else {
            " in another layer"
        };
    }
    Dominant {
        expected,
        found,
        is_right,
    }
}

/// Layer, relation, state and operation of the culprit.
type Cause<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);

/// What most of the time went to.
fn most(cells: &[Cell]) -> Cause<'_> {
    let mut sums: BTreeMap<Cause<'_>, i64> = BTreeMap::new();
    for cell in cells {
        let cause = (
            cell.layer.as_str(),
            cell.relation.as_str(),
            cell.state.as_str(),
            cell.culprit_operation.as_deref(),
        );
        *sums.entry(cause).or_default() += cell.ns;
    }
    let most = sums.into_iter().max_by_key(|(_, ns)| *ns);
    most.map_or(("", "", "none", None), |(cause, _)| cause)
}

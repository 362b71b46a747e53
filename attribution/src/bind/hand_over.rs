//! Hand-over: how a span came from the goroutine it started on to the one that ended it.
//!
//! Who ended it is logged, or known from its user task. It came there along edges: one goroutine created the next, or ended a
//! wait of it, inside the span and one after the other. The walk goes backwards from the end, one edge further back at a
//! time, until the first goroutine is met:
//!
//! ```text
//! g1   run  create g2  run                    start of the span, on g1
//! g2              | run   wakes g3 |
//! g3   channel                     | run      end of the span, on g3
//! span [ on g1    [ on g2          [ on g3 )
//! ```
//!
//! Of several ways the one with fewest edges counts, for a chance connection through a lock or a queue that others use as well is
//! longer as a rule; of those the one whose edges come last. Who creates a goroutine inside the span hands it over by that,
//! and not by waking it later. Where there is no way, nothing says when the span was handed over, and it stays with the first
//! goroutine.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use spandrel_model::{Interval, TaskId, TaskKind, UnixNanos};

use crate::Timeline;
use crate::stretches::Stretch;

/// Most edges on a way.
const EDGES_MAX: usize = 4;
/// Most states that are looked at for one span.
const STATES_MAX: usize = 4_096;

/// One goroutine acted on another.
#[derive(Clone, Copy, Debug)]
struct Edge {
    from: TaskId,
    to: TaskId,
    at: UnixNanos,
}

/// The stretches of a span that started on `first` and was ended by `last`; `None` if nothing shows how it came there.
pub(super) fn stretches(timeline: &Timeline, span: Interval, first: TaskId, last: TaskId) -> Option<Vec<Stretch>> {
    let edges = way(timeline, span, first, last)?;
    let starts = std::iter::once(span.start()).chain(edges.iter().map(|edge| edge.at));
    let ends = edges.iter().map(|edge| edge.at).chain(std::iter::once(span.end()));
    let tasks = std::iter::once(first).chain(edges.iter().map(|edge| edge.to));
    (tasks.zip(starts.zip(ends)))
        .map(|(task, (start, end))| {
            let interval = Interval::new(start, end)?;
            Some(Stretch { task, interval })
        })
        .collect()
}

/// The edges from `first` to `last`, in the order of time.
fn way(timeline: &Timeline, span: Interval, first: TaskId, last: TaskId) -> Option<Vec<Edge>> {
    let mut budget = STATES_MAX;
    // By goroutine: until when the span may have been there, and how it went on.
    let mut reached: BTreeMap<TaskId, (UnixNanos, Option<Edge>)> = BTreeMap::from([(last, (span.end(), None))]);
    let mut frontier = vec![last];
    for _ in 0..EDGES_MAX {
        let mut latest: BTreeMap<TaskId, Edge> = BTreeMap::new();
        for to in std::mem::take(&mut frontier) {
            let (until, _) = reached[&to];
            for edge in acts_on(timeline, to, span.start(), until, &mut budget) {
                let known = latest.entry(edge.from).or_insert(edge);
                if (known.at, known.to) < (edge.at, edge.to) {
                    *known = edge;
                }
            }
        }
        if let Some(edge) = latest.get(&first) {
            return Some(follow(*edge, &reached));
        }
        for (from, edge) in latest {
            if let Entry::Vacant(vacant) = reached.entry(from) {
                vacant.insert((edge.at, Some(edge)));
                frontier.push(from);
            }
        }
    }
    None
}

/// The edges from this one to the last goroutine.
fn follow(first: Edge, reached: &BTreeMap<TaskId, (UnixNanos, Option<Edge>)>) -> Vec<Edge> {
    let next = |edge: &Edge| reached.get(&edge.to).and_then(|(_, next)| *next);
    std::iter::successors(Some(first), next).collect()
}

/// The edges to `to` after `from` and before `until`, from goroutines of the program. Those of the runtime wake others when the
/// world starts again, which hands nothing over.
fn acts_on(timeline: &Timeline, to: TaskId, from: UnixNanos, until: UnixNanos, budget: &mut usize) -> Vec<Edge> {
    let Some(line) = timeline.task(to) else {
        return Vec::new();
    };
    let wakes = timeline
        .wakes_before(line, until)
        .take_while(|(ended, _)| *ended > from);
    let mut edges = Vec::new();
    for (at, wake) in wakes {
        if *budget == 0 {
            break;
        }
        *budget -= 1;
        edges.extend(wake.map(|wake| Edge {
            from: wake.waker,
            to,
            at,
        }));
    }
    let birth = line.birth.filter(|birth| from < *birth && *birth < until);
    if let Some((at, creator)) = birth.zip(line.creator) {
        edges.retain(|edge| edge.from != creator);
        edges.push(Edge { from: creator, to, at });
    }
    edges.retain(|edge| {
        let actor = timeline.task(edge.from);
        edge.from != to && actor.is_some_and(|actor| actor.kind == TaskKind::Application)
    });
    edges
}

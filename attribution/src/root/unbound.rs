//! The root view of spans without a task: made of their children's, as [`inferred`](crate::inferred) says.
//!
//! A child that counts as a whole gives its cells, which are made before. One that counts in part, because clocks let it
//! reach beyond its parent or overlap the next child, is taken apart, and so is a child of it that this part cuts:
//!
//! ```text
//! a    |--------------------|
//! b      |-------------------|       b, c and d reach a little beyond a
//! c        |------------------|
//! d          |-----------------|
//! ```
//!
//! At most as many are taken apart, one in the other, as a chain of tasks may have steps: if each of many spans reached
//! beyond the one around it, that would take the square of their number. What lies deeper is unknown, reason
//! `chain_too_long`. What spans on tasks are in such parts, is asked when their tasks are swept.

use std::cmp::Reverse;

use foldhash::HashMap;
use spandrel_model::{Binding, Cell, Evidence, Interval, Relation, State, TaskId, UnknownReason, View};

use super::account::merged;
use super::{RootView, WalkCounts};
use crate::inferred::{Part, Parts};
use crate::owner::BoundSpan;
use crate::remote::Instead;
use crate::spans::SpanIndex;
use crate::stretches::{Bindings, Stretch};
use crate::sweep::Asked;
use crate::timeline::Standing;

/// A part of the root view of a span.
pub(super) enum Leaf {
    /// A child that counts as a whole. [`Leaves::enter`] goes on with its leaves.
    Child(SpanIndex),
    /// The root view of this span, which is on the task.
    OnTask(SpanIndex, TaskId),
    /// This span's own, which is not bound.
    Own(SpanIndex, UnknownReason, Option<Instead>),
}

/// The leaves of a span over a stretch of time, in the order of time.
pub(super) struct Leaves<'a> {
    bindings: &'a Bindings,
    parts: Parts<'a>,
    partial_max: u32,
    // What remains, the last first.
    rest: Vec<(Interval, Rest)>,
}

enum Rest {
    /// The root view of this span, which counts in part as those around it do, of which there are so many.
    Of(SpanIndex, u32),
    Leaf(Leaf),
}

impl Leaves<'_> {
    /// Goes on with the leaves of `child`, which was the last leaf, over `interval`.
    pub(super) fn enter(&mut self, child: SpanIndex, interval: Interval) {
        self.rest.push((interval, Rest::Of(child, 0)));
    }

    fn add_stretches(&mut self, span: SpanIndex, interval: Interval) {
        let within = (self.bindings.stretches(self.parts.spans, span)).filter_map(|stretch| {
            let Stretch {
                task,
                interval: on_task,
            } = stretch;
            Some((on_task.intersection(interval)?, Rest::Leaf(Leaf::OnTask(span, task))))
        });
        let first = self.rest.len();
        self.rest.extend(within);
        self.rest[first..].reverse();
    }

    fn add_parts(&mut self, span: SpanIndex, reason: UnknownReason, interval: Interval, partial: u32) {
        let spans = self.parts.spans;
        let parts = self.parts.of_unbound(span).into_iter().rev();
        self.rest.extend(parts.filter_map(|(part, whose)| {
            let part = part.intersection(interval)?;
            let rest = match whose {
                Part::Own(instead) => Rest::Leaf(Leaf::Own(span, reason, instead)),
                Part::Child(child) if part == spans.interval(child) => Rest::Leaf(Leaf::Child(child)),
                Part::Child(child) => Rest::Of(child, partial + 1),
            };
            Some((part, rest))
        }));
    }
}

impl Iterator for Leaves<'_> {
    type Item = (Interval, Leaf);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (interval, rest) = self.rest.pop()?;
            let (span, partial) = match rest {
                Rest::Of(span, partial) => (span, partial),
                Rest::Leaf(leaf) => return Some((interval, leaf)),
            };
            match self.bindings.of(span) {
                Binding::Bound { .. } => self.add_stretches(span, interval),
                Binding::Unbound(_) if partial > self.partial_max => {
                    return Some((interval, Leaf::Own(span, UnknownReason::ChainTooLong, None)));
                }
                Binding::Unbound(reason) => self.add_parts(span, reason, interval, partial),
            }
        }
    }
}

impl RootView<'_> {
    /// What the root view of `span` is made of in `part`.
    pub(super) fn leaves(&self, span: SpanIndex, part: Interval) -> Leaves<'_> {
        let whole = Some((part, Rest::Of(span, 0))).filter(|_| !part.is_empty());
        Leaves {
            bindings: self.evidences.bindings,
            parts: self.parts(),
            partial_max: self.chain_limit,
            rest: whole.into_iter().collect(),
        }
    }

    /// What the root views of unbound spans, and of calls, are made of.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            spans: self.evidences.spans,
            bindings: self.evidences.bindings,
            calls: self.calls,
        }
    }

    /// By task: the parts of spans on it that are not cells of those spans, and which unbound span needs them.
    pub(super) fn parts_on_tasks(&self) -> HashMap<TaskId, Vec<Asked>> {
        let mut parts: HashMap<TaskId, Vec<Asked>> = HashMap::default();
        if self.evidences.owners.tasks().is_empty() {
            return parts;
        }
        for by in self.unbound() {
            let mut leaves = self.leaves(by, self.evidences.spans.interval(by));
            while let Some((interval, leaf)) = leaves.next() {
                match leaf {
                    Leaf::Child(child) if !self.has_cells(child) => leaves.enter(child, interval),
                    Leaf::OnTask(span, task) => parts.entry(task).or_default().push(Asked {
                        bound: BoundSpan { span, interval },
                        by,
                    }),
                    Leaf::Child(_) | Leaf::Own(..) => {}
                }
            }
        }
        parts
    }

    /// Adds the cells of the spans that are not bound. Those of the others must be there, as far as they yield rows; in
    /// `partial`, those of [`Self::parts_on_tasks`], by the span that needs them.
    pub(super) fn add_unbound(
        &self,
        cells: &mut [Vec<Cell>],
        mut partial: HashMap<SpanIndex, Vec<Cell>>,
        counts: &mut WalkCounts,
    ) {
        let spans = self.evidences.spans;
        let mut upwards: Vec<SpanIndex> = self.unbound().collect();
        upwards.sort_by_key(|span| Reverse(spans.node(*span).depth));
        for span in upwards {
            let mut all = partial.remove(&span).unwrap_or_default();
            let mut leaves = self.leaves(span, spans.interval(span));
            while let Some((interval, leaf)) = leaves.next() {
                counts.inferred += 1;
                match leaf {
                    Leaf::Own(of, reason, instead) => {
                        counts.too_long += u64::from(reason == UnknownReason::ChainTooLong);
                        all.push(self.own(of, reason, instead, interval.duration_ns()));
                    }
                    Leaf::Child(child) if self.has_cells(child) => all.extend_from_slice(&cells[child]),
                    Leaf::Child(child) => leaves.enter(child, interval),
                    Leaf::OnTask(..) => {}
                }
            }
            cells[span] = merged(all);
        }
    }

    fn unbound(&self) -> impl Iterator<Item = SpanIndex> {
        let bindings = self.evidences.bindings;
        (0..self.evidences.spans.len()).filter(|span| matches!(bindings.of(*span), Binding::Unbound(_)))
    }

    /// Whether the span has cells of its own: not one that is on a task and yields no rows.
    fn has_cells(&self, span: SpanIndex) -> bool {
        self.evidences.spans.emits(span) || matches!(self.evidences.bindings.of(span), Binding::Unbound(_))
    }

    /// Time of which only spans tell that it is the span's own.
    pub(super) fn own(&self, span: SpanIndex, reason: UnknownReason, instead: Option<Instead>, ns: i64) -> Cell {
        let layers = self.evidences.layers;
        let (state, sub_state, _) = self.evidences.words(Standing::Unknown(reason));
        let cell = Cell {
            view: View::Root,
            layer: layers.layer(layers.of_span(span)).clone(),
            state,
            sub_state,
            relation: Relation::Same,
            culprit: None,
            evidence: Evidence::Inferred,
            ns,
        };
        match instead {
            None => cell,
            Some(instead) => {
                let waiting = Cell {
                    state: State::Network,
                    ..cell
                };
                self.instead(waiting, instead)
            }
        }
    }
}

//! The root view of spans without a task: made of their children's, as [`inferred`](crate::inferred) says.

use std::cmp::Reverse;

use spandrel_model::{Binding, Cell, Evidence, Interval, Relation, State, TaskId, UnknownReason, View};

use super::account::merged;
use super::{RootPiece, RootView};
use crate::inferred::{Part, Parts};
use crate::remote::Instead;
use crate::spans::SpanIndex;
use crate::stretches::{Bindings, Stretch};
use crate::timeline::Standing;

/// A part of a span's root view that is not made of those of its children.
pub(super) enum Leaf {
    /// The root view of this span, which is on the task.
    OnTask(SpanIndex, TaskId),
    /// This span's own, which is not bound.
    Own(SpanIndex, UnknownReason, Option<Instead>),
}

/// The leaves of a span over a stretch of time, in the order of time.
pub(super) struct Leaves<'a> {
    bindings: &'a Bindings,
    parts: Parts<'a>,
    // What remains, the last first.
    rest: Vec<(Interval, Rest)>,
}

enum Rest {
    /// The root view of this span.
    Of(SpanIndex),
    Leaf(Leaf),
}

impl Iterator for Leaves<'_> {
    type Item = (Interval, Leaf);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (interval, rest) = self.rest.pop()?;
            let span = match rest {
                Rest::Of(span) => span,
                Rest::Leaf(leaf) => return Some((interval, leaf)),
            };
            let Binding::Unbound(reason) = self.bindings.of(span) else {
                let stretches = self.bindings.stretches(self.parts.spans, span);
                let within = stretches.filter_map(
                    |Stretch {
                         task,
                         interval: stretch,
                     }| {
                        let part = stretch.intersection(interval)?;
                        Some((part, Rest::Leaf(Leaf::OnTask(span, task))))
                    },
                );
                let first = self.rest.len();
                self.rest.extend(within);
                self.rest[first..].reverse();
                continue;
            };
            let parts = self.parts.of_unbound(span).into_iter().rev();
            self.rest.extend(parts.filter_map(|(part, whose)| {
                let rest = match whose {
                    Part::Child(child) => Rest::Of(child),
                    Part::Own(instead) => Rest::Leaf(Leaf::Own(span, reason, instead)),
                };
                Some((part.intersection(interval)?, rest))
            }));
        }
    }
}

impl RootView<'_> {
    /// What the root view of `span` is made of in `part`.
    pub(super) fn leaves(&self, span: SpanIndex, part: Interval) -> Leaves<'_> {
        let whole = Some((part, Rest::Of(span))).filter(|_| !part.is_empty());
        Leaves {
            bindings: self.evidences.bindings,
            parts: self.parts(),
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

    /// Adds the cells of the spans that are not bound. The others must be there, as far as they yield rows.
    pub(super) fn add_unbound(&self, cells: &mut [Vec<Cell>]) {
        let spans = self.evidences.spans;
        let mut upwards: Vec<SpanIndex> = (0..spans.len()).collect();
        upwards.retain(|span| matches!(self.evidences.bindings.of(*span), Binding::Unbound(_)));
        upwards.sort_by_key(|span| Reverse(spans.node(*span).depth));
        for span in upwards {
            let Binding::Unbound(reason) = self.evidences.bindings.of(span) else {
                continue;
            };
            let mut all = Vec::new();
            for (interval, part) in self.parts().of_unbound(span) {
                match part {
                    Part::Own(instead) => all.push(self.own(span, reason, instead, interval.duration_ns())),
                    // The sums of a child that counts as a whole are known.
                    Part::Child(child) if interval == spans.span(child).interval && !cells[child].is_empty() => {
                        all.extend_from_slice(&cells[child]);
                    }
                    Part::Child(child) => {
                        self.each_piece(child, interval, &mut |piece: RootPiece| all.push(piece.cell))
                    }
                }
            }
            cells[span] = merged(all);
        }
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

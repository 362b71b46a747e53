//! Stretches: on which task a span was, and when.
//!
//! A span is on the task it started on until it is handed over, and then on the next one:
//!
//! ```text
//! span   [ start ------------------------------ end )
//! g1     [ stretch --------- )
//!                            | g1 creates or wakes g2
//! g2                         [ stretch -------- end )
//! ```
//!
//! Nearly every span has one stretch, all of it. The stretches of a bound span tile it, and no two are on the same task.

use foldhash::HashMap;
use spandrel_model::{Binding, Interval, TaskId};

use crate::spans::{SpanIndex, SpanSet};

/// A part of a span on one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The task.
    pub task: TaskId,
    /// The part of the span's time; empty only if the span is.
    pub interval: Interval,
}

/// How each span is bound, and where it was.
#[derive(Debug)]
pub(crate) struct Bindings {
    of_span: Vec<Binding>,
    // Only of spans with more than one stretch; in the order of time.
    handed_over: HashMap<SpanIndex, Vec<Stretch>>,
}

impl Bindings {
    pub(crate) fn new(of_span: Vec<Binding>, handed_over: HashMap<SpanIndex, Vec<Stretch>>) -> Self {
        Self { of_span, handed_over }
    }

    /// The binding of the span.
    pub(crate) fn of(&self, span: SpanIndex) -> Binding {
        self.of_span[span]
    }

    /// The bindings, by span.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Binding> {
        self.of_span.iter().copied()
    }

    /// Whether the span has several stretches.
    pub(crate) fn is_handed_over(&self, span: SpanIndex) -> bool {
        self.handed_over.contains_key(&span)
    }

    /// The stretches of the span in the order of time; none if it is not bound.
    pub(crate) fn stretches(&self, spans: &SpanSet<'_>, span: SpanIndex) -> impl Iterator<Item = Stretch> {
        let several = self.handed_over.get(&span).map_or(&[][..], Vec::as_slice);
        let only = match self.of_span[span] {
            Binding::Bound { task, .. } if several.is_empty() => Some(Stretch {
                task,
                interval: spans.interval(span),
            }),
            _ => None,
        };
        several.iter().copied().chain(only)
    }
}

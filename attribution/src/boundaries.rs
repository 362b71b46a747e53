//! How much of the self view a shift between clocks could move.
//!
//! If the clock of the spans is off by e, each stretch between two neighboring starts or ends of spans on a task lies e too
//! early or too late among the states of the task: it has lost at most |e| at one end and gained as much at the other. So of a
//! span with b such boundaries, its own included, at most `2 |e| (b - 1)` lie in wrong cells (I-15).

use std::collections::BTreeMap;

use spandrel_model::{TaskId, UnixNanos};

use crate::spans::SpanSet;
use crate::stretches::{Bindings, Stretch};

/// The distinct starts and ends of the stretches of spans on each task, in the order of time.
pub(crate) struct Boundaries(BTreeMap<TaskId, Vec<UnixNanos>>);

impl Boundaries {
    pub(crate) fn new(spans: &SpanSet<'_>, bindings: &Bindings) -> Self {
        let mut of_task: BTreeMap<TaskId, Vec<UnixNanos>> = BTreeMap::new();
        for Stretch { task, interval } in (0..spans.len()).flat_map(|span| bindings.stretches(spans, span)) {
            of_task
                .entry(task)
                .or_default()
                .extend([interval.start(), interval.end()]);
        }
        let mut boundaries = Self(of_task);
        for instants in boundaries.0.values_mut() {
            instants.sort_unstable();
            instants.dedup();
        }
        boundaries
    }

    /// How many lie in the stretches of a span, their ends included; `None` if there is none.
    pub(crate) fn within(&self, stretches: impl Iterator<Item = Stretch>) -> Option<i64> {
        stretches
            .map(|stretch| self.within_one(stretch))
            .reduce(|sum, count| sum + count)
    }

    fn within_one(&self, Stretch { task, interval }: Stretch) -> i64 {
        let instants = self.0.get(&task).map_or(&[][..], Vec::as_slice);
        let first = instants.partition_point(|at| *at < interval.start());
        let end = instants.partition_point(|at| *at <= interval.end());
        i64::try_from(end - first).unwrap_or(i64::MAX)
    }
}

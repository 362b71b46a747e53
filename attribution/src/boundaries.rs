//! How much of the self view a shift between clocks could move.
//!
//! If the clock of the spans is off by e, each stretch between two neighboring starts or ends of spans on a task lies e too
//! early or too late among the states of the task: it has lost at most |e| at one end and gained as much at the other. So of a
//! span with b such boundaries, its own included, at most `2 |e| (b - 1)` lie in wrong cells (I-15).

use std::collections::BTreeMap;

use spandrel_model::{Binding, Interval, TaskId, UnixNanos};

use crate::spans::SpanSet;

/// The distinct starts and ends of the spans bound to each task, in the order of time.
pub(crate) struct Boundaries(BTreeMap<TaskId, Vec<UnixNanos>>);

impl Boundaries {
    pub(crate) fn new(spans: &SpanSet<'_>, bindings: &[Binding]) -> Self {
        let mut of_task: BTreeMap<TaskId, Vec<UnixNanos>> = BTreeMap::new();
        for (span, binding) in bindings.iter().enumerate() {
            if let Binding::Bound { task, .. } = binding {
                let interval = spans.span(span).interval;
                of_task
                    .entry(*task)
                    .or_default()
                    .extend([interval.start(), interval.end()]);
            }
        }
        let mut boundaries = Self(of_task);
        for instants in boundaries.0.values_mut() {
            instants.sort_unstable();
            instants.dedup();
        }
        boundaries
    }

    /// How many lie in the interval, its end included; `None` if a span with this binding has no task.
    pub(crate) fn within(&self, binding: Binding, interval: Interval) -> Option<i64> {
        let Binding::Bound { task, .. } = binding else {
            return None;
        };
        let instants = self.0.get(&task).map_or(&[][..], Vec::as_slice);
        let first = instants.partition_point(|at| *at < interval.start());
        let end = instants.partition_point(|at| *at <= interval.end());
        i64::try_from(end - first).ok()
    }
}

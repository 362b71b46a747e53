//! The matrix: where the requests of an operation spent their time.
//!
//! Requests are grouped by window (of their start), service and operation. In each group every (view, layer, state) in
//! which some request spent time is a cell. Quantiles are over *all* requests of the group: a request with nothing in a
//! cell counts as zero there, otherwise a rare cause would look like a common one. They are exact, by nearest rank: the
//! smallest value that at least the wanted share of requests does not exceed. Quantiles of cells do not add up; means over
//! a [band](crate::Band) of requests do, and so do shares of the variance.
//!
//! The same requests say which operations made the requests of which others wait. What the victims lost is what the
//! culprits caused. Only requests count, in both, for the time of a span lies in the spans around it too.

mod functions;
mod group;
mod label_scope;
mod quantile;
mod rows;

use std::collections::BTreeMap;
use std::num::NonZeroI64;

use spandrel_model::UnixNanos;

use self::group::Group;
use crate::SpanAttribution;

pub use quantile::Quantile;
pub use rows::{
    Coverage, Distribution, InterferenceRow, MatrixRow, MatrixTables, OperationRow, RequestGroup, RunningFunctionRow,
    Tail,
};

/// Collects requests and yields the rows of the tables `operations`, `matrix` and `interference`, and what the requests ran.
///
/// Holds one number for each request and cell, 16 bytes, and the id of each request. Nothing depends on the order in which
/// requests come.
#[derive(Debug)]
pub struct Matrix {
    window_ns: NonZeroI64,
    groups: BTreeMap<RequestGroup, Group>,
}

impl Matrix {
    /// An empty matrix of windows of `window_ns` nanoseconds.
    pub fn new(window_ns: NonZeroI64) -> Self {
        Self {
            window_ns,
            groups: BTreeMap::new(),
        }
    }

    /// Counts a request, in place of what was counted for the same span of the same process before, if it began at the
    /// same time and had the same name. So a request counts once however often it comes, as it came last. A span that is not a request
    /// ([`SpanAttribution::is_request`]) counts no more if it did.
    pub fn add(&mut self, span: &SpanAttribution) {
        let key = self.group_of(span);
        if span.is_request {
            self.groups.entry(key).or_default().insert(span);
            return;
        }
        if let Some(group) = self.groups.get_mut(&key) {
            group.remove(span);
            if group.is_empty() {
                self.groups.remove(&key);
            }
        }
    }

    /// The group in which the span counts if it is a request.
    pub fn group_of(&self, span: &SpanAttribution) -> RequestGroup {
        RequestGroup {
            window_start: window_start(span.interval.start(), self.window_ns),
            window_ns: self.window_ns.get(),
            service_name: span.process.service_name.clone(),
            operation: span.operation.clone(),
        }
    }

    /// All rows, sorted by group.
    pub fn tables(&self) -> MatrixTables {
        let mut tables = MatrixTables::default();
        for (key, group) in &self.groups {
            group.rows(key, &mut tables);
        }
        tables
    }

    /// Appends the rows of one group to `tables`. A group without requests has none.
    pub fn tables_of(&self, group: &RequestGroup, tables: &mut MatrixTables) {
        if let Some(requests) = self.groups.get(group) {
            requests.rows(group, tables);
        }
    }
}

/// The start of the window of `window_ns` nanoseconds in which `at` lies. Windows are counted from the Unix epoch.
pub fn window_start(at: UnixNanos, window_ns: NonZeroI64) -> UnixNanos {
    UnixNanos(at.0.saturating_sub(at.0.checked_rem_euclid(window_ns.get()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_floors_also_before_the_epoch() {
        let window = NonZeroI64::new(10).unwrap();
        for (at, start) in [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10)] {
            assert_eq!(window_start(UnixNanos(at), window), UnixNanos(start), "{at}");
        }
    }
}

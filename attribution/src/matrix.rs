//! The matrix: where the requests of an operation spent their time.
//!
//! Requests are grouped by window (of their start), service and operation. In each group every (view, layer, state) in
//! which some request spent time is a cell. Quantiles are over *all* requests of the group: a request with nothing in a
//! cell counts as zero there, otherwise a rare cause would look like a common one. They are exact, by nearest rank: the
//! smallest value that at least the wanted share of requests does not exceed. Quantiles of cells do not add up.

use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::sync::Arc;

use spandrel_model::{Layer, State, UnixNanos, View};

use crate::SpanAttribution;

/// Collects requests and yields the rows of the `matrix` table. Holds one number per request and cell.
#[derive(Debug)]
pub struct Matrix {
    window_ns: NonZeroI64,
    groups: BTreeMap<GroupKey, Group>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    window_start: UnixNanos,
    service_name: Arc<str>,
    operation: Arc<str>,
}

type CellKey = (View, Layer, State);

#[derive(Debug, Default)]
struct Group {
    requests: usize,
    // One value per request with time in the cell, so none is zero.
    cells: BTreeMap<CellKey, Vec<i64>>,
}

/// A row of the `matrix` table; `emission` is the caller's to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    /// Start of the window.
    pub window_start: UnixNanos,
    /// Length of the window, nanoseconds.
    pub window_ns: i64,
    /// Service of the requests.
    pub service_name: Arc<str>,
    /// Span name of the requests.
    pub operation: Arc<str>,
    /// View.
    pub view: View,
    /// Layer.
    pub layer: Layer,
    /// State.
    pub state: State,
    /// Requests of the operation in the window.
    pub n: i64,
    /// Requests with time in this cell.
    pub n_nonzero: i64,
    /// Time of all requests in this cell, nanoseconds. Saturates.
    pub sum_ns: i64,
    /// Median, zeros included.
    pub p50_ns: i64,
    /// 95th percentile, zeros included.
    pub p95_ns: i64,
    /// 99th percentile, zeros included.
    pub p99_ns: i64,
}

impl Matrix {
    /// An empty matrix of windows of `window_ns` nanoseconds.
    pub fn new(window_ns: NonZeroI64) -> Self {
        Self {
            window_ns,
            groups: BTreeMap::new(),
        }
    }

    /// Counts a request. A span that is not one ([`SpanAttribution::is_request`]) is passed over.
    pub fn add(&mut self, request: &SpanAttribution) {
        if !request.is_request {
            return;
        }
        let key = GroupKey {
            window_start: window_start(request.interval.start(), self.window_ns),
            service_name: request.process.service_name.clone(),
            operation: request.operation.clone(),
        };
        let group = self.groups.entry(key).or_default();
        group.requests += 1;
        let mut totals: BTreeMap<CellKey, i64> = BTreeMap::new();
        for cell in &request.cells {
            let total = totals.entry((cell.view, cell.layer.clone(), cell.state)).or_default();
            *total = total.saturating_add(cell.ns);
        }
        for (key, ns) in totals.into_iter().filter(|(_, ns)| *ns > 0) {
            group.cells.entry(key).or_default().push(ns);
        }
    }

    /// The rows, sorted by window, service, operation, view, layer and state.
    pub fn rows(&self) -> Vec<MatrixRow> {
        let groups = self.groups.iter();
        groups
            .flat_map(|(key, group)| {
                let cells = group.cells.iter();
                cells.map(|(cell, values)| row(key, self.window_ns, group.requests, cell, values))
            })
            .collect()
    }
}

/// The start of the window of `window_ns` nanoseconds in which `at` lies. Windows are counted from the Unix epoch.
///
pub fn window_start(at: UnixNanos, window_ns: NonZeroI64) -> UnixNanos {
    UnixNanos(at.0.saturating_sub(at.0.checked_rem_euclid(window_ns.get()).unwrap_or(0)))
}

fn row(key: &GroupKey, window_ns: NonZeroI64, requests: usize, cell: &CellKey, values: &[i64]) -> MatrixRow {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    MatrixRow {
        window_start: key.window_start,
        window_ns: window_ns.get(),
        service_name: key.service_name.clone(),
        operation: key.operation.clone(),
        view: cell.0,
        layer: cell.1.clone(),
        state: cell.2,
        n: count(requests),
        n_nonzero: count(sorted.len()),
        sum_ns: sorted.iter().fold(0, |sum, ns| sum.saturating_add(*ns)),
        p50_ns: nearest_rank(&sorted, requests, 50),
        p95_ns: nearest_rank(&sorted, requests, 95),
        p99_ns: nearest_rank(&sorted, requests, 99),
    }
}

fn count(of: usize) -> i64 {
    i64::try_from(of).expect("a count of things in memory fits")
}

/// The percentile of `n` values, of which `sorted` are those above zero.
fn nearest_rank(sorted: &[i64], n: usize, percent: usize) -> i64 {
    let rank = (n * percent).div_ceil(100);
    let zeros = n - sorted.len();
    match rank.checked_sub(zeros + 1) {
        Some(index) => sorted[index],
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank_with_zeros_included() {
        let values: Vec<i64> = (1..=10).collect();
        assert_eq!(nearest_rank(&values, 10, 50), 5);
        assert_eq!(nearest_rank(&values, 10, 95), 10);
        assert_eq!(nearest_rank(&values, 20, 50), 0);
        assert_eq!(nearest_rank(&values, 19, 50), 1);
        assert_eq!(nearest_rank(&values, 200, 95), 0);
        assert_eq!(nearest_rank(&values, 200, 99), 8);
        assert_eq!(nearest_rank(&[7], 1, 99), 7);
        assert_eq!(nearest_rank(&[], 3, 99), 0);
    }

    #[test]
    fn windows_are_floors_also_before_the_epoch() {
        let window = NonZeroI64::new(10).unwrap();
        for (at, start) in [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10)] {
            assert_eq!(window_start(UnixNanos(at), window), UnixNanos(start), "{at}");
        }
    }
}

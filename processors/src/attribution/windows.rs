//! Windows of the tables `operations`, `matrix` and `interference`: opened by the first request, closed when no more are to be expected.

use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::time::{Duration, Instant};

use spandrel_attribution::{Matrix, MatrixTables, SpanAttribution, window_start};
use spandrel_model::UnixNanos;

/// How many closed windows are remembered, to number what arrives for them later.
const REMEMBERED_WINDOWS: usize = 10_000;

/// Requests collected by window.
///
/// A window closes when no request has joined it for `patience` and it is not the one that the wall clock is in; so one
/// of the future, by a service's wrong clock, closes too. What arrives for it later opens it again; its rows then carry
/// the next `emission` number and count only the late requests.
#[derive(Debug)]
pub(super) struct Windows {
    window_ns: NonZeroI64,
    patience: Duration,
    open: BTreeMap<UnixNanos, Open>,
    /// Next emission of windows that have closed.
    closed: BTreeMap<UnixNanos, i32>,
}

#[derive(Debug)]
struct Open {
    matrix: Matrix,
    last_request: Instant,
}

/// The rows of one closed window.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) tables: MatrixTables,
    pub(super) emission: i32,
}

impl Windows {
    pub(super) fn new(window_ns: NonZeroI64, patience: Duration) -> Self {
        Self {
            window_ns,
            patience,
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
        }
    }

    /// Adds a span to its window; spans that are not requests are ignored.
    pub(super) fn add(&mut self, span: &SpanAttribution, now: Instant) {
        if !span.is_request {
            return;
        }
        let start = window_start(span.interval.start(), self.window_ns);
        let open = self.open.entry(start).or_insert_with(|| Open {
            matrix: Matrix::new(self.window_ns),
            last_request: now,
        });
        open.matrix.add(span);
        open.last_request = now;
    }

    /// Number of open windows.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Closes the windows that are over.
    pub(super) fn close_due(&mut self, now: Instant, wall: UnixNanos) -> Vec<Closed> {
        let due: Vec<UnixNanos> = self
            .open
            .iter()
            .filter(|(start, open)| {
                let is_current = **start <= wall && wall < start.plus(self.window_ns.get());
                !is_current && now.saturating_duration_since(open.last_request) >= self.patience
            })
            .map(|(start, _)| *start)
            .collect();
        due.into_iter().filter_map(|start| self.close(start)).collect()
    }

    /// Closes every window.
    pub(super) fn close_all(&mut self) -> Vec<Closed> {
        let all: Vec<UnixNanos> = self.open.keys().copied().collect();
        all.into_iter().filter_map(|start| self.close(start)).collect()
    }

    fn close(&mut self, start: UnixNanos) -> Option<Closed> {
        let open = self.open.remove(&start)?;
        let next = self.closed.entry(start).or_insert(0);
        let emission = *next;
        *next += 1;
        while self.closed.len() > REMEMBERED_WINDOWS {
            self.closed.pop_first();
        }
        Some(Closed {
            tables: open.matrix.tables(),
            emission,
        })
    }
}

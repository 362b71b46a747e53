//! Levels: how far the nearest rival of a pair must be.
//!
//! The end lag is a microsecond for nine pairs in ten and up to milliseconds for the rest, so a pair with a small lag is
//! told from a rival with a much larger one. A level is a window of end lags. Within it the pair must be the only one for
//! both its sides; its own lag must lie below a smaller limit, which keeps the nearest rival at a distance. At the last
//! level the window is everything, and a pair must be the only one there is. Pairs of a sharp level are made first; what
//! they take away and what they say about their relatives makes others unique.
//!
//! A pair of a sharp level must also leave every rival span a choice: each span has a task, so a pair that takes the
//! only one from another span is doubtful however small its lag.
//!
//! Near the border of what is recorded, the span may have its task, or the task its span, on the other side. There a pair
//! that happens to have no rival proves little, and only the sharpest level counts.

use super::edges::Edge;

/// A level, sharpest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    window_ns: i64,
    accept_ns: i64,
}

/// The levels. Measured end lags: median 1 us, 90th percentile 2 us, outliers to 1.1 ms.
pub(super) const LEVELS: [Level; 3] = [
    Level {
        window_ns: 25_000,
        accept_ns: 8_000,
    },
    Level {
        window_ns: 500_000,
        accept_ns: 200_000,
    },
    Level {
        window_ns: i64::MAX,
        accept_ns: i64::MAX,
    },
];

impl Level {
    /// Whether every edge there is lies in the window.
    pub(super) const fn is_last(self) -> bool {
        self.window_ns == i64::MAX
    }

    /// The window, limited to what may be at all.
    pub(super) fn window_ns(self, limit_ns: i64) -> i64 {
        self.window_ns.min(limit_ns)
    }

    /// Whether the edge is a rival of others at this level. An end that is not recorded is one at the last level only.
    pub(super) fn sees(self, edge: &Edge) -> bool {
        edge.end_lag_ns.map_or(self.is_last(), |lag| lag <= self.window_ns)
    }

    /// Whether the edge may be accepted at this level.
    pub(super) fn accepts(self, edge: &Edge) -> bool {
        let accept_ns = if edge.near_border {
            LEVELS[0].accept_ns
        } else {
            self.accept_ns
        };
        edge.end_lag_ns
            .map_or(self.is_last() && !edge.near_border, |lag| lag <= accept_ns)
    }
}

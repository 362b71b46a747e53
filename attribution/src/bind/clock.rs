//! The offset between the clock of the spans and the clock of the recording.
//!
//! It is small but it matters: on one processor a goroutine runs as soon as the previous one has ended its task, so that
//! the next span's time follows the previous task's by less than a microsecond, and a pair of the two looks like a true
//! pair with a clock error. But the error is the same for all pairs, and pairs that have no rival show it: true lags
//! begin just above zero and crowd there, so the lowest of the lags observed is the offset, give or take little.

use std::collections::HashMap;

use super::edges::Edge;

/// Fewest pairs without a rival from which the offset is read.
const PAIRS_MIN: usize = 32;
/// Share of these pairs that may be false without effect: one in this many.
const FALSE_ONE_IN: usize = 50;
/// How much less than that quantile the lag of a true pair can be, and with it the offset.
const SPREAD_NS: i64 = 500;
/// Resolution of the recording's clock.
const RESOLUTION_NS: i64 = 64;

/// Where in the recording's time a reading of the span clock lies, in nanoseconds after the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockOffset {
    pub(super) least_ns: i64,
    pub(super) most_ns: i64,
}

impl ClockOffset {
    /// An offset of at most `error_ns` either way.
    pub(super) const fn within(error_ns: i64) -> Self {
        Self {
            least_ns: -error_ns,
            most_ns: error_ns,
        }
    }
}

/// The offset as far as the `edges` of a complete pass show it.
pub(super) fn narrowed(offset: ClockOffset, edges: &[Edge]) -> ClockOffset {
    let mut spans_of_row: HashMap<usize, usize> = HashMap::new();
    for edge in edges {
        *spans_of_row.entry(edge.row).or_default() += 1;
    }
    let mut lags_ns: Vec<i64> = edges
        .chunk_by(|left, right| left.span == right.span)
        .filter_map(|same| match same {
            [edge] if spans_of_row.get(&edge.row) == Some(&1) => edge.end_lag_ns,
            _ => None,
        })
        .collect();
    if lags_ns.len() < PAIRS_MIN {
        return offset;
    }
    let rank = lags_ns.len() / FALSE_ONE_IN;
    let (_, low_ns, _) = lags_ns.select_nth_unstable(rank);
    let least_ns = (*low_ns - SPREAD_NS).clamp(offset.least_ns, offset.most_ns);
    ClockOffset {
        least_ns,
        most_ns: (*low_ns + RESOLUTION_NS).clamp(least_ns, offset.most_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(lags_ns: impl Iterator<Item = i64>) -> Vec<Edge> {
        lags_ns
            .enumerate()
            .map(|(index, lag)| Edge {
                span: index,
                row: index,
                begin_lag_ns: 10_000,
                end_lag_ns: Some(lag),
                witnessed: true,
                near_border: false,
            })
            .collect()
    }

    #[test]
    fn the_lowest_lags_of_pairs_without_rivals_show_the_offset() {
        let narrow = narrowed(ClockOffset::within(2_000), &edges((0..100).map(|lag| 700 + lag * 20)));
        assert_eq!((narrow.least_ns, narrow.most_ns), (240, 804));
    }

    #[test]
    fn few_pairs_or_false_ones_show_nothing() {
        let wide = ClockOffset::within(2_000);
        assert_eq!(narrowed(wide, &edges(0..31)), wide);
        let mut rivals = edges((0..100).map(|_| 900));
        rivals.iter_mut().for_each(|edge| edge.row /= 2);
        assert_eq!(narrowed(wide, &rivals), wide);
        let one_false = edges((0..100).map(|lag| if lag == 50 { -1_900 } else { 900 }));
        assert_eq!(narrowed(wide, &one_false).least_ns, 400);
    }
}

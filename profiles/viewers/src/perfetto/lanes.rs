//! Intervals laid out so that those of a lane nest, as the slices of a track must.

use gotrace::TraceNanos;

/// How many intervals side by side a lane remembers one by one. Beyond that the older half of them counts as one, and what
/// surrounds only a part of that half gets another lane.
const OUTERMOST_MAX: usize = 4096;

/// Lanes, each with the intervals in it that lie in no other, by start. Intervals come in the order of their ends, those
/// that end together shortest first.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    outermost: Vec<Vec<(TraceNanos, TraceNanos)>>,
}

impl Lanes {
    /// The first lane in which `[start, end)` lies beside or around everything; a new lane if there is none.
    pub(super) fn place(&mut self, start: TraceNanos, end: TraceNanos) -> usize {
        for (lane, outermost) in self.outermost.iter_mut().enumerate() {
            let beside_count = outermost.partition_point(|before| before.0 < start);
            let is_beside = beside_count
                .checked_sub(1)
                .and_then(|last| outermost.get(last))
                .is_none_or(|last| last.1 <= start);
            let is_last = outermost.last().is_none_or(|last| last.1 <= end);
            if is_beside && is_last {
                outermost.truncate(beside_count);
                outermost.push((start, end));
                forget_some(outermost);
                return lane;
            }
        }
        self.outermost.push(vec![(start, end)]);
        self.outermost.len() - 1
    }
}

fn forget_some(outermost: &mut Vec<(TraceNanos, TraceNanos)>) {
    if outermost.len() <= OUTERMOST_MAX {
        return;
    }
    let mut older = outermost.drain(..OUTERMOST_MAX / 2);
    if let (Some(first), Some(last)) = (older.next(), older.next_back()) {
        drop(older);
        outermost.insert(0, (first.0, last.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(intervals: &[(i64, i64)]) -> Vec<usize> {
        let mut lanes = Lanes::default();
        intervals
            .iter()
            .map(|(start, end)| lanes.place(TraceNanos(*start), TraceNanos(*end)))
            .collect()
    }

    #[test]
    fn intervals_that_nest_or_touch_share_a_lane() {
        assert_eq!(lanes(&[(1, 2), (0, 4), (4, 10), (0, 10), (10, 12)]), [0, 0, 0, 0, 0]);
        assert_eq!(lanes(&[(2, 4), (2, 4), (0, 4)]), [0, 0, 0]);
    }

    #[test]
    fn intervals_that_cross_get_lanes_of_their_own() {
        assert_eq!(lanes(&[(0, 5), (4, 6), (3, 8), (6, 9), (9, 10)]), [0, 1, 1, 0, 0]);
        assert_eq!(lanes(&[(0, 5), (1, 6), (2, 7)]), [0, 1, 2]);
    }

    #[test]
    fn intervals_out_of_order_cross_nothing() {
        assert_eq!(lanes(&[(10, 20), (0, 5), (15, 25)]), [0, 1, 1]);
        assert_eq!(lanes(&[(0, 9), (4, 8)]), [0, 1]);
    }

    #[test]
    fn a_long_row_is_remembered_as_a_whole() {
        let mut lanes = Lanes::default();
        for at in 0..3 * OUTERMOST_MAX as i64 {
            assert_eq!(lanes.place(TraceNanos(2 * at), TraceNanos(2 * at + 1)), 0);
        }
        assert!(lanes.outermost[0].len() <= OUTERMOST_MAX);
        let end = TraceNanos(6 * OUTERMOST_MAX as i64);
        assert_eq!(lanes.place(TraceNanos(3), end), 1, "it may surround a part only");
        assert_eq!(lanes.place(TraceNanos(0), end), 0);
    }
}

//! Intervals laid out so that those of a lane nest, as the slices of a track must.

use gotrace::TraceNanos;

/// Lanes, each as far as it is filled. Intervals come in the order of their starts, those that start together longest
/// first.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// For each lane the ends of the intervals that are open where the last one was placed, outermost first.
    open: Vec<Vec<TraceNanos>>,
}

impl Lanes {
    /// The first lane in which `[start, end)` lies beside everything or wholly inside the innermost open interval; a new
    /// lane if there is none.
    pub(super) fn place(&mut self, start: TraceNanos, end: TraceNanos) -> usize {
        for (lane, open) in self.open.iter_mut().enumerate() {
            while open.last().is_some_and(|last| *last <= start) {
                open.pop();
            }
            if open.last().is_none_or(|last| end <= *last) {
                open.push(end);
                return lane;
            }
        }
        self.open.push(vec![end]);
        self.open.len() - 1
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
        assert_eq!(lanes(&[(0, 10), (0, 4), (1, 2), (4, 10), (10, 12)]), [0, 0, 0, 0, 0]);
    }

    #[test]
    fn intervals_that_cross_get_lanes_of_their_own() {
        assert_eq!(lanes(&[(0, 5), (3, 8), (4, 5), (6, 9), (9, 10)]), [0, 1, 0, 0, 0]);
        assert_eq!(lanes(&[(0, 5), (1, 6), (2, 7)]), [0, 1, 2]);
    }
}

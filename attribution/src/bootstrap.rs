//! How far the difference of two means could be off by chance: bootstrap intervals.
//!
//! The requests of a [band](crate::Band) are those that happened to be measured. Had others come, the mean of each cell
//! would be another. The percentile bootstrap asks how much: draw as many requests from those of each band as there are,
//! with replacement, take the difference of the means, and repeat. The middle 95 % of the differences are the interval
//! (Efron and Tibshirani 1993, section 13.3). What is drawn are whole requests, so cells that grow together stay together.
//!
//! The same requests in the same order give the same interval: the numbers that draw them are a fixed sequence.

/// Fewest requests of a band for which there are intervals. The bootstrap of fewer gives intervals that are much too narrow:
/// of two requests it knows nothing but these two.
pub const BOOTSTRAP_REQUESTS_MIN: usize = 10;

/// Most requests of a band that a caller should give. More give a narrower interval and take longer, in proportion.
pub const BOOTSTRAP_REQUESTS_MAX: usize = 500;

/// How often requests are drawn.
const RESAMPLES: usize = 1_000;
/// Of so many differences, sorted, these are the borders of the middle 95 %.
const BORDERS: [usize; 2] = [RESAMPLES / 40, RESAMPLES - 1 - RESAMPLES / 40];

/// Where the difference of the means of one cell lies with a confidence of 95 %, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapInterval {
    /// Lower end, nanoseconds.
    pub from_ns: i64,
    /// Upper end, nanoseconds.
    pub to_ns: i64,
}

impl GapInterval {
    /// Whether chance alone does not explain that the means differ.
    pub fn excludes_zero(self) -> bool {
        self.from_ns > 0 || self.to_ns < 0
    }
}

/// The interval of the difference `upper - lower` of each cell, given the times of the requests of two bands. Each request
/// has its nonzero cells as (number of the cell, nanoseconds); cells are numbered from 0 to `cells`, exclusive.
///
/// `None` if a band has fewer than [`BOOTSTRAP_REQUESTS_MIN`] requests. Cells with larger numbers are ignored. Takes time in
/// proportion to the nonzero cells of all requests, and memory in proportion to `cells`.
pub fn gap_intervals(
    upper: &[Vec<(usize, i64)>],
    lower: &[Vec<(usize, i64)>],
    cells: usize,
) -> Option<Vec<GapInterval>> {
    if upper.len().min(lower.len()) < BOOTSTRAP_REQUESTS_MIN {
        return None;
    }
    let (upper, lower) = (Band::of(upper, cells), Band::of(lower, cells));
    let mut numbers = SplitMix64(0);
    let mut gaps = vec![Vec::with_capacity(RESAMPLES); cells];
    for _ in 0..RESAMPLES {
        let drawn = [upper.draw(&mut numbers), lower.draw(&mut numbers)];
        for (cell, gaps) in gaps.iter_mut().enumerate() {
            let gap_ns = upper
                .mean_ns(cell, &drawn[0])
                .saturating_sub(lower.mean_ns(cell, &drawn[1]));
            gaps.push(gap_ns);
        }
    }
    Some(gaps.into_iter().map(middle).collect())
}

fn middle(mut gaps: Vec<i64>) -> GapInterval {
    gaps.sort_unstable();
    let [from_ns, to_ns] = BORDERS.map(|at| gaps[at]);
    GapInterval { from_ns, to_ns }
}

/// The requests of a band, by cell.
struct Band {
    requests: usize,
    /// Of each cell the requests with time in it, and how much.
    cells: Vec<Vec<(usize, i64)>>,
}

impl Band {
    fn of(requests: &[Vec<(usize, i64)>], cells: usize) -> Self {
        let mut by_cell = vec![Vec::new(); cells];
        for (request, times) in requests.iter().enumerate() {
            for (cell, ns) in times {
                if let Some(of_cell) = by_cell.get_mut(*cell) {
                    of_cell.push((request, *ns));
                }
            }
        }
        Self {
            requests: requests.len(),
            cells: by_cell,
        }
    }

    /// How often each request is drawn.
    fn draw(&self, numbers: &mut SplitMix64) -> Vec<u32> {
        let mut drawn = vec![0; self.requests];
        for _ in 0..self.requests {
            drawn[numbers.below(self.requests)] += 1;
        }
        drawn
    }

    /// The mean of a cell over the requests that were drawn, rounded down. A sum of durations fits in 128 bits.
    fn mean_ns(&self, cell: usize, drawn: &[u32]) -> i64 {
        let times = self.cells[cell].iter();
        let sum: i128 = times
            .map(|(request, ns)| i128::from(*ns) * i128::from(drawn[*request]))
            .sum();
        let count = i128::try_from(self.requests).unwrap_or(i128::MAX);
        i64::try_from(sum.div_euclid(count)).unwrap_or(i64::MAX)
    }
}

/// The generator of Steele, Lea and Flood (2014), the seed of others: small, and good enough to draw by.
struct SplitMix64(u64);

impl SplitMix64 {
    /// A number below `limit`. Some are more likely than others by less than `limit` in 2^64.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // Below `limit`, so it fits.
        ((u128::from(z) * limit as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests with one cell each.
    fn requests(times: impl IntoIterator<Item = i64>) -> Vec<Vec<(usize, i64)>> {
        times.into_iter().map(|ns| vec![(0, ns)]).collect()
    }

    fn interval(upper: &[Vec<(usize, i64)>], lower: &[Vec<(usize, i64)>]) -> GapInterval {
        gap_intervals(upper, lower, 1).expect("there are enough requests")[0]
    }

    #[test]
    fn few_requests_have_no_interval() {
        let enough = requests(0..10);
        assert_eq!(gap_intervals(&enough, &requests(0..9), 1), None);
        assert_eq!(gap_intervals(&requests(0..9), &enough, 1), None);
        assert!(gap_intervals(&enough, &enough, 1).is_some());
    }

    #[test]
    fn what_is_the_same_in_every_request_is_certain() {
        let found = interval(&requests([7_000; 20]), &requests([2_000; 30]));
        assert_eq!((found.from_ns, found.to_ns), (5_000, 5_000));
        assert!(found.excludes_zero());
    }

    #[test]
    fn the_same_requests_in_either_band_differ_by_chance_only() {
        let times = requests((0..40).map(|at| at * at * 1_000));
        let found = interval(&times, &times);
        assert!(
            found.from_ns < 0 && found.to_ns > 0 && !found.excludes_zero(),
            "{found:?}"
        );
    }

    #[test]
    fn one_slow_request_of_many_does_not_make_a_difference_certain() {
        let upper = requests((0..20).map(|at| if at == 7 { 1_000_000 } else { 0 }));
        let found = interval(&upper, &requests([0; 20]));
        assert!(!found.excludes_zero() && found.to_ns > 0, "{found:?}");
    }

    #[test]
    fn cells_are_drawn_together_and_intervals_are_the_same_every_time() {
        let request = |at: i64| vec![(0, at * 10), (1, 1_000 - at * 10)];
        let upper: Vec<_> = (0..50).map(request).collect();
        let lower: Vec<_> = (10..40).map(request).collect();
        let found = gap_intervals(&upper, &lower, 2).expect("there are enough requests");
        assert_eq!(gap_intervals(&upper, &lower, 2), Some(found.clone()));
        // The second cell is what the first leaves of 1000 ns, so its interval is the mirror image, but for rounding.
        assert!((found[0].from_ns + found[1].to_ns).abs() <= 1, "{found:?}");
        assert!((found[0].to_ns + found[1].from_ns).abs() <= 1, "{found:?}");
    }

    #[test]
    fn nineteen_in_twenty_intervals_hold_the_truth() {
        let mut numbers = SplitMix64(42);
        // Sums of twelve numbers are nearly normal. The true difference is 3000.
        let mut near = |mean: i64| mean + (0..12).map(|_| numbers.below(1_000) as i64).sum::<i64>();
        let (trials, mut held) = (300, 0);
        for _ in 0..trials {
            let upper = requests((0..30).map(|_| near(5_000)));
            let lower = requests((0..30).map(|_| near(2_000)));
            let found = interval(&upper, &lower);
            held += i32::from((found.from_ns..=found.to_ns).contains(&3_000));
        }
        let percent = 100 * held / trials;
        assert!((90..=98).contains(&percent), "{percent} %");
    }
}

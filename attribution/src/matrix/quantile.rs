//! Quantiles of a group of requests, exact, and how sure they are.
//!
//! The requests of a window are a sample of those that there could have been. Whatever the distribution, how many of them
//! lie below its true p-quantile is a binomial number of n and p. So the true quantile lies between two of the sorted
//! values, those at the ranks `n p - 1.96 sqrt(n p (1 - p))` and `n p + 1.96 sqrt(n p (1 - p))`, in 95 of 100 windows. Half a rank
//! is added on either side because ranks are whole numbers. Where a rank lies outside there is no interval:
//! p50 needs 6 requests, p95 92, p99 476.

/// The percentiles of the tables.
pub(super) const PERCENTS: [usize; 3] = [50, 95, 99];
/// Of a normal distribution, 95 % are within as many standard deviations.
const DEVIATIONS: f64 = 1.96;

/// A percentile, and where the true one lies with a confidence of 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    /// The smallest value that at least as many percent of the requests do not exceed, nanoseconds.
    pub ns: i64,
    /// Both ends of the interval, nanoseconds. `None` if there are too few requests.
    pub confidence_ns: Option<(i64, i64)>,
}

impl Quantile {
    /// The [`PERCENTS`] of `n` values, of which `sorted` are those above zero.
    pub(super) fn of(sorted: &[i64], n: usize) -> [Self; 3] {
        PERCENTS.map(|percent| {
            let at = |rank| at_rank(sorted, n, rank);
            Self {
                ns: at((n * percent).div_ceil(100)),
                confidence_ns: confidence_ranks(n, percent).map(|(low, high)| (at(low), at(high))),
            }
        })
    }
}

/// The value at a rank, from 1, of `n` values, of which `sorted` are those above zero.
fn at_rank(sorted: &[i64], n: usize, rank: usize) -> i64 {
    let zeros = n - sorted.len();
    rank.checked_sub(zeros + 1)
        .and_then(|index| sorted.get(index))
        .copied()
        .unwrap_or(0)
}

/// The ranks between which the true percentile lies; `None` if one of them does not exist.
fn confidence_ranks(n: usize, percent: usize) -> Option<(usize, usize)> {
    let (count, share) = (n as f64, percent as f64 / 100.0);
    let half = DEVIATIONS * (count * share * (1.0 - share)).sqrt() + 0.5;
    let (low, high) = ((count * share - half + 1.0).floor(), (count * share + half).ceil());
    (1.0 <= low && high <= count).then_some((low as usize, high as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_rank(sorted: &[i64], n: usize) -> [i64; 3] {
        Quantile::of(sorted, n).map(|quantile| quantile.ns)
    }

    #[test]
    fn percentiles_are_the_nearest_rank_with_zeros_included() {
        let values: Vec<i64> = (1..=10).collect();
        assert_eq!(nearest_rank(&values, 10), [5, 10, 10]);
        assert_eq!(nearest_rank(&values, 20)[0], 0);
        assert_eq!(nearest_rank(&values, 19)[0], 1);
        assert_eq!(nearest_rank(&values, 200), [0, 0, 8]);
        assert_eq!(nearest_rank(&[7], 1), [7, 7, 7]);
        assert_eq!(nearest_rank(&[], 3), [0, 0, 0]);
    }

    /// Of `n` fair draws the chance that at least `low` and fewer than `high` are below the true percentile.
    fn chance(n: usize, percent: usize, low: usize, high: usize) -> f64 {
        let share = percent as f64 / 100.0;
        // Logarithms of factorials.
        let factorials: Vec<f64> = (0..=n)
            .scan(0.0, |sum, k| {
                *sum += (k.max(1) as f64).ln();
                Some(*sum)
            })
            .collect();
        let log_of = |k: usize| {
            factorials[n] - factorials[k] - factorials[n - k]
                + k as f64 * share.ln()
                + (n - k) as f64 * (1.0 - share).ln()
        };
        (low..high).map(|k| log_of(k).exp()).sum()
    }

    #[test]
    fn the_true_percentile_lies_in_the_interval_at_least_95_times_in_100() {
        for percent in PERCENTS {
            for n in (1..700).chain((700..3_000).step_by(97)) {
                if let Some((low, high)) = confidence_ranks(n, percent) {
                    let chance = chance(n, percent, low, high);
                    assert!((0.95..0.999).contains(&chance), "p{percent} of {n}: {chance}");
                }
            }
        }
    }

    #[test]
    fn few_requests_have_no_interval() {
        let first = |percent| (1..).find(|n| confidence_ranks(*n, percent).is_some());
        assert_eq!(PERCENTS.map(first), [Some(6), Some(92), Some(476)]);
    }

    #[test]
    fn the_interval_counts_zeros_as_well() {
        // p95 of 200 lies between ranks 184 and 197.
        let values: Vec<i64> = (191..=200).collect();
        let [_, p95, _] = Quantile::of(&values, 200);
        assert_eq!((p95.ns, p95.confidence_ns), (0, Some((0, 197))));
    }
}

//! Where slow requests of an operation spend their time, in numbers that add up.
//!
//! Quantiles of cells do not sum to the quantile of the duration. Means do: the cells of a request sum to its duration, so
//! over any set of requests the means of the cells sum to the mean of the durations. The set is a [`Band`]: the requests
//! whose duration is near a quantile. How far the cells of two bands are apart sums to how far their durations are apart,
//! which explains the tail. (Euler allocation of value at risk: Tasche 2007, arXiv 0708.2542.)
//!
//! A band is a range of durations and holds every request in it. So it does not depend on the order in which requests
//! arrived, nor on how requests of equal duration are sorted.

use crate::rounding::apportion;

/// How many requests a band has at least, if that is not more than [`SHARE_MAX_PERCENT`] of all.
const REQUESTS_MIN: usize = 50;
/// The share of all requests around a quantile that a band has at most, ties apart.
const SHARE_MAX_PERCENT: usize = 10;
/// Half the share of all requests that a band has, if that is more than [`REQUESTS_MIN`].
const HALF_SHARE_PER_MILLE: usize = 5;

/// The requests whose duration is near a quantile of all requests of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// The quantile itself by nearest rank, nanoseconds.
    pub quantile_ns: i64,
    /// Shortest duration, nanoseconds.
    pub from_ns: i64,
    /// Longest duration, nanoseconds.
    pub to_ns: i64,
    /// How many requests are that long.
    pub requests: usize,
    /// Sum of their durations, nanoseconds.
    pub sum_ns: i128,
}

impl Band {
    /// The band around a percentile, from 0 to 100, of all durations, which are sorted. `None` if there are none.
    ///
    /// It has the requests within half a percent of the ranks on either side of the quantile, or 50 requests if that is
    /// more, but no more than a tenth of all; and all others with a duration between its shortest and longest one.
    pub fn around(percent: usize, durations_ns: &[i64]) -> Option<Self> {
        let count = durations_ns.len();
        let last = count.checked_sub(1)?;
        let rank = (count.saturating_mul(percent)).div_ceil(100).clamp(1, count) - 1;
        let wanted = (2 * (count * HALF_SHARE_PER_MILLE / 1_000) + 1).max(REQUESTS_MIN);
        let half = (wanted.min(count * SHARE_MAX_PERCENT / 100).max(1) - 1).div_ceil(2);
        let from_ns = durations_ns[rank.saturating_sub(half)];
        let to_ns = durations_ns[rank.saturating_add(half).min(last)];
        let first = durations_ns.partition_point(|duration| *duration < from_ns);
        let end = durations_ns.partition_point(|duration| *duration <= to_ns);
        let members = &durations_ns[first..end];
        Some(Self {
            quantile_ns: durations_ns[rank],
            from_ns,
            to_ns,
            requests: members.len(),
            sum_ns: members.iter().map(|duration| i128::from(*duration)).sum(),
        })
    }

    /// The mean duration, nanoseconds, rounded down.
    pub fn mean_ns(&self) -> i64 {
        self.apportion(&[self.sum_ns]).first().copied().unwrap_or(0)
    }

    /// The mean of each cell over the requests of the band, given the cells' sums over them, which sum to
    /// [`Self::sum_ns`]. The means sum to [`Self::mean_ns`]: they are rounded to nanoseconds together.
    pub fn means_ns(&self, sums_ns: &[i128]) -> Vec<i64> {
        self.apportion(sums_ns)
    }

    /// By how much the mean of each cell is larger in this band than in `lower`, given the cells' sums over either. They
    /// sum to [`Self::gap_ns`].
    pub fn gaps_ns(&self, sums_ns: &[i128], lower: &Self, lower_sums_ns: &[i128]) -> Vec<i64> {
        let (n, m) = (self.weight(), lower.weight());
        let differences: Vec<i128> = (sums_ns.iter().zip(lower_sums_ns))
            .map(|(upper, lower)| upper * m - lower * n)
            .collect();
        apportion(&differences, n * m)
    }

    /// By how much the mean duration is larger than in `lower`, nanoseconds, rounded down.
    pub fn gap_ns(&self, lower: &Self) -> i64 {
        let gaps = self.gaps_ns(&[self.sum_ns], lower, &[lower.sum_ns]);
        gaps.first().copied().unwrap_or(0)
    }

    fn apportion(&self, sums_ns: &[i128]) -> Vec<i64> {
        apportion(sums_ns, self.weight())
    }

    /// Number of requests. Sums of durations are below 2^63 times as many, so all products here fit in 128 bits as long as
    /// there are fewer than 2^32.
    fn weight(&self) -> i128 {
        i128::try_from(self.requests.max(1)).unwrap_or(i128::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Requests of three cells each, sorted by duration.
    fn requests() -> impl Strategy<Value = Vec<[i64; 3]>> {
        let cell = || prop_oneof![Just(0_i64), 0..50_i64, 0..1_000_000_000_i64];
        proptest::collection::vec([cell(), cell(), cell()], 1..400).prop_map(|mut requests| {
            requests.sort_by_key(|cells| cells.iter().sum::<i64>());
            requests
        })
    }

    fn durations(requests: &[[i64; 3]]) -> Vec<i64> {
        requests.iter().map(|cells| cells.iter().sum()).collect()
    }

    fn sums(requests: &[[i64; 3]], band: &Band) -> [i128; 3] {
        let inside = |cells: &&[i64; 3]| (band.from_ns..=band.to_ns).contains(&cells.iter().sum::<i64>());
        let mut sums = [0; 3];
        for cells in requests.iter().filter(inside) {
            for (sum, cell) in sums.iter_mut().zip(cells) {
                *sum += i128::from(*cell);
            }
        }
        sums
    }

    proptest! {
        /// I-18 of the attribution's invariants.
        #[test]
        fn tails_add_up(requests in requests()) {
            let durations = durations(&requests);
            let [p50, p99] = [50, 99].map(|percent| Band::around(percent, &durations).unwrap());
            let (low, high) = (sums(&requests, &p50), sums(&requests, &p99));
            prop_assert_eq!(low.iter().sum::<i128>(), p50.sum_ns);
            prop_assert_eq!(p50.means_ns(&low).iter().sum::<i64>(), p50.mean_ns());
            prop_assert_eq!(p99.means_ns(&high).iter().sum::<i64>(), p99.mean_ns());
            prop_assert_eq!(p99.gaps_ns(&high, &p50, &low).iter().sum::<i64>(), p99.gap_ns(&p50));
        }

        #[test]
        fn a_band_holds_its_quantile_and_about_as_many_requests_as_it_should(
            mut durations in proptest::collection::vec(any::<u32>().prop_map(i64::from), 1..3_000),
            percent in 0..=100_usize,
        ) {
            durations.sort_unstable();
            durations.dedup();
            let band = Band::around(percent, &durations).unwrap();
            prop_assert!(band.from_ns <= band.quantile_ns && band.quantile_ns <= band.to_ns);
            let below = durations.iter().filter(|duration| **duration < band.quantile_ns).count();
            prop_assert!(below * 100 <= durations.len() * percent);
            prop_assert!(band.requests <= (durations.len() / 10).max(1) + 1);
            let is_inner = (5..=95).contains(&percent);
            prop_assert!(!is_inner || durations.len() < 600 || band.requests >= REQUESTS_MIN);
        }
    }

    #[test]
    fn requests_of_equal_duration_are_all_in_or_all_out() {
        let durations = [vec![5; 700], vec![9; 300]].concat();
        let band = Band::around(50, &durations).unwrap();
        assert_eq!(
            (band.from_ns, band.to_ns, band.requests, band.sum_ns),
            (5, 5, 700, 3_500)
        );
        let band = Band::around(70, &durations).unwrap();
        assert_eq!((band.quantile_ns, band.requests), (5, 1_000));
    }

    #[test]
    fn nothing_has_no_band() {
        assert_eq!(Band::around(99, &[]), None);
        assert_eq!(Band::around(99, &[7]).map(|band| band.mean_ns()), Some(7));
    }
}

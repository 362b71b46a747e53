//! Times that were measured again and again, and how much of a ratio is noise.

/// Times of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) best_ns: u64,
    /// Of an even number the slower of the two in the middle.
    pub(crate) median_ns: u64,
}

impl Times {
    /// `None` without times.
    pub(crate) fn of(times_ns: &[u64]) -> Option<Self> {
        let mut sorted_ns = times_ns.to_vec();
        sorted_ns.sort_unstable();
        Some(Self {
            best_ns: *sorted_ns.first()?,
            median_ns: *sorted_ns.get(sorted_ns.len() / 2)?,
        })
    }
}

/// How many times faster ours is than a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) of_medians: f64,
    /// Least and greatest of the ratios of runs that took turns.
    pub(crate) paired: (f64, f64),
}

impl Ratio {
    /// The runs of one position took place one soon after the other. `None` without a pair.
    pub(crate) fn of(ours_ns: &[u64], peers_ns: &[u64]) -> Option<Self> {
        let ratios = || {
            ours_ns
                .iter()
                .zip(peers_ns)
                .map(|(ours, peers)| *peers as f64 / *ours as f64)
        };
        Some(Self {
            of_medians: Times::of(peers_ns)?.median_ns as f64 / Times::of(ours_ns)?.median_ns as f64,
            paired: (ratios().reduce(f64::min)?, ratios().reduce(f64::max)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_slower_of_two() {
        let times = |best_ns, median_ns| Some(Times { best_ns, median_ns });
        assert_eq!(Times::of(&[30, 10, 20]), times(10, 20));
        assert_eq!(Times::of(&[40, 10, 30, 20]), times(10, 30));
        assert_eq!(Times::of(&[]), None);
    }

    #[test]
    fn noise_that_hits_both_of_a_pair_does_not_widen_a_ratio() {
        let ratio = Ratio::of(&[10, 20, 10], &[50, 100, 60]).unwrap();
        assert_eq!(ratio.of_medians, 6.0);
        assert_eq!(ratio.paired, (5.0, 6.0));
        assert_eq!(Ratio::of(&[], &[50]), None);
    }
}

//! Lengths of time counted in logarithmic buckets: quantiles in memory that does not grow with the number of lengths.
//!
//! ```text
//! below 64 ns        a bucket for each nanosecond: exact
//! above              each octave [2^e, 2^(e+1)) in 32 buckets of equal width
//! ```
//! A quantile is the upper end of the bucket in which it lies: never below the true one, and above it by less than 1/32 of
//! it (3.2 %). Number, sum and maximum are exact.

/// Buckets in an octave, as a power of two.
const SPLIT_BITS: u32 = 5;
const SPLIT: u64 = 1 << SPLIT_BITS;

/// How many lengths there are, their sum, their maximum, and how they are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    count: u64,
    total_ns: i64,
    max_ns: i64,
    /// Invariant: by bucket, each once, no count is 0. At most 1,888 buckets.
    buckets: Vec<(u16, u64)>,
}

impl Lengths {
    /// Adds one; a negative one counts as 0.
    pub(super) fn add(&mut self, length_ns: i64) {
        let length_ns = length_ns.max(0);
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(length_ns);
        self.max_ns = self.max_ns.max(length_ns);
        self.add_to_bucket(bucket(length_ns), 1);
    }

    /// Adds all of `others`.
    pub(super) fn merge(&mut self, others: &Self) {
        self.count += others.count;
        self.total_ns = self.total_ns.saturating_add(others.total_ns);
        self.max_ns = self.max_ns.max(others.max_ns);
        for (bucket, count) in &others.buckets {
            self.add_to_bucket(*bucket, *count);
        }
    }

    fn add_to_bucket(&mut self, bucket: u16, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |known| known.0) {
            Ok(position) => self.buckets[position].1 += count,
            Err(position) => self.buckets.insert(position, (bucket, count)),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn total_ns(&self) -> i64 {
        self.total_ns
    }

    pub(super) fn max_ns(&self) -> i64 {
        self.max_ns
    }

    /// A length that at least `per_mille` of all lengths do not exceed, less than 1/32 above the smallest such; 0 if there
    /// are no lengths.
    pub(super) fn quantile_ns(&self, per_mille: u64) -> i64 {
        let rank = (u128::from(self.count) * u128::from(per_mille)).div_ceil(1_000).max(1);
        let mut seen = 0_u128;
        for (bucket, count) in &self.buckets {
            seen += u128::from(*count);
            if seen >= rank {
                return highest_ns(*bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }
}

/// The bucket of a length that is not negative.
fn bucket(length_ns: i64) -> u16 {
    let ns = length_ns.unsigned_abs();
    let octave = ns.max(SPLIT).ilog2() - SPLIT_BITS;
    let within = ns >> octave;
    u16::try_from(u64::from(octave) * SPLIT + within).expect("63 octaves of 32 buckets fit")
}

/// The largest length in a bucket.
fn highest_ns(bucket: u16) -> i64 {
    let bucket = u64::from(bucket);
    let octave = (bucket / SPLIT).saturating_sub(1);
    let within = bucket - octave * SPLIT;
    (((within + 1) << octave) - 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of all orders of magnitude, the same in each run.
    fn lengths(count: u64) -> Vec<i64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..count)
            .map(|_| {
                let shift = 1 + next() % 62;
                (next() >> shift).cast_signed()
            })
            .collect()
    }

    #[test]
    fn every_length_lies_in_its_bucket_and_the_bucket_ends_less_than_a_32nd_above() {
        for length_ns in lengths(100_000).into_iter().chain(0..10_000).chain([i64::MAX]) {
            let highest = highest_ns(bucket(length_ns));
            assert!(highest >= length_ns, "{length_ns} is above its bucket");
            assert_eq!(bucket(highest), bucket(length_ns), "{length_ns}");
            assert!(
                i128::from(highest - length_ns) * 32 < i128::from(length_ns).max(1),
                "{highest} for {length_ns}"
            );
        }
    }

    #[test]
    fn quantiles_are_at_most_a_32nd_above_those_of_the_sorted_lengths() {
        for count in [1, 2, 3, 10, 999, 1_000, 20_000] {
            let mut sorted = lengths(count);
            let mut counted = Lengths::default();
            sorted.iter().for_each(|length_ns| counted.add(*length_ns));
            sorted.sort_unstable();
            for per_mille in [1, 500, 900, 990, 999, 1_000] {
                let rank = (count * per_mille).div_ceil(1_000).max(1);
                let exact = sorted[usize::try_from(rank).unwrap() - 1];
                let found = counted.quantile_ns(per_mille);
                assert!(found >= exact, "{per_mille} of {count}: {found} is below {exact}");
                assert!(
                    i128::from(found - exact) * 32 < i128::from(exact).max(1),
                    "{per_mille} of {count}: {found} for {exact}"
                );
            }
            assert_eq!(counted.quantile_ns(1_000), *sorted.last().unwrap());
            assert_eq!(counted.max_ns(), *sorted.last().unwrap());
        }
    }

    #[test]
    fn parts_that_are_merged_are_the_whole() {
        let all = lengths(5_000);
        let counted = |lengths: &[i64]| {
            let mut counted = Lengths::default();
            lengths.iter().for_each(|length_ns| counted.add(*length_ns));
            counted
        };
        let mut merged = counted(&all[..1_234]);
        merged.merge(&counted(&all[1_234..]));
        assert_eq!(merged, counted(&all));
    }

    #[test]
    fn no_lengths_have_quantiles_of_0_and_negative_ones_count_as_0() {
        let mut none = Lengths::default();
        assert_eq!((none.count(), none.total_ns(), none.quantile_ns(990)), (0, 0, 0));
        none.add(-5);
        assert_eq!((none.count(), none.total_ns(), none.quantile_ns(990)), (1, 0, 0));
    }
}

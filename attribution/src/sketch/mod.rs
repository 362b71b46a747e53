//! A sketch: how often which durations occurred, small enough for a column, from which quantiles can be asked.
//!
//! It is OpenTelemetry's base-2 exponential histogram at scale 6: bucket i counts the values above `2^(i / 64)` and up to
//! `2^((i + 1) / 64)` nanoseconds, and a quantile is off by at most 0.55 %. Zeros are counted apart. Nothing is clamped:
//! there is a bucket for every `i64` above zero. Only buckets with a count are held.
//!
//! Sketches are added and subtracted bucket by bucket, so that those of windows give that of a day, and the windows that
//! leave a sliding hour can be taken out of it: what is added and subtracted again leaves no trace. A sketch from which
//! more was subtracted than was added holds negative counts, and has no quantiles until that is made good.

mod buckets;
mod codec;

use std::collections::BTreeMap;

pub use codec::SketchError;

/// Counts of nanoseconds by bucket. The default one is empty and of the finest scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    // Invariant: at most `SCALE_MAX`.
    scale: u8,
    zeros: i64,
    // Invariant: indexes exist at the scale, and no count is zero. Counts wrap around, so that subtracting always undoes adding.
    buckets: BTreeMap<i32, i64>,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            scale: Self::SCALE_MAX,
            zeros: 0,
            buckets: BTreeMap::new(),
        }
    }
}

impl Sketch {
    /// The finest scale, which all sketches have unless they were made coarser.
    pub const SCALE_MAX: u8 = buckets::SCALE_MAX;

    /// Counts a value `times` times. Values below zero do not occur among durations and count as zero.
    pub fn add(&mut self, ns: i64, times: i64) {
        if ns <= 0 {
            self.zeros = self.zeros.wrapping_add(times);
            return;
        }
        let index = buckets::at_scale(buckets::index_of(ns), Self::SCALE_MAX - self.scale);
        self.add_to_bucket(index, times);
    }

    /// Adds the counts of another sketch. The coarser scale of the two is that of the sum.
    pub fn merge(&mut self, other: &Self) {
        self.combine(other, |count| count);
    }

    /// Takes away the counts of another sketch. The coarser scale of the two is that of the difference.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::wrapping_neg);
    }

    /// Joins neighboring buckets until the scale is `scale`. One that is coarser already stays as it is.
    pub fn coarsen(&mut self, scale: u8) {
        let Some(steps) = self.scale.checked_sub(scale).filter(|steps| *steps > 0) else {
            return;
        };
        self.scale = scale;
        for (index, count) in std::mem::take(&mut self.buckets) {
            self.add_to_bucket(buckets::at_scale(index, steps), count);
        }
    }

    /// An octave has 2 to the power of this many buckets.
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// How many values were zero.
    pub fn zeros(&self) -> i64 {
        self.zeros
    }

    /// Index and count of the buckets whose count is not zero, by index.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = (i32, i64)> {
        self.buckets.iter().map(|(index, count)| (*index, *count))
    }

    /// How many values are counted, zeros included.
    pub fn count(&self) -> i64 {
        self.buckets
            .values()
            .fold(self.zeros, |sum, count| sum.wrapping_add(*count))
    }

    /// The quantile by nearest rank: the smallest value that at least the `share` of all values, from 0 to 1, does not
    /// exceed, nanoseconds. Off by at most [`Self::relative_error`] and half a nanosecond, because it is a whole number.
    ///
    /// `None` if there are no values, if some were subtracted that were not there, or if `share` is not from 0 to 1.
    pub fn quantile_ns(&self, share: f64) -> Option<i64> {
        let counts = || std::iter::once(self.zeros).chain(self.buckets.values().copied());
        if !(0.0..=1.0).contains(&share) || counts().any(|count| count < 0) {
            return None;
        }
        let count: i128 = counts().map(i128::from).sum();
        let rank = rank(share, count);
        let mut passed = i128::from(self.zeros);
        if count == 0 || rank <= passed {
            return (count > 0).then_some(0);
        }
        let (index, _) = self.buckets().find(|(_, count)| {
            passed += i128::from(*count);
            rank <= passed
        })?;
        Some(buckets::representative(index, self.scale))
    }

    /// How far a quantile may be from the true one, relative to that. At the finest scale 0.0055.
    pub fn relative_error(&self) -> f64 {
        let base = f64::exp2(f64::exp2(-f64::from(self.scale)));
        (base - 1.0) / (base + 1.0)
    }

    fn combine(&mut self, other: &Self, signed: impl Fn(i64) -> i64) {
        self.coarsen(other.scale);
        self.zeros = self.zeros.wrapping_add(signed(other.zeros));
        for (index, count) in other.buckets() {
            self.add_to_bucket(buckets::at_scale(index, other.scale - self.scale), signed(count));
        }
    }

    fn add_to_bucket(&mut self, index: i32, times: i64) {
        let count = self.buckets.entry(index).or_insert(0);
        *count = count.wrapping_add(times);
        if *count == 0 {
            self.buckets.remove(&index);
        }
    }
}

/// The nearest rank of `share` among `count` values, from 1. Shares are taken as decimal numbers of nine places, because
/// 0.07 of a hundred is the seventh, and not the eighth, as it is in floating point.
fn rank(share: f64, count: i128) -> i128 {
    const PLACES: i128 = 1_000_000_000;
    // Both are small enough to be exact.
    let parts = (share * PLACES as f64).round() as i128;
    (count * parts + PLACES - 1).div_euclid(PLACES).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[i64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|ns| sketch.add(*ns, 1));
        sketch
    }

    fn sum(left: &Sketch, right: &Sketch) -> Sketch {
        let mut sum = left.clone();
        sum.merge(right);
        sum
    }

    /// Values of any magnitude, among them zeros and those at the bounds of octaves.
    pub(super) fn values() -> impl Strategy<Value = Vec<i64>> {
        let value = prop_oneof![
            Just(0_i64),
            (0..62_u32, -1..=1_i64).prop_map(|(octave, by)| (1 << octave) + by),
            (1..=i64::MAX, 0..63_u32).prop_map(|(ns, octaves)| ns >> octaves),
            1_000..2_000_i64,
        ];
        proptest::collection::vec(value, 0..80)
    }

    proptest! {
        #[test]
        fn i20_quantiles_are_off_by_no_more_than_is_said(
            values in values(), percent in 0..=100_u32, scale in 0..=Sketch::SCALE_MAX,
        ) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let mut sketch = sketch(&values);
            sketch.coarsen(scale);
            prop_assert_eq!(sketch.count(), i64::try_from(values.len()).unwrap());
            let rank = (values.len() * percent as usize).div_ceil(100).max(1);
            let exact = sorted.get(rank - 1).copied();
            let asked = sketch.quantile_ns(f64::from(percent) / 100.0);
            prop_assert_eq!(asked.is_some(), exact.is_some());
            if let (Some(exact), Some(asked)) = (exact, asked) {
                let limit = exact as f64 * sketch.relative_error() + 0.5;
                prop_assert!((exact.abs_diff(asked) as f64) <= limit * (1.0 + 1e-12), "{asked} for {exact}");
            }
        }

        #[test]
        fn i20_the_order_of_merging_does_not_matter(
            a in values(), b in values(), c in values(), scales in [0..=Sketch::SCALE_MAX, 0..=Sketch::SCALE_MAX],
        ) {
            let [mut a, mut b, c] = [a, b, c].map(|values| sketch(&values));
            a.coarsen(scales[0]);
            b.coarsen(scales[1]);
            prop_assert_eq!(sum(&a, &b), sum(&b, &a));
            prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)));
        }

        #[test]
        fn i20_merging_is_counting_all_together(a in values(), b in values()) {
            prop_assert_eq!(sum(&sketch(&a), &sketch(&b)), sketch(&[a, b].concat()));
        }

        #[test]
        fn i20_what_is_added_and_subtracted_leaves_no_trace(
            values in values(), pane in proptest::collection::vec((any::<i64>(), any::<i64>()), 0..50),
        ) {
            let before = sketch(&values);
            let mut added = Sketch::default();
            pane.iter().for_each(|(ns, times)| added.add(*ns, *times));
            let mut after = sum(&before, &added);
            after.subtract(&added);
            prop_assert_eq!(&after, &before);
            after.subtract(&added);
            after.merge(&added);
            prop_assert_eq!(after, before);
        }

        #[test]
        fn coarsening_before_counting_is_coarsening_afterwards(values in values(), scale in 0..=Sketch::SCALE_MAX) {
            let mut coarse = Sketch::default();
            coarse.coarsen(scale);
            values.iter().for_each(|ns| coarse.add(*ns, 1));
            let mut fine = sketch(&values);
            fine.coarsen(scale);
            prop_assert_eq!(coarse, fine);
        }
    }

    #[test]
    fn the_error_at_the_finest_scale_is_below_what_is_promised() {
        assert!(Sketch::default().relative_error() < 0.0055);
    }

    #[test]
    fn zeros_count_among_the_values() {
        let mut sketch = sketch(&[0, 0, 0, 1_000_000]);
        assert_eq!((sketch.count(), sketch.quantile_ns(0.75)), (4, Some(0)));
        assert!(
            sketch
                .quantile_ns(0.76)
                .is_some_and(|ns| (994_500..1_005_500).contains(&ns))
        );
        sketch.add(0, -4);
        assert_eq!(sketch.quantile_ns(0.5), None, "more zeros were taken than there were");
    }

    #[test]
    fn ranks_are_those_of_decimal_shares() {
        for (share, count, expected) in [
            (0.07, 100, 7),
            (0.95, 20, 19),
            (0.0, 5, 1),
            (1.0, 5, 5),
            (0.999, 1_000, 999),
        ] {
            assert_eq!(rank(share, count), expected, "{share} of {count}");
        }
    }

    #[test]
    fn nothing_has_no_quantile_and_neither_has_a_share_outside_of_0_to_1() {
        assert_eq!(Sketch::default().quantile_ns(0.5), None);
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(sketch(&[1]).quantile_ns(share), None);
        }
    }
}

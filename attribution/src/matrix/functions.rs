//! Running time of the requests of a group, divided by what samples say.
//!
//! How long requests ran in a layer is known exactly; what they ran is known of as many moments as there are samples. Each
//! function gets the part of the time that it has of the samples (a ratio estimator), rounded to nanoseconds together, so
//! that the functions of a layer sum to its time. How far a part may be off is Wilson's interval for the share of n
//! independent samples, at 95 %. [`LabelScope`] says which samples count for which layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use spandrel_model::Layer;

use super::label_scope::LabelScope;
use crate::rounding::apportion;
use crate::{SampledBy, SampledFunction};

/// What is told apart in samples.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FunctionKey {
    pub(super) by: SampledBy,
    pub(super) layer: Layer,
    pub(super) function_layer: Layer,
    pub(super) function: Arc<str>,
}

impl FunctionKey {
    pub(super) fn of(seen: &SampledFunction) -> Self {
        Self {
            by: seen.by,
            layer: seen.layer.clone(),
            function_layer: seen.function_layer.clone(),
            function: seen.function.clone(),
        }
    }
}

/// Layer of the running time, layer of the function, and the function.
pub(super) type RowKey = (Layer, Layer, Arc<str>);

/// The part of a whole that was seen in some samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) ns: i64,
    pub(super) lo_ns: i64,
    pub(super) hi_ns: i64,
}

/// 97.5 % of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Divides `total_ns`, not negative, among functions by their counts of samples. The parts sum to it, if there is any
/// sample: they are rounded together.
pub(super) fn divide(total_ns: i64, counts: &[i64]) -> Vec<Part> {
    let n: i128 = counts.iter().map(|count| i128::from(*count)).sum();
    if n == 0 {
        return Vec::new();
    }
    let products: Vec<i128> = (counts.iter())
        .map(|count| i128::from(total_ns) * i128::from(*count))
        .collect();
    let parts = apportion(&products, n).into_iter().zip(counts);
    parts
        .map(|(ns, count)| with_bounds(ns, total_ns, *count as f64, n as f64))
        .collect()
}

/// Wilson's score interval of the share `count / n`, of `total_ns`.
fn with_bounds(ns: i64, total_ns: i64, count: f64, n: f64) -> Part {
    let share = count / n;
    let scale = 1.0 + Z * Z / n;
    let center = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let of_total = |share: f64| share * total_ns as f64;
    Part {
        ns,
        lo_ns: (of_total(center - half).floor() as i64).clamp(0, ns),
        hi_ns: (of_total(center + half).ceil() as i64).clamp(ns, total_ns),
    }
}

/// Samples of several requests: how many of each function, by number.
pub(super) fn counts_of<'a>(requests: impl Iterator<Item = &'a [(u32, u32)]>, functions: usize) -> Vec<i64> {
    let mut counts = vec![0_i64; functions];
    for (function, n) in requests.flatten() {
        counts[*function as usize] += i64::from(*n);
    }
    counts
}

/// The functions with their counts, those without samples left out, sorted, so that those of a layer are neighbors.
pub(super) fn counted(functions: &BTreeMap<FunctionKey, u32>, counts: &[i64], scope: LabelScope) -> Vec<(RowKey, i64)> {
    let mut rows: BTreeMap<RowKey, i64> = BTreeMap::new();
    for (key, number) in functions {
        let n = counts[*number as usize];
        if let Some((layer, function_layer)) = scope.layers(key).filter(|_| n > 0) {
            let row = (layer.clone(), function_layer.clone(), key.function.clone());
            *rows.entry(row).or_default() += n;
        }
    }
    rows.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(total_ns: i64, counts: &[i64]) -> Vec<i64> {
        divide(total_ns, counts).iter().map(|part| part.ns).collect()
    }

    #[test]
    fn parts_sum_to_the_whole_whatever_the_counts() {
        assert_eq!(ns(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(ns(10, &[1, 2, 3]), [2, 3, 5]);
        assert_eq!(ns(2, &[1, 1, 1, 1, 1]), [1, 1, 0, 0, 0]);
        assert_eq!(ns(0, &[3, 4]), [0, 0]);
        assert_eq!(ns(7, &[]), [] as [i64; 0]);
        assert_eq!(ns(7, &[0, 0]), [] as [i64; 0]);
        let counts: Vec<i64> = (1..500).map(|count| count * 7_919 % 1_013).collect();
        for total_ns in [1, 99, 1_000_003, i64::MAX] {
            assert_eq!(
                ns(total_ns, &counts).iter().map(|ns| i128::from(*ns)).sum::<i128>(),
                i128::from(total_ns)
            );
        }
    }

    #[test]
    fn bounds_are_wilsons_interval_of_the_share() {
        // Of 100 samples 10: 5.522914 % to 17.436567 %, by the formula done by hand elsewhere.
        let parts = divide(100_000_000, &[10, 90]);
        assert_eq!(parts[0].ns, 10_000_000);
        assert!((5_522_913..=5_522_914).contains(&parts[0].lo_ns), "{parts:?}");
        assert!((17_436_566..=17_436_567).contains(&parts[0].hi_ns), "{parts:?}");
        assert_eq!(parts[0].lo_ns + parts[1].hi_ns, 100_000_000);
        let one = divide(1_000, &[1]);
        assert_eq!((one[0].ns, one[0].hi_ns), (1_000, 1_000));
        assert!(one[0].lo_ns < 250, "one sample says little: {one:?}");
    }
}

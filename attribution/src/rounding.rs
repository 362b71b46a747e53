//! Rounding of several amounts together, so that their sum is what it should be: the method of the largest remainder.

use std::cmp::Reverse;

/// Divides all by `by`, which is positive, to integers that sum to their sum divided by it, rounded down: each is rounded
/// down, and those with the largest remainders get one more, of equals the first. The products of the caller and their sum
/// must fit in 128 bits; a share beyond 64 saturates.
pub(crate) fn apportion(amounts: &[i128], by: i128) -> Vec<i64> {
    let mut shares: Vec<i128> = amounts.iter().map(|amount| amount.div_euclid(by)).collect();
    let total = amounts.iter().sum::<i128>().div_euclid(by);
    let missing = usize::try_from(total - shares.iter().sum::<i128>()).unwrap_or(0);
    let mut by_remainder: Vec<usize> = (0..amounts.len()).collect();
    by_remainder.sort_by_key(|at| Reverse(amounts[*at].rem_euclid(by)));
    for at in by_remainder.into_iter().take(missing) {
        shares[at] += 1;
    }
    let saturated = |share: i128| i64::try_from(share).unwrap_or(if share < 0 { i64::MIN } else { i64::MAX });
    shares.into_iter().map(saturated).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_together() {
        assert_eq!(apportion(&[10, 10, 10], 4), [3, 2, 2]);
        assert_eq!(apportion(&[-10, 10, 1], 4), [-2, 2, 0]);
        assert!(apportion(&[], 4).is_empty());
    }
}

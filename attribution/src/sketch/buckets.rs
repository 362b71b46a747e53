//! Which bucket a number of nanoseconds falls into, and which numbers a bucket holds: exactly, in integers.
//!
//! Buckets are those of OpenTelemetry's base-2 exponential histogram. At scale s, bucket i holds the numbers above
//! `2^(i / 2^s)` and up to `2^((i + 1) / 2^s)`, so that several neighbors are one bucket of a lower scale. A logarithm in
//! floating point puts numbers close to a bound on the wrong side. Here a number is compared with the bounds, rounded down
//! to integers. That is the same as with the true ones: no integer lies between.

/// The finest scale: an octave, which is a factor of 2, has 2 to the power of this many buckets.
pub(super) const SCALE_MAX: u8 = 6;
/// The bucket that holds 1, at any scale.
pub(super) const INDEX_MIN: i32 = -1;
const OCTAVE: i32 = 1 << SCALE_MAX;
/// The bucket that holds the largest number of 64 bits with a sign, at the finest scale.
const INDEX_MAX: i32 = 63 * OCTAVE - 1;

/// `2^(63 + j / 64)` rounded down, for j from 0 to 63.
#[rustfmt::skip]
const BOUNDS: [u64; 64] = [
    0x8000_0000_0000_0000, 0x8164_d1f3_bc03_0773, 0x82cd_8698_ac2b_a1d7, 0x843a_28c3_acde_4046,
    0x85aa_c367_cc48_7b14, 0x871f_6196_9e8d_1010, 0x8898_0e80_92da_8527, 0x8a14_d575_496e_fd9a,
    0x8b95_c1e3_ea8b_d6e6, 0x8d1a_df5b_7e5b_a9e5, 0x8ea4_398b_45cd_53c0, 0x9031_dc43_1466_b1dc,
    0x91c3_d373_ab11_c336, 0x935a_2b2f_13e6_e92b, 0x94f4_efa8_fef7_0961, 0x9694_2d37_2018_5a00,
    0x9837_f051_8db8_a96f, 0x99e0_4593_20b7_fa64, 0x9b8d_39b9_d54e_5538, 0x9d3e_d9a7_2cff_b750,
    0x9ef5_3260_91a1_11ad, 0xa0b0_510f_b971_4fc2, 0xa270_4303_0c49_6818, 0xa435_15ae_09e6_809e,
    0xa5fe_d6a9_b151_38ea, 0xa7cd_93b4_e965_3569, 0xa9a1_5ab4_ea7c_0ef8, 0xab7a_39b5_a93e_d337,
    0xad58_3eea_42a1_4ac6, 0xaf3b_78ad_690a_4374, 0xb123_f581_d2ac_258f, 0xb311_c412_a911_2489,
    0xb504_f333_f9de_6484, 0xb6fd_91e3_28d1_7791, 0xb8fb_af47_62fb_9ee9, 0xbaff_5ab2_133e_45fb,
    0xbd08_a39f_580c_36be, 0xbf17_99b6_7a73_1082, 0xc12c_4cca_6670_9456, 0xc346_ccda_2497_6407,
    0xc567_2a11_5506_dadd, 0xc78d_74c8_abb9_b15c, 0xc9b9_bd86_6e2f_27a2, 0xcbec_14fe_f272_7c5c,
    0xce24_8c15_1f84_80e3, 0xd063_33da_ef2b_2594, 0xd2a8_1d91_f12a_e45a, 0xd4f3_5aab_cfed_fa1f,
    0xd744_fcca_d69d_6af4, 0xd99d_15c2_78af_d7b5, 0xdbfb_b797_daf2_3755, 0xde60_f482_5e0e_9123,
    0xe0cc_deec_2a94_e111, 0xe33f_8972_be8a_5a51, 0xe5b9_06e7_7c83_48a8, 0xe839_6a50_3c4b_dc68,
    0xeac0_c6e7_dd24_392e, 0xed4f_301e_d994_2b84, 0xefe4_b99b_dcda_f5cb, 0xf281_773c_59ff_b139,
    0xf525_7d15_2486_cc2c, 0xf7d0_df73_0ad1_3bb8, 0xfa83_b2db_722a_033a, 0xfd3e_0c0c_f486_c174,
];

/// The bucket at the finest scale that holds `ns`, which must be greater than zero.
pub(super) fn index_of(ns: i64) -> i32 {
    let ns = ns.max(1).unsigned_abs();
    let octave = ns.ilog2();
    let normal = ns << (u64::BITS - 1 - octave);
    let bounds_below = BOUNDS.partition_point(|bound| *bound < normal);
    let small = |number: usize| i32::try_from(number).expect("64 octaves of 64 buckets are few");
    small(octave as usize) * OCTAVE + small(bounds_below) - 1
}

/// The last bucket at the scale.
pub(super) fn index_max(scale: u8) -> i32 {
    at_scale(INDEX_MAX, SCALE_MAX - scale)
}

/// The bucket of which this one is a part, at a scale that is lower by `steps`.
pub(super) fn at_scale(index: i32, steps: u8) -> i32 {
    index >> steps
}

/// The number that is named for all that the bucket holds: relative to the smallest of them as far away as relative to the
/// largest, but for being rounded to a whole one.
pub(super) fn representative(index: i32, scale: u8) -> i64 {
    let (smallest, largest) = range(index, scale);
    let [low, high] = [smallest, largest.max(smallest)].map(|ns| u128::from(ns.unsigned_abs()));
    let middle = (4 * low * high / (low + high)).div_ceil(2);
    i64::try_from(middle).unwrap_or(largest)
}

/// The smallest and the largest number that the bucket holds. Some of the lowest buckets hold none; then the first is the
/// greater one.
fn range(index: i32, scale: u8) -> (i64, i64) {
    let steps = SCALE_MAX - scale;
    (below(index << steps) + 1, below((index + 1) << steps))
}

/// `2^(index / 64)` rounded down, but no more than the largest number of 64 bits with a sign.
fn below(index: i32) -> i64 {
    let bound = BOUNDS[usize::try_from(index.rem_euclid(OCTAVE)).expect("a remainder is not negative")];
    let shift = u32::try_from(63 - index.div_euclid(OCTAVE)).unwrap_or(0);
    i64::try_from(bound.checked_shr(shift).unwrap_or(0)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    /// A natural number of any size: 32 bits each, the lowest first.
    fn product(left: &[u64], right: &[u64]) -> Vec<u64> {
        let mut product = vec![0_u64; left.len() + right.len()];
        for (at, l) in left.iter().enumerate() {
            let mut carry = 0;
            for (r, digit) in right.iter().zip(&mut product[at..]) {
                let sum = *digit + l * r + carry;
                *digit = sum & 0xffff_ffff;
                carry = sum >> 32;
            }
            product[at + right.len()] = carry;
        }
        product
    }

    /// Compares `ns` with `2^(index / 64)` by comparing their 64th powers.
    fn compare_with_bound(ns: u64, index: i32) -> Ordering {
        let mut power = vec![ns & 0xffff_ffff, ns >> 32];
        for _ in 0..6 {
            power = product(&power, &power);
        }
        let Ok(exponent) = usize::try_from(index) else {
            return Ordering::Greater;
        };
        let mut bound = vec![0; power.len().max(exponent / 32 + 1)];
        bound[exponent / 32] = 1 << (exponent % 32);
        power.resize(bound.len(), 0);
        power.iter().rev().cmp(bound.iter().rev())
    }

    fn assert_in_its_bucket(ns: i64) {
        let index = index_of(ns);
        assert_eq!(
            compare_with_bound(ns.unsigned_abs(), index),
            Ordering::Greater,
            "{ns} in {index}"
        );
        assert_ne!(
            compare_with_bound(ns.unsigned_abs(), index + 1),
            Ordering::Greater,
            "{ns} in {index}"
        );
    }

    #[test]
    fn the_table_of_bounds_is_exact() {
        for (bound, index) in BOUNDS.into_iter().zip(63 * OCTAVE..) {
            assert_ne!(compare_with_bound(bound, index), Ordering::Greater);
            assert_eq!(compare_with_bound(bound + 1, index), Ordering::Greater);
        }
    }

    #[test]
    fn the_smallest_and_the_largest_of_every_bucket_are_in_it() {
        for index in INDEX_MIN..=INDEX_MAX {
            let (smallest, largest) = range(index, SCALE_MAX);
            if smallest <= largest {
                assert_eq!((index_of(smallest), index_of(largest)), (index, index));
                assert_in_its_bucket(smallest);
                assert_in_its_bucket(largest);
            }
        }
        assert_eq!((index_of(1), index_of(i64::MAX)), (INDEX_MIN, INDEX_MAX));
    }

    #[test]
    fn every_bucket_at_every_scale_holds_its_representative_or_nothing() {
        for scale in 0..=SCALE_MAX {
            for index in INDEX_MIN..=index_max(scale) {
                let (smallest, largest) = range(index, scale);
                let named = representative(index, scale);
                assert!(
                    smallest > largest || (smallest..=largest).contains(&named),
                    "{index} at {scale}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn i20_a_number_lies_between_the_bounds_of_its_bucket(ns in 1..=i64::MAX, octaves in 0..63_u32) {
            assert_in_its_bucket(ns);
            assert_in_its_bucket((ns >> octaves).max(1));
        }
    }
}

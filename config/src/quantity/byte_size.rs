//! Sizes in bytes: `20MiB`, `64kB`, `1048576`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{InvalidQuantity, mismatch};

const EXPECTED: &str = "a size such as `20MiB` or `1048576`";

/// Units by powers of 1024 and of 1000, largest first within each.
const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// A number of bytes. A bare number counts bytes; units are read in any letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(
    /// The size in bytes.
    pub u64,
);

impl FromStr for ByteSize {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let trimmed = text.trim();
        let digits_end = trimmed
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        if digits.is_empty() {
            return Err(mismatch(EXPECTED, text, "no whole number at the start"));
        }
        let unit = unit.trim();
        let factor = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => {
                return Err(mismatch(
                    EXPECTED,
                    text,
                    "the units are B, kB, KiB, MB, MiB, GB, GiB, TB, TiB",
                ));
            }
        };
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        bytes
            .map(Self)
            .ok_or_else(|| mismatch(EXPECTED, text, "more than 64 bits"))
    }
}

/// Prints the largest binary unit that divides the size.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, factor): &&(&str, u64)| {
            factor.is_power_of_two() && self.0 >= *factor && self.0.is_multiple_of(*factor)
        };
        match UNITS.iter().find(exact) {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::deserialize(deserializer, EXPECTED, |number| Some(Self(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_sizes() {
        for (text, bytes, printed) in [
            ("20MiB", 20 << 20, "20MiB"),
            ("64 kB", 64_000, "64000B"),
            ("1048576", 1 << 20, "1MiB"),
            ("1gib", 1 << 30, "1GiB"),
            ("0", 0, "0B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, printed), "{text}");
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }

    #[test]
    fn refuses_fractions_unknown_units_and_overflow() {
        for text in [
            "",
            "MiB",
            "1.5MiB",
            "-1",
            "5 parsecs",
            "99999999TiB",
            "99999999999999999999",
        ] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(
                error.starts_with("expected a size such as `20MiB` or `1048576`, found `"),
                "{error}"
            );
        }
    }
}

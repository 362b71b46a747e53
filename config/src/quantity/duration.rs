//! Lengths of time: `5s`, `200ms`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{InvalidQuantity, mismatch};

const EXPECTED: &str = "a duration such as `5s` or `200ms`";

/// A length of time with its unit. A bare number has none and is refused, except `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(
    /// The duration.
    pub Duration,
);

impl FromStr for HumanDuration {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        if text.trim() == "0" {
            return Ok(Self(Duration::ZERO));
        }
        humantime::parse_duration(text).map(Self).map_err(|error| {
            let why = error.to_string();
            mismatch(EXPECTED, text, why.trim_end_matches('.').to_lowercase())
        })
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::deserialize(deserializer, EXPECTED, |number| {
            (number == 0).then_some(Self(Duration::ZERO))
        })
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_notation_of_go_and_of_people() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("200ms", 200),
            ("1h30m", 5_400_000),
            ("1.5s", 1500),
            ("1h30m0s", 5_400_000),
            ("2min 1s", 121_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                text.parse(),
                Ok(HumanDuration(Duration::from_millis(milliseconds))),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_numbers_without_unit_unknown_units_and_negative_times() {
        for text in ["", "5", "5 parsecs", "-1s", "s", "99999999999999999999s"] {
            let error = text.parse::<HumanDuration>().unwrap_err().to_string();
            assert!(
                error.starts_with("expected a duration such as `5s` or `200ms`, found `"),
                "{error}"
            );
        }
    }
}

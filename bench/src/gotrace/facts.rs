//! What a stage found out about a file, as numbers with names: what peers must agree on.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Named counts and times. The same name means the same fact, whoever counts it.
///
/// Names that end in `_ns` are sums of times: two readers may put events of two threads that share a tick of 64 ns in
/// either order, and each such tie gives one state a little of another. They agree up to one part in [`TIME_PARTS`]; all
/// others agree exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(BTreeMap<String, i64>);

/// Sums of times may differ by one part in so many.
const TIME_PARTS: i64 = 500;

impl Facts {
    /// States a fact.
    ///
    /// # Panics
    /// If the number is beyond 2^63: nothing in a file that fits a machine is that many.
    pub fn set(&mut self, name: impl Into<String>, value: impl TryInto<i64>) {
        let value = value.try_into().ok().expect("counts and sums of a file fit 63 bits");
        self.0.insert(name.into(), value);
    }

    /// A fact that the stage must have stated.
    ///
    /// # Errors
    /// It did not.
    pub fn get(&self, name: &str) -> Result<i64> {
        self.0
            .get(name)
            .copied()
            .with_context(|| format!("no fact `{name}` was counted"))
    }

    /// Checks that two sets of facts do not contradict each other, and returns how many they share.
    ///
    /// # Errors
    /// They disagree: names the first fact and both numbers.
    pub fn agree(&self, other: &Self) -> Result<usize> {
        let mut shared = 0;
        for (name, ours) in &self.0 {
            let Some(theirs) = other.0.get(name) else { continue };
            let tolerance = if name.ends_with("_ns") { ours / TIME_PARTS } else { 0 };
            ensure!(
                ours.abs_diff(*theirs) <= tolerance.unsigned_abs(),
                "`{name}` is {ours} for one and {theirs} for the other"
            );
            shared += 1;
        }
        Ok(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, i64)]) -> Facts {
        let mut facts = Facts::default();
        for (name, value) in pairs {
            facts.set(*name, *value);
        }
        facts
    }

    #[test]
    fn facts_of_one_name_must_be_equal() {
        let error = facts(&[("events", 5)]).agree(&facts(&[("events", 6)])).unwrap_err();
        assert_eq!(error.to_string(), "`events` is 5 for one and 6 for the other");
        assert_eq!(facts(&[("events", 5)]).agree(&facts(&[("events", 5)])).unwrap(), 1);
    }

    #[test]
    fn facts_that_only_one_states_are_not_shared() {
        assert_eq!(facts(&[("rows", 5)]).agree(&facts(&[("events", 6)])).unwrap(), 0);
    }

    #[test]
    fn times_may_differ_by_one_part_in_five_hundred() {
        let base = facts(&[("running_ns", 1_000_000)]);
        assert!(base.agree(&facts(&[("running_ns", 1_002_000)])).is_ok());
        assert!(base.agree(&facts(&[("running_ns", 998_000)])).is_ok());
        assert!(base.agree(&facts(&[("running_ns", 1_002_001)])).is_err());
    }
}

//! What a run must reach.

use super::bindings::BindingCounts;
use super::cells::View;
use super::judge::{PartJudged, ViewJudged};
use super::run::Measured;

/// A share, and the least that it must be.
#[derive(Clone, Debug)]
pub struct Aim {
    /// Of what.
    pub what: String,
    /// How many are as they must be.
    pub good: i64,
    /// Of how many.
    pub of: i64,
    /// The least share.
    pub least_percent: f64,
}

impl Aim {
    /// The share in percent. Of nothing it is 0: what was not measured is not reached.
    pub fn percent(&self) -> f64 {
        100.0 * self.good as f64 / self.of.max(1) as f64
    }

    /// Whether it is reached.
    pub fn is_reached(&self) -> bool {
        self.percent() >= self.least_percent
    }
}

/// All aims, over all runs.
pub fn aims(runs: &[Measured]) -> Vec<Aim> {
    let mut aims = Vec::from(of_bindings(runs));
    for view in View::ALL {
        aims.extend(of_view(runs, view));
    }
    aims.push(culprits(runs));
    aims
}

fn aim(what: impl Into<String>, good: usize, of: usize, least_percent: f64) -> Aim {
    let count = |count| i64::try_from(count).expect("counts of a run are small");
    Aim {
        what: what.into(),
        good: count(good),
        of: count(of),
        least_percent,
    }
}

fn of_bindings(runs: &[Measured]) -> [Aim; 2] {
    let counts = BindingCounts::of(runs.iter().flat_map(|run| &run.bindings));
    [
        aim("spans bound", counts.bound, counts.spans, 99.0),
        aim("bound spans on the right goroutine", counts.right, counts.bound, 99.9),
    ]
}

/// A request that the tables do not have is a miss.
fn of_view(runs: &[Measured], view: View) -> [Aim; 2] {
    let requests = runs.iter().map(|run| run.requests.len()).sum();
    let count = |is: fn(&ViewJudged) -> bool| {
        runs.iter()
            .flat_map(|run| run.of_view(view))
            .filter(|it| is(it))
            .count()
    };
    let name = view.name();
    [
        aim(
            format!("{name} view: requests within max(1 %, 100 us) in every cell"),
            count(ViewJudged::is_within),
            requests,
            99.0,
        ),
        aim(
            format!("{name} view: requests whose dominant cause is right"),
            count(|it| it.dominant.is_right),
            requests,
            98.0,
        ),
    ]
}

/// How much of the time that requests waited for another one is found under the operation of that one.
pub fn culprits(runs: &[Measured]) -> Aim {
    let views = runs.iter().flat_map(|run| run.of_view(View::Root));
    let culprits: Vec<&PartJudged> = views.flat_map(|it| &it.parts).filter(|part| part.has_culprit).collect();
    Aim {
        what: "root view: time that requests waited for another one, under the operation that held it".to_owned(),
        good: culprits.iter().map(|part| part.found_ns.min(part.expected_ns)).sum(),
        of: culprits.iter().map(|part| part.expected_ns).sum(),
        least_percent: 99.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_not_reached() {
        let all = aims(&[]);
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|aim| !aim.is_reached()));
    }

    #[test]
    fn an_aim_is_reached_from_its_least_share_on() {
        assert!(aim("spans bound", 99, 100, 99.0).is_reached());
        assert!(aim("right", 999, 1000, 99.9).is_reached());
        assert!(!aim("right", 998, 1000, 99.9).is_reached());
    }
}

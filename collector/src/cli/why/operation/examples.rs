//! Requests to look at: those that are most like the mean of the slow ones.
//!
//! The slowest request of all is often an exception. One whose time goes where that of the others goes, and about as much of
//! it, shows what is usual among the slow ones.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::cause::Cause;
use super::load::Request;

/// How many are named.
const EXAMPLES: usize = 3;

/// A request to look at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Example {
    pub(super) trace_id: String,
    pub(super) duration_ns: i64,
}

/// The requests with the smallest sum of differences to `mean_ns`, which is sorted by cause. Each trace is named once.
pub(super) fn nearest(requests: &[Request], mean_ns: &[(Cause, i64)]) -> Vec<Example> {
    let mut by_distance: Vec<(i128, &Request)> = requests
        .iter()
        .map(|request| (distance(request, mean_ns), request))
        .collect();
    by_distance.sort_by(|(a, one), (b, other)| (a, &one.trace_id).cmp(&(b, &other.trace_id)));
    let mut named = BTreeSet::new();
    by_distance.retain(|(_, request)| named.insert(&request.trace_id));
    let example = |(_, request): (i128, &Request)| Example {
        trace_id: request.trace_id.clone(),
        duration_ns: request.duration_ns,
    };
    by_distance.into_iter().take(EXAMPLES).map(example).collect()
}

/// Every cause of a request of the band has a mean.
fn distance(request: &Request, mean_ns: &[(Cause, i64)]) -> i128 {
    let difference = |(cause, mean_ns): &(Cause, i64)| {
        let ns = request.of_cause.get(cause).copied().unwrap_or(0);
        i128::from(ns).abs_diff(i128::from(*mean_ns)) as i128
    };
    mean_ns.iter().map(difference).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(layer: &str) -> Cause {
        Cause {
            layer: layer.into(),
            state: "network".into(),
            relation: "same".into(),
            culprit: None,
        }
    }

    fn request(trace_id: &str, db_ns: i64, cache_ns: i64) -> Request {
        Request {
            trace_id: trace_id.into(),
            duration_ns: db_ns + cache_ns,
            of_cause: [(cause("cache"), cache_ns), (cause("db"), db_ns)].into(),
        }
    }

    #[test]
    fn the_typical_requests_are_named_and_not_the_extreme_ones() {
        let requests = [
            request("extreme", 900, 0),
            request("typical", 100, 50),
            request("the other way round", 50, 100),
            request("near", 90, 60),
            request("near", 90, 61),
            request("also near", 120, 50),
        ];
        let mean_ns = [(cause("cache"), 50), (cause("db"), 100)];
        let named: Vec<String> = nearest(&requests, &mean_ns)
            .into_iter()
            .map(|one| one.trace_id)
            .collect();
        assert_eq!(named, ["typical", "also near", "near"]);
    }
}

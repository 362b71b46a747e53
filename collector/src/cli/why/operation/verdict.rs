//! What makes the slow requests slow, in one sentence.
//!
//! It names the largest causes until they explain most of the gap, and only those that chance does not explain: whose interval
//! excludes 0. It says first what weakens it: time that is unknown, or too few requests for intervals.

use serde::Serialize;
use spandrel_attribution::BOOTSTRAP_REQUESTS_MIN;

use super::{Explained, Part, ShownBand};
use crate::report::duration::human;
use crate::report::number::{counted, share};

/// Causes are named until they explain so much of the gap.
const EXPLAINED_PERCENT: i128 = 85;
/// A cause that explains less is not worth a name.
const NAMED_PERCENT_MIN: i128 = 5;
/// No more are named.
const NAMED_MAX: usize = 5;
/// If more of the slow requests' time is unknown, that comes first.
const UNKNOWN_PERCENT: i128 = 20;

/// The answer in short.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verdict {
    pub(super) sentence: String,
    /// What it lacks.
    refusal: Option<Refusal>,
    /// Positions in the list of causes of those that it names.
    causes: Vec<usize>,
    /// The part of the gap that they do not explain.
    rest_ns: i64,
}

/// Why a verdict is none, or a weak one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    /// The slow requests take no longer than the usual ones.
    NoGap,
    /// What it names may be chance.
    FewRequests,
    /// No cause is large, and larger than by chance.
    NoSingleCause,
}

impl Verdict {
    pub(super) fn of(explained: &Explained) -> Self {
        let causes = named(&explained.causes, explained.gap_ns);
        let (high, low) = (explained.high(), &explained.bands[0]);
        let refusal = if explained.gap_ns <= 0 {
            Some(Refusal::NoGap)
        } else if high.requests.min(low.requests) < BOOTSTRAP_REQUESTS_MIN {
            Some(Refusal::FewRequests)
        } else {
            causes.is_empty().then_some(Refusal::NoSingleCause)
        };
        let explained_ns: i64 = causes.iter().map(|at| explained.causes[*at].gap_ns).sum();
        let verdict = Self {
            sentence: String::new(),
            refusal,
            rest_ns: explained.gap_ns - explained_ns,
            causes,
        };
        let sentence = [unknown(high), verdict.told(explained, high, low)].concat();
        Self { sentence, ..verdict }
    }

    fn told(&self, explained: &Explained, high: &ShownBand, low: &ShownBand) -> String {
        let (percent, gap_ns) = (high.percent, explained.gap_ns);
        if self.refusal == Some(Refusal::NoGap) {
            return format!("Requests near p{percent} take no longer than those near p50.");
        }
        let few = match self.refusal {
            Some(Refusal::FewRequests) => format!(
                "Only {} near p{percent} and {} near p50, so this may be chance. ",
                counted(high.requests as u64, "request"),
                low.requests
            ),
            _ => String::new(),
        };
        let gap = format!(
            "{few}Requests near p{percent} take {} longer than those near p50",
            human(gap_ns)
        );
        if self.causes.is_empty() {
            return format!("{gap}; no single cause explains it.");
        }
        let name = |at: &usize| {
            let part = &explained.causes[*at];
            format!(
                "{} ({}) {}",
                human(part.gap_ns),
                share(part.gap_ns, gap_ns),
                part.cause.shown()
            )
        };
        let names: Vec<String> = self.causes.iter().map(name).collect();
        let unknown_ns: i64 = unknown_parts(explained).map(|part| part.gap_ns).sum();
        let rest = [(self.rest_ns - unknown_ns, "in others"), (unknown_ns, "unknown")]
            .into_iter()
            .filter(|(ns, _)| percent_of(*ns, gap_ns) >= NAMED_PERCENT_MIN)
            .map(|(ns, what)| format!("; {} {what}", human(ns)))
            .collect::<String>();
        format!("{gap}: {}{rest}.", names.join(", "))
    }
}

/// The largest causes until they explain enough. `causes` are sorted by their part of the gap, largest first.
fn named(causes: &[Part], gap_ns: i64) -> Vec<usize> {
    let mut names = Vec::new();
    let mut explained_ns = 0;
    for (at, part) in causes.iter().enumerate() {
        let is_enough = percent_of(explained_ns, gap_ns) >= EXPLAINED_PERCENT || names.len() == NAMED_MAX;
        if is_enough || gap_ns <= 0 || percent_of(part.gap_ns, gap_ns) < NAMED_PERCENT_MIN {
            break;
        }
        // Without intervals nothing is certain, which the sentence says.
        let is_certain = part.interval.is_none_or(|interval| interval.from_ns > 0);
        if is_certain && !part.cause.is_unknown() {
            names.push(at);
            explained_ns += part.gap_ns;
        }
    }
    names
}

fn unknown_parts(explained: &Explained) -> impl Iterator<Item = &Part> {
    explained.causes.iter().filter(|part| part.cause.is_unknown())
}

fn unknown(high: &ShownBand) -> String {
    let unknown_ns = high.mean_ns - high.exact_ns;
    match percent_of(unknown_ns, high.mean_ns) > UNKNOWN_PERCENT {
        true => format!(
            "{} of the time of the slow requests is unknown, so causes may be missing. ",
            share(unknown_ns, high.mean_ns)
        ),
        false => String::new(),
    }
}

fn percent_of(part_ns: i64, whole_ns: i64) -> i128 {
    100 * i128::from(part_ns) / i128::from(whole_ns.max(1))
}

#[cfg(test)]
mod tests {
    use super::super::super::cause::Cause;
    use super::super::Interval;
    use super::*;

    /// A cause, its part of the gap, and where its interval begins.
    type Told<'a> = (&'a str, i64, Option<i64>);

    fn verdict(requests: usize, unknown_ns: i64, causes: &[Told<'_>]) -> Verdict {
        let gap_ns: i64 = causes.iter().map(|(_, gap_ns, _)| gap_ns).sum();
        let band = |percent, mean_ns| ShownBand {
            percent,
            quantile_ns: mean_ns,
            from_ns: mean_ns,
            to_ns: mean_ns,
            requests,
            mean_ns,
            exact_ns: mean_ns - unknown_ns,
        };
        let part = |(name, gap_ns, from_ns): &Told<'_>| Part {
            cause: Cause {
                layer: "db".into(),
                state: (*name).into(),
                relation: "same".into(),
                culprit: None,
            },
            gap_ns: *gap_ns,
            interval: from_ns.map(|from_ns| Interval {
                from_ns,
                to_ns: 2 * gap_ns,
            }),
            mean_ns: [0, *gap_ns, *gap_ns],
            ran: None,
        };
        Verdict::of(&Explained {
            gap_ns,
            percent: 99,
            bands: [band(50, 1), band(95, 1 + gap_ns), band(99, 1 + gap_ns)],
            causes: causes.iter().map(part).collect(),
            ..Explained::default()
        })
    }

    #[test]
    fn the_largest_causes_are_named_until_they_explain_most_of_it() {
        let causes = [
            ("network", 6_000, Some(5_000)),
            ("select", 3_000, Some(1)),
            ("running", 1_000, Some(500)),
        ];
        let found = verdict(40, 0, &causes);
        assert_eq!(
            found.sentence,
            "Requests near p99 take 10.0 us longer than those near p50: 6.00 us (60.0 %) db/network, 3.00 us (30.0 %) \
             db/select; 1.00 us in others."
        );
        assert_eq!((found.refusal, found.causes, found.rest_ns), (None, vec![0, 1], 1_000));
    }

    #[test]
    fn what_may_be_chance_is_not_named() {
        let causes = [("network", 6_000, Some(-1)), ("select", 4_000, Some(2_000))];
        let sentence = verdict(40, 0, &causes).sentence;
        assert!(
            !sentence.contains("db/network") && sentence.contains("4.00 us (40.0 %) db/select"),
            "{sentence}"
        );
        let nothing = verdict(40, 0, &causes[..1]);
        assert!(
            nothing
                .sentence
                .ends_with("than those near p50; no single cause explains it."),
            "{}",
            nothing.sentence
        );
        assert_eq!(nothing.refusal, Some(Refusal::NoSingleCause));
    }

    #[test]
    fn few_requests_and_unknown_time_are_said_first() {
        let few = verdict(2, 0, &[("network", 6_000, None)]);
        let expected = "Only 2 requests near p99 and 2 near p50, so this may be chance. Requests near p99 take 6.00 us";
        assert!(few.sentence.starts_with(expected), "{}", few.sentence);
        assert_eq!(few.refusal, Some(Refusal::FewRequests));
        let causes = [("unknown", 4_000, Some(3_000)), ("network", 6_000, Some(5_000))];
        let unknown = verdict(40, 4_000, &causes);
        let expected = "40.0 % of the time of the slow requests is unknown, so causes may be missing. Requests near";
        assert!(unknown.sentence.starts_with(expected), "{}", unknown.sentence);
        assert!(
            unknown
                .sentence
                .ends_with("6.00 us (60.0 %) db/network; 4.00 us unknown."),
            "{}",
            unknown.sentence
        );
    }

    #[test]
    fn requests_that_all_take_the_same_have_no_causes() {
        let found = verdict(40, 0, &[("network", 0, Some(0))]);
        assert_eq!(found.sentence, "Requests near p99 take no longer than those near p50.");
        assert!(found.causes.is_empty());
    }
}

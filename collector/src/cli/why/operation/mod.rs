//! What makes the slow requests of an operation slower than the median.
//!
//! ```text
//! tables --load--> durations --bands--> sums of each band ----compare--> gap of each cause --verdict--> a sentence
//!            `---> some requests of each band --bootstrap--> its interval ---^         `------page----> a table
//!                          `-------------------examples--> traces to look at
//!            `---running--> functions that the requests ran
//! ```

mod examples;
mod load;
mod page;
mod running;
mod verdict;

use anyhow::bail;
use serde::Serialize;
use spandrel_attribution::{Band, GapInterval, gap_intervals};
use spandrel_model::View;

use super::super::recorded::RECORDED;
use super::cause::Cause;
use super::ran::Ran;
use super::{Tables, literal};

use self::examples::{Example, nearest};
use self::load::{Request, Sums};
use self::verdict::Verdict;

pub(super) use self::page::render;

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) operation: &'a str,
    pub(super) service: Option<&'a str>,
    /// The percentile to explain.
    pub(super) percent: usize,
    pub(super) view: Option<View>,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Explained {
    service: String,
    operation: String,
    view: &'static str,
    verdict: Verdict,
    /// Requests that were recorded.
    requests: usize,
    /// The percentile that is explained.
    percent: usize,
    /// By how much the mean request near it takes longer than the mean request near the median.
    gap_ns: i64,
    /// Requests near the 50th, 95th and 99th percentile.
    bands: [ShownBand; 3],
    /// Sorted by their part of the gap, which sum to it.
    causes: Vec<Part>,
    /// What all requests ran, slow or not, by samples that do not tell layers apart.
    ran_in_all_layers: Option<Ran>,
    /// Slow requests that are most like the mean of the slow ones.
    examples: Vec<Example>,
    /// For how long other goroutines than their own ran for the requests near the percentile, mean of them. In the root view
    /// only.
    other_goroutines_running_ns: i64,
    /// What could not be said.
    notes: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct ShownBand {
    percent: usize,
    quantile_ns: i64,
    from_ns: i64,
    to_ns: i64,
    requests: usize,
    mean_ns: i64,
    /// Time with exact evidence, mean of the requests.
    exact_ns: i64,
}

/// What one cause has to do with it.
#[derive(Debug, Serialize)]
struct Part {
    #[serde(flatten)]
    cause: Cause,
    /// Its part of the gap.
    gap_ns: i64,
    /// Where that lies with a confidence of 95 %; `None` with too few requests to say.
    #[serde(rename = "gap_95_percent")]
    interval: Option<Interval>,
    /// Mean time in it of the requests of each band.
    mean_ns: [i64; 3],
    /// Of running time what all requests ran in its layer, slow or not, if samples say so.
    ran: Option<Ran>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Interval {
    from_ns: i64,
    to_ns: i64,
}

const PERCENTS: [usize; 3] = [50, 95, 99];

impl Explained {
    /// The band that is explained.
    fn high(&self) -> &ShownBand {
        let [low, ..] = &self.bands;
        let high = self.bands.iter().find(|band| band.percent == self.percent);
        high.unwrap_or(low)
    }
}

/// Compares the requests near a percentile with those near the median.
///
/// # Errors
/// There are no such requests, or the tables do not fit together.
pub(super) async fn explain(tables: &Tables<'_>, question: &Question<'_>) -> anyhow::Result<Explained> {
    let operation = question.operation;
    let service = load::service(tables, question).await?;
    let of_operation = format!(
        "{RECORDED} AND q.service_name = {} AND q.operation = {}",
        literal(&service),
        literal(operation)
    );
    let durations = load::durations(tables, &of_operation).await?;
    let view = match question.view {
        Some(view) => view,
        None => load::default_view(tables, &service, operation).await?,
    };
    let mut bands = Vec::new();
    let mut sums: Vec<Sums> = Vec::new();
    for percent in PERCENTS {
        let Some(band) = Band::around(percent, &durations) else {
            bail!("no request of {operation} was recorded");
        };
        sums.push(Sums::load(tables, &of_operation, view, &band).await?);
        bands.push(band);
    }
    let (low_band, high_band) = (bands[0], bands[upper(question)]);
    let low = load::requests(tables, &of_operation, view, &low_band).await?;
    let high = load::requests(tables, &of_operation, view, &high_band).await?;
    let mut explained = compare(question, &bands, &sums, [&low, &high]);
    explained.service = service;
    explained.view = view.as_str();
    explained.requests = durations.len();
    explained.verdict = Verdict::of(&explained);
    running::add(tables, &of_operation, view, &high_band, &mut explained).await?;
    Ok(explained)
}

/// Position of the percentile that is explained.
fn upper(question: &Question<'_>) -> usize {
    let at = PERCENTS.iter().position(|percent| *percent == question.percent);
    at.unwrap_or(PERCENTS.len() - 1)
}

/// `sampled` are requests of the lowest band and of the one that is explained.
fn compare(question: &Question<'_>, bands: &[Band], sums: &[Sums], sampled: [&[Request]; 2]) -> Explained {
    let mut causes: Vec<&Cause> = sums.iter().flat_map(|sums| sums.of_cause.keys()).collect();
    causes.sort_unstable();
    causes.dedup();
    let column = |at: usize| -> Vec<i128> {
        let of = |cause: &&Cause| sums[at].of_cause.get(*cause).copied().unwrap_or(0);
        causes.iter().map(of).collect()
    };
    let upper = upper(question);
    let columns = [column(0), column(1), column(2)];
    let means: Vec<Vec<i64>> = bands
        .iter()
        .zip(&columns)
        .map(|(band, sums_ns)| band.means_ns(sums_ns))
        .collect();
    let gaps = bands[upper].gaps_ns(&columns[upper], &bands[0], &columns[0]);
    let intervals = intervals(&causes, sampled);
    let part = |(at, cause): (usize, &&Cause)| Part {
        cause: (*cause).clone(),
        gap_ns: gaps[at],
        interval: intervals.as_ref().map(|drawn| Interval::holding(gaps[at], drawn[at])),
        mean_ns: [means[0][at], means[1][at], means[2][at]],
        ran: None,
    };
    let typical: Vec<(Cause, i64)> = causes
        .iter()
        .map(|cause| (*cause).clone())
        .zip(means[upper].clone())
        .collect();
    let mut parts: Vec<Part> = causes.iter().enumerate().map(part).collect();
    parts.sort_by(|a, b| b.gap_ns.cmp(&a.gap_ns).then_with(|| a.cause.cmp(&b.cause)));
    Explained {
        operation: question.operation.to_owned(),
        percent: question.percent,
        gap_ns: bands[upper].gap_ns(&bands[0]),
        bands: [0, 1, 2].map(|at| shown_band(PERCENTS[at], &bands[at], sums[at].exact_ns)),
        causes: parts,
        examples: nearest(sampled[1], &typical),
        ..Explained::default()
    }
}

impl Interval {
    /// The interval of the requests that were drawn from, wide enough to hold the gap of all. It is never moved: that could
    /// take 0 out of it.
    fn holding(gap_ns: i64, drawn: GapInterval) -> Self {
        Self {
            from_ns: drawn.from_ns.min(gap_ns),
            to_ns: drawn.to_ns.max(gap_ns),
        }
    }
}

/// How far the gap of each cause could be off; `None` with too few requests. `causes` are sorted.
fn intervals(causes: &[&Cause], [low, high]: [&[Request]; 2]) -> Option<Vec<GapInterval>> {
    let by_number = |requests: &[Request]| -> Vec<Vec<(usize, i64)>> {
        let number = |(cause, ns): (&Cause, &i64)| Some((causes.binary_search(&cause).ok()?, *ns));
        let of = |request: &Request| request.of_cause.iter().filter_map(number).collect();
        requests.iter().map(of).collect()
    };
    gap_intervals(&by_number(high), &by_number(low), causes.len())
}

fn shown_band(percent: usize, band: &Band, exact_ns: i128) -> ShownBand {
    ShownBand {
        percent,
        quantile_ns: band.quantile_ns,
        from_ns: band.from_ns,
        to_ns: band.to_ns,
        requests: band.requests,
        mean_ns: band.mean_ns(),
        exact_ns: band.means_ns(&[exact_ns]).first().copied().unwrap_or(0),
    }
}

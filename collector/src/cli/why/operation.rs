//! What makes the slow requests of an operation slower than the median.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{bail, ensure};
use serde::Serialize;
use spandrel_attribution::Band;
use spandrel_model::View;

use super::super::answers::Value;
use super::cause::{COLUMNS, Cause};
use super::{Tables, literal, other_types};
use crate::report::columns::Columns;
use crate::report::duration::human;
use crate::report::number::{grouped, share};

/// A quantile is known well enough with so many requests beyond it.
const REQUESTS_BEYOND_ENOUGH: usize = 10;
/// Causes below this share of what is explained are shown as one line.
const SHOWN_PER_MILLE_MIN: i64 = 5;

/// Requests that were recorded from their start to their end.
const RECORDED: &str = "q.is_request AND q.recorded_ns = q.duration_ns";

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) operation: &'a str,
    pub(super) service: Option<&'a str>,
    /// The percentile to explain.
    pub(super) percent: usize,
    pub(super) view: Option<View>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    service: String,
    operation: String,
    view: &'static str,
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
}

#[derive(Debug, Serialize)]
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
    /// Mean time in it of the requests of each band.
    mean_ns: [i64; 3],
}

const PERCENTS: [usize; 3] = [50, 95, 99];

/// Compares the requests near a percentile with those near the median.
///
/// # Errors
/// There are no such requests, or the tables do not fit together.
pub(super) async fn explain(tables: &Tables<'_>, question: &Question<'_>) -> anyhow::Result<Explained> {
    let operation = question.operation;
    let service = service(tables, question).await?;
    let of_operation = format!(
        "{RECORDED} AND q.service_name = {} AND q.operation = {}",
        literal(&service),
        literal(operation)
    );
    let durations = durations(tables, &of_operation).await?;
    let view = match question.view {
        Some(view) => view,
        None => default_view(tables, &service, operation).await?,
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
    Ok(compare(question, service, view, durations.len(), &bands, &sums))
}

/// The service of the operation.
async fn service(tables: &Tables<'_>, question: &Question<'_>) -> anyhow::Result<String> {
    let all =
        format!("SELECT DISTINCT q.service_name, q.operation FROM span_quality AS q WHERE {RECORDED} ORDER BY 1, 2");
    let mut known = Vec::new();
    for row in tables.rows(&all).await? {
        let [Value::Text(service), Value::Text(operation)] = row.as_slice() else {
            return Err(other_types());
        };
        known.push((service.clone(), operation.clone()));
    }
    let fits = |(service, operation): &&(String, String)| {
        operation == question.operation && question.service.is_none_or(|wanted| wanted == service)
    };
    let fitting: Vec<&str> = known.iter().filter(fits).map(|(service, _)| service.as_str()).collect();
    match fitting.as_slice() {
        [service] => Ok((*service).to_owned()),
        [] if known.is_empty() => bail!(
            "no request that a runtime profile covers is in `{}`; `spandrel sql --data {0} -c 'SELECT binding, count(*) \
             FROM span_quality GROUP BY 1'` says how spans were bound",
            tables.data.display()
        ),
        [] => {
            let names: Vec<String> = known
                .iter()
                .map(|(service, name)| format!("{service} {name}"))
                .collect();
            bail!(
                "no such operation or service; those with recorded requests are: {}",
                names.join(", ")
            )
        }
        several => bail!(
            "several services have the operation `{}`: add --service with one of {}",
            question.operation,
            several.join(", ")
        ),
    }
}

/// Durations of the requests, sorted.
async fn durations(tables: &Tables<'_>, of_operation: &str) -> anyhow::Result<Vec<i64>> {
    let sql = format!("SELECT q.duration_ns FROM span_quality AS q WHERE {of_operation} ORDER BY 1");
    let rows = tables.rows(&sql).await?;
    rows.iter()
        .map(|row| match row.as_slice() {
            [Value::Int(ns)] => Ok(*ns),
            _ => Err(other_types()),
        })
        .collect()
}

async fn default_view(tables: &Tables<'_>, service: &str, operation: &str) -> anyhow::Result<View> {
    let sql = format!(
        "SELECT count(*) FROM attribution WHERE view = {} AND is_request AND service_name = {} AND operation = {}",
        literal(View::Root.as_str()),
        literal(service),
        literal(operation)
    );
    Ok(match tables.rows(&sql).await?.first().map(Vec::as_slice) {
        Some([Value::Int(rows)]) if *rows > 0 => View::Root,
        _ => View::SelfView,
    })
}

/// What the requests of a band spent, in sum.
#[derive(Debug, Default)]
struct Sums {
    of_cause: BTreeMap<Cause, i128>,
    exact_ns: i128,
}

impl Sums {
    /// # Errors
    /// The cells of the requests do not sum to their durations.
    async fn load(tables: &Tables<'_>, of_operation: &str, view: View, band: &Band) -> anyhow::Result<Self> {
        let sql = format!(
            "SELECT {COLUMNS}, a.evidence, sum(a.ns) FROM attribution AS a JOIN span_quality AS q \
             ON a.trace_id = q.trace_id AND a.span_id = q.span_id AND a.process_id = q.process_id \
             WHERE a.view = {} AND {of_operation} AND q.duration_ns BETWEEN {} AND {} GROUP BY {COLUMNS}, a.evidence",
            literal(view.as_str()),
            band.from_ns,
            band.to_ns
        );
        let mut sums = Self::default();
        for row in tables.rows(&sql).await? {
            let Some((columns, [Value::Text(evidence), Value::Int(ns)])) = row.split_last_chunk::<2>() else {
                return Err(other_types());
            };
            let ns = i128::from(*ns);
            *sums.of_cause.entry(Cause::of(columns)?).or_default() += ns;
            if evidence == "exact" {
                sums.exact_ns += ns;
            }
        }
        let sum_ns: i128 = sums.of_cause.values().sum();
        ensure!(
            sum_ns > 0 || band.sum_ns == 0,
            "the tables have no {} view of these requests: an earlier version of spandrel wrote them",
            view.as_str()
        );
        ensure!(
            sum_ns == band.sum_ns,
            "the {} view of the requests that took {} to {} accounts for {sum_ns} ns of their {} ns: the table attribution \
             and the table span_quality do not fit together (were files of one removed?)",
            view.as_str(),
            human(band.from_ns),
            human(band.to_ns),
            band.sum_ns
        );
        Ok(sums)
    }
}

fn compare(
    question: &Question<'_>,
    service: String,
    view: View,
    requests: usize,
    bands: &[Band],
    sums: &[Sums],
) -> Explained {
    let mut causes: Vec<&Cause> = sums.iter().flat_map(|sums| sums.of_cause.keys()).collect();
    causes.sort_unstable();
    causes.dedup();
    let column = |at: usize| -> Vec<i128> {
        let of = |cause: &&Cause| sums[at].of_cause.get(*cause).copied().unwrap_or(0);
        causes.iter().map(of).collect()
    };
    let upper = PERCENTS
        .iter()
        .position(|percent| *percent == question.percent)
        .unwrap_or(PERCENTS.len() - 1);
    let columns = [column(0), column(1), column(2)];
    let means: Vec<Vec<i64>> = bands
        .iter()
        .zip(&columns)
        .map(|(band, sums_ns)| band.means_ns(sums_ns))
        .collect();
    let gaps = bands[upper].gaps_ns(&columns[upper], &bands[0], &columns[0]);
    let part = |(at, cause): (usize, &&Cause)| Part {
        cause: (*cause).clone(),
        gap_ns: gaps[at],
        mean_ns: [means[0][at], means[1][at], means[2][at]],
    };
    let mut parts: Vec<Part> = causes.iter().enumerate().map(part).collect();
    parts.sort_by(|a, b| b.gap_ns.cmp(&a.gap_ns).then_with(|| a.cause.cmp(&b.cause)));
    Explained {
        service,
        operation: question.operation.to_owned(),
        view: view.as_str(),
        requests,
        percent: question.percent,
        gap_ns: bands[upper].gap_ns(&bands[0]),
        bands: [0, 1, 2].map(|at| shown_band(PERCENTS[at], &bands[at], sums[at].exact_ns)),
        causes: parts,
    }
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

/// For people.
pub(super) fn render(explained: &Explained, color: bool) -> String {
    let [low, ..] = &explained.bands;
    let high = explained
        .bands
        .iter()
        .find(|band| band.percent == explained.percent)
        .unwrap_or(low);
    let mut page = headline(explained);
    let enough = REQUESTS_BEYOND_ENOUGH * 100 / (100 - explained.percent);
    if explained.requests < enough {
        let _ = writeln!(
            page,
            "Few requests for a p{}: from {} on it says more.",
            explained.percent,
            grouped(enough as u64)
        );
    }
    let _ = writeln!(
        page,
        "The mean of {} requests near p{} ({} to {}) is {} above the mean of {} near p50 ({} to {}):\n",
        grouped(high.requests as u64),
        high.percent,
        human(high.from_ns),
        human(high.to_ns),
        human(explained.gap_ns),
        grouped(low.requests as u64),
        human(low.from_ns),
        human(low.to_ns)
    );
    page.push_str(&table(explained, color));
    let unknown = 1_000 * (high.mean_ns - high.exact_ns) / high.mean_ns.max(1);
    if unknown >= SHOWN_PER_MILLE_MIN {
        let _ = writeln!(
            page,
            "\n{} of the slow requests' time is not known (state unknown).",
            share(high.mean_ns - high.exact_ns, high.mean_ns)
        );
    }
    page
}

fn headline(explained: &Explained) -> String {
    let [p50, p95, p99] = [0, 1, 2].map(|at| human(explained.bands[at].quantile_ns));
    format!(
        "{}  {}   {} requests   p50 {p50}   p95 {p95}   p99 {p99}   ({} view)\n",
        explained.service,
        explained.operation,
        grouped(explained.requests as u64),
        explained.view
    )
}

/// The causes, what each has to do with the gap, and how long it takes near each quantile. Small ones are one line.
fn table(explained: &Explained, color: bool) -> String {
    let is_shown = |part: &&Part| {
        let largest = part.gap_ns.abs().max(part.mean_ns[2] / 4);
        1_000 * i128::from(largest) >= i128::from(SHOWN_PER_MILLE_MIN) * i128::from(explained.gap_ns.abs().max(1))
    };
    let (shown, rest): (Vec<&Part>, Vec<&Part>) = explained.causes.iter().partition(is_shown);
    let mut rows = vec![
        ["gap", "share", "p50", "p95", "p99", "cause"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let line = |gap_ns: i64, means: [i64; 3], name: String| {
        let sign = if gap_ns > 0 { "+" } else { "" };
        let mut row = vec![format!("{sign}{}", human(gap_ns)), gap_share(gap_ns, explained.gap_ns)];
        row.extend(means.map(human));
        row.push(name);
        row
    };
    for part in &shown {
        rows.push(line(part.gap_ns, part.mean_ns, part.cause.shown()));
    }
    if !rest.is_empty() {
        let sum = |of: &dyn Fn(&Part) -> i64| rest.iter().map(|part| of(part)).sum::<i64>();
        let means = [0, 1, 2].map(|at| sum(&|part| part.mean_ns[at]));
        rows.push(line(
            sum(&|part| part.gap_ns),
            means,
            format!("{} small ones", rest.len()),
        ));
    }
    rows.push(line(
        explained.gap_ns,
        [0, 1, 2].map(|at| explained.bands[at].mean_ns),
        "in all".to_owned(),
    ));
    let columns = Columns {
        text: 0,
        ends_in_text: true,
    };
    let page = columns.render(&rows);
    if !color {
        return page;
    }
    let paint = |(at, line): (usize, &str)| match at.checked_sub(1).and_then(|at| shown.get(at)) {
        Some(part) => painted(line, part.gap_ns, explained.gap_ns),
        None => line.to_owned(),
    };
    page.lines().enumerate().map(paint).collect::<Vec<_>>().join("\n") + "\n"
}

fn gap_share(gap_ns: i64, of_ns: i64) -> String {
    match gap_ns < 0 {
        true => format!("-{}", share(gap_ns.saturating_neg(), of_ns)),
        false => share(gap_ns, of_ns),
    }
}

/// The causes that explain most in red, those that explain some in yellow.
fn painted(line: &str, gap_ns: i64, of_ns: i64) -> String {
    match 100 * i128::from(gap_ns) / i128::from(of_ns.max(1)) {
        30.. => format!("\u{1b}[1;31m{line}\u{1b}[0m"),
        10..30 => format!("\u{1b}[33m{line}\u{1b}[0m"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(layer: &str, state: &str) -> Cause {
        Cause {
            layer: layer.into(),
            state: state.into(),
            relation: "same".into(),
            culprit: None,
        }
    }

    /// A hundred requests, 1 to 100 us; what is above 90 us is spent in the database.
    fn explained() -> Explained {
        let durations: Vec<i64> = (1..=100).map(|us| us * 1_000).collect();
        let bands: Vec<Band> = PERCENTS.iter().map(|p| Band::around(*p, &durations).unwrap()).collect();
        let sums: Vec<Sums> = (bands.iter())
            .map(|band| {
                let inside = durations.iter().filter(|ns| (band.from_ns..=band.to_ns).contains(*ns));
                let network: i128 = inside.map(|ns| i128::from((ns - 90_000).max(0))).sum();
                Sums {
                    of_cause: BTreeMap::from([
                        (cause("db", "network"), network),
                        (cause("handler", "running"), band.sum_ns - network),
                    ]),
                    exact_ns: band.sum_ns,
                }
            })
            .collect();
        let question = Question {
            operation: "GET /report",
            service: None,
            percent: 99,
            view: None,
        };
        compare(&question, "shop".into(), View::Root, durations.len(), &bands, &sums)
    }

    #[test]
    fn the_parts_sum_to_the_gap_and_the_means_to_the_mean() {
        let explained = explained();
        let gaps: i64 = explained.causes.iter().map(|part| part.gap_ns).sum();
        assert_eq!(gaps, explained.gap_ns);
        for at in 0..3 {
            let means: i64 = explained.causes.iter().map(|part| part.mean_ns[at]).sum();
            assert_eq!(means, explained.bands[at].mean_ns);
        }
        assert!(explained.gap_ns > 0);
    }

    #[test]
    fn the_page_names_causes_by_their_part_of_the_gap() {
        let page = render(&explained(), false);
        for part in [
            "shop  GET /report   100 requests",
            "root view",
            "db/network",
            "in all",
            "100.0 %",
            "Few requests for a p99",
        ] {
            assert!(page.contains(part), "{part} missing in\n{page}");
        }
        assert!(!page.contains('\u{1b}'));
    }
}

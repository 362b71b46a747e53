//! What the tables say of the requests of an operation.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use spandrel_attribution::{BOOTSTRAP_REQUESTS_MAX, Band};
use spandrel_model::View;

use super::super::super::answers::Value;
use super::super::super::recorded::{RECORDED, none_in};
use super::super::cause::{COLUMNS, Cause};
use super::super::{Tables, literal, other_types};
use super::Question;
use crate::report::duration::human;

/// The service of the operation.
pub(super) async fn service(tables: &Tables<'_>, question: &Question<'_>) -> anyhow::Result<String> {
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
        [] if known.is_empty() => bail!(none_in(tables.data)),
        [] => {
            let names: Vec<String> = known
                .iter()
                .map(|(service, name)| format!("{service} {name}"))
                .collect();
            bail!(
                "no recorded request of that operation and service; there are some of: {}",
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
pub(super) async fn durations(tables: &Tables<'_>, of_operation: &str) -> anyhow::Result<Vec<i64>> {
    let sql = format!("SELECT q.duration_ns FROM span_quality AS q WHERE {of_operation} ORDER BY 1");
    let rows = tables.rows(&sql).await?;
    rows.iter()
        .map(|row| match row.as_slice() {
            [Value::Int(ns)] => Ok(*ns),
            _ => Err(other_types()),
        })
        .collect()
}

pub(super) async fn default_view(tables: &Tables<'_>, service: &str, operation: &str) -> anyhow::Result<View> {
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
pub(super) struct Sums {
    pub(super) of_cause: BTreeMap<Cause, i128>,
    pub(super) exact_ns: i128,
}

impl Sums {
    /// # Errors
    /// The cells of the requests do not sum to their durations.
    pub(super) async fn load(tables: &Tables<'_>, of_operation: &str, view: View, band: &Band) -> anyhow::Result<Self> {
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

/// One request, and what its time went to.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) trace_id: String,
    pub(super) duration_ns: i64,
    pub(super) of_cause: BTreeMap<Cause, i64>,
}

/// The requests of a band, or [`BOOTSTRAP_REQUESTS_MAX`] of them: ids of spans are random, so the first by the ends of their
/// ids are any.
pub(super) async fn requests(
    tables: &Tables<'_>,
    of_operation: &str,
    view: View,
    band: &Band,
) -> anyhow::Result<Vec<Request>> {
    let chosen = format!(
        "SELECT q.trace_id, q.span_id, q.process_id, q.duration_ns FROM span_quality AS q WHERE {of_operation} \
         AND q.duration_ns BETWEEN {} AND {} ORDER BY right(hex(q.span_id), 8), q.trace_id, q.process_id \
         LIMIT {BOOTSTRAP_REQUESTS_MAX}",
        band.from_ns, band.to_ns
    );
    let ids = format!("SELECT hex(q.trace_id), hex(q.span_id), q.process_id, q.duration_ns FROM ({chosen}) AS q");
    let mut requests: BTreeMap<[String; 3], Request> = BTreeMap::new();
    for row in tables.rows(&ids).await? {
        let [
            Value::Text(trace_id),
            Value::Text(span),
            Value::Text(process),
            Value::Int(duration_ns),
        ] = row.as_slice()
        else {
            return Err(other_types());
        };
        let request = Request {
            trace_id: trace_id.clone(),
            duration_ns: *duration_ns,
            of_cause: BTreeMap::new(),
        };
        requests.insert([trace_id.clone(), span.clone(), process.clone()], request);
    }
    let cells = format!(
        "SELECT hex(a.trace_id), hex(a.span_id), a.process_id, sum(a.ns), {COLUMNS} FROM attribution AS a \
         JOIN ({chosen}) AS q ON a.trace_id = q.trace_id AND a.span_id = q.span_id AND a.process_id = q.process_id \
         WHERE a.view = {} GROUP BY a.trace_id, a.span_id, a.process_id, {COLUMNS}",
        literal(view.as_str())
    );
    for row in tables.rows(&cells).await? {
        let Some((
            [
                Value::Text(trace),
                Value::Text(span),
                Value::Text(process),
                Value::Int(ns),
            ],
            columns,
        )) = row.split_first_chunk::<4>()
        else {
            return Err(other_types());
        };
        if let Some(request) = requests.get_mut(&[trace.clone(), span.clone(), process.clone()]) {
            *request.of_cause.entry(Cause::of(columns)?).or_default() += ns;
        }
    }
    Ok(requests.into_values().collect())
}

//! `spandrel matrix`: where the time of the slowest operations went.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use spandrel_query::Limits;

use super::answers::{Value, rows};
use super::output;
use super::sql::query;
use super::view::Shown;
use crate::report::matrix::{OperationMatrix, legend, render};
use crate::report::terminal::Terminal;

/// Options of `spandrel matrix`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the tables.
    #[arg(long, value_name = "DIR", default_value = "./spandrel-data")]
    pub data: PathBuf,
    /// How many operations to show, slowest (by 99th percentile) first.
    #[arg(long, default_value = "5", value_name = "N")]
    pub top: NonZeroUsize,
    /// Only operations of this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only this operation.
    #[arg(long, value_name = "NAME")]
    pub operation: Option<String>,
    /// What the requests' own goroutines did (self), or what they were really waiting for (root).
    #[arg(long, value_enum, default_value_t = Shown::SelfView)]
    pub view: Shown,
}

/// Requests that were recorded, with quantiles by nearest rank: each is the duration of a real request.
const OPERATIONS: &str = "\
    SELECT service_name, operation, max(n) AS requests, \
           min(duration_ns) FILTER (WHERE rank * 100 >= n * 50) AS p50_ns, \
           min(duration_ns) FILTER (WHERE rank * 100 >= n * 95) AS p95_ns, \
           min(duration_ns) FILTER (WHERE rank * 100 >= n * 99) AS p99_ns \
    FROM (SELECT service_name, operation, duration_ns, \
                 row_number() OVER (PARTITION BY service_name, operation ORDER BY duration_ns) AS rank, \
                 count(*) OVER (PARTITION BY service_name, operation) AS n \
          FROM span_quality WHERE is_request AND binding NOT IN ('not_recorded', 'began_before_recording')) \
    GROUP BY service_name, operation ORDER BY p99_ns DESC, service_name, operation";

const CELLS: &str = "\
    SELECT a.service_name, a.operation, a.view, a.layer, a.state, sum(a.ns) AS ns \
    FROM attribution AS a \
    JOIN span_quality AS q ON a.trace_id = q.trace_id AND a.span_id = q.span_id AND a.process_id = q.process_id \
    WHERE a.is_request AND q.binding NOT IN ('not_recorded', 'began_before_recording') \
    GROUP BY a.service_name, a.operation, a.view, a.layer, a.state";

/// Prints the matrices.
///
/// # Errors
/// The directory holds no tables, or no requests that were recorded.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("failed to start threads")?;
    let matrices = runtime.block_on(load(args))?;
    let color = crate::report::color::is_welcome();
    let mut page: String = matrices
        .iter()
        .map(|matrix| render(matrix, color).to_string() + "\n")
        .collect();
    page += &legend(&matrices, Terminal::of_output().width);
    output::write(&page)
}

async fn load(args: &Args) -> anyhow::Result<Vec<OperationMatrix>> {
    let limits = Limits {
        max_rows: 1_000_000,
        timeout: Duration::from_secs(300),
    };
    let mut matrices = Vec::new();
    for row in rows(&query(&args.data, OPERATIONS, limits).await?)? {
        let [
            Value::Text(service),
            Value::Text(operation),
            Value::Int(requests),
            Value::Int(p50),
            Value::Int(p95),
            Value::Int(p99),
        ] = row.as_slice()
        else {
            bail!("the table span_quality has columns of other types than this version of spandrel writes");
        };
        matrices.push(OperationMatrix {
            service: service.clone(),
            operation: operation.clone(),
            view: args.view.view(),
            requests: *requests,
            quantiles_ns: [*p50, *p95, *p99],
            cells: BTreeMap::new(),
        });
    }
    if matrices.is_empty() {
        bail!(
            "no request that a runtime profile covers is in `{}`; `spandrel sql --data {0} -c 'SELECT binding, count(*) \
             FROM span_quality GROUP BY 1'` says how spans were bound",
            args.data.display()
        );
    }
    let known: Vec<String> = matrices
        .iter()
        .map(|matrix| format!("{} {}", matrix.service, matrix.operation))
        .collect();
    matrices.retain(|matrix| {
        args.service.as_ref().is_none_or(|service| *service == matrix.service)
            && args
                .operation
                .as_ref()
                .is_none_or(|operation| *operation == matrix.operation)
    });
    if matrices.is_empty() {
        bail!(
            "no recorded request of that operation and service; there are some of: {}",
            known.join(", ")
        );
    }
    matrices.truncate(args.top.get());
    for row in rows(&query(&args.data, CELLS, limits).await?)? {
        let [
            Value::Text(service),
            Value::Text(operation),
            Value::Text(view),
            Value::Text(layer),
            Value::Text(state),
            Value::Int(ns),
        ] = row.as_slice()
        else {
            bail!("the table attribution has columns of other types than this version of spandrel writes");
        };
        let matrix = matrices.iter_mut().find(|matrix| {
            matrix.service == *service && matrix.operation == *operation && matrix.view.as_str() == view
        });
        if let Some(matrix) = matrix {
            matrix.cells.insert((layer.clone(), state.clone()), *ns);
        }
    }
    Ok(matrices)
}

//! `spandrel matrix`: where the time of the slowest operations went.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use spandrel_query::Limits;

use super::answers::{Value, rows};
use super::output;
use super::recorded::{RECORDED, none_in};
use super::sql::newest;
use super::view::Shown;
use crate::report::matrix::{OperationMatrix, legend, render};
use crate::report::terminal::Terminal;

/// Options of `spandrel matrix`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    spandrel matrix --view root                       what requests really waited for\n  \
    spandrel matrix --operation 'GET /report'         one operation\n\n\
    Only requests count that recordings cover from start to end, as in `spandrel why --operation`.")]
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
fn operations() -> String {
    format!(
        "SELECT service_name, operation, max(n) AS requests, \
                min(duration_ns) FILTER (WHERE rank * 100 >= n * 50) AS p50_ns, \
                min(duration_ns) FILTER (WHERE rank * 100 >= n * 95) AS p95_ns, \
                min(duration_ns) FILTER (WHERE rank * 100 >= n * 99) AS p99_ns \
         FROM (SELECT q.service_name, q.operation, q.duration_ns, \
                      row_number() OVER (PARTITION BY q.service_name, q.operation ORDER BY q.duration_ns) AS rank, \
                      count(*) OVER (PARTITION BY q.service_name, q.operation) AS n \
               FROM span_quality AS q WHERE {RECORDED}) \
         GROUP BY service_name, operation ORDER BY p99_ns DESC, service_name, operation"
    )
}

fn cells() -> String {
    format!(
        "SELECT a.service_name, a.operation, a.view, a.layer, a.state, sum(a.ns) AS ns \
         FROM attribution AS a \
         JOIN span_quality AS q ON a.trace_id = q.trace_id AND a.span_id = q.span_id AND a.process_id = q.process_id \
         WHERE a.is_request AND {RECORDED} \
         GROUP BY a.service_name, a.operation, a.view, a.layer, a.state"
    )
}

/// Prints the matrices.
///
/// # Errors
/// The directory holds no tables, or no requests that were recorded.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("failed to start threads")?;
    let matrices = runtime.block_on(load(args))?;
    let terminal = Terminal::of_output();
    let mut page: String = matrices.iter().map(|matrix| render(matrix, terminal) + "\n").collect();
    page += &legend(&matrices, terminal.width);
    output::write(&page)
}

async fn load(args: &Args) -> anyhow::Result<Vec<OperationMatrix>> {
    let limits = Limits {
        max_rows: 1_000_000,
        timeout: Duration::from_secs(300),
    };
    // One session, so that requests and cells are of one snapshot.
    let session = newest(&args.data).await?;
    let mut matrices = Vec::new();
    for row in rows(&spandrel_query::run(&session, &operations(), limits).await?)? {
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
        bail!(none_in(&args.data));
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
    for row in rows(&spandrel_query::run(&session, &cells(), limits).await?)? {
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

//! `spandrel attribute`: the join of the connector, over files.

mod profiles;

use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use arrow::record_batch::RecordBatch;
use clap::ValueEnum;
use serde::Serialize;
use spandrel_attribution::{
    Attributed, Matrix, MatrixRow, MatrixTables, ProcessInput, ProcessSpans, SpanAttribution, attribute_together,
};
use spandrel_config::Problems;
use spandrel_model::{ProcessIdentity, Span, Table, View};
use spandrel_pipeline::{OtlpRequest, Signal, TableRows, otlp};
use spandrel_processors::attribution::{AttributionConfig, attribution_rows, matrix_rows};
use spandrel_profiles::columns;
use spandrel_store::{Store, TableChange};

use self::profiles::Profiles;
use super::output;
use super::progress::Step;
use super::state_rules;
use crate::report::matrix::{OperationMatrix, legend, render};
use crate::report::number::counted;
use crate::report::terminal::Terminal;
use crate::{files, service};

/// Options of `spandrel attribute`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    spandrel attribute --spans spans.jsonl --profile trace.out --out ./joined\n  \
    spandrel sql --data ./joined -c 'SELECT * FROM matrix ORDER BY sum_ns DESC LIMIT 10'\n\n\
    Profiles are read as streams. Memory holds the spans and what the profiles tell, most of it the states of goroutines at \
    72 bytes each, but neither the bytes of the profiles nor their events.")]
pub struct Args {
    /// Spans: OTLP/JSON (one export request, or one a line) or OTLP protobuf; gzip and zstd are recognized.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub spans: Vec<PathBuf>,
    /// Go execution traces, and CPU profiles in the format of pprof whose labels name spans; gzip and zstd are recognized.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub profile: Vec<PathBuf>,
    /// Process that the profiles recorded, as `service.name=shop,service.instance.id=shop-1`. Without it, the process
    /// whose spans fit each profile best is taken.
    #[arg(long, value_name = "ATTRIBUTES")]
    pub resource: Option<String>,
    /// Directory for the tables; must not hold any yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Configuration file with an `attribution` connector, whose layer rules and state rules are used.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State rules, a YAML list: which waits and system calls have which state. Tried before those of the configuration.
    #[arg(long, value_name = "FILE")]
    pub state_rules: Option<PathBuf>,
    /// Output: matrices for a person, or JSON.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub format: Output,
    /// How many operations to print as text.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub top: usize,
}

/// How to show the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for each operation.
    Text,
    /// One array of matrix rows.
    Json,
}

/// Joins the files, writes the tables and prints the matrix.
///
/// # Errors
/// A file cannot be read or decoded (the message names it), or the tables cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.join(Table::Attribution.name()).exists() {
        bail!("`{}` holds tables already; choose a new directory", args.out.display());
    }
    let mut config = attribution_config(args.config.as_deref())?;
    if let Some(file) = &args.state_rules {
        config.state_rules = state_rules::read_before(file, &config.state_rules)?;
    }
    let (span_rows, spans) = read_spans(&args.spans)?;
    let processes = by_process(&spans);
    let profiles = profiles::read(args, &processes, &config)?;
    state_rules::warn_of_unused(&config.state_rules);

    let step = Step::waiting("join");
    let inputs: Vec<ProcessInput<'_>> = processes
        .iter()
        .map(|(process, process_spans)| ProcessInput {
            spans: ProcessSpans {
                process: process.clone(),
                spans: process_spans.clone(),
                context: Vec::new(),
            },
            recordings: profiles.recordings_of(process),
            cpu_profiles: profiles.cpu_profiles_of(process),
        })
        .collect();
    let mut results = Vec::new();
    for Attributed { spans, violations, .. } in attribute_together(&inputs, &config.rules) {
        if let Some(violation) = violations.first() {
            bail!(
                "the time of {} is not conserved, which is a defect of spandrel; the first: {violation}",
                counted(violations.len() as u64, "span")
            );
        }
        results.extend(spans);
    }
    let processes = match processes.len() {
        1 => "1 process".to_owned(),
        several => format!("{several} processes"),
    };
    step.finish(&format!("{} of {processes}", counted(results.len() as u64, "span")));

    // One window holds everything: an analyst who wants windows groups the attribution table by time.
    let mut matrix = Matrix::new(NonZeroI64::MAX);
    results.iter().for_each(|span| matrix.add(span));
    let matrix = matrix.tables();
    write_tables(&args.out, span_rows, &profiles, &results, &matrix)?;
    match args.format {
        Output::Json => print_json(&matrix.cells),
        Output::Text => {
            print_text(&results, args.top)?;
            Ok(())
        }
    }
}

fn attribution_config(file: Option<&Path>) -> anyhow::Result<AttributionConfig> {
    let Some(file) = file else {
        return Ok(AttributionConfig::default());
    };
    let reported = |problems: &Problems| {
        eprintln!("{}", service::render(problems));
        anyhow!("`{}` has problems", file.display())
    };
    let checked = service::load(&[file.to_owned()], &[]).map_err(|problems| reported(&problems))?;
    let mut sections = checked
        .config
        .connectors
        .iter()
        .filter(|(id, _)| id.component_type() == "attribution");
    let (Some((_, section)), None) = (sections.next(), sections.next()) else {
        bail!("`{}` must configure exactly one attribution connector", file.display());
    };
    let mut problems = Problems::new();
    AttributionConfig::check(section, &mut problems).ok_or_else(|| reported(&problems))
}

fn read_spans(paths: &[PathBuf]) -> anyhow::Result<(Vec<RecordBatch>, Vec<Span>)> {
    let step = Step::counted("read spans", paths.len() as u64);
    let (mut batches, mut spans) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            bail!("{}", is_directory(path));
        }
        for request in span_requests(path, files::read(path)?)? {
            let rows = request
                .rows()
                .with_context(|| format!("cannot decode spans of `{}`", path.display()))?;
            spans.extend(
                otlp::spans_from_rows(rows).with_context(|| format!("cannot read spans of `{}`", path.display()))?,
            );
            if let Some(rejected) = request.rejected() {
                eprintln!("warning: `{}`: {rejected}", path.display());
            }
            batches.push(rows.clone());
        }
        step.advance();
    }
    let (count, files) = (spans.len() as u64, paths.len() as u64);
    step.finish(&format!("{} in {}", counted(count, "span"), counted(files, "file")));
    if spans.is_empty() {
        bail!("the span files hold no spans");
    }
    Ok((batches, spans))
}

/// What to do with a directory instead.
fn is_directory(path: &Path) -> String {
    let shown = path.display();
    let remedy = if path.join(Table::SpanQuality.name()).is_dir() {
        format!("its tables are joined already: `spandrel matrix --data {shown}`")
    } else if path.join("manifest.json").is_file() {
        format!(
            "it is a recording: `spandrel replay {shown}` sends it to a collector, and --spans takes the files of traces in it"
        )
    } else {
        format!("name its files, as in --spans {shown}/*")
    };
    format!(
        "`{shown}` is a directory, expected files of OTLP/JSON or OTLP protobuf, as the `file` exporter of the OpenTelemetry \
         Collector writes them; {remedy}"
    )
}

/// How Go execution traces begin; no OTLP request does.
const GO_TRACE_MAGIC: &[u8] = b"go 1.";

/// The export requests in a file: JSON if it begins with `{`, else protobuf. A protobuf request begins with a line feed
/// (its field tag), which JSON may too, so it is tried where JSON fails.
fn span_requests(path: &Path, bytes: Vec<u8>) -> anyhow::Result<Vec<OtlpRequest>> {
    if bytes.trim_ascii().is_empty() {
        bail!("`{}` is empty, expected an OTLP export request", path.display());
    }
    if bytes.starts_with(GO_TRACE_MAGIC) {
        bail!(
            "`{}` is a Go execution trace, expected spans as OTLP/JSON or OTLP protobuf; give it with --profile",
            path.display()
        );
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Ok(vec![OtlpRequest::traces(bytes.into())]);
    }
    if let Ok(whole) = otlp::json_to_protobuf(Signal::Traces, &bytes) {
        return Ok(vec![OtlpRequest::traces(whole)]);
    }
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let requests: anyhow::Result<Vec<OtlpRequest>> = lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(index, line)| {
            let request = otlp::json_to_protobuf(Signal::Traces, line);
            let request = request.with_context(|| format!("cannot read `{}` line {}", path.display(), index + 1))?;
            Ok(OtlpRequest::traces(request))
        })
        .collect();
    match requests {
        Err(_) if bytes.first() == Some(&b'\n') => Ok(vec![OtlpRequest::traces(bytes.into())]),
        requests => requests,
    }
}

type Processes<'a> = BTreeMap<Arc<ProcessIdentity>, Vec<&'a Span>>;

fn by_process(spans: &[Span]) -> Processes<'_> {
    let mut processes = Processes::new();
    for span in spans {
        processes.entry(span.process.clone()).or_default().push(span);
    }
    processes
}

fn write_tables(
    out: &Path,
    span_rows: Vec<RecordBatch>,
    profiles: &Profiles,
    results: &[SpanAttribution],
    matrix: &MatrixTables,
) -> anyhow::Result<()> {
    let step = Step::waiting("write tables");
    let mut tables: Vec<(Table, RecordBatch)> = span_rows.into_iter().map(|rows| (Table::Spans, rows)).collect();
    for profile in &profiles.recordings {
        tables.extend(columns::tables(&profile.recording)?);
    }
    let joined = attribution_rows(results)?.into_iter().chain(matrix_rows(matrix, 0)?);
    tables.extend(joined.map(|TableRows { table, rows, .. }| (table, rows)));
    let changes = tables.into_iter().map(|(table, rows)| TableChange::add(table, rows));
    let runtime = tokio::runtime::Runtime::new().context("failed to start threads")?;
    let committed = runtime.block_on(async {
        let store = Store::open(out).await?;
        store.commit(changes.collect(), None).await
    })?;
    step.finish(&format!(
        "{} in {} under {}",
        counted(committed.rows, "row"),
        counted(committed.files, "file"),
        out.display()
    ));
    Ok(())
}

/// In the order in which they are shown.
const VIEWS: [View; 2] = [View::SelfView, View::Root];

fn print_text(results: &[SpanAttribution], top: usize) -> anyhow::Result<()> {
    let terminal = Terminal::of_output();
    let operations = operations(results);
    let mut page = String::new();
    if operations.is_empty() {
        page += "profiles cover no request from start to end; `spandrel inspect` shows what a profile covers\n";
    }
    let shown = &operations[..operations.len().min(top.saturating_mul(VIEWS.len()))];
    for operation in shown {
        page += &render(operation, terminal);
        page += "\n";
    }
    if !shown.is_empty() {
        page += &legend(shown, terminal.width);
    }
    output::write(&page)
}

/// The matrices by operation, slowest 99th percentile first, over the requests that recordings cover from start to end; of
/// each operation the self view, then the root view.
fn operations(results: &[SpanAttribution]) -> Vec<OperationMatrix> {
    type DurationsAndCells = (Vec<i64>, BTreeMap<View, BTreeMap<(String, String), i64>>);
    let mut operations: BTreeMap<(&str, &str), DurationsAndCells> = BTreeMap::new();
    let is_recorded = |span: &&SpanAttribution| {
        span.is_request && !span.interval.is_empty() && span.recorded_ns == span.interval.duration_ns()
    };
    for span in results.iter().filter(is_recorded) {
        let key = (&*span.process.service_name, &*span.operation);
        let (durations, cells) = operations.entry(key).or_default();
        durations.push(span.interval.duration_ns());
        for cell in &span.cells {
            let cells = cells.entry(cell.view).or_default();
            *cells
                .entry((cell.layer.to_string(), cell.state.to_string()))
                .or_insert(0) += cell.ns;
        }
    }
    let mut operations: Vec<OperationMatrix> = operations
        .into_iter()
        .flat_map(|((service, operation), (mut durations, mut cells))| {
            durations.sort_unstable();
            VIEWS.map(|view| OperationMatrix {
                service: service.to_owned(),
                operation: operation.to_owned(),
                view,
                requests: i64::try_from(durations.len()).unwrap_or(i64::MAX),
                quantiles_ns: [50, 95, 99].map(|percent| nearest_rank(&durations, percent)),
                cells: cells.remove(&view).unwrap_or_default(),
            })
        })
        .collect();
    operations.sort_by_key(|operation| std::cmp::Reverse(operation.quantiles_ns[2]));
    operations
}

/// The smallest value that at least `percent` of the sorted values do not exceed.
fn nearest_rank(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[derive(Serialize)]
struct JsonRow<'a> {
    service_name: &'a str,
    operation: &'a str,
    view: &'a str,
    layer: &'a str,
    state: &'a str,
    n: i64,
    n_nonzero: i64,
    sum_ns: i64,
    p50_ns: i64,
    p95_ns: i64,
    p99_ns: i64,
    tail_p50_ns: i64,
    tail_p95_ns: i64,
    tail_p99_ns: i64,
    cov_share: Option<f64>,
}

fn print_json(matrix: &[MatrixRow]) -> anyhow::Result<()> {
    let rows: Vec<JsonRow<'_>> = matrix
        .iter()
        .map(|row| {
            let [p50_ns, p95_ns, p99_ns] = row.times.quantiles.map(|quantile| quantile.ns);
            let [tail_p50_ns, tail_p95_ns, tail_p99_ns] = row.tail_ns;
            JsonRow {
                service_name: &row.group.service_name,
                operation: &row.group.operation,
                view: row.view.as_str(),
                layer: row.layer.as_str(),
                state: row.state.as_str(),
                n: row.times.n,
                n_nonzero: row.n_nonzero,
                sum_ns: row.times.sum_ns,
                p50_ns,
                p95_ns,
                p99_ns,
                tail_p50_ns,
                tail_p95_ns,
                tail_p99_ns,
                cov_share: row.cov_share,
            }
        })
        .collect();
    let page = serde_json::to_string_pretty(&rows).context("failed to write JSON")?;
    output::write(&(page + "\n"))
}

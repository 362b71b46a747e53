//! `spandrel attribute`: the join of the connector, over files.

use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use arrow::record_batch::RecordBatch;
use clap::ValueEnum;
use serde::Serialize;
use spandrel_attribution::{
    Attributed, Matrix, MatrixRow, ProcessChoice, ProcessSpans, Rules, SpanAttribution, attribute, choose_process,
};
use spandrel_config::Problems;
use spandrel_model::{Binding, ProcessIdentity, Span, Table, TaskRecording, UnknownReason, View};
use spandrel_pipeline::{OtlpRequest, Signal, TableRows, otlp};
use spandrel_processors::attribution::{attribution_rows, check_layers, matrix_rows};
use spandrel_profiles::{columns, go_execution_trace};
use spandrel_store::Store;

use super::progress::Step;
use crate::report::matrix::{OperationMatrix, render};
use crate::{files, service};

/// Options of `spandrel attribute`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    spandrel attribute --spans spans.jsonl --profile trace.out --out ./joined\n  \
    spandrel sql --data ./joined -c 'SELECT * FROM matrix ORDER BY sum_ns DESC LIMIT 10'")]
pub struct Args {
    /// Spans: OTLP/JSON (one export request, or one a line) or OTLP protobuf; gzip and zstd are recognized.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub spans: Vec<PathBuf>,
    /// Go execution traces; gzip and zstd are recognized.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub profile: Vec<PathBuf>,
    /// Process that the profiles recorded, as `service.name=shop,service.instance.id=shop-1`. Without it, the process
    /// whose spans fit each profile best is taken.
    #[arg(long, value_name = "ATTRIBUTES")]
    pub resource: Option<String>,
    /// Directory for the tables; must not hold any yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Configuration file with an `attribution` connector, whose layer rules are used.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
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
    let rules = rules(args.config.as_deref())?;
    let (span_rows, spans) = read_spans(&args.spans)?;
    let processes = by_process(&spans);
    let recordings = read_recordings(args, &processes, &rules)?;

    let step = Step::counted("join", processes.len() as u64);
    let mut results = Vec::new();
    for (process, process_spans) in &processes {
        let input = ProcessSpans {
            process: process.clone(),
            spans: process_spans.clone(),
            context: Vec::new(),
        };
        let own: Vec<&TaskRecording> = recordings
            .iter()
            .filter(|(owner, _)| owner.as_ref() == Some(process))
            .map(|(_, recording)| recording)
            .collect();
        let Attributed { spans, violations } = attribute(&input, &own, &rules);
        if let Some(violation) = violations.first() {
            bail!(
                "{} spans do not conserve their time, which is a defect of spandrel; the first: {violation}",
                violations.len()
            );
        }
        results.extend(spans);
        step.advance();
    }
    step.finish(&format!("{} spans of {} processes", results.len(), processes.len()));

    // One window holds everything: an analyst who wants windows groups the attribution table by time.
    let mut matrix = Matrix::new(NonZeroI64::MAX);
    results.iter().for_each(|span| matrix.add(span));
    let matrix = matrix.rows();
    write_tables(&args.out, span_rows, &recordings, &results, &matrix)?;
    match args.format {
        Output::Json => print_json(&matrix),
        Output::Text => {
            print_text(&results, args.top);
            Ok(())
        }
    }
}

fn rules(config: Option<&Path>) -> anyhow::Result<Rules> {
    let Some(file) = config else {
        return Ok(Rules::default());
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
    check_layers(section, &mut problems).ok_or_else(|| reported(&problems))
}

fn read_spans(paths: &[PathBuf]) -> anyhow::Result<(Vec<RecordBatch>, Vec<Span>)> {
    let step = Step::counted("read spans", paths.len() as u64);
    let (mut batches, mut spans) = (Vec::new(), Vec::new());
    for path in paths {
        for request in span_requests(path, files::read(path)?)? {
            let rows = request
                .rows()
                .with_context(|| format!("cannot decode spans of `{}`", path.display()))?;
            spans.extend(
                otlp::spans_from_rows(rows).with_context(|| format!("cannot read spans of `{}`", path.display()))?,
            );
            batches.push(rows.clone());
        }
        step.advance();
    }
    step.finish(&format!("{} spans in {} files", spans.len(), paths.len()));
    if spans.is_empty() {
        bail!("the span files hold no spans");
    }
    Ok((batches, spans))
}

/// The export requests in a file: JSON if it begins with `{`, else protobuf. A protobuf request begins with a line feed
/// (its field tag), which JSON may too, so it is tried where JSON fails.
fn span_requests(path: &Path, bytes: Vec<u8>) -> anyhow::Result<Vec<OtlpRequest>> {
    if bytes.trim_ascii().is_empty() {
        bail!("`{}` is empty, expected an OTLP export request", path.display());
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

type OwnedRecording = (Option<Arc<ProcessIdentity>>, TaskRecording);

/// Decodes the profiles and finds the process of each.
fn read_recordings(args: &Args, processes: &Processes<'_>, rules: &Rules) -> anyhow::Result<Vec<OwnedRecording>> {
    let step = Step::counted("decode profiles", args.profile.len() as u64);
    let identity = args.resource.as_deref().map(parse_resource).transpose()?;
    let mut recordings = Vec::new();
    for path in &args.profile {
        let bytes = files::read(path)?;
        let source: Arc<str> = path.display().to_string().into();
        recordings.push(decode(&bytes, source, identity.as_ref(), processes, rules)?);
        step.advance();
    }
    step.finish(&format!("{} profiles", recordings.len()));
    Ok(recordings)
}

fn decode(
    bytes: &[u8],
    source: Arc<str>,
    identity: Option<&ProcessIdentity>,
    processes: &Processes<'_>,
    rules: &Rules,
) -> anyhow::Result<OwnedRecording> {
    let mut recording =
        go_execution_trace::decode(bytes, Arc::new(identity.cloned().unwrap_or_default()), source.clone())?;
    for warning in &recording.warnings {
        eprintln!("warning: {warning}");
    }
    let candidates: Vec<ProcessSpans<'_>> = processes
        .iter()
        .map(|(process, spans)| ProcessSpans {
            process: process.clone(),
            spans: spans.clone(),
            context: Vec::new(),
        })
        .filter(|candidate| identity.is_none_or(|identity| identity.is_compatible_with(&candidate.process)))
        .collect();
    // Without --resource a profile may belong to any process, of whichever service.
    let mut choices = Vec::new();
    for service in candidates
        .iter()
        .map(|candidate| candidate.process.service_name.clone())
    {
        if identity.is_none() && !choices.contains(&service) {
            choices.push(service);
        }
    }
    let owner = match (identity, choices.as_slice()) {
        (Some(_), _) => chosen(&recording, &candidates, rules),
        (None, [only]) => {
            recording.process = Arc::new(ProcessIdentity {
                service_name: only.clone(),
                ..ProcessIdentity::default()
            });
            chosen(&recording, &candidates, rules)
        }
        (None, services) => {
            bail!(
                "the spans come from {} services; say which one `{source}` recorded with --resource service.name=NAME",
                services.len()
            );
        }
    };
    match owner {
        Ok(owner) => {
            recording.process = owner.clone();
            Ok((Some(owner), recording))
        }
        Err(message) => {
            eprintln!("warning: {source}: {message}; its spans stay unattributed");
            Ok((None, recording))
        }
    }
}

fn chosen(
    recording: &TaskRecording,
    candidates: &[ProcessSpans<'_>],
    rules: &Rules,
) -> Result<Arc<ProcessIdentity>, String> {
    match choose_process(recording, candidates, rules) {
        ProcessChoice::Chosen { index, .. } => Ok(candidates[index].process.clone()),
        undecided => Err(undecided.to_string()),
    }
}

fn parse_resource(text: &str) -> anyhow::Result<ProcessIdentity> {
    let mut attributes = BTreeMap::new();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("--resource `{text}`: `{pair}` is not KEY=VALUE");
        };
        attributes.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    let identity = ProcessIdentity::from_resource(|key| attributes.get(key).cloned());
    if identity.service_name.is_empty() {
        bail!("--resource `{text}` has no service.name");
    }
    Ok(identity)
}

fn write_tables(
    out: &Path,
    span_rows: Vec<RecordBatch>,
    recordings: &[OwnedRecording],
    results: &[SpanAttribution],
    matrix: &[MatrixRow],
) -> anyhow::Result<()> {
    let step = Step::waiting("write tables");
    let mut tables: Vec<(Table, RecordBatch)> = span_rows.into_iter().map(|rows| (Table::Spans, rows)).collect();
    for (_, recording) in recordings {
        tables.extend(columns::tables(recording)?);
    }
    let joined = attribution_rows(results)?.into_iter().chain([matrix_rows(matrix, 0)?]);
    tables.extend(joined.map(|TableRows { table, rows }| (table, rows)));
    let mut grouped: BTreeMap<Table, Vec<RecordBatch>> = BTreeMap::new();
    for (table, rows) in tables {
        grouped.entry(table).or_default().push(rows);
    }
    let runtime = tokio::runtime::Runtime::new().context("failed to start threads")?;
    let committed = runtime.block_on(async {
        let store = Store::open(out).await?;
        store.commit(grouped.into_iter().collect(), None).await
    })?;
    step.finish(&format!(
        "{} rows in {} files under {}",
        committed.rows,
        committed.files,
        out.display()
    ));
    Ok(())
}

fn print_text(results: &[SpanAttribution], top: usize) {
    use std::io::IsTerminal;
    let color = std::io::stdout().is_terminal();
    let operations = operations(results);
    if operations.is_empty() {
        println!(
            "no request of a profiled process began while it was being recorded; `spandrel inspect` shows what a profile \
             covers"
        );
    }
    for operation in operations.into_iter().take(top) {
        println!("{}", render(&operation, color));
    }
}

/// The matrices by operation, slowest 99th percentile first, over the requests whose beginning was recorded.
fn operations(results: &[SpanAttribution]) -> Vec<OperationMatrix> {
    let unseen = [UnknownReason::NotRecorded, UnknownReason::BeganBeforeRecording].map(Binding::Unbound);
    type DurationsAndCells = (Vec<i64>, BTreeMap<(String, String), i64>);
    let mut operations: BTreeMap<(&str, &str), DurationsAndCells> = BTreeMap::new();
    for span in results
        .iter()
        .filter(|span| span.is_request && !unseen.contains(&span.binding))
    {
        let key = (&*span.process.service_name, &*span.operation);
        let (durations, cells) = operations.entry(key).or_default();
        durations.push(span.interval.duration_ns());
        for cell in span.cells.iter().filter(|cell| cell.view == View::SelfView) {
            *cells
                .entry((cell.layer.to_string(), cell.state.to_string()))
                .or_insert(0) += cell.ns;
        }
    }
    let mut operations: Vec<OperationMatrix> = operations
        .into_iter()
        .map(|((service, operation), (mut durations, cells))| {
            durations.sort_unstable();
            OperationMatrix {
                service: service.to_owned(),
                operation: operation.to_owned(),
                requests: i64::try_from(durations.len()).unwrap_or(i64::MAX),
                quantiles_ns: [50, 95, 99].map(|percent| nearest_rank(&durations, percent)),
                cells,
            }
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
}

fn print_json(matrix: &[MatrixRow]) -> anyhow::Result<()> {
    let rows: Vec<JsonRow<'_>> = matrix
        .iter()
        .map(|row| JsonRow {
            service_name: &row.service_name,
            operation: &row.operation,
            view: row.view.as_str(),
            layer: row.layer.as_str(),
            state: row.state.as_str(),
            n: row.n,
            n_nonzero: row.n_nonzero,
            sum_ns: row.sum_ns,
            p50_ns: row.p50_ns,
            p95_ns: row.p95_ns,
            p99_ns: row.p99_ns,
        })
        .collect();
    println!(
        "{}",
        serde_json::to_string_pretty(&rows).context("failed to write JSON")?
    );
    Ok(())
}

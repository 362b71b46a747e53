//! `spandrel why`: why a trace took that long, or the slow requests of an operation.

mod cause;
mod operation;
mod ran;
mod site;
mod trace;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Command;
use clap::error::ErrorKind;
use serde::Serialize;
use spandrel_query::{Limits, SessionContext};

use super::answers::{Value, rows};
use super::output;
use super::sql::newest;
use super::view::Shown;
use crate::report::terminal::Terminal;

/// Where a collector without a configuration stores.
const DEFAULT_DATA: &str = "./spandrel-data";

/// Options of `spandrel why`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("question").args(["trace", "operation"]).required(true))]
#[command(after_help = "Examples:\n  \
    spandrel why 4bf92f3577b34da6a3ce929d0e0e4736        the spans of a trace, and what each did and waited for\n  \
    spandrel why --operation 'GET /report'               what makes its slowest requests slower than the median\n  \
    spandrel why --operation 'GET /report' --p95 --format json\n\n\
    Cells are layer/state. The self view says what a span's own goroutine did while the span was open, also in spans\n\
    inside it; the root view follows each wait to the goroutine that ended it. `spandrel matrix` lists the operations.")]
pub struct Args {
    /// The trace, as 32 hexadecimal digits.
    #[arg(value_name = "TRACE_ID")]
    pub trace: Option<String>,
    /// The operation: span name of requests.
    #[arg(long, value_name = "NAME")]
    pub operation: Option<String>,
    /// With --operation: the service, if several have an operation of this name.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// With --operation: explain the 99th percentile (if nothing else is said).
    #[arg(long)]
    pub p99: bool,
    /// With --operation: explain the 95th percentile.
    #[arg(long, conflicts_with = "p99")]
    pub p95: bool,
    /// The view: root, or self. Without it both of a trace, and of an operation root, if the tables have it.
    #[arg(long, value_enum)]
    pub view: Option<Shown>,
    /// Output: text or json.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Directory of the tables.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    pub data: PathBuf,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// Prints the explanation.
///
/// # Errors
/// The directory holds no tables, or nothing of that trace or operation; a [`clap::Error`] if options do not fit the question.
pub fn run(args: &Args) -> anyhow::Result<()> {
    args.check()?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start threads")?;
    let terminal = Terminal::of_output();
    let page = runtime.block_on(async {
        let tables = Tables {
            data: &args.data,
            session: newest(&args.data).await?,
        };
        match (&args.trace, &args.operation) {
            (Some(trace), _) => {
                let explained = trace::explain(&tables, trace, args.view.map(Shown::view)).await?;
                written(&explained, args.format, || trace::render(&explained, terminal))
            }
            (None, operation) => {
                let question = operation::Question {
                    operation: operation.as_deref().unwrap_or_default(),
                    service: args.service.as_deref(),
                    percent: if args.p95 { 95 } else { 99 },
                    view: args.view.map(Shown::view),
                };
                let explained = operation::explain(&tables, &question).await?;
                written(&explained, args.format, || {
                    operation::render(&explained, &args.data, terminal)
                })
            }
        }
    })?;
    output::write(&page)
}

impl Args {
    /// What only operations have does not go with a trace. Clap itself does not see that: of two arguments of which only one
    /// may be there, it takes none for required.
    fn check(&self) -> Result<(), clap::Error> {
        let of_operations = [
            ("--service", self.service.is_some()),
            ("--p99", self.p99),
            ("--p95", self.p95),
        ];
        match of_operations.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) if self.trace.is_some() => {
                let mut command = <Self as clap::Args>::augment_args(Command::new("why").bin_name("spandrel why"));
                let message =
                    format!("{option} belongs to --operation <NAME> and says nothing of a trace: leave it out");
                Err(command.error(ErrorKind::ArgumentConflict, message))
            }
            _ => Ok(()),
        }
    }
}

fn written<T: Serialize>(explained: &T, format: Format, text: impl FnOnce() -> String) -> anyhow::Result<String> {
    match format {
        Format::Text => Ok(text()),
        Format::Json => Ok(serde_json::to_string_pretty(explained)? + "\n"),
    }
}

/// Where the answers come from: all from one snapshot.
struct Tables<'a> {
    data: &'a std::path::Path,
    session: SessionContext,
}

impl Tables<'_> {
    async fn rows(&self, sql: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        let limits = Limits {
            max_rows: 10_000_000,
            timeout: Duration::from_secs(300),
        };
        rows(&spandrel_query::run(&self.session, sql, limits).await?)
    }
}

/// A text as SQL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A result has other columns than were asked for.
fn other_types() -> anyhow::Error {
    anyhow::anyhow!("the tables have columns of other types than this version of spandrel writes")
}

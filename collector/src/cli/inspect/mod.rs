//! `spandrel inspect`: what a runtime profile holds.
//!
//! ```text
//! file --decompress--> gotrace --facts--> Survey --> Report --> text, JSON
//!                      one generation     sums
//! ```
//! Profiles in the format of pprof have a page of their own.
//!
//! Nothing of the trace is kept but sums: memory is for one generation, for the names in the trace, and some hundred bytes
//! for each goroutine that is alive. The JSON form lists all goroutines and keeps as much for each of them.

mod goroutines;
mod lengths;
mod profile;
mod report;
mod survey;
#[cfg(test)]
mod tests;
mod text;

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use gotrace::{ExecTrace, TraceError};
use serde::Serialize;
use spandrel_profiles::go_execution_trace::StateRules;
use spandrel_profiles::pprof;

use self::goroutines::Goroutines;
use self::report::Report;
use self::survey::Survey;
use super::output;
use super::progress::Step;
use super::state_rules;
use crate::files;
use crate::report::color;
use crate::report::terminal::Terminal;

/// Options of `spandrel inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
        spandrel inspect trace.out\n  \
        curl -s 'http://localhost:6060/debug/pprof/trace?seconds=5' | spandrel inspect -\n  \
        spandrel inspect trace.out --format json | jq .scheduler_latency\n  \
        spandrel inspect cpu.pprof                    whether its labels name spans, so that attribution can use it\n\n\
    A trace is read once, as a stream. Memory holds one generation of the trace (about a second), sums, and some hundred \
    bytes for each goroutine that is alive; with --format json for each goroutine of the trace.")]
pub struct Args {
    /// Go execution trace, or profile in the format of pprof; plain or compressed with gzip or zstd. `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Output: a summary for a person, or JSON.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub format: Output,
    /// State rules, a YAML list: which waits and system calls have which state. Tried before the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub state_rules: Option<PathBuf>,
}

/// How to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A summary for a person.
    Text,
    /// Everything, for a program.
    Json,
}

/// Prints what the file holds.
///
/// # Errors
/// A file cannot be read, or is neither a Go execution trace nor a profile, or the state rules have problems.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let rules = state_rules::read(args.state_rules.as_deref())?;
    let name = match args.file.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => args.file.display().to_string(),
    };
    let cannot_read = || format!("cannot read `{name}`");
    let stored = files::open(&args.file)?;
    let step = Step::reading("read", stored.bytes);
    let content = files::decompressed(step.watch(stored.reader)).with_context(cannot_read)?;
    let (begin, content) = files::begun(content, pprof::RECOGNIZED_BY_BYTES).with_context(cannot_read)?;
    if pprof::is_recognized(&begin) {
        let report = profile::read(content);
        step.clear();
        let report = report.with_context(cannot_read)?;
        let text = || profile::render(&name, &report, Terminal::of_output());
        return output::write(&page(&report, args.format, text)?);
    }
    let report = survey(content, &rules, args.format == Output::Json);
    step.clear();
    let report = report.with_context(cannot_read)?;
    state_rules::warn_of_unused(&rules);
    let text = || text::render(&name, &report, color::is_welcome());
    output::write(&page(&report, args.format, text)?)
}

fn page<T: Serialize>(report: &T, format: Output, text: impl FnOnce() -> String) -> anyhow::Result<String> {
    match format {
        Output::Json => Ok(serde_json::to_string_pretty(report).context("failed to write JSON")? + "\n"),
        Output::Text => Ok(text()),
    }
}

/// Reads a trace to its end and adds it up. Lists its goroutines if they are wanted.
fn survey(content: impl Read + Send, rules: &StateRules, with_goroutines: bool) -> Result<Report, TraceError> {
    let mut survey = Survey::new(rules, with_goroutines.then(Goroutines::default));
    let summary = ExecTrace::read(content)?.visit(&mut survey)?;
    let goroutines = (survey.goroutines.take()).map_or_else(Vec::new, |goroutines| goroutines.finish(&summary, rules));
    Ok(Report::new(&survey.totals, goroutines, &summary, rules))
}

//! `spandrel inspect`: what a runtime profile holds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use gotrace::{GoroutineState, RangeKind, Recording};
use serde::Serialize;

use crate::files;
use crate::report::duration::human;

/// Options of `spandrel inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go execution trace, plain or compressed with gzip or zstd.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Output: a summary for a person, or JSON.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub format: Output,
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
/// The file cannot be read, or is no Go execution trace.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let bytes = files::read(&args.file)?;
    let recording = Recording::decode(&bytes).with_context(|| format!("cannot read `{}`", args.file.display()))?;
    let inspection = Inspection::of(&recording);
    match args.format {
        Output::Json => {
            let json = serde_json::to_string_pretty(&inspection).context("failed to write JSON")?;
            println!("{json}");
        }
        Output::Text => print!("{}", summary(&inspection, &recording)),
    }
    Ok(())
}

/// The JSON form. All times are Unix nanoseconds where the trace has a wall clock, else nanoseconds of the trace's own
/// clock; `clock` says which. The trace covers `[first_ns, last_ns)`, and the states of a goroutine sum to the part of
/// its life in there.
#[derive(Debug, Serialize)]
struct Inspection {
    format: &'static str,
    go_version: String,
    clock: &'static str,
    generations: usize,
    first_ns: i64,
    last_ns: i64,
    events: BTreeMap<&'static str, u64>,
    warnings: Vec<String>,
    goroutines: Vec<GoroutineInspection>,
}

#[derive(Debug, Serialize)]
struct GoroutineInspection {
    id: u64,
    start_function: Option<String>,
    created_by: Option<u64>,
    birth_ns: Option<i64>,
    death_ns: Option<i64>,
    raw_states_ns: BTreeMap<String, i64>,
}

impl Inspection {
    fn of(recording: &Recording) -> Self {
        let has_wall_clock = recording.unix(recording.start).is_some();
        let instant = |at| instant(recording, at);
        let goroutine = |goroutine: &gotrace::Goroutine| GoroutineInspection {
            id: goroutine.id.get(),
            start_function: goroutine.start_function.map(|name| recording.text(name).into_owned()),
            created_by: goroutine.creator.map(|creator| creator.get()),
            birth_ns: goroutine.birth.map(instant),
            death_ns: goroutine.death.map(instant),
            raw_states_ns: raw_states(recording, goroutine),
        };
        let mut warnings: Vec<String> = recording.warnings.as_slice().iter().map(ToString::to_string).collect();
        if recording.warnings.dropped_count() > 0 {
            warnings.push(format!("and {} more warnings", recording.warnings.dropped_count()));
        }
        Self {
            format: "go.execution_trace",
            go_version: recording.version.name().to_owned(),
            clock: if has_wall_clock { "unix" } else { "trace" },
            generations: recording.generations.len(),
            first_ns: instant(recording.start),
            last_ns: instant(recording.end),
            events: recording.event_counts.clone(),
            warnings,
            goroutines: recording.goroutines.iter().map(goroutine).collect(),
        }
    }
}

/// Total time of a goroutine in each state.
fn raw_states(recording: &Recording, goroutine: &gotrace::Goroutine) -> BTreeMap<String, i64> {
    let mut totals = BTreeMap::new();
    for interval in recording.states_of(goroutine) {
        let name = match interval.state {
            GoroutineState::Undetermined => "Undetermined".to_owned(),
            GoroutineState::Runnable { .. } => "Runnable".to_owned(),
            GoroutineState::Running { .. } => "Running".to_owned(),
            GoroutineState::Syscall | GoroutineState::SyscallBlocked => "Syscall".to_owned(),
            GoroutineState::Waiting { reason, .. } => format!("Waiting:{}", recording.wait_reason(reason)),
        };
        *totals.entry(name).or_insert(0) += instant(recording, interval.end) - instant(recording, interval.start);
    }
    totals
}

/// The wall clock's nanoseconds at `at`, else the trace's own.
fn instant(recording: &Recording, at: gotrace::TraceNanos) -> i64 {
    recording.unix(at).map_or(at.0, |unix| unix.0)
}

fn summary(inspection: &Inspection, recording: &Recording) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let length_ns = recording.end.0.saturating_sub(recording.start.0);
    let events: u64 = inspection.events.values().sum();
    let mut line = |label: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label:<14}{value}");
    };
    line(
        "format",
        format!("Go execution trace, format of {}", inspection.go_version),
    );
    line(
        "covers",
        format!("{} in {} generations", human(length_ns), inspection.generations),
    );
    let clock = match inspection.clock {
        "unix" => "wall clock present",
        _ => "none (Go before 1.25): cannot be joined with spans",
    };
    line("clock", clock.to_owned());
    line("events", events.to_string());
    line("goroutines", inspection.goroutines.len().to_string());
    line("user tasks", recording.tasks.len().to_string());
    let total_of = |wanted: fn(&RangeKind) -> bool| -> i64 {
        let ranges = recording.ranges.iter().filter(|range| wanted(&range.kind));
        ranges.map(|range| range.end.0.saturating_sub(range.start.0)).sum()
    };
    line("GC mark", human(total_of(|kind| matches!(kind, RangeKind::GcMark))));
    line(
        "GC assist",
        human(total_of(|kind| matches!(kind, RangeKind::MarkAssist))),
    );
    line(
        "world stopped",
        human(total_of(|kind| matches!(kind, RangeKind::StopTheWorld { .. }))),
    );
    let mut states: BTreeMap<&str, i64> = BTreeMap::new();
    for (name, ns) in inspection
        .goroutines
        .iter()
        .flat_map(|goroutine| &goroutine.raw_states_ns)
    {
        *states.entry(name).or_insert(0) += ns;
    }
    let mut states: Vec<_> = states.into_iter().collect();
    states.sort_by_key(|(name, ns)| (-ns, *name));
    line("states", "time over all goroutines".to_owned());
    for (name, ns) in states {
        let name = if name == "Waiting:" {
            "Waiting (since before the trace)"
        } else {
            name
        };
        line(&format!("  {name:<36}"), human(ns));
    }
    for warning in &inspection.warnings {
        line("warning", warning.clone());
    }
    text
}

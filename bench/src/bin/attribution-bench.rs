//! `attribution-bench`: measures the join of spans with task states, prints a report.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use peak_alloc::PeakAlloc;
use spandrel_bench::attribution::{Options, load, measure, run};

/// Counts what attribution holds.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Measures attribution on made-up services, and DuckDB's range join beside it
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Attributes one load in this process and prints what it measured: what the benchmark runs again and again
    Measure(MeasureOptions),
}

#[derive(Args)]
struct MeasureOptions {
    /// The load
    #[arg(long)]
    load: String,
    /// Its size
    #[arg(long)]
    requests: usize,
}

fn main() -> ExitCode {
    match answer(&Arguments::parse()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn answer(arguments: &Arguments) -> Result<String> {
    match &arguments.command {
        None => run(&arguments.options),
        Some(Command::Measure(options)) => {
            let measurement = measure(load(&options.load)?, options.requests, &MEMORY)?;
            Ok(serde_json::to_string(&measurement)? + "\n")
        }
    }
}

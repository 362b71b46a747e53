//! `gotrace-bench`: measures the decoder of Go execution traces against Go's own reader, prints a report.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use spandrel_bench::gotrace::{Options, ProfileOptions, measure_stage, profile, run, stage};

/// Measures the decoder of Go execution traces against Go's own reader (golang.org/x/exp/trace)
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Does one stage of ours in this process and prints what it measured: what the benchmark runs again and again
    Measure(MeasureOptions),
    /// Counts instructions, cache misses and mispredicted branches of stages of ours, by function; needs valgrind
    Profile(ProfileOptions),
}

#[derive(Args)]
struct MeasureOptions {
    /// The stage
    #[arg(long)]
    stage: String,
    /// Give up rather than take more memory; 0 is no limit
    #[arg(long, default_value_t = 0)]
    memory_limit_bytes: u64,
    /// The trace
    file: PathBuf,
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
        Some(Command::Measure(options)) => measure(options),
        Some(Command::Profile(options)) => profile(options),
    }
}

fn measure(options: &MeasureOptions) -> Result<String> {
    let name = &options.stage;
    let stage = stage(name).with_context(|| format!("no stage `{name}`"))?;
    let measurement = measure_stage(stage, &options.file, options.memory_limit_bytes)?;
    Ok(serde_json::to_string(&measurement)? + "\n")
}

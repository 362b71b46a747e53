//! The command line, one module per command.

use clap::{Parser, Subcommand};

mod answers;
pub mod attribute;
pub mod components;
pub mod export;
pub mod inspect;
pub mod matrix;
mod output;
pub mod progress;
mod recorded;
pub mod replay;
pub mod run;
pub mod sql;
mod state_rules;
pub mod validate;
pub mod view;
pub mod why;

/// The OpenTelemetry collector that can say why a span was slow.
#[derive(Debug, Parser)]
#[command(
    name = "spandrel",
    version,
    about,
    long_about = "The OpenTelemetry collector that can say why a span was slow.\n\n\
        Spandrel receives spans over OTLP and what the Go runtime knows about the same processes (execution traces), \
        joins them, and gives every nanosecond of every span to one (layer, state) cell, such as db/network or \
        service/mutex. Results are Parquet files in Delta tables, read with `spandrel sql` or any other engine.",
    after_help = "Start here:\n  \
        spandrel run                      collect on 127.0.0.1:4317 and :4318, store under ./spandrel-data\n  \
        spandrel matrix                   where the time of the slowest operations went\n  \
        spandrel why --operation NAME     what makes its slow requests slow\n  \
        spandrel sql -c 'SHOW TABLES'     ask anything else"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the collector.
    Run(run::Args),
    /// Check configuration files, report every problem, and exit.
    Validate(validate::Args),
    /// List the receivers, connectors, exporters and extensions of this binary.
    #[command(
        after_help = "Each line: the type that a configuration names, what it does, and the signals that it accepts and \
        emits.\n\nExample of a configuration that uses some of them: spandrel run --print-config\n\
        Settings of each: docs/components."
    )]
    Components,
    /// Query the stored tables with SQL, at a prompt or with -c.
    Sql(sql::Args),
    /// Show where the time of the slowest operations went.
    Matrix(matrix::Args),
    /// Say why a trace, or the slow requests of an operation, took that long.
    Why(why::Args),
    /// Join span files with runtime profiles, without a collector.
    Attribute(attribute::Args),
    /// Show what a runtime profile holds.
    Inspect(inspect::Args),
    /// Turn an execution trace into a file for Perfetto, speedscope or pprof.
    Export(export::Args),
    /// Send a recording to a running collector.
    Replay(replay::Args),
}

//! The `spandrel` command.

use std::process::ExitCode;

use clap::Parser;
use spandrel::cli::{Cli, Command, attribute, components, export, inspect, matrix, replay, run, sql, validate, why};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Components => components::run(),
        Command::Sql(args) => sql::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Attribute(args) => attribute::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Replay(args) => replay::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(usage) => usage.exit(),
            Err(error) => {
                eprintln!("spandrel: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

//! `spandrel validate`: every problem of a configuration, without starting anything.

use std::path::PathBuf;

use anyhow::bail;

use super::output;
use crate::service;

/// Options of `spandrel validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file, YAML. Given several times, later files are merged over earlier ones.
    #[arg(short, long, value_name = "FILE", required = true)]
    pub config: Vec<PathBuf>,
    /// Override one setting. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Reports every problem on standard error.
///
/// # Errors
/// There is a problem.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let problems = match service::load(&args.config, &args.set) {
        Ok(checked) => checked.warnings,
        Err(problems) => {
            eprintln!("{}", service::render(&problems));
            bail!("the configuration has problems");
        }
    };
    if !problems.is_empty() {
        eprintln!("{}", service::render(&problems));
    }
    output::write("the configuration is valid\n")
}

//! The Go programs of the benchmark: `bench/gotrace/reader`, our peer, and `bench/gotrace/generator`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

/// Stages of the peer, by the names that it takes.
pub(crate) const PEER_STAGES: [&str; 2] = ["events", "states"];

/// Where the programs' module is, from the root of the repository.
pub(crate) const MODULE: &str = "bench/gotrace";

/// The built programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) reader: PathBuf,
    pub(crate) generator: PathBuf,
}

/// Builds both programs into `folder`.
///
/// # Errors
/// Go is not installed, or the current folder is not the root of the repository.
pub(crate) fn build(folder: &Path) -> Result<Programs> {
    ensure!(
        Path::new(MODULE).is_dir(),
        "no {MODULE} here: run the benchmark from the root of the repository"
    );
    let folder = env::current_dir()?.join(folder);
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-o"])
        .arg(&folder)
        .arg("./...")
        .current_dir(MODULE);
    succeed(&mut go).context("build the peer (is Go installed?)")?;
    Ok(Programs {
        reader: folder.join("reader"),
        generator: folder.join("generator"),
    })
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// It cannot be run, or fails; the error is what it says.
pub(crate) fn succeed(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {program}"))?;
    ensure!(
        output.status.success(),
        "{program}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output)
}

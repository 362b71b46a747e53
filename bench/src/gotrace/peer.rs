//! The Go programs of the benchmark: `bench/gotrace/reader`, our peer, and `bench/gotrace/generator`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::machine::version;
use crate::process::succeed;

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

/// Go and its reader, for the report.
///
/// # Errors
/// Go is not installed.
pub(crate) fn versions() -> Result<String> {
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", "{{.Version}}", "golang.org/x/exp"])
        .current_dir(MODULE);
    let exp = succeed(&mut list)?;
    Ok(format!(
        "{}, golang.org/x/exp {}",
        version("go", &["version"])?,
        String::from_utf8_lossy(&exp.stdout).trim()
    ))
}

//! DuckDB, which computes the self view by one SQL statement: the one that a test of ours checks the view with. And a range
//! join of spans and states alone, the core of it, which is the least that any such statement takes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::machine::Cores;
use crate::process::succeed;

const INSTALLER: &str = "scripts/python-env.sh";
const PYTHON: &str = ".tools/venv/bin/python";
/// Script and query.
const SELF_VIEW: [&str; 2] = ["tests/tests/self_view.py", "tests/tests/self_view.sql"];
const RANGE_JOIN: [&str; 2] = ["bench/attribution/range_join.py", "bench/attribution/range_join.sql"];

/// What DuckDB took for one load.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) version: String,
    /// Cells that are equal on both sides, which are all.
    pub(crate) equal_cells: u64,
    /// How long its process ran for the self view, each time.
    pub(crate) self_view_ns: Vec<u64>,
    /// How long it ran for the range join alone, each time.
    pub(crate) range_join_ns: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct SelfView {
    version: String,
    cpu_ns: Vec<u64>,
    computed: Side,
    stored: Side,
    only_computed: Vec<serde_json::Value>,
    only_stored: Vec<serde_json::Value>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Side {
    rows: u64,
    ns: i64,
}

#[derive(Debug, Deserialize)]
struct RangeJoin {
    cpu_ns: Vec<u64>,
    ns: i64,
}

/// Installs DuckDB where it is missing.
///
/// # Errors
/// Python is not installed, or the current folder is not the root of the repository.
pub(crate) fn install() -> Result<()> {
    ensure!(
        Path::new(INSTALLER).is_file(),
        "no {INSTALLER} here: run the benchmark from the root of the repository"
    );
    succeed(&mut Command::new(INSTALLER)).map(drop)
}

/// Has DuckDB compute both from the tables in `folder`, again and again.
///
/// # Errors
/// It fails, or its cells are not ours.
pub(crate) fn compute(folder: &Path, cores: &Cores, repetitions: u32) -> Result<Answer> {
    let view: SelfView = answer(SELF_VIEW, folder, cores, repetitions)?;
    ensure!(
        view.computed == view.stored && view.only_computed.is_empty() && view.only_stored.is_empty(),
        "DuckDB disagrees about {}: {view:?}",
        folder.display()
    );
    ensure!(view.computed.rows > 0, "no cells to compare in {}", folder.display());
    let join: RangeJoin = answer(RANGE_JOIN, folder, cores, repetitions)?;
    // All time of a load's spans is known.
    ensure!(
        join.ns == view.stored.ns,
        "the range join finds {} ns, we {}",
        join.ns,
        view.stored.ns
    );
    Ok(Answer {
        version: view.version,
        equal_cells: view.computed.rows,
        self_view_ns: view.cpu_ns,
        range_join_ns: join.cpu_ns,
    })
}

fn answer<T: DeserializeOwned>(
    [script, query]: [&str; 2],
    folder: &Path,
    cores: &Cores,
    repetitions: u32,
) -> Result<T> {
    let mut python = cores.command(Path::new(PYTHON));
    python.args([script.as_ref(), folder.as_os_str(), query.as_ref()]);
    python.arg(repetitions.to_string());
    serde_json::from_slice(&succeed(&mut python)?.stdout).with_context(|| format!("what {script} printed"))
}

//! The service of `tests/services/truth`, built by a Go toolchain, and what a run of it leaves.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::run::Configuration;
use super::truth::{self, Truth};
use crate::{process, repository};

/// A toolchain and the modules may have to be downloaded.
const PREPARE_LIMIT: Duration = Duration::from_secs(300);
const BUILD_LIMIT: Duration = Duration::from_secs(300);
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) spans: PathBuf,
    pub(crate) trace: PathBuf,
    pub(crate) truths: Vec<Truth>,
}

/// Builds the service in `dir`, once for a toolchain, and runs it there. `None` where the toolchain or the modules cannot
/// be had, which is said on the terminal, past the test harness.
///
/// # Panics
/// It does not compile or run. The toolchain is missing, and the environment variable `CI` is set.
pub(crate) fn run(configuration: &Configuration, requests: usize, seed: u64, dir: &Path) -> Option<Run> {
    let program = build(configuration.toolchain, dir)?;
    let mut service = Command::new(program);
    service.arg("-out").arg(dir).args([
        format!("-requests={requests}"),
        format!("-seed={seed}"),
        format!("-procs={}", configuration.procs),
        format!("-gc={}", configuration.collects_garbage),
    ]);
    process::run(&mut service, RUN_LIMIT).success();
    Some(Run {
        spans: dir.join("spans.json"),
        trace: dir.join("trace.out"),
        truths: truth::read(&dir.join("truth.jsonl")),
    })
}

fn build(toolchain: &str, dir: &Path) -> Option<PathBuf> {
    let go = || {
        let mut go = Command::new("go");
        go.current_dir(repository::root().join("tests/services/truth"))
            .env("GOTOOLCHAIN", toolchain)
            .env("CGO_ENABLED", "0");
        go
    };
    if Command::new("go").arg("version").output().is_err() {
        return skipped("go is missing");
    }
    let prepared = process::run(go().args(["mod", "download"]), PREPARE_LIMIT);
    if prepared.code != Some(0) {
        return skipped(&format!("{toolchain}: {}", prepared.stderr.trim()));
    }
    let program = dir.join("truth");
    process::run(go().args(["build", "-trimpath", "-o"]).arg(&program), BUILD_LIMIT).success();
    Some(program)
}

fn skipped(missing: &str) -> Option<PathBuf> {
    assert!(env::var_os("CI").is_none(), "{missing}");
    // A terminal that is gone needs no message.
    let _ = writeln!(std::io::stderr(), "SKIPPED, accuracy is not measured: {missing}");
    None
}

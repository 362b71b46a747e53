//! The service of `tests/services/kiosk`, built by an earlier Go, and what a run of it leaves.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{process, repository};

/// Toolchains of the versions whose traces hold no wall clock, as `GOTOOLCHAIN` names them.
pub const TOOLCHAINS: [&str; 3] = ["go1.22.12", "go1.23.12", "go1.24.13"];

/// The attributes that its spans have.
pub const RESOURCE: &str = "service.name=kiosk,service.instance.id=kiosk-1";
/// Its instance.
pub const INSTANCE: &str = "kiosk-1";

/// A toolchain and the modules may have to be downloaded.
const PREPARE_LIMIT: Duration = Duration::from_secs(300);
const BUILD_LIMIT: Duration = Duration::from_secs(300);
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// What a run left.
#[derive(Debug)]
pub struct Run {
    /// Its spans, one OTLP/JSON request.
    pub spans: PathBuf,
    /// An execution trace of a part of it.
    pub trace: PathBuf,
    /// How much the wall clock is ahead of the clock of the trace, nanoseconds.
    pub offset_ns: i64,
}

/// Builds the service with a toolchain, in `dir`, and runs it. `None` where the toolchain or the modules cannot be had,
/// which is said on the terminal, past the test harness.
///
/// # Panics
/// It does not compile or run. The toolchain is missing, and the environment variable `CI` is set.
pub fn run(toolchain: &str, dir: &Path) -> Option<Run> {
    let go = || {
        let mut go = Command::new("go");
        go.current_dir(repository::root().join("tests/services/kiosk"))
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
    let program = dir.join("kiosk");
    process::run(go().args(["build", "-trimpath", "-o"]).arg(&program), BUILD_LIMIT).success();
    process::run(Command::new(&program).arg("-out").arg(dir), RUN_LIMIT).success();
    let offset = dir.join("offset");
    let text = fs::read_to_string(&offset).unwrap_or_else(|error| panic!("{}: {error}", offset.display()));
    Some(Run {
        spans: dir.join("spans.json"),
        trace: dir.join("trace.out"),
        offset_ns: text.trim().parse().expect("the service writes a number"),
    })
}

fn skipped(missing: &str) -> Option<Run> {
    assert!(env::var_os("CI").is_none(), "{missing}");
    // A terminal that is gone needs no message.
    let _ = writeln!(std::io::stderr(), "SKIPPED, no trace of an earlier Go: {missing}");
    None
}

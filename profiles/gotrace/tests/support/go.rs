//! Builds and runs the Go programs of `tests/programs`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the test can run; prints why not.
pub(crate) fn is_installed() -> bool {
    let found = Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        println!("SKIPPED: `go` is not installed");
    }
    found
}

/// Builds a program into `folder` and returns its path.
pub(crate) fn build(program: &str, folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(program);
    let binary = folder.join(program);
    run(Command::new("go")
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(source));
    binary
}

/// Runs the workload for some milliseconds, in generations of `generation_ms`, and returns its trace.
pub(crate) fn record(workload: &Path, folder: &Path, mode: &str, run_ms: u32, generation_ms: u32) -> PathBuf {
    let trace = folder.join(format!("{mode}-{run_ms}.trace"));
    let mut command = Command::new(workload);
    command.env(
        "GODEBUG",
        format!("traceadvanceperiod={}", u64::from(generation_ms) * 1_000_000),
    );
    run(command
        .args(["-mode", mode, "-profile", "-for", &format!("{run_ms}ms"), "-out"])
        .arg(&trace));
    trace
}

/// Runs a command and returns what it prints.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

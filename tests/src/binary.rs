//! The program under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use crate::process::{self, Ended};
use crate::repository;

/// A first build compiles everything; later ones only check that nothing has changed.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);
/// No command of the program takes more than seconds in these tests.
const COMMAND_LIMIT: Duration = Duration::from_secs(240);

static SPANDREL: LazyLock<PathBuf> = LazyLock::new(build);

/// The `spandrel` program, built from the sources that are tested, once per test process.
///
/// # Panics
/// It does not compile; the message holds the compiler's.
pub fn spandrel() -> &'static Path {
    &SPANDREL
}

/// `spandrel ARGUMENTS`, ready to run: without colors, and without the settings of whoever runs the tests.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(spandrel());
    command.args(arguments).env("NO_COLOR", "1").env_remove("SPANDREL_LOG");
    command
}

/// Runs `spandrel ARGUMENTS` to its end.
///
/// # Panics
/// It does not end in time.
pub fn run(arguments: &[&str]) -> Ended {
    process::run(&mut command(arguments), COMMAND_LIMIT)
}

/// Builds with the profile of the tests, and in their target directory, which comes with the environment.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository::root());
    cargo.args([
        "build",
        "--workspace",
        "--bins",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let messages = process::run(&mut cargo, BUILD_LIMIT).success();
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    executables
        .next()
        .expect("cargo names the executable that it was asked for")
}

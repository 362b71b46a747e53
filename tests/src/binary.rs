//! The program under test.

use std::env;
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
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository::root());
    cargo.args([
        "build",
        "--workspace",
        "--bin",
        "spandrel",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What `cargo test` says about the package under test would reach the build scripts of dependencies. That of ring
    // runs again when it changes, and with it everything from the TLS library to the query engine is compiled anew.
    for (name, _) in env::vars_os() {
        let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(of_package) {
            cargo.env_remove(name);
        }
    }
    let built = process::run(&mut cargo, BUILD_LIMIT);
    assert_eq!(built.code, Some(0), "the program does not compile\n{}", built.stderr);
    let mut executables = built.stdout.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    executables
        .next()
        .expect("cargo names the executable that it was asked for")
}

//! Programs that a benchmark runs.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

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

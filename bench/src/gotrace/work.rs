//! What a row of the report is measured of: a stage of either reader, run once in a process of its own.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::measurement::Measurement;
use super::stages::Stage;
use crate::machine::Cores;

/// What runs in a process of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// A stage of Go's reader.
    Go(&'static str),
    /// A stage of ours.
    Ours(&'static Stage),
}

impl Work {
    /// Name in the report: "Go events", "ours events".
    pub(crate) fn label(self) -> String {
        match self {
            Self::Go(stage) => format!("Go {stage}"),
            Self::Ours(stage) => format!("ours {}", stage.name),
        }
    }

    /// The stage of Go's reader that does the same or the most of it.
    pub(crate) fn peer(self) -> &'static str {
        match self {
            Self::Go(stage) => stage,
            Self::Ours(stage) => stage.peer,
        }
    }

    /// One measurement; `None` if it needs more memory than it may have, which only ours is held to.
    ///
    /// # Errors
    /// The process fails or does not print a measurement.
    pub(crate) fn run(
        self,
        file: &Path,
        cores: &Cores,
        reader: &Path,
        memory_limit_bytes: u64,
    ) -> Result<Option<Measurement>> {
        let label = self.label();
        let mut command = match self {
            Self::Go(stage) => go_command(stage, file, cores, reader),
            Self::Ours(stage) => our_command(stage, file, cores, memory_limit_bytes)?,
        };
        let output = command.output().with_context(|| format!("run {label}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            let measurement =
                serde_json::from_slice(&output.stdout).with_context(|| format!("{label} printed no measurement"))?;
            return Ok(Some(measurement));
        }
        // What Rust's allocator says before it aborts.
        if said.contains("memory allocation of") {
            return Ok(None);
        }
        bail!("{label} of {}: {}: {}", file.display(), output.status, said.trim());
    }
}

fn go_command(stage: &str, file: &Path, cores: &Cores, reader: &Path) -> Command {
    let mut command = cores.command(reader);
    command
        .env("GOMAXPROCS", cores.count().to_string())
        .arg(stage)
        .arg(file);
    command
}

fn our_command(stage: &Stage, file: &Path, cores: &Cores, memory_limit_bytes: u64) -> Result<Command> {
    let mut command = cores.command(&env::current_exe()?);
    command
        .args(["measure", "--stage", stage.name])
        .args(["--memory-limit-bytes", &memory_limit_bytes.to_string()])
        .arg(file);
    Ok(command)
}

//! What one process measures of itself.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::stages::{Run, Stage};
use crate::machine::{self, cpu_time};

/// One stage, done once on one file. Go's reader prints the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// From the bytes, in memory or in the file, to the last fact.
    pub wall_ns: u64,
    /// How long the process ran meanwhile, on all its threads.
    pub cpu_ns: u64,
    /// Most memory that the process held at a time, without the file if only the benchmark has it in memory.
    pub peak_bytes: u64,
    /// How much of `peak_bytes` is the file itself.
    pub file_bytes_held: u64,
    /// What was found.
    pub facts: Facts,
}

impl Measurement {
    /// How long the work takes on cores that nobody else uses. No stage waits, so on one core that is the time the process
    /// ran. On several it is the wall time, which counts what others took of the cores too.
    pub(crate) fn time_ns(&self, cores_count: usize) -> u64 {
        let time_ns = if cores_count == 1 { self.cpu_ns } else { self.wall_ns };
        time_ns.max(1)
    }

    /// Share of the wall time that the process ran.
    pub(crate) fn running_percent(&self) -> u64 {
        self.cpu_ns.saturating_mul(100) / self.wall_ns.max(1)
    }
}

/// Does one stage on a file in this process, which should do nothing else.
///
/// `memory_limit_bytes` is where the process is aborted rather than the machine brought down; 0 is no limit.
///
/// # Errors
/// The file cannot be read or is no whole trace, or `/proc` does not tell the memory.
pub fn measure_stage(stage: &Stage, file: &Path, memory_limit_bytes: u64) -> Result<Measurement> {
    if memory_limit_bytes > 0 {
        let limit = Rlimit {
            current: Some(memory_limit_bytes),
            maximum: Some(memory_limit_bytes),
        };
        setrlimit(Resource::As, limit).context("limit the address space")?;
    }
    let measured = match stage.run {
        Run::Slice(run) => fs::read(file).map_err(Into::into).and_then(|bytes| {
            let file_bytes_held = u64::try_from(bytes.len())?;
            measure(|| run(&bytes), file_bytes_held)
        }),
        Run::Stream(run) => open_cached(file)
            .map_err(Into::into)
            .and_then(|mut source| measure(|| run(&mut source), 0)),
    };
    measured.with_context(|| format!("{} of {}", stage.name, file.display()))
}

/// Opens a file whose pages are all in the cache of the kernel: the disk is not measured.
fn open_cached(path: &Path) -> io::Result<File> {
    io::copy(&mut File::open(path)?, &mut io::sink())?;
    File::open(path)
}

fn measure(work: impl FnOnce() -> Result<Facts>, file_bytes_held: u64) -> Result<Measurement> {
    let cpu_before = cpu_time();
    let begin = Instant::now();
    let facts = work()?;
    let wall = begin.elapsed();
    let cpu = cpu_time().saturating_sub(cpu_before);
    Ok(Measurement {
        wall_ns: u64::try_from(wall.as_nanos())?,
        cpu_ns: u64::try_from(cpu.as_nanos())?,
        peak_bytes: machine::peak_bytes()?,
        file_bytes_held,
        facts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotrace::stage;

    #[test]
    fn only_stages_that_take_a_slice_hold_the_file() {
        let file = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../profiles/gotrace/tests/fixtures/mix.trace"
        ));
        let length = fs::metadata(file).unwrap().len();
        let held = |name| {
            let measurement = measure_stage(stage(name).unwrap(), file, 0).unwrap();
            assert!(measurement.wall_ns > 0 && measurement.peak_bytes > 0);
            measurement.file_bytes_held
        };
        assert_eq!(held("events"), length);
        assert_eq!(held("events from file"), 0);
    }

    #[test]
    fn an_error_names_the_stage_and_the_file() {
        let error = measure_stage(stage("scan").unwrap(), Path::new("none.trace"), 0).unwrap_err();
        assert_eq!(error.to_string(), "scan of none.trace");
    }
}

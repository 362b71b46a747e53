//! The machine that the numbers are from, and the cores of it that are measured on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::process::succeed;

/// The cores that a measurement may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    ids: Vec<usize>,
    /// Without `taskset` processes are not pinned.
    pinned: bool,
}

impl Cores {
    /// The last `count` of the cores that this process may use: the first often serve interrupts.
    ///
    /// # Errors
    /// There are fewer.
    pub(crate) fn last(count: usize) -> Result<Self> {
        let ids = allowed_cores(&status_field("/proc/self/status", "Cpus_allowed_list")?)?;
        ensure!(
            (1..=ids.len()).contains(&count),
            "{count} cores asked for, {} are there",
            ids.len()
        );
        Ok(Self {
            ids: ids[ids.len() - count..].to_vec(),
            pinned: succeed(Command::new("taskset").arg("--version")).is_ok(),
        })
    }

    #[cfg(test)]
    pub(crate) fn pinned(ids: &[usize]) -> Self {
        Self {
            ids: ids.to_vec(),
            pinned: true,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.ids.len()
    }

    /// A command that runs a program on these cores alone.
    pub(crate) fn command(&self, program: &Path) -> Command {
        if !self.pinned {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.arg("--cpu-list").arg(join(&self.ids)).arg(program);
        command
    }

    /// For the report.
    pub(crate) fn describe(&self) -> String {
        if self.pinned {
            let cores = if self.ids.len() == 1 { "core" } else { "cores" };
            format!("pinned to {cores} {}", join(&self.ids))
        } else {
            "NOT pinned to a core, because `taskset` is not installed".to_owned()
        }
    }
}

fn join(ids: &[usize]) -> String {
    ids.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Reads a list as in `0-3,8`.
fn allowed_cores(list: &str) -> Result<Vec<usize>> {
    let mut ids = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        ids.extend(first.parse::<usize>()?..=last.parse()?);
    }
    Ok(ids)
}

/// What the report says of the machine and the tools: ours, and the peers' as given.
pub(crate) fn describe(peers: &[String]) -> Result<Vec<String>> {
    let cores = std::thread::available_parallelism()?;
    let model = status_field("/proc/cpuinfo", "model name").unwrap_or_else(|_| "unknown".to_owned());
    let memory = memory_bytes("MemTotal")? as f64 / 1e9;
    let load = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let here = format!("{cores} cores of {model}, {memory:.0} GB of memory, load {load} at the start");
    let mut lines = vec![here];
    lines.extend_from_slice(peers);
    lines.push(version("rustc", &["--version"])?);
    Ok(lines)
}

/// Memory that a process may take without pushing others out.
pub(crate) fn available_bytes() -> Result<u64> {
    memory_bytes("MemAvailable")
}

/// The most memory that this process has held. `ru_maxrss` would not do: it starts with that of the process that started
/// this one.
pub(crate) fn peak_bytes() -> Result<u64> {
    kib_field("/proc/self/status", "VmHWM")
}

/// How long this process has run, on all its threads.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a process has run for no less than nothing")
}

fn memory_bytes(name: &str) -> Result<u64> {
    kib_field("/proc/meminfo", name)
}

fn kib_field(file: &str, name: &str) -> Result<u64> {
    let field = status_field(file, name)?;
    let kib: u64 = field.trim_end_matches("kB").trim_end().parse()?;
    Ok(kib << 10)
}

/// What a program says of its version.
pub(crate) fn version(program: &str, arguments: &[&str]) -> Result<String> {
    let output = succeed(Command::new(program).args(arguments))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The value of the first line `name: value` of a file in `/proc`.
fn status_field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .with_context(|| format!("no {name} in {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_cores() {
        assert_eq!(allowed_cores("0-3,8").unwrap(), [0, 1, 2, 3, 8]);
        assert_eq!(allowed_cores("5").unwrap(), [5]);
        assert!(allowed_cores("all").is_err());
    }

    #[test]
    fn more_cores_than_there_are_is_refused() {
        assert!(Cores::last(1).is_ok());
        assert!(Cores::last(0).is_err());
        assert!(Cores::last(100_000).is_err());
    }
}

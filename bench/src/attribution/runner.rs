//! The whole benchmark: measures every load at two sizes, has DuckDB compute the same cells, reports.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::loads::{LOADS, Load};
use super::measurement::{Measurement, Part};
use super::peer::{self, Answer};
use super::report::{self, Report};
use super::tables;
use crate::machine::{self, Cores};
use crate::page;
use crate::process::succeed;
use crate::spread::Times;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder of the tables and the report
    #[arg(long, default_value = "target/bench")]
    pub folder: PathBuf,
    /// A tenth of the input, twice: shows that everything works
    #[arg(long)]
    pub quick: bool,
    /// How often each load is measured at each size
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: u32,
    /// Puts the report between the comments of this page too
    #[arg(long, value_name = "PAGE", conflicts_with = "quick")]
    pub update: Option<PathBuf>,
}

/// Everything measured of one load.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) load: &'static Load,
    /// Of the load as it is.
    pub(crate) runs: Vec<Measurement>,
    /// Of twice as many requests.
    pub(crate) double: Vec<Measurement>,
    pub(crate) peer: Answer,
}

/// Runs the benchmark and returns the report, which is also written to `attribution.md` in the folder.
///
/// # Errors
/// DuckDB cannot be installed, a process fails, or DuckDB finds other cells.
pub fn run(options: &Options) -> Result<String> {
    peer::install()?;
    let cores = Cores::last(1)?;
    let (shrink, repetitions) = if options.quick {
        (10, 2)
    } else {
        (1, options.repetitions)
    };
    let mut all = Vec::new();
    for load in &LOADS {
        let folder = options.folder.join("attribution").join(load.name);
        eprintln!("writing the tables of {}", load.name);
        tables::write(&load.make(load.requests / shrink), &folder)?;
        eprintln!("DuckDB computes the cells of {}", load.name);
        all.push(Series {
            load,
            runs: Vec::new(),
            double: Vec::new(),
            peer: peer::compute(&folder, &cores, repetitions)?,
        });
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let machine = machine::describe(&[format!("DuckDB {}", all[0].peer.version)])?;
    measure(&mut all, &cores, shrink, repetitions)?;
    let report = report::render(&Report {
        machine,
        repetitions,
        cores,
        judged: !options.quick,
        series: all,
    })?;
    let written = options.folder.join("attribution.md");
    fs::write(&written, &report).with_context(|| format!("write {}", written.display()))?;
    if let Some(page) = &options.update {
        page::update(page, "attribution", &report)?;
    }
    Ok(report)
}

/// Runs all loads in turn, and again, so that a disturbance of the machine does not hit one of them alone.
fn measure(all: &mut [Series], cores: &Cores, shrink: usize, repetitions: u32) -> Result<()> {
    for repetition in 1..=repetitions {
        eprintln!("measuring, {repetition} of {repetitions}");
        for series in &mut *all {
            let requests = series.load.requests / shrink;
            series.runs.push(measure_once(series.load, requests, cores)?);
            series.double.push(measure_once(series.load, 2 * requests, cores)?);
        }
    }
    Ok(())
}

fn measure_once(load: &Load, requests: usize, cores: &Cores) -> Result<Measurement> {
    let mut command = cores.command(&env::current_exe()?);
    command.args(["measure", "--load", load.name]);
    command.args(["--requests", &requests.to_string()]);
    let output = succeed(&mut command)?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("{} printed no measurement", load.name))
}

impl Series {
    /// What there is of the input, the same in every run.
    pub(crate) fn facts(&self) -> Result<&Measurement> {
        self.runs.first().context("a load was never measured")
    }

    /// How long these parts took together.
    pub(crate) fn times(&self, parts: &[Part]) -> Result<Times> {
        times(&self.runs, parts)
    }

    /// Intervals a second through these parts, in the median.
    pub(crate) fn rate(&self, parts: &[Part]) -> Result<f64> {
        Ok(self.facts()?.intervals as f64 * 1e9 / self.times(parts)?.median_ns as f64)
    }

    /// How many times as long these parts take with twice the input: of the fastest runs, which others disturbed least.
    pub(crate) fn growth(&self, parts: &[Part]) -> Result<f64> {
        Ok(times(&self.double, parts)?.best_ns as f64 / self.times(parts)?.best_ns as f64)
    }

    /// The most memory beyond the input, bytes: 0 for the self view alone, 1 for both.
    pub(crate) fn peak_bytes(&self, views: usize) -> u64 {
        peak_bytes(&self.runs, views)
    }

    /// How many times as much memory twice the input takes.
    pub(crate) fn memory_growth(&self, views: usize) -> f64 {
        peak_bytes(&self.double, views) as f64 / self.peak_bytes(views).max(1) as f64
    }
}

fn times(runs: &[Measurement], parts: &[Part]) -> Result<Times> {
    let times_ns: Vec<u64> = runs.iter().map(|run| run.cpu_ns(parts).max(1)).collect();
    Times::of(&times_ns).context("a load was never measured")
}

fn peak_bytes(runs: &[Measurement], views: usize) -> u64 {
    runs.iter().map(|run| run.peak_bytes[views]).max().unwrap_or(0)
}

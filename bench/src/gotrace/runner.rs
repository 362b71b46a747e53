//! The whole benchmark: makes the files, runs every stage of both readers on each, compares what they found, reports.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gotrace::ExecTrace;

use super::agreement::agree;
use super::facts::Facts;
use super::files::{FILES, TraceFile};
use super::measurement::Measurement;
use super::peer::{self, PEER_STAGES};
use super::report::{self, Report};
use super::scan::scan;
use super::stages::{Stage, stages_of};
use super::work::Work;
use crate::machine::{self, Cores};
use crate::page;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder of the traces, the built Go programs and the report
    #[arg(long, default_value = "target/bench")]
    pub folder: PathBuf,
    /// The small file only, three times: shows that everything works
    #[arg(long)]
    pub quick: bool,
    /// How often each stage is run on each file
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: u32,
    /// How many cores a process may use, which is also GOMAXPROCS of Go's reader; several numbers are measured one after
    /// the other, as in 1,2
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub cores: Vec<usize>,
    /// Only files of this name; may be repeated
    #[arg(long = "file", value_name = "NAME")]
    pub files: Vec<String>,
    /// Only stages of ours of this name; may be repeated
    #[arg(long = "stage", value_name = "NAME")]
    pub stages: Vec<String>,
    /// Puts the report between the comments of this page too
    #[arg(long, value_name = "PAGE", conflicts_with = "quick")]
    pub update: Option<PathBuf>,
}

/// Everything measured of one kind of work on one file.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) work: Work,
    pub(crate) runs: Vec<Measurement>,
    /// Set if the work was given up at this limit.
    pub(crate) memory_limit_bytes: Option<u64>,
}

impl Row {
    pub(crate) fn of(work: Work) -> Self {
        Self {
            work,
            runs: Vec::new(),
            memory_limit_bytes: None,
        }
    }
}

/// A trace, and what is known of it before anything is measured.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    /// Format of the trace.
    pub(crate) version: &'static str,
    pub(crate) bytes: u64,
    /// Of the scan.
    pub(crate) facts: Facts,
}

/// Everything measured on one file with one set of cores.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) subject: Subject,
    pub(crate) cores: Cores,
    pub(crate) rows: Vec<Row>,
}

/// Runs the benchmark and returns the report, which is also written to `gotrace.md` in the folder.
///
/// # Errors
/// Go or `/proc` is missing, a process fails, or two readers found different things in one file.
pub fn run(options: &Options) -> Result<String> {
    fs::create_dir_all(&options.folder).with_context(|| format!("create {}", options.folder.display()))?;
    let files = selected_files(options)?;
    let stages = stages_of(&options.stages)?;
    let cores: Vec<Cores> = options
        .cores
        .iter()
        .map(|count| Cores::last(*count))
        .collect::<Result<_>>()?;
    let programs = peer::build(&options.folder)?;
    let repetitions = if options.quick { 3 } else { options.repetitions };
    let subjects: Vec<Subject> = files
        .into_iter()
        .map(|file| subject(file, &options.folder, &programs.generator))
        .collect::<Result<_>>()?;
    let machine = machine::describe(&[peer::versions()?])?;
    let mut all = Vec::new();
    for cores in &cores {
        for subject in &subjects {
            let rows = measure(subject, cores, &programs.reader, &works(&stages), repetitions)?;
            all.push(Series {
                subject: subject.clone(),
                cores: cores.clone(),
                rows,
            });
        }
    }
    let report = report::render(&Report {
        machine,
        repetitions,
        series: all,
    })?;
    let written = options.folder.join("gotrace.md");
    fs::write(&written, &report).with_context(|| format!("write {}", written.display()))?;
    if let Some(page) = &options.update {
        page::update(page, "gotrace", &report)?;
    }
    Ok(report)
}

fn selected_files(options: &Options) -> Result<Vec<&'static TraceFile>> {
    for name in &options.files {
        ensure!(
            FILES.iter().any(|file| file.name == name),
            "no file `{name}`, there are {:?}",
            FILES.iter().map(|file| file.name).collect::<Vec<_>>()
        );
    }
    if options.quick {
        return Ok(FILES.iter().take(1).collect());
    }
    let wanted = |file: &&TraceFile| options.files.is_empty() || options.files.iter().any(|name| name == file.name);
    Ok(FILES.iter().filter(wanted).collect())
}

/// Both stages of Go's reader, and those of ours.
fn works(stages: &[&'static Stage]) -> Vec<Work> {
    let ours = stages.iter().map(|stage| Work::Ours(stage));
    PEER_STAGES.map(Work::Go).into_iter().chain(ours).collect()
}

fn subject(file: &TraceFile, folder: &Path, generator: &Path) -> Result<Subject> {
    let path = file.make(folder, generator)?;
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let whole = || format!("{} is not whole: delete it to have it made anew", path.display());
    Ok(Subject {
        name: file.name,
        version: ExecTrace::open(&bytes).with_context(whole)?.version().name(),
        bytes: u64::try_from(bytes.len())?,
        facts: scan(&bytes).with_context(whole)?.facts(),
        path,
    })
}

/// Runs all works in turn, and again, so that a disturbance of the machine does not hit one of them alone. Every other
/// turn goes backwards: what drifts while it lasts, as the clock of a hot core does, favors none of them.
fn measure(subject: &Subject, cores: &Cores, reader: &Path, works: &[Work], repetitions: u32) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = works.iter().copied().map(Row::of).collect();
    for repetition in 1..=repetitions {
        eprintln!(
            "measuring {} on {} core(s), {repetition} of {repetitions}",
            subject.name,
            cores.count()
        );
        for row in rows.iter_mut().filter(|row| row.memory_limit_bytes.is_none()) {
            // The other half is for whoever else works on the machine.
            let memory_limit_bytes = machine::available_bytes()? / 2;
            match row.work.run(&subject.path, cores, reader, memory_limit_bytes)? {
                Some(measurement) => row.runs.push(measurement),
                None => row.memory_limit_bytes = Some(memory_limit_bytes),
            }
        }
        rows.reverse();
    }
    if repetitions % 2 == 1 {
        rows.reverse();
    }
    agree(&subject.facts, &rows).with_context(|| format!("the readers disagree about {}", subject.path.display()))?;
    Ok(rows)
}

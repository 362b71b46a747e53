//! The results as a page of Markdown that also reads well in a terminal.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::runner::{Row, Series};
use super::work::Work;
use crate::spread::{Ratio, Times};
use crate::table::table;

/// What the page is made of.
#[derive(Debug)]
pub(crate) struct Report {
    /// Lines about the machine and the tools.
    pub(crate) machine: Vec<String>,
    pub(crate) repetitions: u32,
    /// By cores, then by file.
    pub(crate) series: Vec<Series>,
}

const HEADER: [&str; 9] = [
    "stage",
    "M events/s",
    "best",
    "MB/s",
    "x Go events",
    "x Go states",
    "peak MB",
    "/ generation",
    "without file",
];

const LEGEND: &str = "\
MB are 10^6 bytes. `M events/s` and `MB/s` are of the median run, `best` is of the fastest. `x Go` is how many times faster
than that stage of Go's reader: of the medians, and in brackets the least and greatest of the runs that took turns. `peak MB`
is the most memory of all runs, program and file included; `/ generation` counts it in largest generations of the file, and
`without file` does so without the bytes of a file that was in memory as a whole.
";

/// Renders the page.
///
/// # Errors
/// A row was never measured.
pub(crate) fn render(report: &Report) -> Result<String> {
    let mut page = String::new();
    for line in &report.machine {
        writeln!(page, "* {line}")?;
    }
    writeln!(
        page,
        "* {} runs of each stage, in turn, each a process of its own",
        report.repetitions
    )?;
    for series in report
        .series
        .chunk_by(|one, next| one.cores.count() == next.cores.count())
    {
        writeln!(page, "* {}", describe_time(series))?;
    }
    for series in &report.series {
        let rows: Vec<Vec<String>> = series
            .rows
            .iter()
            .map(|row| cells(series, row))
            .collect::<Result<_>>()?;
        write!(page, "\n{}\n\n{}", describe_file(series)?, table(&HEADER, &rows))?;
    }
    write!(page, "\n{LEGEND}")?;
    Ok(page)
}

/// What is taken for time with these cores, and how far others disturbed the runs.
fn describe_time(series: &[Series]) -> String {
    let Some(cores) = series.first().map(|one| &one.cores) else {
        return String::new();
    };
    let on = format!(
        "{}: {}, GOMAXPROCS={}",
        cores_label(cores.count()),
        cores.describe(),
        cores.count()
    );
    if cores.count() > 1 {
        return format!("{on}, time is wall time");
    }
    let runs = series.iter().flat_map(|one| &one.rows).flat_map(|row| &row.runs);
    let mut percents: Vec<u64> = runs.map(|run| run.running_percent().min(100)).collect();
    percents.sort_unstable();
    let least = percents.first().copied().unwrap_or(100);
    let median = percents.get(percents.len() / 2).copied().unwrap_or(100);
    format!("{on}, time is CPU time: runs had their core {median} % of the wall time (median; least {least} %)")
}

fn cores_label(count: usize) -> String {
    if count == 1 {
        "1 core".to_owned()
    } else {
        format!("{count} cores")
    }
}

fn describe_file(series: &Series) -> Result<String> {
    let subject = &series.subject;
    let events = subject.facts.get("events")? as f64;
    Ok(format!(
        "**{}, {}** ({}, {:.1} MB, {:.2} M events of {:.2} bytes; generations: {}, the largest {:.1} MB)",
        subject.name,
        cores_label(series.cores.count()),
        subject.version,
        subject.bytes as f64 / 1e6,
        events / 1e6,
        subject.bytes as f64 / events,
        subject.facts.get("generations")?,
        subject.facts.get("largest_generation_bytes")? as f64 / 1e6,
    ))
}

fn cells(series: &Series, row: &Row) -> Result<Vec<String>> {
    let mut cells = vec![row.work.label()];
    if let Some(limit) = row.memory_limit_bytes {
        cells.push(format!("needs more than {:.0} MB", limit as f64 / 1e6));
        cells.resize(HEADER.len(), "-".to_owned());
        return Ok(cells);
    }
    let facts = &series.subject.facts;
    let times = Times::of(&times_ns(series, row)).context("a row was never measured")?;
    let events_per_us = |ns: u64| facts.get("events").map(|events| events as f64 * 1e3 / ns as f64);
    let generation = facts.get("largest_generation_bytes")? as f64;
    let peak = row.runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0);
    let held = row.runs.iter().map(|run| run.file_bytes_held).max().unwrap_or(0);
    cells.extend([
        format!("{:.1}", events_per_us(times.median_ns)?),
        format!("{:.1}", events_per_us(times.best_ns)?),
        format!("{:.0}", series.subject.bytes as f64 * 1e3 / times.median_ns as f64),
        ratio(series, row, "events"),
        ratio(series, row, "states"),
        format!("{:.0}", peak as f64 / 1e6),
        format!("{:.1}", peak as f64 / generation),
        format!("{:.1}", peak.saturating_sub(held) as f64 / generation),
    ]);
    Ok(cells)
}

fn times_ns(series: &Series, row: &Row) -> Vec<u64> {
    row.runs.iter().map(|run| run.time_ns(series.cores.count())).collect()
}

/// How many times faster a row is than a stage of Go's reader; "-" for that stage itself, for what does less than the
/// states, and where the two were never run side by side.
fn ratio(series: &Series, row: &Row, peer: &str) -> String {
    let is_peer = |other: &&Row| matches!(other.work, Work::Go(name) if name == peer);
    let compared = || {
        let peer_row = series.rows.iter().find(is_peer)?;
        if is_peer(&row) || (peer == "states" && row.work.peer() != peer) {
            return None;
        }
        Ratio::of(&times_ns(series, row), &times_ns(series, peer_row))
    };
    match compared() {
        Some(Ratio {
            of_medians,
            paired: (least, greatest),
        }) => format!("{of_medians:.2} ({least:.2}..{greatest:.2})"),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotrace::runner::Subject;
    use crate::gotrace::{Facts, Measurement, stage};
    use crate::machine::Cores;

    fn go(name: &'static str) -> Work {
        Work::Go(name)
    }

    fn ours(name: &str) -> Work {
        Work::Ours(stage(name).unwrap())
    }

    fn row(work: Work, cpu_ms: &[u64]) -> Row {
        let run = |ms: &u64| Measurement {
            wall_ns: 2 * ms * 1_000_000,
            cpu_ns: ms * 1_000_000,
            peak_bytes: 30_000_000,
            file_bytes_held: 10_000_000,
            facts: Facts::default(),
        };
        Row {
            runs: cpu_ms.iter().map(run).collect(),
            ..Row::of(work)
        }
    }

    fn series(rows: Vec<Row>, cores: Cores) -> Series {
        let mut facts = Facts::default();
        facts.set("events", 1_000_000);
        facts.set("generations", 2);
        facts.set("largest_generation_bytes", 5_000_000);
        let subject = Subject {
            name: "small",
            path: "small.trace".into(),
            version: "go1.26",
            bytes: 10_000_000,
            facts,
        };
        Series { subject, cores, rows }
    }

    fn report(series: Vec<Series>) -> String {
        render(&Report {
            machine: vec!["a machine".to_owned()],
            repetitions: 3,
            series,
        })
        .unwrap()
    }

    fn on_one_core(rows: Vec<Row>) -> String {
        report(vec![series(rows, Cores::pinned(&[1]))])
    }

    fn cells(page: &str, stage: &str) -> Vec<String> {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("| {stage} ")))
            .unwrap();
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn speeds_are_of_the_median_and_of_the_best_run() {
        let page = on_one_core(vec![row(go("events"), &[100, 80, 400])]);
        assert_eq!(cells(&page, "Go events")[2..7], ["10.0", "12.5", "100", "-", "-"]);
    }

    #[test]
    fn ratios_are_of_medians_with_the_spread_of_pairs() {
        let rows = vec![
            row(go("events"), &[100, 80, 400]),
            row(go("states"), &[200, 200, 200]),
            row(ours("events"), &[20, 50, 10]),
            row(ours("states"), &[40, 40, 40]),
        ];
        let page = on_one_core(rows);
        assert_eq!(cells(&page, "ours events")[5..7], ["5.00 (1.60..40.00)", "-"]);
        assert_eq!(
            cells(&page, "ours states")[5..7],
            ["2.50 (2.00..10.00)", "5.00 (5.00..5.00)"]
        );
        assert_eq!(cells(&page, "Go states")[5..7], ["0.50 (0.40..2.00)", "-"]);
    }

    #[test]
    fn memory_is_counted_in_generations_with_and_without_the_file() {
        let page = on_one_core(vec![row(ours("events"), &[20])]);
        assert_eq!(cells(&page, "ours events")[7..10], ["30", "6.0", "4.0"]);
    }

    #[test]
    fn on_several_cores_time_is_wall_time() {
        let rows = || vec![row(go("events"), &[100])];
        let page = report(vec![
            series(rows(), Cores::pinned(&[0])),
            series(rows(), Cores::pinned(&[0, 1])),
        ]);
        let (one, two) = page.split_once("**small, 2 cores**").unwrap();
        assert_eq!(cells(one, "Go events")[2], "10.0");
        assert_eq!(cells(two, "Go events")[2], "5.0");
        assert!(one.contains("their core 50 % of the wall time"), "{page}");
        assert!(
            one.contains("2 cores: pinned to cores 0,1, GOMAXPROCS=2, time is wall time"),
            "{page}"
        );
    }

    #[test]
    fn a_stage_that_was_given_up_shows_its_limit_instead_of_a_speed() {
        let given_up = Row {
            memory_limit_bytes: Some(2_000_000_000),
            ..row(ours("events"), &[20])
        };
        let page = on_one_core(vec![given_up]);
        assert_eq!(cells(&page, "ours events")[2..4], ["needs more than 2000 MB", "-"]);
    }
}

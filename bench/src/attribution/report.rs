//! The results as a page of Markdown that also reads well in a terminal.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::measurement::Part;
use super::runner::Series;
use super::targets::{self, BOTH, SELF};
use crate::machine::Cores;
use crate::spread::Times;
use crate::table::table;

/// What the page is made of.
#[derive(Debug)]
pub(crate) struct Report {
    /// Lines about the machine and the tools.
    pub(crate) machine: Vec<String>,
    pub(crate) repetitions: u32,
    pub(crate) cores: Cores,
    /// Whether the input is large enough to say something about the targets.
    pub(crate) judged: bool,
    pub(crate) series: Vec<Series>,
}

const HEADER: [&str; 7] = [
    "part",
    "ms",
    "best ms",
    "M intervals/s",
    "k spans/s",
    "x twice the input",
    "peak MB",
];

const LEGEND: &str = "\
Times are CPU times, `ms` that of the median run, from which the speeds are; `x twice the input` is how many times as long the
part takes with twice as many requests (of the fastest runs). `peak MB` is the most memory beyond the input, MB are 10^6 bytes.
";

fn label(part: Part) -> &'static str {
    match part {
        Part::Tree => "tree of spans",
        Part::Timeline => "timeline",
        Part::Binding => "binding",
        Part::Owners => "owners",
        Part::Layers => "layers",
        Part::SelfView => "self view",
        Part::BothViews => "both views",
    }
}

/// Renders the page.
///
/// # Errors
/// A load was never measured.
pub(crate) fn render(report: &Report) -> Result<String> {
    let mut page = String::new();
    for line in &report.machine {
        writeln!(page, "* {line}")?;
    }
    writeln!(
        page,
        "* {} runs of each load and size, in turn, each a process of its own, {}; DuckDB on one thread, as often",
        report.repetitions,
        report.cores.describe()
    )?;
    if report.judged {
        writeln!(page, "\nTargets:\n")?;
        for line in targets::verdicts(&report.series)? {
            writeln!(page, "* {line}")?;
        }
    }
    for series in &report.series {
        write!(page, "\n{}\n\n{}", describe(series)?, table(&HEADER, &rows(series)?))?;
    }
    write!(page, "\n{LEGEND}")?;
    Ok(page)
}

fn describe(series: &Series) -> Result<String> {
    let facts = series.facts()?;
    Ok(format!(
        "**{}**: {} ({} spans, {} bound; {:.2} M intervals on {} goroutines; cells: self view {}, root view {}). \
         DuckDB has the same {} cells of the self view.",
        series.load.name,
        series.load.what,
        facts.spans,
        facts.bound,
        facts.intervals as f64 / 1e6,
        facts.tasks,
        facts.self_cells,
        facts.cells - facts.self_cells,
        series.peer.equal_cells
    ))
}

fn rows(series: &Series) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for part in Part::ALL {
        rows.push(row(series, label(part), &[part], None)?);
    }
    rows.push(row(series, "all, self view", &SELF, Some(0))?);
    rows.push(row(series, "all, both views", &BOTH, Some(1))?);
    for (label, times_ns) in [
        ("DuckDB, self view", &series.peer.self_view_ns),
        ("DuckDB, range join", &series.peer.range_join_ns),
    ] {
        rows.push(cells(series, label, Times::of(times_ns).context("DuckDB never ran")?)?);
    }
    for row in &mut rows {
        row.resize(HEADER.len(), "-".to_owned());
    }
    Ok(rows)
}

fn row(series: &Series, label: &str, parts: &[Part], views: Option<usize>) -> Result<Vec<String>> {
    let mut row = cells(series, label, series.times(parts)?)?;
    row.push(format!("{:.2}", series.growth(parts)?));
    if let Some(views) = views {
        let (peak, growth) = (series.peak_bytes(views), series.memory_growth(views));
        row.push(format!("{:.0} (x {growth:.2})", peak as f64 / 1e6));
    }
    Ok(row)
}

fn cells(series: &Series, label: &str, times: Times) -> Result<Vec<String>> {
    let facts = series.facts()?;
    let per_second = |count: u64| count as f64 * 1e9 / times.median_ns as f64;
    Ok(vec![
        label.to_owned(),
        format!("{:.1}", times.median_ns as f64 / 1e6),
        format!("{:.1}", times.best_ns as f64 / 1e6),
        format!("{:.2}", per_second(facts.intervals) / 1e6),
        format!("{:.0}", per_second(facts.spans) / 1e3),
    ])
}

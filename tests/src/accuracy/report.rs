//! The results as a page of Markdown that also reads well in a terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::cells::View;
use super::judge::{Judged, PartJudged, ViewJudged};
use super::run::Measured;
use super::table::table;

/// Share of the requests that must be within the tolerance, in percent.
const WITHIN_PERCENT_MIN: f64 = 99.0;
/// Share of the requests whose dominant cause must be right, in percent.
const DOMINANT_PERCENT_MIN: f64 = 98.0;
/// How many lines lists have.
const LISTED: usize = 15;

/// Renders the page, below lines about the machine.
pub fn report(machine: &[String], runs: &[Measured]) -> String {
    let mut page = String::new();
    for line in machine {
        line_of(&mut page, format_args!("* {line}"));
    }
    for view in View::ALL {
        line_of(&mut page, format_args!("* {}", verdict(runs, view)));
    }
    section(&mut page, "By configuration", &by_configuration(runs));
    section(&mut page, "Error curve", &error_curve(runs));
    for view in views_of(runs) {
        section(
            &mut page,
            &format!("By cause, {} view", view.name()),
            &by_cause(runs, view),
        );
        section(
            &mut page,
            &format!("Dominant cause, {} view", view.name()),
            &confusion(runs, view),
        );
        section(
            &mut page,
            &format!("Wrong dominant causes, {} view", view.name()),
            &wrong_causes(runs, view),
        );
        section(
            &mut page,
            &format!("Largest errors, {} view", view.name()),
            &misses(runs, view),
        );
    }
    page
}

fn line_of(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("a string takes everything");
}

fn section(page: &mut String, title: &str, body: &str) {
    line_of(page, format_args!("\n**{title}**\n\n{}", body.trim_end()));
}

/// The views that the tables have.
fn views_of(runs: &[Measured]) -> Vec<View> {
    let found: BTreeSet<View> = judged(runs)
        .flat_map(|request| &request.views)
        .map(|view| view.view)
        .collect();
    found.into_iter().collect()
}

fn judged(runs: &[Measured]) -> impl Iterator<Item = &Judged> {
    runs.iter().flat_map(|run| &run.requests)
}

fn of_view(requests: &[Judged], view: View) -> impl Iterator<Item = (&Judged, &ViewJudged)> {
    let views = requests
        .iter()
        .flat_map(|request| request.views.iter().map(move |it| (request, it)));
    views.filter(move |(_, it)| it.view == view)
}

fn all_of_view(runs: &[Measured], view: View) -> impl Iterator<Item = (&Judged, &ViewJudged)> {
    runs.iter().flat_map(move |run| of_view(&run.requests, view))
}

fn verdict(runs: &[Measured], view: View) -> String {
    let name = view.name();
    if all_of_view(runs, view).next().is_none() {
        return format!("{name} view: the tables have none, so it is not judged");
    }
    // A request that the tables do not have is a miss.
    let requests = judged(runs).count();
    let within = all_of_view(runs, view).filter(|(_, it)| it.is_within()).count();
    let strictly = all_of_view(runs, view)
        .filter(|(_, it)| it.is_within_without_allowance())
        .count();
    let right = all_of_view(runs, view).filter(|(_, it)| it.dominant.is_right).count();
    let open = all_of_view(runs, view)
        .filter(|(_, it)| it.dominant.expected.is_none())
        .count();
    let mut line = format!(
        "{name} view: {:.2} % of {requests} requests within max(1 %, 100 us) in every cell ({}; {:.2} % without allowance for \
         unwatched time), dominant cause right in {:.2} % ({}; {open} left open by the clocks)",
        percent(within, requests),
        reached(percent(within, requests), WITHIN_PERCENT_MIN),
        percent(strictly, requests),
        percent(right, requests),
        reached(percent(right, requests), DOMINANT_PERCENT_MIN),
    );
    let parts = all_of_view(runs, view).flat_map(|(_, it)| &it.parts);
    let culprits: Vec<(i64, i64)> = parts
        .filter_map(|part| Some((part.culprit_ns?, part.found_ns)))
        .collect();
    if !culprits.is_empty() {
        let right_ns: i64 = culprits.iter().map(|(right_ns, _)| right_ns).sum();
        let found_ns: i64 = culprits.iter().map(|(_, found_ns)| found_ns).sum();
        let share = 100.0 * right_ns as f64 / found_ns.max(1) as f64;
        line += &format!("; of the time that other requests cost, {share:.2} % names the right operation");
    }
    line
}

fn reached(percent: f64, least: f64) -> String {
    let word = if percent >= least { "reached" } else { "MISSED" };
    format!("aim {least:.0} %: {word}")
}

fn percent(count: usize, of: usize) -> f64 {
    100.0 * count as f64 / of.max(1) as f64
}

fn by_configuration(runs: &[Measured]) -> String {
    let views = views_of(runs);
    let mut header = vec![
        "configuration".to_owned(),
        "requests".to_owned(),
        "spans bound".to_owned(),
    ];
    for view in &views {
        header.extend(["within", "dominant"].map(|what| format!("{} {what}", view.name())));
    }
    header.push("kernel delay".to_owned());
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let requests = run.requests.len();
            let bound = 100.0 * run.bound as f64 / run.spans.max(1) as f64;
            let mut cells = vec![run.configuration.label(), requests.to_string(), format!("{bound:.2} %")];
            for &view in &views {
                let within = of_view(&run.requests, view).filter(|(_, it)| it.is_within()).count();
                let right = of_view(&run.requests, view)
                    .filter(|(_, it)| it.dominant.is_right)
                    .count();
                cells.extend([within, right].map(|count| format!("{:.1} %", percent(count, requests))));
            }
            let mut delays: Vec<i64> = run.requests.iter().map(|request| request.kernel_delay_ns).collect();
            delays.sort_unstable();
            cells.push(time(quantile(&delays, 500)));
            cells
        })
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table(&header, &rows)
}

const QUANTILES_PER_MILLE: [usize; 5] = [500, 900, 990, 999, 1000];
const QUANTILE_NAMES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

fn error_curve(runs: &[Measured]) -> String {
    let mut rows = Vec::new();
    for view in views_of(runs) {
        let exact = || {
            all_of_view(runs, view)
                .flat_map(|(_, it)| &it.parts)
                .filter(|part| !part.approximate)
        };
        let differences = exact().map(|part| (part.found_ns - part.expected_ns).abs()).collect();
        let errors = exact().map(PartJudged::error_ns).collect();
        rows.push(curve(format!("{}, cell - truth", view.name()), differences));
        rows.push(curve(format!("{}, beyond unwatched time", view.name()), errors));
    }
    let header: Vec<&str> = ["view", "cells"].into_iter().chain(QUANTILE_NAMES).collect();
    table(&header, &rows)
}

fn curve(label: String, mut values: Vec<i64>) -> Vec<String> {
    values.sort_unstable();
    let quantiles = QUANTILES_PER_MILLE.map(|per_mille| time(quantile(&values, per_mille)));
    [label, values.len().to_string()].into_iter().chain(quantiles).collect()
}

/// By nearest rank; 0 of nothing.
fn quantile(sorted: &[i64], per_mille: usize) -> i64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn time(ns: i64) -> String {
    let us = ns as f64 / 1e3;
    if us < 1000.0 {
        format!("{us:.1} us")
    } else {
        format!("{:.2} ms", us / 1e3)
    }
}

fn by_cause(runs: &[Measured], view: View) -> String {
    let mut causes: BTreeMap<&str, Vec<&PartJudged>> = BTreeMap::new();
    for part in all_of_view(runs, view).flat_map(|(_, it)| &it.parts) {
        causes.entry(&part.label).or_default().push(part);
    }
    let row = |(label, parts): (&&str, &Vec<&PartJudged>)| {
        let mut cells = vec![(*label).to_owned(), parts.len().to_string()];
        if parts.iter().any(|part| part.approximate) {
            cells.push("dominant only".to_owned());
        } else {
            let within = parts.iter().filter(|part| part.is_within()).count();
            cells.push(format!("{:.2} %", percent(within, parts.len())));
        }
        let mut errors: Vec<i64> = parts.iter().map(|part| part.error_ns()).collect();
        errors.sort_unstable();
        cells.extend([500, 990, 1000].map(|per_mille| time(quantile(&errors, per_mille))));
        cells
    };
    let rows: Vec<Vec<String>> = causes.iter().map(row).collect();
    table(
        &["cause", "cells", "within", "p50 error", "p99 error", "max error"],
        &rows,
    )
}

/// Rows are what the truth says, columns what Spandrel says; the right ones are on the diagonal.
fn confusion(runs: &[Measured], view: View) -> String {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (_, it) in all_of_view(runs, view) {
        if let Some(expected) = &it.dominant.expected {
            let found = if it.dominant.is_right {
                expected
            } else {
                &it.dominant.found
            };
            *counts.entry((expected.clone(), found.clone())).or_default() += 1;
        }
    }
    let expected: BTreeSet<&String> = counts.keys().map(|(expected, _)| expected).collect();
    let columns: BTreeSet<&String> = counts.keys().map(|(_, found)| found).collect();
    let row = |expected: &&String| {
        let count = |found: &&String| counts.get(&((*expected).clone(), (*found).clone()));
        let counts = columns
            .iter()
            .map(|found| count(found).map_or(".".to_owned(), usize::to_string));
        [(*expected).clone()].into_iter().chain(counts).collect()
    };
    let rows: Vec<Vec<String>> = expected.iter().map(row).collect();
    let header: Vec<&str> = ["truth"]
        .into_iter()
        .chain(columns.iter().map(|it| it.as_str()))
        .collect();
    table(&header, &rows)
}

fn wrong_causes(runs: &[Measured], view: View) -> String {
    let mut rows = Vec::new();
    for run in runs {
        let wrong = of_view(&run.requests, view).filter(|(_, it)| !it.dominant.is_right);
        rows.extend(wrong.map(|(request, it)| {
            vec![
                run.configuration.label(),
                request.operation.clone(),
                it.dominant
                    .expected
                    .clone()
                    .unwrap_or_else(|| "one of several".to_owned()),
                it.dominant.found.clone(),
                time(it.parts.iter().map(|part| part.expected_ns).max().unwrap_or(0)),
                time(request.kernel_delay_ns),
            ]
        }));
    }
    if rows.is_empty() {
        return "None.".to_owned();
    }
    let count = rows.len();
    rows.truncate(LISTED);
    let header = [
        "configuration",
        "operation",
        "truth",
        "found",
        "time of the truth",
        "kernel delay",
    ];
    format!("{count} requests.\n\n{}", table(&header, &rows))
}

fn misses(runs: &[Measured], view: View) -> String {
    let mut misses: Vec<(&Measured, &Judged, &PartJudged)> = Vec::new();
    for run in runs {
        for (request, it) in of_view(&run.requests, view) {
            let wrong = it.parts.iter().filter(|part| !part.is_within());
            misses.extend(wrong.map(|part| (run, request, part)));
        }
    }
    if misses.is_empty() {
        return "None.".to_owned();
    }
    misses.sort_by_key(|(_, _, part)| std::cmp::Reverse(part.error_ns()));
    let row = |(run, request, part): &(&Measured, &Judged, &PartJudged)| {
        vec![
            run.configuration.label(),
            request.operation.clone(),
            part.label.clone(),
            part.cell.clone(),
            time(part.expected_ns),
            time(part.found_ns),
            time(part.error_ns()),
            time(request.kernel_delay_ns),
        ]
    };
    let rows: Vec<Vec<String>> = misses.iter().take(LISTED).map(row).collect();
    let excused = misses
        .iter()
        .filter(|(_, request, part)| request.kernel_delay_ns >= part.error_ns())
        .count();
    format!(
        "{} cells; in {excused} of them the kernel kept threads of the service waiting for longer than the error.\n\n{}",
        misses.len(),
        table(
            &[
                "configuration",
                "operation",
                "cause",
                "cell",
                "truth",
                "found",
                "error",
                "kernel delay"
            ],
            &rows
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let values: Vec<i64> = (1..=100).collect();
        let of = |per_mille| quantile(&values, per_mille);
        assert_eq!([of(500), of(990), of(999), of(1000)], [50, 99, 100, 100]);
        assert_eq!(quantile(&[], 500), 0);
    }
}

//! The results as a page of Markdown that also reads well in a terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::aims::{Aim, aims};
use super::bindings::{Binding, BindingCounts};
use super::cells::View;
use super::judge::{Judged, PartJudged, ViewJudged};
use super::run::Measured;
use super::table::table;

/// How many lines lists have.
const LISTED: usize = 15;

/// Renders the page, below lines about the machine.
pub fn report(machine: &[String], runs: &[Measured]) -> String {
    let mut page = String::new();
    for line in machine {
        line_of(&mut page, format_args!("* {line}"));
    }
    for aim in aims(runs) {
        line_of(&mut page, format_args!("* {}", verdict(&aim)));
    }
    for view in views_of(runs) {
        line_of(&mut page, format_args!("* {}", allowances(runs, view)));
    }
    section(&mut page, "By configuration", &by_configuration(runs));
    section(&mut page, "Bindings", &bindings(runs));
    section(&mut page, "Bindings by evidence", &by_evidence(runs));
    section(&mut page, "Wrong bindings", &wrong_bindings(runs));
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

fn verdict(aim: &Aim) -> String {
    let word = if aim.is_reached() { "reached" } else { "MISSED" };
    format!(
        "{}: {:.2} % (aim {} %: {word})",
        aim.what,
        aim.percent(),
        aim.least_percent
    )
}

/// What the aims of a view allow for, and how much that is.
fn allowances(runs: &[Measured], view: View) -> String {
    let requests = judged(runs).count();
    let judged = || all_of_view(runs, view).map(|(_, it)| it);
    let strictly = judged().filter(|it| it.is_within_without_allowance()).count();
    let open = judged().filter(|it| it.dominant.expected.is_none()).count();
    format!(
        "{} view: {:.2} % of {requests} requests are within that without allowance for unwatched time; the clocks leave the \
         dominant cause of {open} open",
        view.name(),
        percent(strictly, requests),
    )
}

fn percent(count: usize, of: usize) -> f64 {
    100.0 * count as f64 / of.max(1) as f64
}

fn by_configuration(runs: &[Measured]) -> String {
    let views = views_of(runs);
    let mut header = vec!["configuration".to_owned(), "requests".to_owned()];
    for view in &views {
        header.extend(["within", "dominant"].map(|what| format!("{} {what}", view.name())));
    }
    header.push("kernel delay".to_owned());
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let requests = run.requests.len();
            let mut cells = vec![run.configuration.label(), requests.to_string()];
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

fn bindings(runs: &[Measured]) -> String {
    let row = |run: &Measured| {
        let counts = BindingCounts::of(&run.bindings);
        vec![
            run.configuration.label(),
            counts.spans.to_string(),
            counts.recorded.to_string(),
            format!("{:.2} %", percent(counts.bound, counts.spans)),
            format!("{:.2} %", percent(counts.right, counts.bound)),
            counts.handed_over.to_string(),
            counts.followed.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let header = [
        "configuration",
        "spans",
        "fully recorded",
        "bound",
        "right goroutine",
        "handed over",
        "followed",
    ];
    table(&header, &rows)
}

/// Also the reasons why spans are not bound.
fn by_evidence(runs: &[Measured]) -> String {
    let mut evidences: BTreeMap<&str, Vec<&Binding>> = BTreeMap::new();
    for binding in runs.iter().flat_map(|run| &run.bindings) {
        evidences.entry(&binding.evidence).or_default().push(binding);
    }
    let row = |(evidence, bindings): (&&str, &Vec<&Binding>)| {
        let counts = BindingCounts::of(bindings.iter().copied());
        let numbers = [counts.spans, counts.bound, counts.right].map(|count| count.to_string());
        [(*evidence).to_owned()].into_iter().chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = evidences.iter().map(row).collect();
    table(&["binding", "spans", "bound", "right goroutine"], &rows)
}

fn wrong_bindings(runs: &[Measured]) -> String {
    let mut rows = Vec::new();
    for run in runs {
        let wrong = run.bindings.iter().filter(|it| it.is_bound() && !it.is_right());
        rows.extend(wrong.map(|it| {
            let way = |first: Option<i64>, last: Option<i64>| {
                let goroutine = |id: Option<i64>| id.map_or("none".to_owned(), |id| id.to_string());
                format!("{} to {}", goroutine(first), goroutine(last))
            };
            vec![
                run.configuration.label(),
                it.span.clone(),
                it.evidence.clone(),
                way(Some(it.started_on), Some(it.ended_on)),
                way(it.first, it.last),
            ]
        }));
    }
    listed(&["configuration", "span", "binding", "truth", "found"], rows, "spans")
}

/// The first rows, below how many there are.
fn listed(header: &[&str], mut rows: Vec<Vec<String>>, what: &str) -> String {
    if rows.is_empty() {
        return "None.".to_owned();
    }
    let count = rows.len();
    rows.truncate(LISTED);
    format!("{count} {what}.\n\n{}", table(header, &rows))
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
    let header = [
        "configuration",
        "operation",
        "truth",
        "found",
        "time of the truth",
        "kernel delay",
    ];
    listed(&header, rows, "requests")
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

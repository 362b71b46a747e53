//! The report for a person: what the trace is, where time went, what was slow, what is missing.

use std::fmt::Write;

use jiff::Timestamp;
use spandrel_model::State;

use super::report::{Distribution, GroupTimes, LossKind, Report, StateLengths};
use crate::report::columns::Columns;
use crate::report::duration::human;
use crate::report::number::{counted, grouped, human_bytes, share};

/// Rows of tables that may be long; JSON has all.
const WAITS_SHOWN: usize = 10;
const RUNNING_SHOWN: usize = 10;
const RUNNABLE_SHOWN: usize = 5;
const USER_TASKS_SHOWN: usize = 10;
const WARNINGS_SHOWN: usize = 20;

/// States that are not waits.
const NOT_WAITS: [State; 6] = [
    State::Running,
    State::Runnable,
    State::GcAssist,
    State::GcSweep,
    State::GcStw,
    State::Unknown,
];

const NUMBERS: Columns = Columns {
    text: 1,
    ends_in_text: false,
};
const NAMES_LAST: Columns = Columns {
    text: 0,
    ends_in_text: true,
};

/// The page. `color` decides whether headings stand out.
pub(super) fn render(name: &str, report: &Report, color: bool) -> String {
    let mut page = Page {
        text: String::new(),
        color,
    };
    page.text = format!("{name}\n\n");
    overview(&mut page, report);
    states(&mut page, report);
    waits(&mut page, report);
    scheduling(&mut page, report);
    garbage_collection(&mut page, report);
    groups(&mut page, report);
    user_tasks(&mut page, report);
    page.note("Percentiles are upper bounds, less than 3.2 % above the true ones.");
    losses(&mut page, report);
    page.text
}

struct Page {
    text: String,
    color: bool,
}

impl Page {
    fn line(&mut self, label: &str, value: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{label:<14}{value}");
    }

    /// A table under its title; nothing if it has no rows.
    fn table<const N: usize>(&mut self, title: &str, columns: Columns, heading: [&str; N], rows: Vec<[String; N]>) {
        if rows.is_empty() {
            return;
        }
        self.title(title);
        let heading = heading.map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(heading)
            .chain(rows.into_iter().map(|row| row.to_vec()))
            .collect();
        self.text.push_str(&columns.render(&rows));
    }

    fn title(&mut self, title: &str) {
        let (bold, plain) = if self.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let _ = writeln!(self.text, "\n{bold}{title}{plain}");
    }

    fn note(&mut self, text: &str) {
        let (dim, plain) = if self.color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let _ = writeln!(self.text, "\n{dim}{text}{plain}");
    }
}

fn overview(page: &mut Page, report: &Report) {
    page.line(
        "format",
        &format!("Go execution trace, format of {}", report.go_version),
    );
    if !report.warnings.is_empty() {
        let warnings = counted(report.warnings.len() as u64, "warning");
        page.line("damage", &format!("{warnings}: see the end of this page"));
    }
    let covers = format!(
        "{} in {}",
        human(report.duration_ns),
        counted(report.generations as u64, "generation")
    );
    page.line(
        "covers",
        &match instant(report, report.first_ns) {
            Some(start) => format!("{covers}, from {start}"),
            None => covers,
        },
    );
    page.line("clock", &clock(report));
    for step in &report.clock_steps {
        let direction = if step.step_ns < 0 { "back" } else { "forward" };
        let seen = instant(report, step.seen_ns).unwrap_or_default();
        let by = human(step.step_ns.saturating_abs());
        page.line(
            "",
            &format!("set {direction} by {by} before {seen}: instants before that are off by as much"),
        );
    }
    page.line("events", &grouped(report.events.values().sum()));
    page.line("goroutines", &goroutines(report));
    if let Some(procs) = &report.gomaxprocs {
        let changed = format!("{} to {}, {} at the end", procs.min, procs.max, procs.last);
        let value = if procs.min == procs.max {
            procs.max.to_string()
        } else {
            changed
        };
        page.line("GOMAXPROCS", &value);
    }
    page.line("heap", &heap(report));
    let samples = match report.cpu_samples {
        0 => "none (the CPU profiler was not running)".to_owned(),
        samples => grouped(samples),
    };
    page.line("CPU samples", &samples);
}

/// Whether the times are those of the wall clock, and if not, whether spans can show what is.
fn clock(report: &Report) -> String {
    match (report.clock, report.user_tasks.whole) {
        ("unix", _) => "wall clock present".to_owned(),
        (_, 0) => "none (Go before 1.25), and no user task is whole: cannot be joined with spans".to_owned(),
        (_, whole) => format!(
            "none (Go before 1.25): to be placed by the spans of its {}",
            counted(whole, "whole user task")
        ),
    }
}

fn goroutines(report: &Report) -> String {
    let counts = &report.goroutine_counts;
    let [total, born, ended, alive, system] = [
        counts.total,
        counts.born,
        counts.ended,
        counts.alive_at_end,
        counts.system,
    ]
    .map(grouped);
    format!("{total}: {born} born, {ended} ended, {alive} alive at the end; {system} of them the runtime's own")
}

fn heap(report: &Report) -> String {
    let Some(alloc) = &report.heap_alloc_bytes else {
        return "not told".to_owned();
    };
    let [peak, last] = [alloc.max, alloc.last].map(human_bytes);
    let goal = match &report.heap_goal_bytes {
        Some(goal) if goal.max > 0 => format!("goal {}", spread(goal.min, goal.max)),
        _ => "no goal".to_owned(),
    };
    format!("peak {peak}, {last} at the end; {goal}")
}

fn spread(min: u64, max: u64) -> String {
    match [min, max].map(human_bytes) {
        [min, max] if min == max => max,
        [min, max] => format!("{min} to {max}"),
    }
}

/// A moment of the wall clock; `None` for a trace without one.
fn instant(report: &Report, unix_ns: i64) -> Option<String> {
    let at = Timestamp::from_nanosecond(unix_ns.into()).ok()?;
    (report.clock == "unix").then(|| at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string())
}

fn states(page: &mut Page, report: &Report) {
    let mut states: Vec<(&str, i64, u64)> = Vec::new();
    for StateLengths { state, lengths, .. } in &report.states {
        match states.iter_mut().find(|(known, ..)| known == state) {
            Some((_, total_ns, stretches)) => {
                *total_ns = total_ns.saturating_add(lengths.total_ns);
                *stretches += lengths.count;
            }
            None => states.push((state, lengths.total_ns, lengths.count)),
        }
    }
    states.sort_by_key(|(state, total_ns, _)| (-total_ns, *state));
    let all_ns = states.iter().fold(0_i64, |sum, (_, ns, _)| sum.saturating_add(*ns));
    let rows = states
        .into_iter()
        .map(|(state, ns, stretches)| [state.to_owned(), human(ns), share(ns, all_ns), grouped(stretches)]);
    page.table(
        "Time by state, all application goroutines",
        NUMBERS,
        ["state", "total", "share", "count"],
        rows.collect(),
    );
}

fn waits(page: &mut Page, report: &Report) {
    let is_wait = |state: &&StateLengths| NOT_WAITS.iter().all(|other| other.as_str() != state.state);
    let waits = report.states.iter().filter(is_wait);
    let rows = waits.take(WAITS_SHOWN).map(|wait| {
        let name = match &*wait.sub_state {
            "" => wait.state.to_owned(),
            sub_state => format!("{}/{sub_state}", wait.state),
        };
        let Distribution {
            count,
            total_ns,
            p50_ns,
            p99_ns,
            max_ns,
            ..
        } = wait.lengths;
        let [total, p50, p99, max] = [total_ns, p50_ns, p99_ns, max_ns].map(human);
        [name, total, grouped(count), p50, p99, max]
    });
    page.table(
        "Longest waits in sum, application goroutines",
        NUMBERS,
        ["wait", "total", "count", "p50", "p99", "max"],
        rows.collect(),
    );
}

fn scheduling(page: &mut Page, report: &Report) {
    let latency = &report.scheduler_latency;
    if latency.count == 0 {
        return;
    }
    let quantiles = [
        latency.p50_ns,
        latency.p90_ns,
        latency.p99_ns,
        latency.p999_ns,
        latency.max_ns,
    ];
    let [p50, p90, p99, p999, max] = quantiles.map(human);
    page.table(
        "Scheduler latency, from created, unblocked or preempted to running",
        NUMBERS,
        ["count", "p50", "p90", "p99", "p99.9", "max"],
        vec![[grouped(latency.count), p50, p90, p99, p999, max]],
    );
}

fn garbage_collection(page: &mut Page, report: &Report) {
    let gc = &report.gc;
    let row = |name: &str, lengths: &Distribution| {
        let [total, max] = [lengths.total_ns, lengths.max_ns].map(human);
        let of_duration = share(lengths.total_ns, report.duration_ns);
        [name.to_owned(), grouped(lengths.count), total, max, of_duration]
    };
    // Assists and sweeps run on many goroutines at once: a share of the wall time says nothing of them.
    let work = |name: &str, lengths: &Distribution| {
        let [name, count, total, max, _] = row(name, lengths);
        [name, count, total, max, String::new()]
    };
    let mut rows = vec![row("mark phases", &gc.marks)];
    rows.push(work("mark assists", &gc.assists));
    rows.push(work("sweeps", &gc.sweeps));
    rows.push(row("world stopped", &gc.stops));
    rows.extend(
        gc.stops_by_kind
            .iter()
            .map(|stop| row(&format!("  {}", stop.name), &stop.lengths)),
    );
    rows.retain(|row| row[1] != "0");
    page.table(
        "Garbage collection, stops of the world",
        NUMBERS,
        ["", "count", "total", "max", "of wall time"],
        rows,
    );
    if gc.cost.cost_ns > 0 {
        let _ = writeln!(
            page.text,
            "  It cost application goroutines {}: {} of the time in which they had work for a processor.",
            human(gc.cost.cost_ns),
            share(gc.cost.cost_ns, gc.cost.busy_ns)
        );
    }
}

fn groups(page: &mut Page, report: &Report) {
    let row = |group: &&GroupTimes| {
        let times = [group.running_ns, group.runnable_ns, group.syscall_ns, group.waiting_ns];
        let [running, runnable, syscall, waiting] = times.map(human);
        let function = group.start_function.clone().unwrap_or_else(|| "(not known)".to_owned());
        [grouped(group.goroutines), running, runnable, syscall, waiting, function]
    };
    let heading = [
        "goroutines",
        "running",
        "runnable",
        "syscall",
        "waiting",
        "started with",
    ];
    let running = report.groups.iter().filter(|group| group.running_ns > 0);
    let rows = running.take(RUNNING_SHOWN).map(|group| row(&group)).collect();
    page.table("Goroutines that ran most, by function", NAMES_LAST, heading, rows);

    let mut runnable: Vec<&GroupTimes> = report.groups.iter().filter(|group| group.runnable_ns > 0).collect();
    runnable.sort_by_key(|group| -group.runnable_ns);
    let rows = runnable.iter().take(RUNNABLE_SHOWN).map(row).collect();
    page.table(
        "Goroutines that waited most for a processor, by function",
        NAMES_LAST,
        heading,
        rows,
    );
}

fn user_tasks(page: &mut Page, report: &Report) {
    let rows = report.user_tasks.by_name.iter().take(USER_TASKS_SHOWN).map(|task| {
        let lengths = &task.lengths;
        let [total, p50, p99, max] = [lengths.total_ns, lengths.p50_ns, lengths.p99_ns, lengths.max_ns].map(human);
        [grouped(lengths.count), total, p50, p99, max, task.name.clone()]
    });
    let title = format!(
        "User tasks: {} whole, {} with one edge outside the trace",
        grouped(report.user_tasks.whole),
        grouped(report.user_tasks.partial)
    );
    page.table(
        &title,
        NAMES_LAST,
        ["count", "total", "p50", "p99", "max", "name"],
        rows.collect(),
    );
}

/// What could not be read, and what that costs.
fn losses(page: &mut Page, report: &Report) {
    if report.warnings.is_empty() {
        return;
    }
    page.title("Warnings");
    for warning in report.warnings.iter().take(WARNINGS_SHOWN) {
        let _ = writeln!(page.text, "  {warning}");
    }
    if report.warnings.len() > WARNINGS_SHOWN {
        let more = report.warnings.len() - WARNINGS_SHOWN;
        let _ = writeln!(page.text, "  and {} more; --format json has them", grouped(more as u64));
    }
    if let Some(lost) = lost(report) {
        let _ = writeln!(page.text, "\n{lost}");
    }
}

fn lost(report: &Report) -> Option<String> {
    let of = |what: LossKind| report.losses.iter().filter(|loss| loss.what == what).count() as u64;
    let lost_bytes = report.losses.iter().filter_map(|loss| loss.lost_bytes);
    let lost_bytes = lost_bytes.fold(0_u64, u64::saturating_add);
    let mut parts = Vec::new();
    let mut part = |number: u64, what: String| {
        if number > 0 {
            parts.push(what);
        }
    };
    let (left_out, cut) = (of(LossKind::GenerationLeftOut), of(LossKind::GenerationCut));
    part(left_out, format!("{} left out", counted(left_out, "generation")));
    part(cut, format!("{} cut short", counted(cut, "generation")));
    let missing = of(LossKind::GenerationsMissing);
    part(missing, format!("generations missing in {}", counted(missing, "place")));
    part(lost_bytes, format!("{} unreadable", human_bytes(lost_bytes)));
    part(
        of(LossKind::ReadFailed),
        "all behind the place where reading failed".to_owned(),
    );
    if parts.is_empty() {
        return None;
    }
    let unknown = report
        .states
        .iter()
        .filter(|state| state.state == State::Unknown.as_str());
    let unknown_ns = unknown.fold(0_i64, |sum, state| sum.saturating_add(state.lengths.total_ns));
    let consequence = match unknown_ns {
        0 => String::new(),
        _ => format!(", but for {} of their time that is `unknown`", human(unknown_ns)),
    };
    Some(format!(
        "Lost: {}.\nWhat goroutines did there is in no total, count or percentile above{consequence}.",
        parts.join(", ")
    ))
}

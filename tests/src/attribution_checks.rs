//! What must hold for every join of real spans with real recordings, asked in SQL.

use std::collections::BTreeMap;

use crate::slow_operations::{INTERFERENCE, SLOW_OPERATIONS};
use crate::sql::{Tables, integer, text};

/// Share of the spans inside recordings, in percent, that must be bound to goroutines.
const BOUND_PERCENT_MIN: i64 = 95;
/// The same where the service logs span ids: bound by these.
const LOGGED_PERCENT_MIN: i64 = 99;

/// `recordings`: what is covered. `inside`: spans of which a recording of their own process covers all, each once however
/// many do.
const INSIDE: &str = "\
    WITH recordings AS (SELECT DISTINCT process_id, recording_start_ns, recording_end_ns FROM tasks), \
    inside AS (SELECT q.* FROM span_quality AS q LEFT SEMI JOIN recordings AS r ON q.process_id = r.process_id \
               AND q.start_ns >= r.recording_start_ns AND q.start_ns + q.duration_ns <= r.recording_end_ns) ";

/// Every stored span has one row of quality, and its cells of each view last exactly as long as it.
///
/// # Panics
/// There is a span for which this does not hold.
pub fn every_nanosecond_is_attributed(tables: &Tables) {
    let spans = tables.number("SELECT count(*) FROM spans");
    assert_eq!(tables.number("SELECT count(*) FROM span_quality"), spans);
    for view in ["self", "root"] {
        every_nanosecond_of_a_view_is_attributed(tables, view);
    }
    let odd = "SELECT count(*) FROM attribution \
               WHERE (relation = 'interference' AND state <> 'blocked_on_other') \
               OR (state = 'blocked_on_other' AND relation NOT IN ('interference', 'remote')) \
               OR (state = 'blocked_on_other') <> (culprit_operation IS NOT NULL) \
               OR (culprit_operation IS NULL) <> (culprit_layer IS NULL) \
               OR (culprit_operation IS NULL) <> (culprit_state IS NULL) \
               OR (view = 'self' AND relation <> 'same')";
    assert_eq!(tables.number(odd), 0);
    println!("{spans} spans, each attributed to the nanosecond in both views");
}

fn every_nanosecond_of_a_view_is_attributed(tables: &Tables, view: &str) {
    let wrong = tables.rows(&format!(
        "SELECT s.process_id, s.name, s.trace_id, s.span_id, s.duration_ns, q.duration_ns AS quality_ns, a.ns \
         FROM spans AS s \
         FULL JOIN span_quality AS q \
         ON s.process_id = q.process_id AND s.trace_id = q.trace_id AND s.span_id = q.span_id \
         LEFT JOIN (SELECT process_id, trace_id, span_id, sum(ns) AS ns FROM attribution \
                    WHERE view = '{view}' GROUP BY process_id, trace_id, span_id) AS a \
         ON q.process_id = a.process_id AND q.trace_id = a.trace_id AND q.span_id = a.span_id \
         WHERE (s.duration_ns IS DISTINCT FROM q.duration_ns) OR coalesce(a.ns, 0) <> q.duration_ns"
    ));
    assert!(
        wrong.is_empty(),
        "{view}: {} spans, the first: {:?}",
        wrong.len(),
        wrong[0]
    );
    assert_eq!(
        tables.number(&format!("SELECT sum(ns) FROM attribution WHERE view = '{view}'")),
        tables.number("SELECT sum(duration_ns) FROM spans"),
    );
}

/// Nearly all spans inside recordings of their process are bound to a goroutine.
///
/// # Panics
/// Too few are, or there are none at all.
pub fn spans_inside_recordings_are_bound(tables: &Tables) {
    let row = tables.row(&format!(
        "{INSIDE} SELECT count(*) AS spans, \
         count(*) FILTER (WHERE binding IN ('logged_id', 'task_attribute', 'user_task', 'after_the_fact')) AS bound \
         FROM inside"
    ));
    let (spans, bound) = (integer(&row, "spans"), integer(&row, "bound"));
    println!("{bound} of {spans} spans inside recordings are bound to a goroutine");
    let unbound = || {
        tables.rows(&format!(
            "{INSIDE} SELECT process_id, binding, count(*) FROM inside GROUP BY 1, 2"
        ))
    };
    assert!(spans > 0 && bound * 100 >= spans * BOUND_PERCENT_MIN, "{:?}", unbound());
}

/// Practically all spans inside recordings of their process are bound by the ids that a helper logs.
///
/// # Panics
/// Too few are, or there are none at all.
pub fn spans_inside_recordings_are_logged(tables: &Tables) {
    let bindings = tables.rows(&format!(
        "{INSIDE} SELECT binding, count(*) AS spans FROM inside GROUP BY binding"
    ));
    let spans: i64 = bindings.iter().map(|row| integer(row, "spans")).sum();
    let logged = bindings.iter().find(|row| text(row, "binding") == "logged_id");
    let logged = logged.map_or(0, |row| integer(row, "spans"));
    println!("{logged} of {spans} spans inside recordings are bound by logged ids");
    assert!(spans > 0 && logged * 100 >= spans * LOGGED_PERCENT_MIN, "{bindings:?}");
}

/// Time by (layer, state).
type Cells = BTreeMap<(String, String), i64>;

/// States of waiting in a queue: for a processor, for a connection of the pool. On a machine that does other work at the
/// same time they grow without bound, whatever the injected cause.
const QUEUES: [&str; 2] = ["runnable", "select"];

/// What to do with the time in [`QUEUES`] of an operation whose injected cause is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queues {
    /// It counts: for what was recorded once.
    Count,
    /// It is left out: for what is recorded while the test runs, on a machine that may be busy.
    LeftOut,
}

/// The requests of every slow operation that lie inside recordings spent most of their time in the cell that the
/// injected cause must show in.
///
/// # Panics
/// An operation shows another cell, or has fewer than `requests_min` such requests.
pub fn slow_operations_show_their_cause(tables: &Tables, process: &str, requests_min: i64, queues: Queues) {
    let requests = requests_inside(tables, process);
    let cells = cells_inside(tables, process);
    let mut wrong = Vec::new();
    for expected in SLOW_OPERATIONS {
        let count = requests.get(expected.operation).copied().unwrap_or(0);
        assert!(
            count >= requests_min,
            "{count} requests of {} inside recordings",
            expected.operation
        );
        let mut cells = cells[expected.operation].clone();
        if queues == Queues::LeftOut {
            cells.retain(|(_, state), _| state == expected.state || !QUEUES.contains(&state.as_str()));
        }
        let total_ns: i64 = cells.values().sum();
        let ((layer, state), ns) = cells.iter().max_by_key(|(_, ns)| **ns).expect("a request lasts");
        let line = format!(
            "{:<22} {count:>4} requests  {layer} / {state} {}%",
            expected.operation,
            ns * 100 / total_ns
        );
        println!("{line}");
        if (layer.as_str(), state.as_str()) != (expected.layer, expected.state) {
            wrong.push(format!("{line}\n  expected {expected:?}\n  found {cells:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Requests that wait for other requests lose most of their time in the root view to those that hold what they wait for.
///
/// # Panics
/// They lose it to others, or to nobody.
pub fn waits_name_the_requests_that_cause_them(tables: &Tables, process: &str) {
    for expected in INTERFERENCE {
        let rows = tables.rows(&format!(
            "{INSIDE} SELECT a.state, a.sub_state, a.culprit_operation, a.culprit_state, sum(a.ns) AS ns \
             FROM attribution AS a JOIN inside AS i \
             ON a.process_id = i.process_id AND a.trace_id = i.trace_id AND a.span_id = i.span_id \
             WHERE a.view = 'root' AND i.is_request AND i.process_id = '{process}' AND a.operation = '{}' \
             GROUP BY 1, 2, 3, 4 ORDER BY ns DESC",
            expected.victim
        ));
        let total_ns: i64 = rows.iter().map(|row| integer(row, "ns")).sum();
        let most = rows
            .first()
            .unwrap_or_else(|| panic!("no requests {}", expected.victim));
        let told = ["state", "sub_state", "culprit_operation", "culprit_state"].map(|column| text(most, column));
        let wanted = [
            "blocked_on_other",
            expected.waits_in,
            expected.culprit,
            expected.culprit_state,
        ];
        assert_eq!(told, wanted, "{}: {rows:?}", expected.victim);
        let share = integer(most, "ns") * 100 / total_ns;
        println!("{:<22} {} {share}%", expected.victim, told.join(" / "));
        assert!(share >= 50, "{}: {rows:?}", expected.victim);
    }
}

fn requests_inside(tables: &Tables, process: &str) -> BTreeMap<String, i64> {
    let rows = tables.rows(&format!(
        "{INSIDE} SELECT operation, count(*) AS requests FROM inside \
         WHERE is_request AND process_id = '{process}' GROUP BY operation"
    ));
    rows.iter()
        .map(|row| (text(row, "operation").to_owned(), integer(row, "requests")))
        .collect()
}

fn cells_inside(tables: &Tables, process: &str) -> BTreeMap<String, Cells> {
    let rows = tables.rows(&format!(
        "{INSIDE} SELECT a.operation, a.layer, a.state, sum(a.ns) AS ns FROM attribution AS a JOIN inside AS i \
         ON a.process_id = i.process_id AND a.trace_id = i.trace_id AND a.span_id = i.span_id \
         WHERE a.view = 'self' AND i.is_request AND i.process_id = '{process}' \
         GROUP BY a.operation, a.layer, a.state"
    ));
    let mut operations: BTreeMap<String, Cells> = BTreeMap::new();
    for row in &rows {
        let cell = (text(row, "layer").to_owned(), text(row, "state").to_owned());
        operations
            .entry(text(row, "operation").to_owned())
            .or_default()
            .insert(cell, integer(row, "ns"));
    }
    operations
}

/// The time of every bound span that a recording covers, by state, is the time that the goroutine it is bound to spent
/// in that state, in the recording of the span's own process.
///
/// # Panics
/// A span has states that its goroutine has not.
pub fn states_are_those_of_the_own_goroutine(tables: &Tables, process: &str) {
    let row = tables.row(&format!(
        "{INSIDE}, \
         bound AS (SELECT * FROM inside WHERE task_id IS NOT NULL AND process_id = '{process}'), \
         of_tasks AS ( \
             SELECT b.trace_id, b.span_id, s.state, \
                    sum(least(s.start_ns + s.duration_ns, b.start_ns + b.duration_ns) \
                        - greatest(s.start_ns, b.start_ns)) AS ns \
             FROM bound AS b JOIN task_states AS s ON b.process_id = s.process_id AND b.task_id = s.task_id \
             AND s.start_ns < b.start_ns + b.duration_ns AND b.start_ns < s.start_ns + s.duration_ns \
             GROUP BY b.trace_id, b.span_id, s.state), \
         of_spans AS ( \
             SELECT b.trace_id, b.span_id, a.state, sum(a.ns) AS ns \
             FROM bound AS b JOIN attribution AS a \
             ON a.process_id = b.process_id AND a.trace_id = b.trace_id AND a.span_id = b.span_id \
             WHERE a.view = 'self' AND a.state <> 'unknown' GROUP BY b.trace_id, b.span_id, a.state) \
         SELECT count(*) AS cells, count(*) FILTER (WHERE t.ns IS DISTINCT FROM s.ns) AS wrong \
         FROM of_tasks AS t FULL JOIN of_spans AS s \
         ON t.trace_id = s.trace_id AND t.span_id = s.span_id AND t.state = s.state"
    ));
    println!(
        "{process}: {} cells are those of the own goroutine",
        integer(&row, "cells")
    );
    assert!(integer(&row, "cells") > 0);
    assert_eq!(
        integer(&row, "wrong"),
        0,
        "of {} cells of {process}",
        integer(&row, "cells")
    );
}

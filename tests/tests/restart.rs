//! A collector that is killed or stopped and starts again on the same directory, while senders send everything again:
//! every span has one set of rows, every request counts once, and so does every state of a goroutine.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use spandrel_tests::collector::Collector;
use spandrel_tests::process;
use spandrel_tests::recording;
use spandrel_tests::sql::Tables;

const LIMIT: Duration = Duration::from_secs(60);

fn start(dir: &Path, join_delay: &str) -> Collector {
    let join_delay = format!("connectors.attribution.join_delay={join_delay}");
    let settings = [
        &join_delay,
        "connectors.attribution.window=10s",
        "exporters.parquet.flush_interval=1s",
    ];
    Collector::start(dir, &[], &settings)
}

/// Waits until rows of a table are stored.
fn wait_for_rows(collector: &Collector, table: &str) {
    let count = format!("SELECT count(*) FROM {table}");
    process::wait_for(table, LIMIT, || (collector.tables().number(&count) > 0).then_some(()));
}

fn assert_counted_once(tables: &Tables) {
    let spans = "SELECT DISTINCT trace_id, span_id, service_name, process_id FROM spans";
    assert_eq!(
        tables.number(&format!("SELECT count(*) FROM ({spans})")),
        recording::span_count()
    );
    assert_eq!(
        tables.number("SELECT count(*) FROM span_quality"),
        recording::span_count()
    );
    // `spans` holds what was sent, as often as it was sent; the others do not.
    for view in ["self", "root"] {
        assert_eq!(
            tables.number(&format!("SELECT sum(ns) FROM attribution WHERE view = '{view}'")),
            tables.number("SELECT sum(duration_ns) FROM span_quality"),
            "{view}"
        );
    }
    for (table, key) in [
        ("tasks", "service_name, process_id, recording_start_ns, task_id"),
        ("task_states", "service_name, process_id, task_id, start_ns"),
        ("stacks", "stack_id, recording_start_ns"),
    ] {
        let twice = format!("SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1 LIMIT 5");
        let twice = tables.rows(&twice);
        assert!(twice.is_empty(), "{table}: {twice:?}");
        assert!(tables.number(&format!("SELECT count(*) FROM {table}")) > 0);
    }
    let wrong = tables.rows(
        "WITH counted AS (SELECT window_start_ns, service_name, operation, sum(n) AS n, sum(sum_ns) AS ns \
           FROM operations GROUP BY window_start_ns, service_name, operation), \
         stored AS (SELECT start_ns - start_ns % 10000000000 AS window_start_ns, service_name, operation, \
           count(*) AS n, sum(duration_ns) AS ns FROM span_quality WHERE is_request \
           GROUP BY start_ns - start_ns % 10000000000, service_name, operation) \
         SELECT * FROM stored FULL JOIN counted ON stored.window_start_ns = counted.window_start_ns \
           AND stored.service_name = counted.service_name AND stored.operation = counted.operation \
         WHERE (stored.n IS DISTINCT FROM counted.n) OR (stored.ns IS DISTINCT FROM counted.ns)",
    );
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_killed_collector_joins_what_it_had_stored_and_counts_what_is_sent_again_once() {
    for (join_delay, stored) in [("1m", "spans"), ("1s", "span_quality"), ("1s", "operations")] {
        let dir = tempfile::tempdir().unwrap();
        let killed = start(dir.path(), join_delay);
        killed.replay_without_waiting();
        wait_for_rows(&killed, stored);
        drop(killed);
        let mut again = start(dir.path(), "2s");
        again.wait_for_log(&["attribution takes up", "earlier run"], LIMIT);
        again.replay();
        assert!(
            again.metric("spandrel_attribution_duplicate_spans") > 0.0,
            "{}",
            again.log()
        );
        assert_counted_once(&again.stop());
    }
}

/// How much of the spans is known, and how.
fn evidence(tables: &Tables) -> impl PartialEq + std::fmt::Debug {
    let sums = "SELECT sum(exact_ns) AS exact, sum(inferred_ns) AS inferred, sum(unknown_ns) AS unknown, \
                sum(detached_ns) AS detached, count(task_id) AS bound, sum(recorded_ns) AS recorded FROM span_quality";
    let rows = [
        "tasks",
        "task_states",
        "stacks",
        "runtime_events",
        "attribution",
        "task_spans",
    ];
    let counts = rows.map(|table| tables.number(&format!("SELECT count(*) FROM {table}")));
    (tables.rows(sums), counts)
}

#[test]
fn a_profile_acknowledged_before_a_kill_is_joined_with_what_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let whole = start(dir.path(), "1s");
    whole.replay_without_waiting();
    let whole = whole.stop();
    assert!(whole.number("SELECT sum(exact_ns) FROM span_quality") > 0);

    let profiles = dir.path().join("profiles");
    let is_profile = |item: &Value| item["kind"] == "go.execution_trace";
    recording::select(&profiles, is_profile);
    // All spans come after the kill; or some before it, when nothing was joined, or much.
    for (split, stored) in [
        ("otlp/0000", None),
        ("otlp/0020", Some("spans")),
        ("otlp/0040", Some("operations")),
    ] {
        let is_early = |item: &Value| item["file"].as_str() < Some(split);
        let dir = dir.path().join(split);
        let (early, late) = (dir.join("early"), dir.join("late"));
        recording::select(&early, |item| is_early(item) && !is_profile(item));
        recording::select(&late, |item| !is_early(item) && !is_profile(item));
        let killed = start(&dir, "1s");
        killed.send(&profiles);
        killed.send(&early);
        if let Some(table) = stored {
            wait_for_rows(&killed, table);
        }
        drop(killed);
        let mut again = start(&dir, "2s");
        again.wait_for_log(&["attribution takes up recordings", "count=3"], LIMIT);
        // What was not stored is sent again, and no profile.
        again.send(&early);
        again.send(&late);
        let tables = again.stop();
        assert_counted_once(&tables);
        assert_eq!(evidence(&tables), evidence(&whole), "{split}");
    }
}

#[test]
fn a_stopped_collector_recognizes_all_that_is_sent_again_and_changes_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let stopped = start(dir.path(), "1s");
    stopped.replay_without_waiting();
    let tables = stopped.stop();
    assert_counted_once(&tables);
    let digest = |tables: &Tables| {
        let sums = "SELECT sum(exact_ns) AS exact, sum(inferred_ns) AS inferred, sum(unknown_ns) AS unknown, \
                    sum(detached_ns) AS detached, count(task_id) AS bound FROM span_quality";
        tables.rows(sums)
    };
    let events = "SELECT count(*) FROM runtime_events";
    let before = (digest(&tables), tables.number(events));
    let again = start(dir.path(), "1s");
    again.replay_without_waiting();
    assert_eq!(again.metric("spandrel_attribution_accepted_spans"), 0.0);
    let tables = again.stop();
    assert_counted_once(&tables);
    assert_eq!((digest(&tables), tables.number(events)), before);
}

#[test]
fn a_first_start_says_that_there_is_nothing_to_take_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = start(dir.path(), "1s");
    first.wait_for_log(&["INFO", "attribution begins afresh"], LIMIT);
}

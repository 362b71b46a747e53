//! The bundled recording of a real service, replayed into a collector over real OTLP: what its tables must say.

use std::path::Path;
use std::sync::LazyLock;

use spandrel_tests::attribution_checks as check;
use spandrel_tests::binary;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::sql::{Tables, integer, text};
use spandrel_tests::{recording, scratch};

/// The tables after one replay, for tests that only read them. Their collector has ended.
static REPLAYED: LazyLock<Tables> = LazyLock::new(|| {
    let dir = scratch::shared(Path::new(env!("CARGO_TARGET_TMPDIR")), "recording");
    let collector = Collector::start(&dir, &[], &QUICK);
    collector.replay();
    collector.stop()
});

/// Fewest requests of a slow operation inside the recorded time. The rarest, `POST /reindex`, comes four times a second
/// in a phase of one second.
const REQUESTS_MIN: i64 = 3;

#[test]
fn every_recorded_span_is_stored_once() {
    let tables = &*REPLAYED;
    let expected = recording::span_count();
    assert!(expected > 0);
    assert_eq!(tables.number("SELECT count(*) FROM spans"), expected);
    let distinct = "SELECT count(*) FROM (SELECT DISTINCT process_id, trace_id, span_id FROM spans)";
    assert_eq!(tables.number(distinct), expected);
    assert!(tables.number("SELECT count(*) FROM logs") > 0);
    assert!(tables.number("SELECT count(*) FROM metrics") > 0);
}

#[test]
fn every_nanosecond_of_every_span_is_in_one_cell() {
    check::every_nanosecond_is_attributed(&REPLAYED);
}

#[test]
fn spans_inside_recordings_are_bound_to_goroutines() {
    check::spans_inside_recordings_are_bound(&REPLAYED);
}

#[test]
fn slow_operations_show_the_cell_of_their_injected_cause() {
    check::slow_operations_show_their_cause(&REPLAYED, recording::FIRST, REQUESTS_MIN, check::Queues::Count);
}

#[test]
fn waits_for_other_requests_name_them() {
    check::waits_name_the_requests_that_cause_them(&REPLAYED, recording::FIRST);
}

#[test]
fn spans_have_the_states_of_their_own_goroutine_in_their_own_process() {
    for process in [recording::FIRST, recording::SECOND] {
        check::states_are_those_of_the_own_goroutine(&REPLAYED, process);
    }
}

#[test]
fn spans_that_no_recording_of_their_process_touches_are_unknown_and_say_so() {
    let tables = &*REPLAYED;
    // A span may begin this long before the recording that binds it, as the clocks of both are read one after the other.
    let apart = format!(
        "SELECT q.binding, count(*) AS spans, sum(q.unknown_ns) AS unknown_ns, sum(q.duration_ns) AS duration_ns \
         FROM span_quality AS q \
         WHERE q.process_id = '{}' AND NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.process_id = q.process_id \
         AND t.recording_start_ns <= q.start_ns + q.duration_ns + 10000000 \
         AND q.start_ns <= t.recording_end_ns + 10000000) \
         GROUP BY q.binding",
        recording::SECOND
    );
    let row = tables.row(&apart);
    assert_eq!(text(&row, "binding"), "not_recorded");
    assert!(integer(&row, "spans") > 0);
    assert_eq!(integer(&row, "unknown_ns"), integer(&row, "duration_ns"));
}

#[test]
fn the_matrix_counts_all_requests_and_all_their_time() {
    let tables = &*REPLAYED;
    for view in ["self", "root"] {
        let wrong = tables.rows(&wrong_in_matrix(view));
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    assert!(
        tables.number("SELECT count(DISTINCT window_start_ns) FROM matrix") >= 2,
        "the recording spans windows"
    );
    let impossible = "SELECT count(*) FROM matrix WHERE n_nonzero > n OR p50_ns > p95_ns OR p95_ns > p99_ns OR n < 1";
    assert_eq!(tables.number(impossible), 0);
}

/// Operations whose requests the matrix does not count, or not with all their time in the view.
fn wrong_in_matrix(view: &str) -> String {
    format!(
        "WITH windows AS ( \
             SELECT window_start_ns, service_name, operation, sum(n) AS n, sum(sum_ns) AS sum_ns \
             FROM (SELECT window_start_ns, service_name, operation, emission, n, sum(sum_ns) AS sum_ns \
                   FROM matrix WHERE view = '{view}' \
                   GROUP BY window_start_ns, service_name, operation, emission, n) \
             GROUP BY window_start_ns, service_name, operation), \
         requests AS ( \
             SELECT start_ns - start_ns % 10000000000 AS window_start_ns, service_name, operation, \
                    count(*) AS n, sum(duration_ns) AS sum_ns \
             FROM span_quality WHERE is_request GROUP BY 1, 2, 3) \
         SELECT r.operation, r.n, w.n AS matrix_n, r.sum_ns, w.sum_ns AS matrix_ns \
         FROM requests AS r FULL JOIN windows AS w ON r.window_start_ns = w.window_start_ns \
         AND r.service_name = w.service_name AND r.operation = w.operation \
         WHERE (r.n IS DISTINCT FROM w.n) OR (r.sum_ns IS DISTINCT FROM w.sum_ns)"
    )
}

#[test]
fn the_matrix_command_prints_the_slowest_operations() {
    let dir = REPLAYED.dir().to_str().unwrap();
    for (view, state) in [("self", "mutex"), ("root", "blocked_on_other")] {
        let of_view = [
            "matrix",
            "--data",
            dir,
            "--operation",
            "POST /reservations",
            "--view",
            view,
        ];
        let page = binary::run(&of_view).success();
        let headline = format!("{view} view");
        for word in ["POST /reservations", "service", state, &headline] {
            assert!(page.contains(word), "no {word} in\n{page}");
        }
        assert!(!page.contains("mutex") || view == "self", "{page}");
    }
}

#[test]
fn stopping_at_once_joins_and_stores_everything_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), &[], &QUICK);
    collector.replay_without_waiting();
    let tables = collector.stop();
    check::every_nanosecond_is_attributed(&tables);
    for table in [
        "spans",
        "logs",
        "metrics",
        "tasks",
        "task_states",
        "stacks",
        "runtime_events",
        "span_quality",
    ] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(tables.number(&count), REPLAYED.number(&count), "{table}");
    }
    let requests = "SELECT sum(n) FROM (SELECT DISTINCT window_start_ns, operation, emission, n FROM matrix)";
    assert_eq!(tables.number(requests), REPLAYED.number(requests));
}

#[test]
fn what_arrives_again_is_not_attributed_again() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), &[], &QUICK);
    collector.replay();
    collector.replay();
    let tables = collector.stop();
    let expected = recording::span_count();
    assert_eq!(tables.number("SELECT count(*) FROM span_quality"), expected);
    // Raw spans are stored as often as they are sent.
    assert_eq!(tables.number("SELECT count(*) FROM spans"), 2 * expected);
    for table in ["tasks", "task_states", "task_spans"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(tables.number(&count), REPLAYED.number(&count), "{table}");
    }
    let twice = "SELECT count(*) FROM span_quality AS q \
                 JOIN (SELECT process_id, trace_id, span_id, sum(ns) AS ns FROM attribution WHERE view = 'self' \
                       GROUP BY process_id, trace_id, span_id) AS a \
                 ON q.process_id = a.process_id AND q.trace_id = a.trace_id AND q.span_id = a.span_id \
                 WHERE q.duration_ns <> a.ns";
    assert_eq!(tables.number(twice), 0);
}

//! Traces of Go 1.22 to 1.24, which hold no wall clock: placed by spans, or left out with the reason.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use spandrel_tests::attribution_checks as check;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::process::{self, Ended};
use spandrel_tests::sql::{Row, Tables, integer, text};
use spandrel_tests::{binary, http, kiosk, recording, repository};

const LOG_LIMIT: Duration = Duration::from_secs(60);
/// Rest of the error of the true offset: reading one clock after the other, at least, takes this long.
const READING_NS: i64 = 1_000;

#[test]
fn a_trace_of_go_1_22_is_placed_by_its_spans_and_joined() {
    is_placed_and_joined(kiosk::TOOLCHAINS[0]);
}

#[test]
fn a_trace_of_go_1_23_is_placed_by_its_spans_and_joined() {
    is_placed_and_joined(kiosk::TOOLCHAINS[1]);
}

#[test]
fn a_trace_of_go_1_24_is_placed_by_its_spans_and_joined() {
    is_placed_and_joined(kiosk::TOOLCHAINS[2]);
}

fn is_placed_and_joined(toolchain: &str) {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = kiosk::run(toolchain, dir.path()) else {
        return;
    };
    let out = dir.path().join("out");
    let ended = attribute(&run.spans, &run.trace, &out, &[]);
    let message = line_with(&ended.stderr, "no wall clock (Go before 1.25); placed by spans");
    let (offset_ns, error_ns) = (number_after(&message, "offset "), number_after(&message, "+- "));
    assert!(
        (offset_ns - run.offset_ns).abs() <= error_ns + READING_NS,
        "the offset is {} ns, and not: {message}",
        run.offset_ns
    );
    assert!(ended.success().contains("POST /sale"), "no matrix");

    let tables = Tables::new(&out);
    check::every_nanosecond_is_attributed(&tables);
    check::spans_inside_recordings_are_bound(&tables);
    check::states_are_those_of_the_own_goroutine(&tables, kiosk::INSTANCE);
    let most = tables.row(
        "SELECT layer, state FROM attribution WHERE is_request AND view = 'self' AND state <> 'unknown' \
         GROUP BY layer, state ORDER BY sum(ns) DESC LIMIT 1",
    );
    assert_eq!((text(&most, "layer"), text(&most, "state")), ("db", "sleep"));
    for table in ["tasks", "span_quality"] {
        let row = tables.row(&format!(
            "SELECT min(clock_error_ns) AS least, max(clock_error_ns) AS most FROM {table}"
        ));
        assert_eq!((integer(&row, "least"), integer(&row, "most")), (error_ns, error_ns));
    }
}

#[test]
fn the_collector_gives_the_rows_that_files_give() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = kiosk::run(kiosk::TOOLCHAINS[2], dir.path()) else {
        return;
    };
    let out = dir.path().join("out");
    let message = attribute(&run.spans, &run.trace, &out, &[]).stderr;
    let placed = line_with(&message, "placed by spans: ");
    let (_, estimate) = placed.split_once("placed by spans: ").unwrap();

    let mut collector = Collector::start(dir.path(), &[], &QUICK);
    send_profile(&collector, kiosk::RESOURCE, &run.trace);
    let json = ("Content-Type", "application/json");
    let spans = fs::read(&run.spans).unwrap();
    assert_eq!(http::post(collector.http, "/v1/traces", &[json], &spans).status, 200);
    let line = collector.wait_for_log(&["without a wall clock", "placed by spans"], LOG_LIMIT);
    assert!(line.contains(estimate), "no `{estimate}` in {line}");
    assert_eq!(collector.metric("spandrel_attribution_anchored_recordings"), 1.0);
    assert_eq!(
        attribution_rows(&collector.stop()),
        attribution_rows(&Tables::new(&out))
    );
}

#[test]
fn a_trace_that_no_spans_place_is_left_out_and_the_reason_given() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let spans = recording::span_files().remove(0);
    let ended = attribute(&spans, &untimed_trace(), &out, &["--resource", "service.name=shop"]);
    let message = line_with(&ended.stderr, "mix-go1.22.trace");
    for words in [
        "warning",
        "no wall clock (Go before 1.25), left out",
        "at least 8 must agree",
    ] {
        assert!(message.contains(words), "no `{words}` in: {message}");
    }
    ended.success();
    let tables = Tables::new(&out);
    check::every_nanosecond_is_attributed(&tables);
    let states = tables.rows("SELECT DISTINCT state, sub_state FROM attribution");
    assert_eq!(states.len(), 1, "{states:?}");
    assert_eq!(text(&states[0], "sub_state"), "not_recorded");
}

#[test]
fn the_collector_says_why_it_drops_a_trace_and_takes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(dir.path(), &[], &QUICK);
    let send = |collector: &Collector| send_profile(collector, "service.name=shop", &untimed_trace());
    send(&collector);
    let line = collector.wait_for_log(&["WARN", "without a wall clock", "is dropped"], LOG_LIMIT);
    assert!(line.contains("no process that reports spans fits"), "{line}");
    send(&collector);
    process::wait_for("the trace to be dropped again", LOG_LIMIT, || {
        (collector.metric("spandrel_attribution_unanchored_recordings") == 2.0).then_some(())
    });
    assert_eq!(
        collector.stop().rows("SELECT * FROM task_states LIMIT 1"),
        Vec::<Row>::new()
    );
}

#[test]
fn inspect_says_whether_spans_can_place_a_trace() {
    let fixtures = repository::root().join("profiles/gotrace/tests/fixtures");
    let cases = [
        ("mix-go1.22.trace", "by the spans of its 3 whole user tasks", "trace"),
        ("callbacks-go1.23.trace", "no user task is whole", "trace"),
        ("mix.trace", "wall clock present", "unix"),
    ];
    for (file, words, clock) in cases {
        let file = fixtures.join(file);
        let inspect = |options: &[&str]| {
            let arguments = [&["inspect", file.to_str().unwrap()], options].concat();
            binary::run(&arguments).success()
        };
        let line = line_with(&inspect(&[]), "clock");
        assert!(line.contains(words), "no `{words}` in: {line}");
        let inspection: Value = serde_json::from_str(&inspect(&["--format", "json"])).unwrap();
        assert_eq!(inspection["clock"], clock);
    }
}

/// A trace of Go 1.22 with too few user tasks for any spans to place it.
fn untimed_trace() -> PathBuf {
    repository::root().join("profiles/gotrace/tests/fixtures/mix-go1.22.trace")
}

fn attribute(spans: &Path, trace: &Path, out: &Path, options: &[&str]) -> Ended {
    let [spans, trace, out] = [spans, trace, out].map(|path| path.to_str().unwrap());
    let arguments = ["attribute", "--spans", spans, "--profile", trace, "--out", out];
    binary::run(&[&arguments, options].concat())
}

fn send_profile(collector: &Collector, resource: &str, trace: &Path) {
    let resource = ("X-Spandrel-Resource", resource);
    let answer = http::post(
        collector.http,
        "/v1/runtime-profiles",
        &[resource],
        &fs::read(trace).unwrap(),
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn attribution_rows(tables: &Tables) -> Vec<Row> {
    tables.rows(
        "SELECT process_id, trace_id, span_id, operation, start_ns, view, layer, state, sub_state, relation, \
         culprit_operation, culprit_layer, culprit_state, ns FROM attribution \
         ORDER BY start_ns, trace_id, span_id, view, layer, state, sub_state, relation, culprit_operation, culprit_layer, \
         culprit_state, ns",
    )
}

fn line_with(page: &str, words: &str) -> String {
    let line = page.lines().find(|line| line.contains(words));
    line.unwrap_or_else(|| panic!("no `{words}` in\n{page}")).to_owned()
}

fn number_after(line: &str, words: &str) -> i64 {
    let (_, rest) = line.split_once(words).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

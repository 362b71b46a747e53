//! The helper for Go services, in the real service: it logs span ids into the execution trace, and its flight recorder
//! pushes what happened around slow requests. Nobody pulls.
//!
//! All tests look at one run. Nothing here depends on how fast the machine is: no duration is compared with a constant.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use spandrel_tests::attribution_checks as check;
use spandrel_tests::collector::Collector;
use spandrel_tests::services::{self, Databases, Programs, Shop};
use spandrel_tests::sql::{Tables, integer, text};
use spandrel_tests::{binary, http, scratch, self_view};

/// How long load sends requests: a second for each slow operation.
const LOAD_SECONDS: u64 = 9;
const LOAD_LIMIT: Duration = Duration::from_secs(120);
/// Requests that hand a span over, one after the other: spread over the load.
const HAND_OVERS: usize = 90;
const HAND_OVER_PAUSE: Duration = Duration::from_millis(80);

/// A span waits for the next snapshot, which comes up to 5 s after the one before.
const SETTINGS: [&str; 3] = [
    "connectors.attribution.join_delay=10s",
    "connectors.attribution.window=10s",
    "exporters.parquet.flush_interval=1s",
];

/// Shop calls its only process so.
const PROCESS: &str = "shop-1";
/// The span that starts on the goroutine of a request and ends on that of a worker, which sleeps in between.
const HANDED_OVER: &str = "send confirmation";

/// What the run left.
struct Run {
    tables: Tables,
    /// Recordings that the receiver has accepted over HTTP, and that attribution has taken.
    accepted: [f64; 2],
    /// Requests of any kind that the receiver has not.
    rejected: f64,
    shop_log: String,
}

static RUN: LazyLock<Option<Run>> = LazyLock::new(|| services::available().then(run));

/// The run, or none where the service cannot run.
fn recorded() -> Option<&'static Run> {
    RUN.as_ref()
}

fn run() -> Run {
    let dir = scratch::shared(Path::new(env!("CARGO_TARGET_TMPDIR")), "helper");
    let collector = Collector::start(&dir, &[], &SETTINGS);
    // Not below the repository: PostgreSQL runs as a user who may not be allowed there.
    let databases_dir = tempfile::tempdir().unwrap();
    let databases = Databases::start(&databases_dir.path().join("services"));
    let programs = Programs::build(&dir);
    let helper = [
        ("SHOP_SPANDREL", "log,recorder"),
        ("SHOP_SPANDREL_ENDPOINT", &format!("http://{}", collector.http)),
        ("SHOP_SPANDREL_SLOW_AFTER", "20ms"),
    ];
    let no_debug = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let shop = programs.start_shop(PROCESS, &databases, collector.grpc, no_debug, &helper);
    let mut load = programs.start_load("load", &shop, LOAD_SECONDS, &[]);
    hand_spans_over(&shop);
    let status = load.wait(LOAD_LIMIT);
    assert!(status.success(), "{}", load.log());
    let shop_log = shop.stop();
    let accepted = [
        "otelcol_receiver_accepted_profiles",
        "spandrel_attribution_accepted_recordings",
    ];
    Run {
        accepted: accepted.map(|name| collector.metric(name)),
        rejected: collector.metric("spandrel_receiver_rejected_requests"),
        shop_log,
        tables: collector.stop(),
    }
}

fn hand_spans_over(shop: &Shop) {
    for _ in 0..HAND_OVERS {
        let answer = http::post(shop.http, "/confirmations", &[("X-Customer", "customer")], &[]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        thread::sleep(HAND_OVER_PAUSE);
    }
}

#[test]
fn every_snapshot_is_pushed_and_joined_and_together_they_cover_the_load() {
    let Some(run) = recorded() else { return };
    let [received, taken] = run.accepted;
    assert!(received >= 2.0, "{received} recordings were pushed\n{}", run.shop_log);
    assert_eq!((taken, run.rejected), (received, 0.0));
    assert!(!run.shop_log.contains("spandrel: "), "{}", run.shop_log);
    let recordings = "SELECT count(*) FROM (SELECT DISTINCT recording_start_ns, recording_end_ns FROM tasks)";
    assert_eq!(run.tables.number(recordings), received as i64);

    let row = run.tables.row(
        "SELECT count(*) AS requests, count(*) FILTER (WHERE recorded_ns = duration_ns) AS covered \
         FROM span_quality WHERE is_request",
    );
    let (requests, covered) = (integer(&row, "requests"), integer(&row, "covered"));
    println!("{covered} of {requests} requests lie inside of {received} pushed recordings");
    assert!(covered * 10 >= requests * 9 && requests > 300, "{row:?}");
}

#[test]
fn spans_inside_recordings_are_bound_by_their_logged_ids() {
    let Some(run) = recorded() else { return };
    check::spans_inside_recordings_are_logged(&run.tables);
}

/// Where a span runs, by the code of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the goroutine of the span around it.
    Around,
    /// On that of one of so many workers.
    Worker(i64),
    /// On a new one.
    New,
}

const PLACES: [(&str, Place); 9] = [
    ("authenticate", Place::Around),
    ("rate limit", Place::Around),
    ("catalog", Place::Around),
    ("checkout", Place::Around),
    ("enqueue job", Place::Around),
    ("thumbnail", Place::Around),
    ("job", Place::Worker(4)),
    ("render thumbnail", Place::Worker(1)),
    ("SELECT stock", Place::New),
];

#[test]
fn every_span_is_on_the_goroutine_that_the_service_runs_it_on() {
    let Some(run) = recorded() else { return };
    let several = run.tables.rows(&format!(
        "SELECT s.name, t.trace_id, t.span_id, count(*) AS tasks FROM task_spans AS t \
         JOIN (SELECT DISTINCT trace_id, span_id, name FROM spans) AS s \
         ON s.trace_id = t.trace_id AND s.span_id = t.span_id \
         WHERE s.name <> '{HANDED_OVER}' GROUP BY 1, 2, 3 HAVING count(*) > 1"
    ));
    assert!(several.is_empty(), "on several goroutines: {several:?}");
    for (name, place) in PLACES {
        let row = run.tables.row(&format!(
            "SELECT count(*) AS spans, count(*) FILTER (WHERE own.task_id = around.task_id) AS with_parent, \
             count(DISTINCT own.task_id) AS tasks \
             FROM (SELECT DISTINCT trace_id, span_id, parent_span_id FROM spans WHERE name = '{name}') AS s \
             JOIN span_quality AS own ON own.trace_id = s.trace_id AND own.span_id = s.span_id \
             JOIN span_quality AS around ON around.trace_id = s.trace_id AND around.span_id = s.parent_span_id \
             WHERE own.binding = 'logged_id' AND around.binding = 'logged_id'"
        ));
        let [spans, with_parent, tasks] = ["spans", "with_parent", "tasks"].map(|column| integer(&row, column));
        let is_right = match place {
            Place::Around => with_parent == spans,
            Place::Worker(workers) => with_parent == 0 && tasks <= workers,
            Place::New => with_parent == 0 && tasks == spans,
        };
        assert!(is_right && spans > 10, "{name}, expected {place:?}: {row:?}");
    }
}

#[test]
fn a_slow_request_that_was_pushed_shows_its_cause() {
    let Some(run) = recorded() else { return };
    // Of those that slept, the one that waited least for a processor.
    let trace = run.tables.row(
        "SELECT hex(trace_id) AS id FROM span_quality WHERE is_request AND operation = 'GET /shipping' \
         AND binding = 'logged_id' AND recorded_ns = duration_ns ORDER BY duration_ns, trace_id LIMIT 1",
    );
    let dir = run.tables.dir().to_str().expect("our paths are ASCII");
    let arguments = ["why", "--data", dir, "--format", "json", text(&trace, "id")];
    let answer: Value = serde_json::from_str(&binary::run(&arguments).success()).unwrap();
    let request = &answer["spans"][0];
    for view in ["self", "root"] {
        let cells = request[view].as_array().unwrap();
        let most = cells.iter().max_by_key(|cell| cell["ns"].as_i64()).unwrap();
        assert_eq!(
            (&most["layer"], &most["state"]),
            (&json!("service"), &json!("sleep")),
            "{view}: {request}"
        );
    }
}

#[test]
fn every_nanosecond_is_attributed_and_duckdb_computes_the_same_also_of_spans_that_were_handed_over() {
    let Some(run) = recorded() else { return };
    check::every_nanosecond_is_attributed(&run.tables);
    let found = self_view::duckdb_computes_the_same(&run.tables);
    // Snapshots cover most of the load twice. The last one, which the service takes when it stops, adds seconds of it.
    let handed_over = found["spans_handed_over"].as_i64().unwrap();
    let compared = found["computed"]["spans"].as_i64().unwrap();
    assert!(handed_over >= 5 && compared >= 300, "{found}");
}

#[test]
fn a_span_that_a_worker_ends_has_stretches_on_both_goroutines() {
    let Some(run) = recorded() else { return };
    let row = run.tables.row(&format!(
        "WITH handed AS (SELECT DISTINCT trace_id, span_id, parent_span_id FROM spans WHERE name = '{HANDED_OVER}'), \
         stretches AS (SELECT t.*, row_number() OVER (PARTITION BY t.trace_id, t.span_id ORDER BY t.start_ns) AS n \
                       FROM task_spans AS t JOIN handed AS h ON h.trace_id = t.trace_id AND h.span_id = t.span_id), \
         slept AS (SELECT trace_id, span_id, sum(ns) AS ns FROM attribution \
                   WHERE view = 'self' AND layer = 'service' AND state = 'sleep' GROUP BY 1, 2) \
         SELECT count(*) AS spans, count(second.task_id) AS handed_over, \
                count(*) FILTER (WHERE first.task_id = around.task_id AND second.task_id <> first.task_id \
                                 AND first.start_ns = own.start_ns AND first.binding = 'logged_id' \
                                 AND first.start_ns + first.duration_ns = second.start_ns \
                                 AND second.start_ns + second.duration_ns = own.start_ns + own.duration_ns \
                                 AND slept.ns > 0) AS whole, \
                count(DISTINCT second.task_id) AS workers \
         FROM handed AS h JOIN span_quality AS own ON own.trace_id = h.trace_id AND own.span_id = h.span_id \
         JOIN span_quality AS around ON around.trace_id = h.trace_id AND around.span_id = h.parent_span_id \
         JOIN stretches AS first ON first.n = 1 AND first.trace_id = h.trace_id AND first.span_id = h.span_id \
         LEFT JOIN stretches AS second ON second.n = 2 AND second.trace_id = h.trace_id AND second.span_id = h.span_id \
         LEFT JOIN slept ON slept.trace_id = h.trace_id AND slept.span_id = h.span_id \
         WHERE own.recorded_ns = own.duration_ns"
    ));
    println!("{row:?}");
    let [spans, handed_over, whole, workers] =
        ["spans", "handed_over", "whole", "workers"].map(|column| integer(&row, column));
    // Nothing shows how a span came to a worker that was busy when it was queued.
    assert!(
        handed_over * 10 >= spans * 9 && spans * 10 >= HAND_OVERS as i64 * 9,
        "{row:?}"
    );
    assert_eq!((whole, workers), (handed_over, 1), "{row:?}");
}

//! Calls between real processes: a shop that asks two others, all recorded, and a collector that pulls their execution
//! traces back to back. What the servers say of themselves must be what the client's waits became.
//!
//! One of the others reports the same `host.name` as the shop that asks, so that they have one clock; the other reports
//! none, so that only the calls say how far its clock is ahead. In truth, all are on this machine.
//!
//! All tests look at one run. Nothing here depends on how fast the machine is: no duration is compared with a constant.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spandrel_tests::attribution_checks as check;
use spandrel_tests::collector::Collector;
use spandrel_tests::services::{self, Databases, Programs, Shop};
use spandrel_tests::sql::{Row, Tables, integer, text};
use spandrel_tests::{binary, http, process, repository, scratch};

/// The process that asks, and the ones that it asks: on the same host, and on one that has no name.
const CLIENT: &str = "shop-1";
const SAME_HOST: &str = "warehouse-1";
const UNNAMED_HOST: &str = "warehouse-2";
const INSTANCES: [(&str, &str, Option<&str>); 3] = [
    ("shop", CLIENT, Some("machine")),
    ("warehouse", SAME_HOST, Some("machine")),
    ("warehouse", UNNAMED_HOST, None),
];

/// Of each, to each of the two: requests for an operation that sleeps, for one that needs a mutex, and those that hold it.
const SLEEPS: i64 = 60;
const RESERVATIONS: i64 = 60;
const AUDITS: i64 = 60;
/// Fewest calls of these that lie inside the recorded time.
const RECORDED_MIN: i64 = SLEEPS / 2;

const RECORDINGS_LIMIT: Duration = Duration::from_secs(60);

/// A span waits for the slice that covers it, in whichever process that is.
const SETTINGS: [&str; 5] = [
    "receivers.go_runtime.collection_interval=3s",
    "receivers.go_runtime.trace_duration=3s",
    "connectors.attribution.join_delay=10s",
    "connectors.attribution.window=10s",
    "exporters.parquet.flush_interval=1s",
];

static RUN: LazyLock<Option<Tables>> = LazyLock::new(|| services::available().then(run));

/// What the run stored, or nothing where the service cannot run.
fn stored() -> Option<&'static Tables> {
    RUN.as_ref()
}

fn run() -> Tables {
    let dir = scratch::shared(Path::new(env!("CARGO_TARGET_TMPDIR")), "remote");
    let debug = INSTANCES.map(|_| services::free_address());
    let targets = dir.join("targets.yaml");
    fs::write(&targets, targets_config(&debug)).unwrap();
    let example = repository::root().join("examples/live.yaml");
    let collector = Collector::start(&dir, &[&example, &targets], &SETTINGS);
    // Not below the repository: PostgreSQL runs as a user who may not be allowed there.
    let databases_dir = tempfile::tempdir().unwrap();
    let databases = Databases::start(&databases_dir.path().join("services"));
    let programs = Programs::build(&dir);
    let mut shops = Vec::new();
    for ((service, instance, host), debug) in INSTANCES.iter().zip(debug) {
        let host = host.map_or(String::new(), |host| format!(",host.name={host}"));
        let environment = [
            ("OTEL_SERVICE_NAME", *service),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                &format!("service.instance.id={instance}{host}"),
            ),
        ];
        shops.push(programs.start_shop(instance, &databases, collector.grpc, debug, &environment));
    }
    wait_for_recordings(&collector, shops.len());
    thread::scope(|scope| {
        for other in &shops[1..] {
            let client = &shops[0];
            scope.spawn(|| ask(client, &format!("/elsewhere/shipping?at={}", other.http), SLEEPS));
            scope.spawn(|| {
                ask(
                    client,
                    &format!("/elsewhere/reservations?at={}", other.http),
                    RESERVATIONS,
                )
            });
            scope.spawn(|| ask(other, "/stock/audit", AUDITS));
        }
    });
    let end_ns = now_ns();
    // All are pulled at the same pace: one may be two ahead of another.
    wait_for_recordings(&collector, 3 * shops.len());
    for shop in shops {
        shop.stop();
    }
    let tables = collector.stop();
    let recorded = tables.rows("SELECT process_id, max(recording_end_ns) AS end_ns FROM tasks GROUP BY process_id");
    assert_eq!(recorded.len(), INSTANCES.len());
    for process in &recorded {
        assert!(integer(process, "end_ns") >= end_ns, "covered to the end: {process:?}");
    }
    tables
}

/// Sends so many requests, one after the other.
fn ask(shop: &Shop, path: &str, count: i64) {
    for _ in 0..count {
        let answer = http::post(shop.http, path, &[("X-Customer", "customer")], &[]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

fn wait_for_recordings(collector: &Collector, more: usize) {
    let accepted = || collector.metric("spandrel_attribution_accepted_recordings");
    let enough = accepted() + more as f64;
    process::wait_for("recordings of all instances", RECORDINGS_LIMIT, || {
        (accepted() >= enough).then_some(())
    });
}

/// The targets in place of the one that the example names. JSON is YAML.
fn targets_config(debug: &[SocketAddr]) -> String {
    let targets = INSTANCES.iter().zip(debug).map(|((service, instance, host), debug)| {
        let mut resource = json!({"service.name": service, "service.instance.id": instance});
        if let Some(host) = host {
            resource["host.name"] = json!(host);
        }
        json!({"endpoint": format!("http://{debug}"), "resource": resource})
    });
    json!({"receivers": {"go_runtime": {"targets": targets.collect::<Vec<_>>()}}}).to_string()
}

fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_nanos()).unwrap()
}

/// `calls`: client spans, their servers, and the requests that they are part of, with what the client's root view has of
/// the network and of the server. `recorded`: those of which all is recorded, with the same from the states of goroutines:
/// the client's waits, and what of them the server was open, placed by the middle of the range of offsets. `within`: those
/// whose server lies in these waits.
const CALLS: &str = "\
    WITH network AS (SELECT process_id, trace_id, span_id, \
            coalesce(sum(ns) FILTER (WHERE relation = 'remote'), 0) AS remote_ns, \
            coalesce(sum(ns) FILTER (WHERE relation <> 'remote' AND state = 'network' AND sub_state = 'in_flight'), 0) \
                AS in_flight_ns \
        FROM attribution WHERE view = 'root' GROUP BY 1, 2, 3), \
    calls AS (SELECT client.*, network.remote_ns, network.in_flight_ns, \
            server.process_id AS server_process, server.span_id AS server_span_id, server.duration_ns AS server_ns, \
            server.start_ns - (client.offset_lo_ns + (client.offset_hi_ns - client.offset_lo_ns) / 2) AS server_start_ns, \
            request.span_id AS request_span_id, of_request.remote_ns AS request_remote_ns, \
            client.task_id IS NOT NULL AND client.recorded_ns = client.duration_ns \
                AND server.task_id IS NOT NULL AND server.recorded_ns = server.duration_ns \
                AND request.task_id = client.task_id AND request.recorded_ns = request.duration_ns AS is_recorded \
        FROM span_quality AS client \
        JOIN spans AS s ON s.trace_id = client.trace_id AND s.parent_span_id = client.span_id \
        JOIN span_quality AS server \
            ON server.trace_id = s.trace_id AND server.span_id = s.span_id AND server.process_id = s.process_id \
        JOIN span_quality AS request \
            ON request.trace_id = client.trace_id AND request.process_id = client.process_id AND request.is_request \
        JOIN network ON network.trace_id = client.trace_id AND network.span_id = client.span_id \
        JOIN network AS of_request ON of_request.trace_id = client.trace_id AND of_request.span_id = request.span_id \
        WHERE client.process_id = 'shop-1' AND server.process_id <> 'shop-1'), \
    selects AS (SELECT c.span_id, c.server_start_ns, c.server_start_ns + c.server_ns AS server_end_ns, s.waker_task_id, \
            greatest(s.start_ns, c.start_ns) AS start_ns, \
            least(s.start_ns + s.duration_ns, c.start_ns + c.duration_ns) AS end_ns \
        FROM calls AS c JOIN task_states AS s ON s.process_id = c.process_id AND s.task_id = c.task_id \
            AND s.start_ns < c.start_ns + c.duration_ns AND c.start_ns < s.start_ns + s.duration_ns \
        WHERE c.is_recorded AND s.state = 'select' AND s.sub_state = 'http_response' AND s.waker = 'task'), \
    waits AS (SELECT w.span_id, w.server_start_ns, w.server_end_ns, greatest(r.start_ns, w.start_ns) AS start_ns, \
            least(r.start_ns + r.duration_ns, w.end_ns) AS end_ns \
        FROM selects AS w JOIN task_states AS r ON r.process_id = 'shop-1' AND r.task_id = w.waker_task_id \
            AND r.start_ns < w.end_ns AND w.start_ns < r.start_ns + r.duration_ns \
        WHERE r.state = 'network' AND r.sub_state = 'http_response'), \
    of_call AS (SELECT span_id, sum(end_ns - start_ns) AS wait_ns, \
            sum(greatest(0, least(end_ns, server_end_ns) - greatest(start_ns, server_start_ns))) AS shared_ns \
        FROM waits GROUP BY 1), \
    recorded AS (SELECT c.*, coalesce(w.wait_ns, 0) AS wait_ns, coalesce(w.shared_ns, 0) AS shared_ns \
        FROM calls AS c LEFT JOIN of_call AS w ON w.span_id = c.span_id WHERE c.is_recorded), \
    within AS (SELECT * FROM recorded WHERE shared_ns = server_ns) ";

fn by_server(tables: &Tables, columns: &str, from: &str) -> [Row; 2] {
    let rows = tables.rows(&format!(
        "{CALLS} SELECT server_process, {columns} FROM {from} GROUP BY 1 ORDER BY 1"
    ));
    println!("{from}: {rows:?}");
    let rows: [Row; 2] = rows.try_into().unwrap();
    assert_eq!(
        rows.each_ref().map(|row| text(row, "server_process")),
        [SAME_HOST, UNNAMED_HOST]
    );
    rows
}

#[test]
fn every_nanosecond_is_attributed_also_where_servers_stand_in_the_place_of_waits() {
    let Some(tables) = stored() else { return };
    check::every_nanosecond_is_attributed(tables);
}

#[test]
fn every_call_has_its_server_and_the_clock_of_this_machine_is_in_its_range() {
    let Some(tables) = stored() else { return };
    let columns = "count(*) AS calls, count(*) FILTER (WHERE offset_lo_ns <= 0 AND 0 <= offset_hi_ns) AS right, \
                   sum(detached_ns) AS detached_ns, max(offset_hi_ns - offset_lo_ns) AS widest_ns, \
                   count(*) FILTER (WHERE 0 <= request_min_ns AND request_min_ns <= request_max_ns \
                                    AND request_max_ns <= in_flight_max_ns AND in_flight_min_ns <= in_flight_ns \
                                    AND in_flight_ns <= in_flight_max_ns) AS ranges";
    let rows = by_server(tables, columns, "calls");
    for row in &rows {
        let [calls, right, ranges, detached_ns] =
            ["calls", "right", "ranges", "detached_ns"].map(|name| integer(row, name));
        assert_eq!(calls, SLEEPS + RESERVATIONS);
        assert_eq!((right, ranges, detached_ns), (calls, calls, 0), "{row:?}");
    }
    // One clock is known to a microsecond; two are known as well as messages are fast.
    let widest = rows.each_ref().map(|row| integer(row, "widest_ns"));
    assert!(widest[0] <= 2_000 && widest[1] > 2_000, "{widest:?}");
}

/// The goroutine of the client waits in `select` for the read loop of its connection, which waits for the network. Both are
/// in the table of states, whatever attribution makes of them.
#[test]
fn i16_what_the_clients_runtime_has_of_a_wait_is_divided_between_server_and_messages_to_the_nanosecond() {
    let Some(tables) = stored() else { return };
    let exact = "remote_ns = shared_ns AND in_flight_ns = wait_ns - shared_ns AND request_remote_ns = remote_ns";
    let wrong = tables.rows(&format!("{CALLS} SELECT * FROM recorded WHERE NOT ({exact})"));
    assert!(wrong.is_empty(), "{} calls, the first: {:?}", wrong.len(), wrong[0]);
    for row in &by_server(tables, "count(*) AS calls", "recorded") {
        assert!(integer(row, "calls") >= RECORDED_MIN, "{row:?}");
    }
    let columns = "count(*) AS calls, \
                   count(*) FILTER (WHERE remote_ns = server_ns AND in_flight_ns = wait_ns - server_ns) AS exact";
    for row in &by_server(tables, columns, "within") {
        assert!(integer(row, "calls") > 0, "no server lies within a wait");
        assert_eq!(integer(row, "exact"), integer(row, "calls"));
    }
}

#[test]
fn the_cells_of_a_server_within_a_wait_are_those_that_its_own_process_has() {
    let Some(tables) = stored() else { return };
    let cell = "layer, state, sub_state, culprit_operation, culprit_layer, culprit_state, evidence";
    let same = cell
        .split(", ")
        .map(|column| format!("(a.{column} IS NOT DISTINCT FROM b.{column})"));
    let row = tables.row(&format!(
        "{CALLS}, \
         here AS (SELECT w.trace_id, {cells}, sum(a.ns) AS ns FROM within AS w JOIN attribution AS a \
            ON a.trace_id = w.trace_id AND a.span_id = w.span_id AND a.process_id = w.process_id \
            WHERE a.view = 'root' AND a.relation = 'remote' GROUP BY w.trace_id, {cells}), \
         there AS (SELECT w.trace_id, {cells}, sum(a.ns) AS ns FROM within AS w JOIN attribution AS a \
            ON a.trace_id = w.trace_id AND a.span_id = w.server_span_id AND a.process_id = w.server_process \
            WHERE a.view = 'root' GROUP BY w.trace_id, {cells}) \
         SELECT count(*) AS cells, count(*) FILTER (WHERE a.ns = b.ns) AS same \
         FROM here AS a FULL JOIN there AS b ON a.trace_id = b.trace_id AND {same}",
        cells = cell
            .split(", ")
            .map(|column| format!("a.{column}"))
            .collect::<Vec<_>>()
            .join(", "),
        same = same.collect::<Vec<_>>().join(" AND "),
    ));
    println!("{row:?}");
    assert!(integer(&row, "cells") > 0);
    assert_eq!(integer(&row, "same"), integer(&row, "cells"));
}

#[test]
fn requests_show_what_held_them_up_in_the_other_process() {
    let Some(tables) = stored() else { return };
    let most = |operation: &str| {
        let rows = tables.rows(&format!(
            "{CALLS} SELECT a.relation, a.layer, a.state, a.sub_state, a.culprit_operation, a.culprit_state, sum(a.ns) AS ns \
             FROM recorded AS c JOIN attribution AS a \
             ON a.trace_id = c.trace_id AND a.span_id = c.request_span_id AND a.process_id = c.process_id \
             WHERE a.view = 'root' AND a.state <> 'runnable' AND a.operation = '{operation}' \
             GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY ns DESC"
        ));
        println!("{operation}: {rows:?}");
        rows.into_iter().next().unwrap()
    };
    let slept = most("POST /elsewhere/shipping");
    let told = ["relation", "layer", "state"].map(|column| text(&slept, column));
    assert_eq!(told, ["remote", "service", "sleep"]);
    let blocked = most("POST /elsewhere/reservations");
    let told =
        ["relation", "state", "sub_state", "culprit_operation", "culprit_state"].map(|column| text(&blocked, column));
    assert_eq!(
        told,
        ["remote", "blocked_on_other", "mutex", "POST /stock/audit", "sleep"]
    );
}

#[test]
fn a_trace_of_both_processes_says_how_long_the_messages_took() {
    let Some(tables) = stored() else { return };
    let call = tables.row(&format!(
        "{CALLS} SELECT hex(trace_id) AS trace, hex(span_id) AS span, in_flight_min_ns, in_flight_max_ns, request_min_ns, \
         request_max_ns FROM recorded ORDER BY duration_ns DESC, trace_id LIMIT 1"
    ));
    let dir = tables.dir().to_str().expect("our paths are ASCII");
    let arguments = ["why", "--data", dir, text(&call, "trace")];
    let answer: Value =
        serde_json::from_str(&binary::run(&[&arguments[..], &["--format", "json"]].concat()).success()).unwrap();
    for span in answer["spans"].as_array().unwrap() {
        let expected = match span["span_id"] == call["span"] {
            true => json!({
                "min_ns": call["in_flight_min_ns"], "max_ns": call["in_flight_max_ns"],
                "request_min_ns": call["request_min_ns"], "request_max_ns": call["request_max_ns"],
            }),
            false => Value::Null,
        };
        assert_eq!(span["in_flight"], expected, "{span}");
    }
    let page = binary::run(&arguments).success();
    assert_eq!(page.matches("  in flight ").count(), 1, "{page}");
}

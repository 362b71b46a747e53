//! The real service, live: two instances of shop on PostgreSQL and Redis, load, and a collector that pulls their
//! execution traces back to back.
//!
//! Nothing here depends on how fast the machine is: no duration is compared with a constant.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use spandrel_tests::attribution_checks as check;
use spandrel_tests::collector::Collector;
use spandrel_tests::process;
use spandrel_tests::recording::{FIRST, SECOND};
use spandrel_tests::repository;
use spandrel_tests::services::{self, Databases, Programs};
use spandrel_tests::sql::integer;

/// How long load sends requests: somewhat more than a second for each slow operation.
const LOAD_SECONDS: u64 = 12;
const LOAD_LIMIT: Duration = Duration::from_secs(120);
const RECORDINGS_LIMIT: Duration = Duration::from_secs(60);

/// Fewest requests of a slow operation inside the recorded time. The rarest comes four times a second.
const REQUESTS_MIN: i64 = 2;

/// Slices much shorter than the load, so that several follow each other; a span waits for the slice that covers it.
const SETTINGS: [&str; 5] = [
    "receivers.go_runtime.collection_interval=3s",
    "receivers.go_runtime.trace_duration=3s",
    "connectors.attribution.join_delay=10s",
    "connectors.attribution.window=10s",
    "exporters.parquet.flush_interval=1s",
];

#[test]
fn a_live_service_is_explained_to_the_nanosecond() {
    if !services::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let databases = Databases::start(&dir.path().join("services"));
    let programs = Programs::build(dir.path());
    // The collector comes first, so it must know where the instances will be. Its first pulls may find them starting.
    let instances = [FIRST, SECOND].map(|instance| (instance, services::free_address()));
    let targets = dir.path().join("targets.yaml");
    fs::write(&targets, targets_config(&instances)).unwrap();
    let example = repository::root().join("examples/live.yaml");
    let collector = Collector::start(dir.path(), &[&example, &targets], &SETTINGS);
    let [first, second] =
        instances.map(|(instance, debug)| programs.start_shop(instance, &databases, collector.grpc, debug, &[]));
    process::wait_for("the first recording of each instance", RECORDINGS_LIMIT, || {
        (accepted_recordings(&collector) >= 2.0).then_some(())
    });

    let mut loads = [
        programs.start_load("load-1", &first, LOAD_SECONDS, &[]),
        programs.start_load("load-2", &second, LOAD_SECONDS, &["-base-only"]),
    ];
    for load in &mut loads {
        let status = load.wait(LOAD_LIMIT);
        assert!(status.success(), "{}", load.log());
    }
    println!("{}", loads[0].log());
    let load_end_ns = now_ns();
    let before = accepted_recordings(&collector);
    // Both instances are pulled at the same pace: if one has four of these, the other has two.
    process::wait_for("recordings until the end of the load", RECORDINGS_LIMIT, || {
        (accepted_recordings(&collector) >= before + 6.0).then_some(())
    });
    first.stop();
    second.stop();
    let tables = collector.stop();

    let recorded = tables.rows(
        "SELECT process_id, count(DISTINCT recording_start_ns) AS recordings, max(recording_end_ns) AS end_ns \
         FROM tasks GROUP BY process_id",
    );
    assert_eq!(recorded.len(), 2);
    for process in &recorded {
        assert!(
            integer(process, "recordings") >= 4,
            "slices follow each other: {process:?}"
        );
        assert!(
            integer(process, "end_ns") >= load_end_ns,
            "the load is covered to its end: {process:?}"
        );
    }
    check::every_nanosecond_is_attributed(&tables);
    check::spans_inside_recordings_are_bound(&tables);
    check::slow_operations_show_their_cause(&tables, FIRST, REQUESTS_MIN, check::Queues::LeftOut);
    check::states_are_those_of_the_own_goroutine(&tables, SECOND);
}

fn accepted_recordings(collector: &Collector) -> f64 {
    collector.metric("spandrel_attribution_accepted_recordings")
}

/// The targets in place of the one that the example names. JSON is YAML.
fn targets_config(instances: &[(&str, SocketAddr)]) -> String {
    let targets = instances.iter().map(|(instance, debug)| {
        json!({
            "endpoint": format!("http://{debug}"),
            "resource": {"service.name": "shop", "service.instance.id": instance},
        })
    });
    json!({"receivers": {"go_runtime": {"targets": targets.collect::<Vec<_>>()}}}).to_string()
}

fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_nanos()).unwrap()
}

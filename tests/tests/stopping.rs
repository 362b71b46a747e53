//! A collector that is asked to stop writes what it has accepted, unless it is asked again.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

use spandrel_tests::collector::Collector;
use spandrel_tests::http;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LIMIT: Duration = Duration::from_secs(30);
/// A stop waits longer than this for an endpoint that does not answer.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Signals that come closer than a second are one.
const APART: Duration = Duration::from_millis(1_500);

const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"held"}}]}]}]}"#;

/// A collector that cannot deliver what it holds.
fn holding(dir: &std::path::Path, away: &TcpListener) -> Collector {
    let endpoint = format!(
        "exporters.otlp_http.endpoint=http://{}",
        away.local_addr().expect("it is bound")
    );
    let settings = [endpoint.as_str(), "service.pipelines.logs.exporters=[otlp_http]"];
    let collector = Collector::start(dir, &[], &settings);
    let answer = http::post(collector.http, "/v1/logs", &[JSON], LOGS.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
    collector
}

#[test]
fn a_second_signal_ends_a_stop_and_says_what_is_lost() {
    let dir = tempfile::tempdir().expect("a new directory");
    // Takes connections and never answers.
    let away = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut collector = holding(dir.path(), &away);
    collector.ask_to_stop();
    collector.wait_for_log(&["stopping", "a second signal"], LIMIT);
    sleep(APART);
    let asked_again = Instant::now();
    collector.ask_to_stop();
    let (code, log) = collector.ended(LIMIT);
    assert!(
        asked_again.elapsed() < AT_ONCE,
        "after {:?}\n{log}",
        asked_again.elapsed()
    );
    assert_eq!(code, Some(1), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("second signal") && last.contains("lost"), "{log}");
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let dir = tempfile::tempdir().expect("a new directory");
    let away = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut collector = holding(dir.path(), &away);
    collector.ask_to_stop();
    collector.ask_to_stop();
    collector.wait_for_log(&["stopping"], LIMIT);
    sleep(APART);
    assert!(!collector.log().contains("ended at once"), "{}", collector.log());
    collector.ask_to_stop();
    let (code, log) = collector.ended(LIMIT);
    assert_eq!(code, Some(1), "{log}");
}

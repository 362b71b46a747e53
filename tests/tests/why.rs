//! `spandrel why`: what it says of a trace and of an operation is what the tables say, and adds up.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;
use spandrel_tests::binary;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::scratch;
use spandrel_tests::sql::{Tables, text};

static REPLAYED: LazyLock<Tables> = LazyLock::new(|| {
    let dir = scratch::shared(Path::new(env!("CARGO_TARGET_TMPDIR")), "why");
    let collector = Collector::start(&dir, &[], &QUICK);
    collector.replay();
    collector.stop()
});

fn why(arguments: &[&str]) -> spandrel_tests::process::Ended {
    let dir = REPLAYED.dir().to_str().expect("our paths are ASCII");
    binary::run(&[&["why", "--data", dir], arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&why(&[arguments, &["--format", "json"]].concat()).success()).expect("it is JSON")
}

fn sum(of: &Value, field: impl Fn(&Value) -> &Value) -> i64 {
    let all = of.as_array().expect("a list");
    all.iter().map(|one| field(one).as_i64().expect("an integer")).sum()
}

#[test]
fn the_causes_of_a_tail_sum_to_its_gap() {
    let views = REPLAYED.rows("SELECT DISTINCT view FROM attribution");
    for row in &views {
        let view = text(row, "view");
        for quantile in ["--p95", "--p99"] {
            let answer = json(&["--operation", "GET /catalog", quantile, "--view", view]);
            let causes = &answer["causes"];
            assert_eq!(
                sum(causes, |cause| &cause["gap_ns"]),
                answer["gap_ns"].as_i64().unwrap()
            );
            assert!(answer["gap_ns"].as_i64().unwrap() > 0);
            for band in 0..3 {
                let mean_ns = answer["bands"][band]["mean_ns"].as_i64().unwrap();
                assert_eq!(sum(causes, |cause| &cause["mean_ns"][band]), mean_ns, "{view} {band}");
            }
        }
    }
    assert!(!views.is_empty());
}

#[test]
fn the_quantiles_are_those_of_the_requests() {
    let answer = json(&["--operation", "GET /catalog"]);
    let recorded = "FROM span_quality WHERE is_request AND operation = 'GET /catalog' AND recorded_ns = duration_ns";
    let requests = REPLAYED.number(&format!("SELECT count(*) {recorded}"));
    assert_eq!(answer["requests"].as_i64(), Some(requests));
    for band in answer["bands"].as_array().unwrap() {
        let [percent, quantile_ns] = ["percent", "quantile_ns"].map(|field| band[field].as_i64().unwrap());
        let up_to = REPLAYED.number(&format!("SELECT count(*) {recorded} AND duration_ns <= {quantile_ns}"));
        let below = REPLAYED.number(&format!("SELECT count(*) {recorded} AND duration_ns < {quantile_ns}"));
        assert!(
            up_to * 100 >= requests * percent && below * 100 < requests * percent,
            "{band}"
        );
    }
}

#[test]
fn a_trace_shows_all_its_spans_under_their_parents_and_all_their_time() {
    let slowest = "SELECT hex(trace_id) AS trace FROM span_quality WHERE is_request AND operation = 'POST /checkout' \
                   AND binding = 'user_task' ORDER BY duration_ns DESC, trace_id LIMIT 1";
    let row = REPLAYED.row(slowest);
    let trace = text(&row, "trace");
    let answer = json(&[trace]);
    let spans = answer["spans"].as_array().unwrap();
    let stored = REPLAYED.number(&format!("SELECT count(*) FROM spans WHERE trace_id = '{trace}'"));
    assert_eq!(spans.len() as i64, stored);
    for (at, span) in spans.iter().enumerate() {
        assert_eq!(
            Some(sum(&span["self"], |cell| &cell["ns"])),
            span["duration_ns"].as_i64()
        );
        let depth = span["depth"].as_u64().unwrap();
        let parent = span["parent_span_id"].as_str();
        let above = spans[..at]
            .iter()
            .rev()
            .find(|above| above["depth"].as_u64().unwrap() < depth);
        assert_eq!(
            above.and_then(|above| above["span_id"].as_str()),
            parent.filter(|_| depth > 0)
        );
    }
    let page = why(&[trace]).success();
    assert!(page.contains("POST /checkout") && page.contains("db/"), "{page}");
}

#[test]
fn what_is_not_there_is_said() {
    let unknown = why(&["--operation", "GET /nothing"]).failure();
    assert!(
        unknown.contains("no such operation") && unknown.contains("shop GET /catalog"),
        "{unknown}"
    );
    let no_id = why(&["xyz"]).failure();
    assert!(no_id.contains("32 hexadecimal digits"), "{no_id}");
    let absent = why(&[&"0".repeat(32)]).failure();
    assert!(absent.contains("no span of trace"), "{absent}");
    let nothing = why(&[]);
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.stderr.contains("<TRACE_ID|--operation <NAME>>"),
        "{}",
        nothing.stderr
    );
}

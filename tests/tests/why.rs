//! `spandrel why`: what it says of a trace and of an operation is what the tables say, and adds up.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::sql::{Tables, text};
use spandrel_tests::{binary, http, process, scratch};

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

fn answer_of(arguments: &[&str]) -> Value {
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
            let answer = answer_of(&["--operation", "GET /catalog", quantile, "--view", view]);
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
    let answer = answer_of(&["--operation", "GET /catalog"]);
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
    let answer = answer_of(&[trace]);
    let spans = answer["spans"].as_array().unwrap();
    let stored = REPLAYED.number(&format!("SELECT count(*) FROM spans WHERE trace_id = '{trace}'"));
    assert_eq!(spans.len() as i64, stored);
    for (at, span) in spans.iter().enumerate() {
        for view in ["self", "root"] {
            assert_eq!(
                Some(sum(&span[view], |cell| &cell["ns"])),
                span["duration_ns"].as_i64(),
                "{view}: {span}"
            );
        }
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
fn the_verdict_names_causes_whose_intervals_exclude_zero() {
    let answer = answer_of(&["--operation", "GET /catalog"]);
    let (verdict, causes) = (&answer["verdict"], answer["causes"].as_array().unwrap());
    assert!(verdict["refusal"].is_null(), "{verdict}");
    let named = verdict["causes"].as_array().unwrap();
    assert!(!named.is_empty());
    let mut explained_ns = 0;
    for at in named {
        let cause = &causes[at.as_u64().unwrap() as usize];
        assert!(cause["gap_95_percent"]["from_ns"].as_i64().unwrap() > 0, "{cause}");
        explained_ns += cause["gap_ns"].as_i64().unwrap();
    }
    let gap_ns = answer["gap_ns"].as_i64().unwrap();
    assert_eq!(verdict["rest_ns"].as_i64().unwrap(), gap_ns - explained_ns);
    let sentence = verdict["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Requests near p99 take ") && sentence.contains("cache/runnable"),
        "{sentence}"
    );
    let page = why(&["--operation", "GET /catalog"]).success();
    assert!(page.replace('\n', " ").contains(sentence), "{page}");

    let few = answer_of(&["--operation", "POST /reservations"]);
    assert_eq!(few["verdict"]["refusal"], "few_requests");
    assert!(
        few["causes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|cause| cause["gap_95_percent"].is_null())
    );
}

#[test]
fn the_examples_are_slow_requests_of_the_operation_and_can_be_asked_for() {
    let answer = answer_of(&["--operation", "GET /catalog"]);
    let [from_ns, to_ns] = ["from_ns", "to_ns"].map(|end| answer["bands"][2][end].as_i64().unwrap());
    let examples = answer["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 3);
    let page = why(&["--operation", "GET /catalog"]).success();
    for example in examples {
        let (trace, ns) = (
            example["trace_id"].as_str().unwrap(),
            example["duration_ns"].as_i64().unwrap(),
        );
        assert!((from_ns..=to_ns).contains(&ns), "{example}");
        let command = page.lines().find(|line| line.contains(trace)).unwrap();
        assert!(
            command
                .trim_start()
                .starts_with(&format!("spandrel why {trace} --data ")),
            "{command}"
        );
        assert!(why(&[trace]).success().contains("GET /catalog"));
    }
}

#[test]
fn waits_have_the_place_in_the_code_at_which_the_request_stood() {
    let slowest = "SELECT hex(trace_id) AS trace FROM span_quality WHERE is_request AND operation = 'POST /reservations' \
                   AND unknown_ns = 0 ORDER BY duration_ns DESC, trace_id LIMIT 1";
    let row = REPLAYED.row(slowest);
    let answer = answer_of(&[text(&row, "trace")]);
    for span in answer["spans"].as_array().unwrap() {
        for cell in span["self"].as_array().unwrap() {
            let at = &cell["at"];
            assert!(at.is_null() || at["ns"].as_i64() <= cell["ns"].as_i64(), "{cell}");
        }
    }
    let request = &answer["spans"][0];
    let cells = request["self"].as_array().unwrap();
    let mutex = cells.iter().find(|cell| cell["state"] == "mutex").unwrap();
    // All of the wait is at one place, so what the states say is what the cell says.
    assert_eq!(mutex["at"]["ns"], mutex["ns"]);
    assert!(
        mutex["at"]["function"].as_str().unwrap().contains("(*Service).Reserve"),
        "{mutex}"
    );
    // And so is all that it was waited for: one request, asleep while it held the mutex.
    let cells = request["root"].as_array().unwrap();
    let blocked = cells.iter().find(|cell| cell["state"] == "blocked_on_other").unwrap();
    assert_eq!(blocked["culprit"]["operation"], "POST /stock/audit");
    assert_eq!(blocked["by"]["ns"], blocked["ns"]);
    let function = blocked["at"]["function"].as_str().unwrap();
    assert!(function.contains("(*Service).AuditStock"), "{blocked}");
    let culprit = blocked["by"]["trace_id"].as_str().unwrap();
    let operation = format!("SELECT operation FROM span_quality WHERE is_request AND trace_id = '{culprit}'");
    assert_eq!(text(&REPLAYED.row(&operation), "operation"), "POST /stock/audit");
    let page = why(&[text(&row, "trace")]).success();
    assert!(page.contains(&format!("by trace {culprit}")), "{page}");
    assert!(
        page.contains("at service.(*Service).Reserve.func1 mutex_convoy.go:"),
        "{page}"
    );
}

#[test]
fn running_on_other_goroutines_than_the_requests_own_is_told_apart() {
    let answer = answer_of(&["--operation", "POST /thumbnails", "--view", "root"]);
    let band = &answer["bands"][2];
    let [from_ns, to_ns, requests] = ["from_ns", "to_ns", "requests"].map(|field| band[field].as_i64().unwrap());
    let running = |view: &str| {
        REPLAYED.number(&format!(
            "SELECT coalesce(sum(a.ns), 0) FROM attribution AS a JOIN span_quality AS q \
             ON a.trace_id = q.trace_id AND a.span_id = q.span_id AND a.process_id = q.process_id \
             WHERE a.view = '{view}' AND a.state = 'running' AND a.relation IN ('same', 'helper') AND q.is_request \
             AND q.recorded_ns = q.duration_ns AND q.operation = 'POST /thumbnails' \
             AND q.duration_ns BETWEEN {from_ns} AND {to_ns}"
        ))
    };
    let expected_ns = (running("root") - running("self")) / requests;
    let found_ns = answer["other_goroutines_running_ns"].as_i64().unwrap();
    assert!(expected_ns > 0);
    // The means of the causes are rounded together.
    assert!(
        found_ns.abs_diff(expected_ns) <= 10,
        "{found_ns}, expected {expected_ns}"
    );
    let page = why(&["--operation", "POST /thumbnails", "--view", "root"]).success();
    assert!(
        page.contains("Running on other goroutines, as children and helpers: "),
        "{page}"
    );
    let own = answer_of(&["--operation", "POST /thumbnails", "--view", "self"]);
    assert_eq!(own["other_goroutines_running_ns"], 0);
}

#[test]
fn the_matrix_counts_the_same_requests_and_is_plain_text_in_a_pipe() {
    let dir = REPLAYED.dir().to_str().expect("our paths are ASCII");
    let page = binary::run(&["matrix", "--data", dir, "--top", "100"]).success();
    assert!(page.is_ascii(), "{page}");
    let headlines = page
        .lines()
        .filter(|line| line.contains("(mean per request, self view)"));
    let headlines: Vec<&str> = headlines.map(|line| line.split(" (mean").next().unwrap()).collect();
    assert!(headlines.len() > 5, "{page}");
    for headline in headlines {
        let (name, numbers) = headline.split_once("   ").unwrap();
        let (_, operation) = name.split_once("  ").unwrap();
        let page = why(&["--operation", operation]).success();
        assert!(page.starts_with(&format!("{name}   {numbers}")), "{headline}\n{page}");
    }
}

#[test]
fn a_trace_can_be_shown_in_one_view() {
    let slowest = "SELECT hex(trace_id) AS trace FROM span_quality WHERE is_request AND operation = 'POST /reservations' \
                   AND unknown_ns = 0 ORDER BY duration_ns DESC, trace_id LIMIT 1";
    let row = REPLAYED.row(slowest);
    let trace = text(&row, "trace");
    let both = answer_of(&[trace]);
    for (view, other) in [("self", "root"), ("root", "self")] {
        let one = answer_of(&[trace, "--view", view]);
        for (span, whole) in one["spans"]
            .as_array()
            .unwrap()
            .iter()
            .zip(both["spans"].as_array().unwrap())
        {
            let cells = span[view].as_array().unwrap();
            assert_eq!(
                sum(&span[view], |cell| &cell["ns"]),
                span["duration_ns"].as_i64().unwrap()
            );
            assert_eq!(cells.len(), whole[view].as_array().unwrap().len());
            assert_eq!(span[other].as_array().unwrap().len(), 0);
        }
        let page = why(&[trace, "--view", view]).success();
        assert!(
            page.contains(&format!("\n  {view} ")) && page.contains(&format!("\n{view}: ")),
            "{page}"
        );
        assert!(
            !page.contains(&format!("\n  {other} ")) && !page.contains("both"),
            "{page}"
        );
    }
}

#[test]
fn options_of_operations_are_refused_with_a_trace() {
    let trace = "0".repeat(32);
    for option in [&["--p95"][..], &["--p99"], &["--service", "shop"]] {
        let refused = why(&[&[trace.as_str()][..], option].concat());
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        let told = format!("{} belongs to --operation <NAME>", option[0]);
        assert!(refused.stderr.contains(&told), "{}", refused.stderr);
        assert!(refused.stderr.contains("Usage: spandrel why "), "{}", refused.stderr);
    }
}

#[test]
fn a_trace_that_is_not_joined_yet_is_told_from_one_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is joined before the collector stops, and that is not waited for.
    let patient = [
        "connectors.attribution.join_delay=10m",
        "connectors.attribution.retention=10m",
        "exporters.parquet.flush_interval=1s",
    ];
    let collector = Collector::start(dir.path(), &[], &patient);
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let trace = "5b8efff798038103d269b633813fc60c";
    let span = json!({
        "traceId": trace, "spanId": "0000000000000001", "name": "GET /",
        "startTimeUnixNano": now_ns.to_string(), "endTimeUnixNano": (now_ns + 5).to_string(),
    });
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = http::post(collector.http, "/v1/traces", &headers, request.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let data = dir.path().join("data");
    let page = process::wait_for("the span to be stored", Duration::from_secs(30), || {
        let ended = binary::run(&["why", "--data", data.to_str().unwrap(), trace]);
        (ended.code == Some(0)).then_some(ended.stdout)
    });
    let told = page.replace('\n', " ");
    assert!(told.contains("no attribution stored"), "{page}");
    assert!(
        told.contains("No span of this trace has been joined with runtime profiles"),
        "{page}"
    );
    assert!(told.contains("Try again in about "), "{page}");
    assert!(
        !told.contains("self:"),
        "what is not on the page is not explained: {page}"
    );
}

#[test]
fn what_is_not_there_is_said() {
    let unknown = why(&["--operation", "GET /nothing"]).failure();
    assert!(
        unknown.contains("no recorded request of that operation") && unknown.contains("shop GET /catalog"),
        "{unknown}"
    );
    let no_id = why(&["xyz"]).failure();
    assert!(no_id.contains("32 hexadecimal digits"), "{no_id}");
    let absent = why(&[&"0".repeat(32)]).failure();
    assert!(absent.contains("no span of trace"), "{absent}");
    assert!(
        absent.contains("--data") && absent.contains("flush_interval"),
        "{absent}"
    );
    let nothing = why(&[]);
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.stderr.contains("<TRACE_ID|--operation <NAME>>"),
        "{}",
        nothing.stderr
    );
}

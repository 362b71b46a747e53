//! CPU profiles of a real Go program, with labels that name spans, over HTTP to a collector and from files.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use spandrel_tests::burner::{self, RESOURCE, Run};
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::process::wait_for;
use spandrel_tests::sql::{Row, Tables, integer, text};
use spandrel_tests::{binary, http};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROCESS: (&str, &str) = ("X-Spandrel-Resource", RESOURCE);
/// Longer than the test on a busy machine, so that all comes in time.
const PATIENT: &str = "connectors.attribution.retention=5m";
const LIMIT: Duration = Duration::from_secs(60);

fn start(dir: &Path) -> Collector {
    let settings: Vec<&str> = QUICK.into_iter().chain([PATIENT]).collect();
    Collector::start(dir, &[], &settings)
}

fn send_spans(collector: &Collector, run: &Run) {
    let answer = http::post(collector.http, "/v1/traces", &[JSON], &fs::read(&run.spans).unwrap());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn send_profile(collector: &Collector, profile: &Path) {
    let profile = fs::read(profile).unwrap();
    let answer = http::post(collector.http, "/v1/runtime-profiles", &[PROCESS], &profile);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn functions(tables: &Tables) -> Vec<Row> {
    tables.rows(
        "SELECT layer, function, sum(n_samples) AS n_samples, sum(ns) AS ns FROM running_functions \
         WHERE operation = 'GET /report' GROUP BY 1, 2 ORDER BY ns DESC",
    )
}

/// The share of the samples of a layer that found the function, per cent.
fn share(rows: &[Row], layer: &str, function: &str) -> i64 {
    let of_layer = rows.iter().filter(|row| text(row, "layer") == layer);
    let found = of_layer.clone().filter(|row| text(row, "function") == function);
    let n: i64 = found.map(|row| integer(row, "n_samples")).sum();
    n * 100 / of_layer.map(|row| integer(row, "n_samples")).sum::<i64>().max(1)
}

/// The functions of each layer sum to the running time of its cell; those without a layer to that of all.
fn assert_conserved(tables: &Tables) {
    let off = tables.rows(
        "WITH running AS (SELECT window_start_ns, emission, operation, layer, sum_ns FROM matrix \
                          WHERE view = 'self' AND state = 'running'), \
              functions AS (SELECT window_start_ns, emission, operation, layer, sum(ns) AS ns FROM running_functions \
                            GROUP BY 1, 2, 3, 4) \
         SELECT f.layer, f.ns, sum(r.sum_ns) AS running_ns FROM functions f \
         LEFT JOIN running r ON r.window_start_ns = f.window_start_ns AND r.emission = f.emission \
                       AND r.operation = f.operation AND (r.layer = f.layer OR f.layer = '') \
         GROUP BY f.window_start_ns, f.emission, f.operation, f.layer, f.ns HAVING f.ns <> coalesce(sum(r.sum_ns), 0)",
    );
    assert_eq!(off, [] as [Row; 0]);
}

#[test]
fn a_late_profile_says_what_requests_ran_that_only_a_trace_measured() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = burner::run(dir.path(), &[]) else {
        return;
    };
    let collector = start(dir.path());
    send_spans(&collector, &run);
    send_profile(&collector, &run.trace);
    let joined = || collector.metric("spandrel_attribution_joined_spans");
    wait_for("the join", LIMIT, || (joined() >= 160.0).then_some(()));
    for _ in 0..2 {
        send_profile(&collector, &run.cpu);
    }
    assert_eq!(collector.metric("spandrel_attribution_accepted_cpu_profiles"), 1.0);
    assert_eq!(collector.metric("spandrel_attribution_duplicate_recordings"), 1.0);
    let samples = collector.metric("spandrel_attribution_cpu_samples{connector=\"attribution\",labels=\"span\"}");
    let tables = collector.stop();

    let rows = functions(&tables);
    assert!(share(&rows, "handler", "main.burn") >= 95, "{rows:?}");
    assert!(share(&rows, "db", "main.query") >= 95, "{rows:?}");
    assert_conserved(&tables);
    let n: i64 = rows.iter().map(|row| integer(row, "n_samples")).sum();
    assert!(n > 40 && n <= samples as i64, "{n} of {samples} samples");
    // 40 requests wanted to run for 24 ms in the handler, and did so as far as the machine let them.
    let burned: i64 = rows
        .iter()
        .filter(|row| text(row, "function") == "main.burn")
        .map(|row| integer(row, "ns"))
        .sum();
    assert!(burned > 40 * 10_000_000, "{burned} ns");
}

#[test]
fn labels_that_name_the_request_alone_divide_the_time_of_all_its_layers() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = burner::run(dir.path(), &["-root"]) else {
        return;
    };
    let collector = start(dir.path());
    send_profile(&collector, &run.cpu);
    send_profile(&collector, &run.trace);
    send_spans(&collector, &run);
    let tables = collector.stop();
    let rows = functions(&tables);
    assert!(share(&rows, "", "main.burn") >= 50, "{rows:?}");
    assert!(share(&rows, "", "main.query") >= 20, "{rows:?}");
    assert!(rows.iter().all(|row| text(row, "layer").is_empty()), "{rows:?}");
    assert_conserved(&tables);
}

#[test]
fn samples_that_the_trace_holds_as_well_do_not_count_twice() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = burner::run(dir.path(), &["-together"]) else {
        return;
    };
    let attribute = |out: &str, profiles: &[&Path]| {
        let out = dir.path().join(out);
        let mut arguments = vec!["attribute", "--spans", run.spans.to_str().unwrap(), "--profile"];
        arguments.extend(profiles.iter().map(|path| path.to_str().unwrap()));
        arguments.extend(["--resource", RESOURCE, "--out", out.to_str().unwrap()]);
        binary::run(&arguments).success();
        Tables::new(&out)
    };
    let trace = functions(&attribute("trace", &[&run.trace]));
    let both = attribute("both", &[&run.cpu, &run.trace, &run.cpu]);
    assert_eq!(functions(&both), trace);
    assert!(share(&trace, "handler", "main.burn") >= 95, "{trace:?}");
    assert_conserved(&both);
}

/// Tables of the spans of a run and one of its profiles.
fn attributed(run: &Run, profile: &Path, out: &Path) -> Tables {
    let [spans, profile] = [run.spans.as_path(), profile].map(|path| path.to_str().unwrap());
    let inputs = [
        "attribute",
        "--spans",
        spans,
        "--profile",
        profile,
        "--resource",
        RESOURCE,
    ];
    binary::run(&[&inputs[..], &["--out", out.to_str().unwrap()]].concat()).success();
    Tables::new(out)
}

fn why(tables: &Tables, question: &[&str]) -> (Value, String) {
    let dir = tables.dir().to_str().unwrap();
    let arguments = [&["why", "--data", dir], question].concat();
    let json = binary::run(&[&arguments[..], &["--format", "json"]].concat()).success();
    (serde_json::from_str(&json).unwrap(), binary::run(&arguments).success())
}

fn running_of<'a>(cells: &'a Value, layer: &str) -> &'a Value {
    let mut cells = cells.as_array().unwrap().iter();
    let cell = cells.find(|cell| cell["layer"] == layer && cell["state"] == "running" && cell["relation"] == "same");
    &cell.unwrap()["ran"]
}

#[test]
fn why_says_what_requests_ran() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = burner::run(dir.path(), &["-together"]) else {
        return;
    };
    let tables = attributed(&run, &run.trace, &dir.path().join("tables"));
    let (answer, page) = why(&tables, &["--operation", "GET /report"]);
    for (layer, function) in [("handler", "main.burn"), ("db", "main.query")] {
        let ran = running_of(&answer["causes"], layer);
        assert_eq!(ran["functions"][0]["function"], function, "{ran}");
        let of_layer = format!("FROM running_functions WHERE operation = 'GET /report' AND layer = '{layer}'");
        for (field, column) in [("ns", "ns"), ("samples", "n_samples")] {
            let stored = tables.number(&format!("SELECT sum({column}) {of_layer}"));
            assert_eq!(ran[field].as_i64(), Some(stored));
            let functions = ran["functions"].as_array().unwrap().iter();
            assert_eq!(functions.map(|each| each[field].as_i64().unwrap()).sum::<i64>(), stored);
        }
    }
    assert!(
        page.contains("handler/running") && page.contains("CPU samples of all GET /report"),
        "{page}"
    );
    assert!(page.contains("main.burn"), "{page}");
    assert_eq!(answer["notes"], json!([]));

    let trace = answer["examples"][0]["trace_id"].as_str().unwrap();
    let (spans, page) = why(&tables, &[trace]);
    assert_eq!(
        running_of(&spans["spans"][0]["self"], "handler"),
        running_of(&answer["causes"], "handler")
    );
    assert!(
        spans["spans"][1]["self"][0]["ran"].is_null(),
        "functions are of requests"
    );
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains("CPU samples of all GET /report: main.burn "), "{page}");
    assert!(!page.contains("No CPU sample"), "{page}");
}

#[test]
fn why_says_what_would_tell_what_requests_ran() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = burner::run(dir.path(), &[]) else {
        return;
    };
    let tables = attributed(&run, &run.trace, &dir.path().join("tables"));
    assert_eq!(tables.number("SELECT count(*) FROM running_functions"), 0);
    let (answer, page) = why(&tables, &["--operation", "GET /report"]);
    let trace = answer["examples"][0]["trace_id"].as_str().unwrap();
    for (answer, page) in [why(&tables, &[trace]), (answer.clone(), page)] {
        assert_eq!(answer["notes"].as_array().unwrap().len(), 1, "{answer}");
        assert!(page.contains("No CPU sample says what GET /report ran: "), "{page}");
        assert!(page.contains("/v1/runtime-profiles"), "{page}");
    }
}

#[test]
fn inspect_says_what_a_profile_is_and_whether_attribution_can_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = burner::run(dir.path(), &["-heap"]) else {
        return;
    };
    let inspect = |path: &Path, options: &[&str]| {
        binary::run(&[&["inspect", path.to_str().unwrap()], options].concat()).success()
    };
    let report: Value = serde_json::from_str(&inspect(&run.cpu, &["--format", "json"])).unwrap();
    assert_eq!((&report["format"], &report["kind"]), (&json!("pprof"), &json!("cpu")));
    let [samples, of_spans] = ["samples", "span_samples"].map(|field| report[field].as_i64().unwrap());
    assert!(of_spans > 40 && of_spans <= samples, "{report}");
    assert!(report["duration_ns"].as_i64().unwrap() > 40 * 30_000_000, "{report}");
    let keys: Vec<&str> = report["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label["key"].as_str().unwrap())
        .collect();
    assert!(keys.contains(&"span_id") && keys.contains(&"trace_id"), "{keys:?}");
    let page = inspect(&run.cpu, &[]);
    assert!(
        page.contains("CPU profile") && page.contains("spandrel attribute"),
        "{page}"
    );
    let heap = inspect(&dir.path().join("heap.pprof"), &[]);
    assert!(
        heap.contains("profile of memory") && heap.contains("uses CPU profiles only"),
        "{heap}"
    );
}

#[test]
fn other_profiles_are_refused_with_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let Some(run) = burner::run(dir.path(), &["-heap"]) else {
        return;
    };
    let collector = start(dir.path());
    let cpu = fs::read(&run.cpu).unwrap();
    let heap = fs::read(dir.path().join("heap.pprof")).unwrap();
    let cases: [(&[u8], &[&str]); 4] = [
        (&heap, &["not a CPU profile", "inuse_space/bytes", "send a CPU profile"]),
        (&cpu[..cpu.len() / 2], &["not whole gzip data"]),
        (
            b"\x1f\x8b\x08 no gzip",
            &["gzip", "CPU profiles in the format of pprof"],
        ),
        (b"{}", &["Go execution traces", "CPU profiles in the format of pprof"]),
    ];
    for (body, words) in cases {
        let answer = http::post(collector.http, "/v1/runtime-profiles", &[PROCESS], body);
        assert_eq!(answer.status, 400, "{}", answer.body);
        for word in words {
            assert!(answer.body.contains(word), "no `{word}` in {}", answer.body);
        }
    }
    collector.stop();
}

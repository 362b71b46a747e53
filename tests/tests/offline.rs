//! `spandrel attribute`: the join over files gives what the collector gives.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Value, json};
use spandrel_tests::binary;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::process::Ended;
use spandrel_tests::sql::{Row, Tables, integer, text};
use spandrel_tests::{recording, scratch};

/// The tables of a collector that got the recording. It has ended.
static STREAMED: LazyLock<Tables> = LazyLock::new(|| {
    let dir = scratch::shared(Path::new(env!("CARGO_TARGET_TMPDIR")), "offline");
    let collector = Collector::start(&dir, &[], &QUICK);
    collector.replay();
    collector.stop()
});

const RESOURCE: &str = "service.name=shop,service.instance.id=shop-1";

#[test]
fn files_give_the_rows_that_the_collector_gives() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let page = attribute(
        &recording::span_files(),
        &recording::profile_files(recording::FIRST),
        &out,
        &[],
    )
    .success();
    assert_eq!(attribution_rows(&Tables::new(&out)), attribution_rows(&STREAMED));
    assert!(page.contains("shop") && page.contains("layer"), "no matrix in\n{page}");
}

#[test]
fn the_json_matrix_adds_up_to_the_durations_of_the_requests() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let options = ["--format", "json"];
    let profiles = recording::profile_files(recording::FIRST);
    let page = attribute(&recording::span_files(), &profiles, &out, &options).success();
    let matrix: Vec<Row> = serde_json::from_str(&page).unwrap();
    let requests = Tables::new(&out).rows(
        "SELECT operation, count(*) AS n, sum(duration_ns) AS sum_ns FROM span_quality WHERE is_request GROUP BY 1",
    );
    assert!(requests.len() > 10);
    for request in requests {
        let cells = matrix
            .iter()
            .filter(|cell| text(cell, "operation") == text(&request, "operation"));
        let cells: Vec<&Row> = cells.filter(|cell| text(cell, "view") == "self").collect();
        assert_eq!(
            cells.iter().map(|cell| integer(cell, "sum_ns")).sum::<i64>(),
            integer(&request, "sum_ns")
        );
        assert!(
            cells.iter().all(|cell| integer(cell, "n") == integer(&request, "n")),
            "{request:?}"
        );
    }
}

#[test]
fn the_same_spans_as_json_lines_give_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let spans = dir.path().join("spans.jsonl");
    fs::write(&spans, json_lines(&STREAMED)).unwrap();
    let out = dir.path().join("out");
    attribute(&[spans], &recording::profile_files(recording::FIRST), &out, &[]).success();
    assert_eq!(attribution_rows(&Tables::new(&out)), attribution_rows(&STREAMED));
}

#[test]
fn one_json_request_over_several_lines_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let spans = dir.path().join("spans.json");
    let request = request(
        "shop-1",
        &[json!({
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "GET /",
            "kind": 2, "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000007",
        })],
    );
    fs::write(&spans, serde_json::to_string_pretty(&request).unwrap()).unwrap();
    let out = dir.path().join("out");
    attribute(&[spans], &recording::profile_files(recording::FIRST), &out, &[]).success();
    let row = Tables::new(&out).row("SELECT state, sub_state, ns, trace_id FROM attribution WHERE view = 'root'");
    assert_eq!(
        (text(&row, "state"), text(&row, "sub_state")),
        ("unknown", "not_recorded")
    );
    assert_eq!(
        (integer(&row, "ns"), text(&row, "trace_id")),
        (1_000_000_007, "5b8efff798038103d269b633813fc60c")
    );
}

#[test]
fn messages_about_input_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (good_spans, good_profiles) = (recording::span_files(), recording::profile_files(recording::FIRST));
    let good_spans = &good_spans[..1];
    let compressed = fs::read(&good_spans[0]).unwrap();
    let cases = [
        (
            file("garbage.pb", b"\xff\xff\xff\xff no protobuf"),
            vec!["cannot decode spans"],
        ),
        (file("broken.json", b"{\"resourceSpans\": [{]}"), vec!["line 1"]),
        (
            file("second.jsonl", b"{\"resourceSpans\": []}\n\n{\"resourceSpans\": 7}\n"),
            vec!["line 3"],
        ),
        (file("cut.zst", &compressed[..100]), vec!["failed to decompress"]),
        (dir.path().join("missing.json"), vec!["failed to open"]),
        (
            file("trace.out", b"go 1.26 trace\0\0\0\x01"),
            vec!["is a Go execution trace", "give it with --profile"],
        ),
        (dir.path().to_owned(), vec!["is a directory", "name its files"]),
        (recording::dir(), vec!["is a directory", "spandrel replay"]),
        (
            STREAMED.dir().to_owned(),
            vec!["is a directory", "spandrel matrix --data"],
        ),
    ];
    for (spans, words) in cases {
        let message = attribute(
            std::slice::from_ref(&spans),
            &good_profiles,
            &dir.path().join("out"),
            &[],
        )
        .failure();
        assert_names(&message, &spans, &words);
    }
    let cases = [
        (
            file("page.trace", b"<html>502 Bad Gateway</html>"),
            vec!["byte 0", "HTML"],
        ),
        (file("empty.trace", b""), vec!["byte 0", "empty"]),
        (file("old.trace", b"go 1.19 trace\0\0\0"), vec!["byte 5", "1.19"]),
        (dir.path().join("missing.trace"), vec!["failed to open"]),
    ];
    for (profile, words) in cases {
        let message = attribute(good_spans, std::slice::from_ref(&profile), &dir.path().join("out"), &[]).failure();
        assert_names(&message, &profile, &words);
    }
}

#[test]
fn tables_of_an_earlier_run_are_not_mixed_with_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (spans, profiles) = (recording::span_files(), recording::profile_files(recording::SECOND));
    let again = || attribute(&spans[..1], &profiles, dir.path(), &[]);
    again().success();
    let rows = attribution_rows(&Tables::new(dir.path()));
    assert!(again().failure().contains("holds tables already"));
    assert_eq!(attribution_rows(&Tables::new(dir.path())), rows);
}

fn attribute(spans: &[PathBuf], profiles: &[PathBuf], out: &Path, options: &[&str]) -> Ended {
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let mut arguments = vec!["attribute".to_owned(), "--spans".to_owned()];
    arguments.extend(spans.iter().map(path));
    arguments.push("--profile".to_owned());
    arguments.extend(profiles.iter().map(path));
    arguments.extend(["--resource", RESOURCE, "--out", out.to_str().unwrap()].map(str::to_owned));
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    binary::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn assert_names(message: &str, file: &Path, words: &[&str]) {
    let name = file.file_name().unwrap().to_str().unwrap();
    for word in words.iter().chain([&name]) {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// The attribution of the first process, row by row.
fn attribution_rows(tables: &Tables) -> Vec<Row> {
    tables.rows(&format!(
        "SELECT trace_id, span_id, operation, is_request, start_ns, view, layer, state, sub_state, relation, \
         culprit_operation, culprit_layer, culprit_state, evidence, ns \
         FROM attribution WHERE process_id = '{}' \
         ORDER BY start_ns, trace_id, span_id, view, layer, state, sub_state, relation, culprit_operation, culprit_layer, \
         culprit_state, evidence, ns",
        recording::FIRST
    ))
}

/// The stored spans of the first process as OTLP/JSON, a request per scope and line. Attribute values become text.
fn json_lines(tables: &Tables) -> String {
    let rows = tables.rows(&format!(
        "SELECT trace_id, span_id, parent_span_id, name, kind, start_ns, duration_ns, scope_name, attributes \
         FROM spans WHERE process_id = '{}' ORDER BY start_ns, span_id",
        recording::FIRST
    ));
    assert!(!rows.is_empty());
    let lines = rows.iter().map(|row| {
        let kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];
        let attributes = row["attributes"].as_object().unwrap().iter();
        let span = json!({
            "traceId": row["trace_id"],
            "spanId": row["span_id"],
            "parentSpanId": row["parent_span_id"].as_str().unwrap_or_default(),
            "name": row["name"],
            "kind": kinds.iter().position(|kind| *kind == text(row, "kind")).unwrap(),
            "startTimeUnixNano": integer(row, "start_ns").to_string(),
            "endTimeUnixNano": (integer(row, "start_ns") + integer(row, "duration_ns")).to_string(),
            "attributes": attributes.map(|(key, value)| attribute_of(key, value)).collect::<Vec<_>>(),
        });
        let mut request = request(recording::FIRST, &[span]);
        request["resourceSpans"][0]["scopeSpans"][0]["scope"] = json!({"name": row["scope_name"]});
        format!("{request}\n")
    });
    lines.collect()
}

fn attribute_of(key: &str, value: &Value) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn request(instance: &str, spans: &[Value]) -> Value {
    let resource = [
        attribute_of("service.name", &json!("shop")),
        attribute_of("service.instance.id", &json!(instance)),
    ];
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": spans}]}]})
}

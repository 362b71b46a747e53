//! Bad input: a clear answer that says what is wrong and where, and a collector that runs on and loses nothing else.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::http::{self, Answer};
use spandrel_tests::{binary, process, recording, services};

const RESOURCE: (&str, &str) = ("X-Spandrel-Resource", "service.name=shop,service.instance.id=shop-2");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const HTML: &[u8] = b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n";

/// Not a trace, or one of which nothing is readable; and what the message must say.
fn unreadable_traces() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let trace = good_trace();
    let everywhere_damaged = trace.iter().enumerate().map(|(at, byte)| match at {
        0..16 => *byte,
        _ if at % 97 == 0 => !*byte,
        _ => *byte,
    });
    vec![
        ("empty", Vec::new(), vec!["byte 0", "empty"]),
        ("html", HTML.to_vec(), vec!["byte 0", "HTML"]),
        (
            "future_version",
            b"go 1.99 trace\0\0\0".to_vec(),
            vec!["byte 5", "1.99"],
        ),
        ("old_format", b"go 1.19 trace\0\0\0".to_vec(), vec!["byte 5", "1.19"]),
        ("cut_in_the_header", trace[..10].to_vec(), vec!["byte 10", "header"]),
        (
            "cut_in_the_first_generation",
            trace[..2000].to_vec(),
            vec!["byte ", "generation"],
        ),
        ("damaged_everywhere", everywhere_damaged.collect(), vec!["byte "]),
    ]
}

/// Traces of which a part is readable.
fn partly_readable_traces() -> [(&'static str, Vec<u8>); 2] {
    let trace = good_trace();
    let mut damaged = trace.clone();
    let middle = damaged.len() / 2;
    for byte in &mut damaged[middle..middle + 64] {
        *byte = !*byte;
    }
    [
        ("cut_in_the_middle", trace[..trace.len() - trace.len() / 4].to_vec()),
        ("damaged_in_the_middle", damaged),
    ]
}

#[test]
fn unreadable_traces_are_refused_with_what_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), &[], &QUICK);
    for (number, (name, trace, words)) in (1..).zip(unreadable_traces()) {
        let answer = http::post(collector.http, "/v1/runtime-profiles", &[RESOURCE], &trace);
        assert_refused(name, &answer, &words);
        assert_accepts_a_span(&collector, number);
    }
    let answer = http::post(collector.http, "/v1/runtime-profiles", &[], &good_trace());
    assert_refused("no resource", &answer, &["X-Spandrel-Resource", "service.name"]);
    let answer = http::post(collector.http, "/v1/runtime-profiles", &[RESOURCE], &good_trace());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let tables = collector.stop();
    assert_eq!(tables.number("SELECT count(*) FROM spans"), 7);
    assert_eq!(tables.number("SELECT count(DISTINCT recording_start_ns) FROM tasks"), 1);
}

#[test]
fn damaged_traces_give_what_is_readable_and_a_warning_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(dir.path(), &[], &QUICK);
    for (name, trace) in partly_readable_traces() {
        let answer = http::post(collector.http, "/v1/runtime-profiles", &[RESOURCE], &trace);
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
        assert!(
            message.starts_with("read in part: ") && message.contains("byte "),
            "{name}: {message}"
        );
    }
    collector.wait_for_log(&["WARN", "shop-2", "byte "], Duration::from_secs(10));
    assert!(collector.stop().number("SELECT count(*) FROM tasks") > 0);
}

#[test]
fn otlp_garbage_is_refused_on_both_transports() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), &[], &QUICK);
    let garbage = b"\x0a\xff\xff\xff\x7f this is no protobuf";
    for (number, signal) in (1..).zip(["traces", "metrics", "logs"]) {
        let path = format!("/v1/{signal}");
        let what = format!("cannot decode the {signal} request");
        assert_refused(
            signal,
            &http::post(collector.http, &path, &[PROTOBUF], garbage),
            &[&what, "byte "],
        );
        assert_refused(
            signal,
            &http::post(collector.http, &path, &[JSON], b"{\"resourceSpans\": 1,"),
            &[&what],
        );
        assert_refused(signal, &http::post(collector.http, &path, &[JSON], HTML), &[&what]);
        assert_eq!(grpc_message(&collector, signal, garbage).0, "3", "INVALID_ARGUMENT");
        assert!(grpc_message(&collector, signal, garbage).1.contains(&what));
        assert_accepts_a_span(&collector, number);
    }
    let answer = http::post(collector.http, "/v1/traces", &[("Content-Type", "text/html")], HTML);
    assert_eq!(answer.status, 415);
    assert!(
        answer.body.contains("text/html") && answer.body.contains("application/x-protobuf"),
        "{}",
        answer.body
    );
    let answer = http::post(
        collector.http,
        "/v1/traces",
        &[PROTOBUF, ("Content-Encoding", "gzip")],
        HTML,
    );
    assert_refused("not gzip", &answer, &["gzip"]);
    assert_accepts_a_span(&collector, 4);
    assert_eq!(collector.stop().number("SELECT count(*) FROM spans"), 4);
}

#[test]
fn inspect_names_the_file_and_the_place() {
    let dir = tempfile::tempdir().unwrap();
    for (name, trace, words) in unreadable_traces() {
        let file = dir.path().join(name);
        fs::write(&file, trace).unwrap();
        let message = binary::run(&["inspect", file.to_str().unwrap()]).failure();
        for word in words.iter().chain([&name]) {
            assert!(message.contains(word), "no `{word}` in: {message}");
        }
    }
    for (name, trace) in partly_readable_traces() {
        let inspection = inspect(&dir.path().join(name), &trace);
        let warnings = inspection["warnings"].as_array().unwrap();
        assert!(
            warnings
                .iter()
                .any(|warning| warning.as_str().unwrap().contains("byte ")),
            "{name}: {warnings:?}"
        );
        assert!(!inspection["goroutines"].as_array().unwrap().is_empty(), "{name}");
    }
    let message = binary::run(&["inspect", dir.path().join("missing").to_str().unwrap()]).failure();
    assert!(message.contains("missing"), "{message}");
}

#[test]
fn inspect_accounts_for_the_life_of_every_goroutine() {
    let dir = tempfile::tempdir().unwrap();
    let inspection = inspect(&dir.path().join("trace"), &good_trace());
    assert_eq!(inspection["format"], "go.execution_trace");
    assert!(
        inspection["go_version"].as_str().unwrap().contains("1.2"),
        "{}",
        inspection["go_version"]
    );
    assert!(inspection["generations"].as_u64().unwrap() > 0);
    assert_eq!(inspection["warnings"], json!([]));
    assert!(
        inspection["events"]
            .as_object()
            .unwrap()
            .values()
            .all(|count| count.as_u64().unwrap() > 0)
    );
    let (first_ns, last_ns) = (
        integer(&inspection, "first_ns").unwrap(),
        integer(&inspection, "last_ns").unwrap(),
    );
    assert!(first_ns < last_ns);
    let goroutines = inspection["goroutines"].as_array().unwrap();
    assert!(goroutines.len() > 10);
    for goroutine in goroutines {
        for key in [
            "id",
            "start_function",
            "created_by",
            "birth_ns",
            "death_ns",
            "raw_states_ns",
        ] {
            assert!(goroutine.get(key).is_some(), "no {key} in {goroutine}");
        }
        let born_ns = integer(goroutine, "birth_ns").unwrap_or(first_ns);
        let died_ns = integer(goroutine, "death_ns").unwrap_or(last_ns);
        let states = goroutine["raw_states_ns"].as_object().unwrap();
        let total_ns: i64 = states.values().map(|ns| ns.as_i64().unwrap()).sum();
        assert_eq!(total_ns, died_ns - born_ns, "{goroutine}");
    }
    let names = goroutines
        .iter()
        .flat_map(|goroutine| goroutine["raw_states_ns"].as_object().unwrap().keys());
    for name in names {
        let known = ["Running", "Runnable", "Syscall", "Undetermined"].contains(&name.as_str());
        assert!(known || name.starts_with("Waiting:"), "{name}");
    }
}

#[test]
fn targets_that_fail_are_named_and_cost_the_others_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let down = services::free_address();
    let hanging = serve(|_| thread::sleep(Duration::from_secs(600)));
    let html = serve(|mut stream| answer(&mut stream, "200 OK", HTML));
    let failing = serve(|mut stream| answer(&mut stream, "500 Internal Server Error", b"already tracing\n"));
    let trace = good_trace();
    let working = serve(move |mut stream| answer(&mut stream, "200 OK", &trace));
    let config = dir.path().join("targets.yaml");
    fs::write(&config, targets_config(&[down, hanging, html, failing, working])).unwrap();

    let default = dir.path().join("default.yaml");
    fs::write(&default, binary::run(&["run", "--print-config"]).success()).unwrap();
    let mut collector = Collector::start(dir.path(), &[&default, &config], &QUICK);
    for (address, words) in [
        (down, ["cannot connect", "refused"]),
        (hanging, ["no complete answer", "2s"]),
        (html, ["something else", "HTML"]),
        (failing, ["500", "already tracing"]),
    ] {
        let [what, detail] = words;
        collector.wait_for_log(&["WARN", &address.to_string(), what, detail], Duration::from_secs(20));
        assert_accepts_a_span(&collector, u64::from(address.port()));
    }
    // The working target answers each pull with the same bytes, which are one recording.
    process::wait_for("two pulls of the working target", Duration::from_secs(20), || {
        let accepted = collector.metric("spandrel_attribution_accepted_recordings");
        let duplicate = collector.metric("spandrel_attribution_duplicate_recordings");
        (accepted == 1.0 && duplicate >= 1.0).then_some(())
    });
    let tables = collector.stop();
    assert_eq!(tables.number("SELECT count(*) FROM spans"), 4);
    assert!(tables.number("SELECT count(*) FROM tasks WHERE process_id = 'target-4'") > 0);
    assert_eq!(
        tables.number("SELECT count(*) FROM tasks WHERE process_id <> 'target-4'"),
        0
    );
}

/// A trace of some seconds, as the service answered it.
fn good_trace() -> Vec<u8> {
    let file = &recording::profile_files(recording::SECOND)[0];
    zstd::decode_all(fs::read(file).unwrap().as_slice()).unwrap()
}

fn inspect(file: &Path, trace: &[u8]) -> Value {
    fs::write(file, trace).unwrap();
    let json = binary::run(&["inspect", file.to_str().unwrap(), "--format", "json"]).success();
    serde_json::from_str(&json).unwrap()
}

fn integer(object: &Value, key: &str) -> Option<i64> {
    object[key].as_i64()
}

fn assert_refused(what: &str, answer: &Answer, words: &[&str]) {
    assert_eq!(answer.status, 400, "{what}: {}", answer.body);
    for word in words {
        assert!(answer.body.contains(word), "{what}: no `{word}` in: {}", answer.body);
    }
}

/// Sends one span of its own id.
fn assert_accepts_a_span(collector: &Collector, number: u64) {
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("{number:016x}"), "name": "GET /",
        "startTimeUnixNano": "1795254658000000000", "endTimeUnixNano": "1795254658000000001",
    });
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let answer = http::post(collector.http, "/v1/traces", &[JSON], request.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Status and message of a gRPC call. An error is all in the headers of its answer, and the port takes HTTP/1, too.
fn grpc_message(collector: &Collector, signal: &str, message: &[u8]) -> (String, String) {
    let service = match signal {
        "traces" => "trace.v1.TraceService",
        "metrics" => "metrics.v1.MetricsService",
        _ => "logs.v1.LogsService",
    };
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let path = format!("/opentelemetry.proto.collector.{service}/Export");
    let headers = [("Content-Type", "application/grpc"), ("TE", "trailers")];
    let answer = http::post(collector.grpc, &path, &headers, &frame);
    let header = |name| {
        answer
            .header(name)
            .unwrap_or_else(|| panic!("no {name} in {answer:?}"))
            .to_owned()
    };
    (header("grpc-status"), header("grpc-message").replace("%20", " "))
}

/// A server that hands each connection to `handle`, for as long as the test process lives.
fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream.unwrap()));
        }
    });
    address
}

fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) {
    // The request fits into one packet, and nothing in it matters.
    let _ = stream.read(&mut [0; 4096]).unwrap();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The collector stops in the middle of a pull.
    let _ = stream.write_all(body);
}

fn targets_config(targets: &[SocketAddr]) -> String {
    let targets = targets.iter().enumerate().map(|(index, address)| {
        json!({
            "endpoint": format!("http://{address}"),
            "resource": {"service.name": "shop", "service.instance.id": format!("target-{index}")},
        })
    });
    // JSON is YAML.
    json!({
        "receivers": {"go_runtime": {
            "collection_interval": "1s",
            "trace_duration": "1s",
            "timeout": "2s",
            "targets": targets.collect::<Vec<_>>(),
        }},
        "service": {"pipelines": {"profiles": {"receivers": ["otlp", "go_runtime"]}}},
    })
    .to_string()
}

//! `spandrel inspect` reads a stream: from standard input, compressed, cut, and nothing else than a trace.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use spandrel_tests::{binary, recording, repository};

/// A trace of some seconds, compressed with zstd.
fn trace() -> PathBuf {
    recording::profile_files(recording::SECOND)[0].clone()
}

/// What `spandrel inspect - OPTIONS` says of a file on its standard input.
fn piped(file: &Path, options: &[&str]) -> Output {
    let mut command = binary::command(&[&["inspect", "-"], options].concat());
    command.stdin(File::open(file).unwrap()).output().unwrap()
}

fn inspected(file: &Path) -> Value {
    let json = binary::run(&["inspect", file.to_str().unwrap(), "--format", "json"]).success();
    serde_json::from_str(&json).unwrap()
}

#[test]
fn standard_input_and_every_compression_give_what_the_plain_file_gives() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    let bytes = zstd::decode_all(fs::read(trace()).unwrap().as_slice()).unwrap();
    fs::write(&plain, bytes).unwrap();
    let expected = inspected(&plain);
    assert_eq!(inspected(&trace()), expected);
    for file in [&plain, &trace()] {
        let output = piped(file, &["--format", "json"]);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "no progress without a terminal: {output:?}");
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
    }
}

#[test]
fn the_summary_adds_up_with_its_goroutines() {
    let report = inspected(&trace());
    let number = |value: &Value| value.as_i64().unwrap();
    let groups = report["groups"].as_array().unwrap();
    let grouped: i64 = groups.iter().map(|group| number(&group["goroutines"])).sum();
    assert_eq!(grouped, number(&report["goroutine_counts"]["total"]));
    assert_eq!(
        grouped,
        i64::try_from(report["goroutines"].as_array().unwrap().len()).unwrap()
    );
    let runnable: i64 = groups.iter().map(|group| number(&group["runnable_ns"])).sum();
    assert!(runnable >= number(&report["scheduler_latency"]["total_ns"]));
    let duration_ns = number(&report["duration_ns"]);
    let states = report["states"].as_array().unwrap();
    assert!(!states.is_empty());
    for state in states {
        let [p50, p99, max] = ["p50_ns", "p99_ns", "max_ns"].map(|key| number(&state[key]));
        assert!(p50 <= p99 && p99 <= max && max <= duration_ns, "{state}");
    }
    assert_eq!(report["losses"].as_array().unwrap().len(), 0);
}

#[test]
fn a_compressed_file_that_is_cut_gives_what_is_readable_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cut.zst");
    let stored = fs::read(trace()).unwrap();
    fs::write(&file, &stored[..stored.len() - 100]).unwrap();
    let report = inspected(&file);
    assert!(report["generations"].as_u64().unwrap() > 0);
    let losses = report["losses"].as_array().unwrap();
    assert!(losses.iter().any(|loss| loss["what"] == "read_failed"), "{losses:?}");
    let page = binary::run(&["inspect", file.to_str().unwrap()]).success();
    assert!(page.contains("all behind the place where reading failed"), "{page}");
}

#[test]
fn what_is_no_trace_is_refused_with_its_name() {
    let page = repository::root().join("README.md");
    let message = binary::run(&["inspect", page.to_str().unwrap()]).failure();
    assert!(message.contains("README.md") && message.contains("byte 0"), "{message}");
    let output = piped(&page, &[]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("standard input") && message.contains("byte 0"),
        "{message}"
    );
    let message = binary::run(&["inspect", repository::root().to_str().unwrap()]).failure();
    assert!(message.contains("is a directory"), "{message}");
}

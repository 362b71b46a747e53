//! The Go project's own text traces, with the outcome that Go expects of each.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::{Path, PathBuf};

use gotrace::{ExecTrace, Recording};
use support::text::parse_test;

/// Where the traces are, if they are there: beside the repository, not in it.
fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/go-text-traces");
    folder.is_dir().then_some(folder)
}

#[test]
fn every_text_trace_of_the_go_project_ends_as_go_expects() {
    let Some(folder) = corpus() else {
        println!("SKIPPED: no folder shared/corpora/go-text-traces beside the repository");
        return;
    };
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    files.sort();
    let mut failures_count = 0;
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        let test = parse_test(&std::fs::read_to_string(path).unwrap());
        let mut events = ExecTrace::open(&test.trace).unwrap().events();
        let events_count = events.by_ref().count();
        let warnings: Vec<String> = events.warnings().as_slice().iter().map(ToString::to_string).collect();
        match test.failure {
            None => {
                assert!(warnings.is_empty(), "{name}: {warnings:?}");
                assert!(events_count > 1, "{name}: no events");
            }
            Some(pattern) => {
                failures_count += 1;
                assert_eq!(
                    pattern.trim_matches(['.', '*']),
                    "expected a proc but didn't have one",
                    "{name}"
                );
                assert!(
                    warnings.iter().any(|warning| warning.contains("expected a proc")),
                    "{name}: {warnings:?}"
                );
            }
        }
        if let Ok(recording) = Recording::decode(&test.trace) {
            support::assert_tiled(&recording);
        }
    }
    assert!(files.len() >= 23, "{} files", files.len());
    assert_eq!(failures_count, 2);
}

//! Our view of real traces against that of Go's own reader (golang.org/x/exp/trace): I-21.
//!
//! * `trace_set` records traces with every Go toolchain from 1.22 on;
//! * `steps` renders events the way `tests/programs/reference` does;
//! * `lanes` compares the events of each goroutine, proc and thread in order;
//! * `totals` compares what lasted;
//! * `coverage` counts what the traces hold.
//!
//! A trace on which the readers disagree is kept, and the failure names it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod coverage;
mod lanes;
mod steps;
mod totals;
mod trace_set;

#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;

use coverage::Coverage;
use gotrace::{ExecTrace, Recording};
use support::go::{self, Toolchain};
use support::text::parse_test;

#[test]
fn i21_agrees_on_traces_by_go_1_22() {
    agrees_on_traces_by(22);
}

#[test]
fn i21_agrees_on_traces_by_go_1_23() {
    agrees_on_traces_by(23);
}

#[test]
fn i21_agrees_on_traces_by_go_1_24() {
    agrees_on_traces_by(24);
}

#[test]
fn i21_agrees_on_traces_by_go_1_25() {
    agrees_on_traces_by(25);
}

#[test]
fn i21_agrees_on_traces_by_go_1_26() {
    agrees_on_traces_by(26);
}

#[test]
fn i21_agrees_on_traces_by_go_1_27() {
    agrees_on_traces_by(27);
}

/// Compares all traces of a version, which together hold every kind of event that the version can write.
fn agrees_on_traces_by(minor: u32) {
    let Some(reference) = go::available(go::reference()) else {
        return;
    };
    let Some(toolchain) = go::available(Toolchain::of(minor)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut coverage = Coverage::default();
    for trace in trace_set::record(toolchain, &reference, folder.path()) {
        compare(&reference, &trace);
        coverage.add(&std::fs::read(&trace).unwrap());
    }
    assert_eq!(
        coverage.missing(minor),
        Vec::<&str>::new(),
        "events that no trace holds"
    );
}

#[test]
fn i21_agrees_on_the_fixtures() {
    let Some(reference) = go::available(go::reference()) else {
        return;
    };
    let fixtures = go::crate_folder().join("tests/fixtures");
    let mut traces_count = 0;
    for entry in fixtures.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "trace") {
            compare(&reference, &path);
            traces_count += 1;
        }
    }
    assert!(traces_count > 0);
}

#[test]
fn i21_agrees_on_the_text_traces_of_the_go_project() {
    let Some(reference) = go::available(go::reference()) else {
        return;
    };
    let corpus = go::crate_folder().join("../../../shared/corpora/go-text-traces");
    let Ok(files) = corpus.read_dir() else {
        go::skipped("no folder shared/corpora/go-text-traces beside the repository");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let file = file.unwrap();
        let test = parse_test(&std::fs::read_to_string(file.path()).unwrap());
        if test.failure.is_none() {
            let trace = folder.path().join(file.file_name());
            std::fs::write(&trace, test.trace).unwrap();
            compare(&reference, &trace);
        }
    }
}

/// The times that the program wrote are those of Go's reader, but for events that it puts off because of a status that
/// was written late.
fn assert_no_later(written: &[steps::Step], go: &[steps::Step]) {
    assert_eq!(written.len(), go.len());
    let mut put_off_until_ns = i64::MIN;
    for (written, go) in written.iter().zip(go) {
        let same = steps::Step {
            time_ns: go.time_ns,
            ..written.clone()
        };
        assert_eq!(same, *go);
        // Each event after a status is put off until the one before, and a nanosecond more.
        let is_put_off = go.is_status() || go.time_ns <= put_off_until_ns + 1;
        if go.time_ns != written.time_ns {
            assert!(is_put_off && written.time_ns < go.time_ns, "{written:?} {go:?}");
            put_off_until_ns = go.time_ns;
        }
    }
}

/// Generations of the fixture whose name says so have been forgotten by a flight recorder.
#[test]
fn the_first_generation_may_have_any_number() {
    let fixture = go::crate_folder().join("tests/fixtures/flight-recorder-go1.27.trace");
    let recording = Recording::decode(&std::fs::read(fixture).unwrap()).unwrap();
    assert!(recording.generations[0].number > 1, "{:?}", recording.generations[0]);
    assert!(recording.generations.len() > 1);
}

/// Writes `docs/gotrace-coverage.md`; `make gotrace-coverage` runs it.
#[test]
#[ignore = "writes docs/gotrace-coverage.md"]
fn writes_the_coverage_table() {
    let reference = go::available(go::reference()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut columns = Vec::new();
    for toolchain in Toolchain::all() {
        let toolchain = Toolchain::of(toolchain.minor).unwrap();
        let mut coverage = Coverage::default();
        for trace in trace_set::record(toolchain, &reference, folder.path()) {
            coverage.add(&std::fs::read(&trace).unwrap());
        }
        columns.push((toolchain, coverage));
    }
    let docs = go::crate_folder().join("../../docs/gotrace-coverage.md");
    std::fs::write(docs, coverage::table(&columns)).unwrap();
}

/// Compares one trace. If the readers disagree, the trace is kept.
fn compare(reference: &Path, trace: &Path) {
    let name = trace.file_name().unwrap().to_string_lossy().into_owned();
    let compared = catch_unwind(AssertUnwindSafe(|| compare_views(reference, trace)));
    if let Err(panic) = compared {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gotrace-disagreements");
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::copy(trace, kept.join(&name)).unwrap();
        eprintln!("the readers disagree on {}", kept.join(&name).display());
        resume_unwind(panic);
    }
}

fn compare_views(reference: &Path, trace: &Path) {
    let bytes = std::fs::read(trace).unwrap();
    let view = |what: &str| go::run(Command::new(reference).arg(what).arg(trace));
    let theirs = steps::parse(&String::from_utf8(view("steps")).unwrap());
    let open = || ExecTrace::read(bytes.as_slice()).unwrap();
    let ours = steps::of(open().with_times_of_go_reader());
    let shifts = lanes::compare(&ours, &theirs);
    assert_no_later(&steps::of(open()), &ours);

    let recording = Recording::of(open().with_times_of_go_reader()).unwrap();
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    support::assert_tiled(&recording);
    totals::compare(&recording, &serde_json::from_slice(&view("totals")).unwrap(), &shifts);
}

//! Every way in which a goroutine stands still gets its word: on stacks of Go 1.22 to 1.27 that are kept here as text,
//! and on what the installed Go records.
//!
//! `tests/programs/waits` blocks a goroutine in each way. `stacks/` holds where its goroutines stood, one file for each
//! version of Go, written by `cargo run -p spandrel-profiles --example wait-stacks`.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod cases;
mod observed;
mod stacks;

use std::path::{Path, PathBuf};
use std::process::Command;

use gotrace::Recording;
use spandrel_profiles::go_execution_trace::StateRules;

use cases::{CASES, Case, Presence};
use observed::observed;

#[test]
fn every_kept_stack_gets_its_word() {
    let rules = StateRules::default();
    let mut wrong = Vec::new();
    for file in stacks::files() {
        for stack in stacks::parse(&file.text) {
            let (found, expected) = (stack.word(&rules), case(&stack.case).word_if(file.is_early));
            if found != expected {
                wrong.push(format!("{} {}: {found}, not {expected}", file.name, stack.case));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_way_of_waiting_has_a_kept_stack_of_every_go_that_has_it() {
    for file in stacks::files() {
        let kept: Vec<String> = stacks::parse(&file.text).map(|stack| stack.case).collect();
        let missing: Vec<_> = CASES
            .iter()
            .filter(|case| case.presence == Presence::Always && !kept.iter().any(|kept| kept == case.name))
            .map(|case| case.name)
            .collect();
        assert!(file.is_early || missing.is_empty(), "{}: {missing:?}", file.name);
    }
    for case in CASES {
        let is_kept = |file: &stacks::File| stacks::parse(&file.text).any(|stack| stack.case == case.name);
        assert!(stacks::files().iter().any(is_kept), "{}: no stack", case.name);
    }
}

#[test]
fn kept_stacks_are_as_they_were_written() {
    for file in stacks::files() {
        assert_eq!(stacks::render(stacks::parse(&file.text)), file.text, "{}", file.name);
    }
}

#[test]
fn what_the_installed_go_records_gets_its_words() {
    let Some(program) = program() else { return };
    let recording = record(&program, "waits.trace", &[]);
    check(&recording, false, |case| case.presence == Presence::Always);
}

/// The runtime gives no reason for waits that began before the recording, so their words come from stacks alone.
#[test]
fn waits_from_before_the_recording_get_their_words_from_stacks() {
    let Some(program) = program() else { return };
    let recording = record(&program, "early.trace", &["-early", "-for", "500ms"]);
    check(&recording, true, |case| case.begins_early);
}

fn check(recording: &Recording, is_early: bool, must_occur: impl Fn(&Case) -> bool) {
    let observed = observed(recording, &StateRules::default());
    let mut wrong = Vec::new();
    for case in CASES {
        let expected = case.word_if(is_early);
        match observed.get(case.name) {
            Some(observed) if observed.word != expected => {
                let (word, functions) = (&observed.word, &observed.stack.functions);
                wrong.push(format!("{}: {word}, not {expected}: {functions:?}", case.name));
            }
            None if must_occur(case) => wrong.push(format!("{}: not seen", case.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn case(name: &str) -> &'static Case {
    let known = CASES.iter().find(|case| case.name == name);
    known.unwrap_or_else(|| panic!("no case `{name}`"))
}

/// Builds the program; `None` without Go.
fn program() -> Option<PathBuf> {
    if !Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        println!("SKIPPED: `go` is not installed");
        return None;
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("waits");
    run(Command::new("go")
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/waits")));
    Some(program)
}

/// Generations of 5 ms, so that a wait of some tens lasts for several.
fn record(program: &Path, name: &str, options: &[&str]) -> Recording {
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    run(Command::new(program)
        .args(options)
        .arg("-out")
        .arg(&trace)
        .env("GODEBUG", "traceadvanceperiod=5000000"));
    Recording::decode(&std::fs::read(&trace).unwrap()).unwrap()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

//! Regions of a program that are named after spans, from the program in `programs/regions` (Go 1.26).

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;

use spandrel_profiles::go_execution_trace::{self, Decoded, StateRules};

const TRACE: &[u8] = include_bytes!("programs/regions/regions.trace");

#[test]
fn a_region_that_is_named_after_a_span_counts_as_a_log_of_its_id() {
    let rules = StateRules::default();
    let decoded = go_execution_trace::decode(TRACE, Arc::default(), "regions.trace".into(), &rules).unwrap();
    let Decoded::Anchored(recording) = decoded else {
        panic!("it has a wall clock");
    };
    let [log] = &recording.user_logs[..] else {
        panic!("one is expected: {:?}", recording.user_logs);
    };
    assert_eq!(&*log.message, b"4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7");
    assert_eq!(&**recording.names.resolve(log.category), "region");
    assert!(recording.window.start() < log.at && log.at < recording.window.end());
    let task = recording.tasks.iter().find(|task| task.id == log.task).unwrap();
    let entry = recording.names.resolve(task.entry_function);
    assert_eq!(&**entry, "main.main.func1");
}

//! Conversion of a real trace, made by `gotrace`'s own test program with mutexes, channels, timers, network and GC.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spandrel_model::{ProcessIdentity, State, Table, TaskRecording, Waker};

use super::{Decoded, StateRules, decode};
use crate::columns;

fn recording() -> TaskRecording {
    let bytes = include_bytes!("../../gotrace/tests/fixtures/mix.trace");
    match decode(
        bytes,
        Arc::new(ProcessIdentity::default()),
        "mix.trace".into(),
        &StateRules::default(),
    )
    .unwrap()
    {
        Decoded::Anchored(recording) => recording,
        Decoded::Unanchored(_) => panic!("a trace of Go 1.26 has a wall clock"),
    }
}

#[test]
fn the_states_of_a_task_tile_its_life_in_the_window() {
    let recording = recording();
    let mut by_task: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for state in &recording.states {
        by_task.entry(state.task).or_default().push(state.interval);
    }
    assert!(by_task.len() > 10, "the program runs many goroutines");
    for task in &recording.tasks {
        let Some(intervals) = by_task.get(&task.id) else {
            continue;
        };
        assert_eq!(
            intervals[0].start(),
            task.birth.unwrap_or(recording.window.start()),
            "{task:?}"
        );
        assert_eq!(
            intervals[intervals.len() - 1].end(),
            task.death.unwrap_or(recording.window.end()),
            "{task:?}"
        );
        for pair in intervals.windows(2) {
            assert_eq!(pair[0].end(), pair[1].start(), "{task:?}");
        }
    }
    assert!(recording.states.iter().all(|state| state.interval.duration_ns() > 0));
}

#[test]
fn waits_are_told_apart() {
    let recording = recording();
    let states: BTreeSet<State> = recording.states.iter().map(|state| state.state).collect();
    for expected in [
        State::Running,
        State::Runnable,
        State::Mutex,
        State::RwMutex,
        State::WaitGroup,
        State::Channel,
        State::Sleep,
        State::Network,
        State::Syscall,
        State::GcAssist,
        State::GcStw,
    ] {
        assert!(states.contains(&expected), "no {expected} among {states:?}");
    }
}

#[test]
fn only_waits_have_wakers_and_no_select_or_channel_is_ended_by_nobody() {
    for state in recording().states {
        match state.state {
            State::Running | State::Runnable | State::GcStw | State::Syscall => {
                assert_eq!(state.waker, Waker::None, "{state:?}");
            }
            State::Channel | State::Select => assert_ne!(state.waker, Waker::External, "{state:?}"),
            _ => {}
        }
    }
}

#[test]
fn every_row_of_every_table_fits_its_schema_and_every_stack_is_there() {
    let recording = recording();
    let tables: BTreeMap<Table, _> = columns::tables(&recording).unwrap().into_iter().collect();
    assert_eq!(tables[&Table::TaskStates].num_rows(), recording.states.len());
    assert_eq!(tables[&Table::Tasks].num_rows(), recording.tasks.len());
    assert_eq!(tables[&Table::RuntimeEvents].num_rows(), recording.runtime_events.len());
    assert_eq!(tables[&Table::Stacks].num_rows(), recording.stacks.len());
    let known: BTreeSet<_> = recording.stacks.iter().map(|stack| stack.id).collect();
    assert!(
        recording
            .states
            .iter()
            .filter_map(|state| state.stack)
            .all(|stack| known.contains(&stack))
    );
}

#[test]
fn what_is_no_trace_is_an_error_that_names_its_source() {
    let error = decode(
        b"<html>",
        Arc::new(ProcessIdentity::default()),
        "http://shop:6060".into(),
        &StateRules::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("http://shop:6060"), "{error}");
}

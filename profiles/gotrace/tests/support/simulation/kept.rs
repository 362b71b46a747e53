//! What has to be left of a generation when another one is damaged: all that it says by itself.
//!
//! A generation announces everything that it mentions, so a reader that knows nothing of the one before misses only what
//! happened there: for what a goroutine waits at its start, what made it runnable, which proc its system call left.

use std::collections::BTreeMap;

use super::sequences::{Resource, sequences};
use super::view::{Line, State, View, assert_same};

/// What one generation says by itself.
#[derive(Clone, Debug)]
struct Told {
    events: BTreeMap<Resource, Vec<Line>>,
    /// What each goroutine did.
    states: BTreeMap<u64, Vec<State>>,
}

/// Checks that a damaged trace still tells of some of its generations, named by position, what they say by themselves.
pub(crate) fn assert_kept(found: &View, whole: &View, is_kept: impl Fn(usize) -> bool) {
    let found = by_generation(found);
    let whole = by_generation(whole);
    for (number, told) in whole
        .iter()
        .enumerate()
        .filter(|(position, _)| is_kept(*position))
        .map(|(_, told)| told)
    {
        let Some(found) = found.get(number) else {
            panic!("generation {number} is lost");
        };
        for (resource, told) in &told.events {
            let found = found.events.get(resource).map(Vec::as_slice).unwrap_or_default();
            assert_same(&format!("generation {number}: events of {resource:?}"), found, told);
        }
        for (goroutine, told) in &told.states {
            let found = found.states.get(goroutine).map(Vec::as_slice).unwrap_or_default();
            assert_same(
                &format!("generation {number}: states of goroutine {goroutine}"),
                found,
                told,
            );
        }
    }
}

/// What each generation tells, by its number. What stands between a gap and the next generation belongs to none.
fn by_generation(view: &View) -> BTreeMap<u64, Told> {
    let is_marker = |line: &Line| matches!(line.name, "GenerationStart" | "Gap");
    let mut told = BTreeMap::new();
    for (start, marker) in view
        .events
        .iter()
        .enumerate()
        .filter(|(_, line)| line.name == "GenerationStart")
    {
        let rest = &view.events[start + 1..];
        let length = rest.iter().position(is_marker).unwrap_or(rest.len());
        let end = rest.get(length).map_or(view.end, |next| next.time);
        let number = marker.detail.parse().expect("a generation has a number");
        let generation = Told {
            events: events_by_themselves(&rest[..length]),
            states: states_within(view, marker.time, end),
        };
        told.insert(number, generation);
    }
    told
}

/// The events about each resource, without what only the generation before tells.
fn events_by_themselves(lines: &[Line]) -> BTreeMap<Resource, Vec<Line>> {
    let lines: Vec<Line> = lines.iter().map(by_itself).collect();
    sequences(&lines)
}

fn by_itself(line: &Line) -> Line {
    let mut line = line.clone();
    if matches!(line.name, "ProcStatus" | "GoStatus") {
        let (status, _) = line.detail.split_once(", ").expect("a status says whether it is news");
        line.detail = status.to_owned();
    }
    if matches!(
        line.name,
        "ProcStatus" | "GoStatus" | "GCMarkAssistActive" | "GCSweepActive"
    ) {
        line.goroutine = None;
    }
    line
}

/// What each goroutine does from one time to another.
fn states_within(view: &View, from: i64, to: i64) -> BTreeMap<u64, Vec<State>> {
    let mut states: BTreeMap<u64, Vec<State>> = BTreeMap::new();
    for life in &view.lives {
        let within = life
            .intervals
            .iter()
            .filter(|interval| interval.start < to && interval.end > from);
        for interval in within {
            let states = states.entry(life.id).or_default();
            if interval.start > from {
                states.push(interval.state.clone());
            } else {
                states.push(without_past(&interval.state));
            }
        }
    }
    // A system call that is under way at the start counts as one without a proc.
    for states in states.values_mut() {
        if states.starts_with(&[State::SyscallBlocked, State::SyscallBlocked]) {
            states.remove(0);
        }
    }
    states
}

/// A state as a reader sees it who does not know how it began.
fn without_past(state: &State) -> State {
    match state {
        State::Runnable(_) => State::Runnable("unknown".to_owned()),
        State::Waiting(_) => State::Waiting("unknown".to_owned()),
        State::Syscall => State::SyscallBlocked,
        other => other.clone(),
    }
}

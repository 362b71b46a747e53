//! What has to be left of a generation when another one is damaged: all that it says by itself.
//!
//! A generation announces everything that it mentions, so a reader that knows nothing of the one before misses only what
//! happened there: for what a goroutine waits at its start, what made it runnable, which proc its system call left.

use std::collections::{BTreeMap, BTreeSet};

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
    let kept = whole.iter().enumerate().filter(|(position, _)| is_kept(*position));
    for (_, (number, told)) in kept {
        let Some(found) = found.get(number) else {
            panic!("generation {number} is lost");
        };
        for (resource, told) in &told.events {
            let found = found.events.get(resource).map(Vec::as_slice).unwrap_or_default();
            assert_same(&format!("generation {number}: events of {resource:?}"), found, told);
        }
        // Of a goroutine that the generation does not mention it says that there is none.
        let goroutines: BTreeSet<&u64> = found.states.keys().chain(told.states.keys()).collect();
        for goroutine in goroutines {
            let states = |told: &Told| told.states.get(goroutine).cloned().unwrap_or_default();
            let what = format!("generation {number}: states of goroutine {goroutine}");
            assert_same(&what, &states(found), &states(told));
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
        let mut of_life: Vec<State> = within
            .map(|interval| match interval.start > from {
                true => interval.state.clone(),
                false => without_past(&interval.state),
            })
            .collect();
        // A system call that is under way at the start counts as one without a proc.
        if of_life.starts_with(&[State::SyscallBlocked, State::SyscallBlocked]) {
            of_life.remove(0);
        }
        states.entry(life.id).or_default().extend(of_life);
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

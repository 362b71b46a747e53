//! Where the goroutines of a recording stood still, sorted into cases.

use std::collections::BTreeMap;

use gotrace::{GoroutineState, Recording, StateInterval, WaitReason, Waker};
use spandrel_model::State;
use spandrel_profiles::go_execution_trace::{COROUTINE, Refiner, StateRules};

use super::cases::{CASES, Case};
use super::stacks::{ENDED_EXTERNALLY, SYSTEM_CALL, Stack, WAIT_FOR, WAIT_SINCE_BEFORE};

/// What a recording shows of a case.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// The word that most of its time has.
    pub(crate) word: String,
    /// The longest stretch with that word.
    pub(crate) stack: Stack,
}

/// The cases that a recording shows, by name.
pub(crate) fn observed(recording: &Recording, rules: &StateRules) -> BTreeMap<&'static str, Observed> {
    let mut refiner = Refiner::with_rules(recording, rules);
    let mut times: BTreeMap<&str, BTreeMap<String, Times>> = BTreeMap::new();
    for interval in &recording.states {
        let Some(how) = how(recording, interval) else { continue };
        let functions = functions(recording, interval);
        for case in CASES.iter().filter(|case| shows(case, &how, &functions)) {
            let words = times.entry(case.name).or_default();
            refiner.refine(interval, |piece| {
                if is_incidental(piece.state) && !case.word.starts_with(piece.state.as_str()) {
                    return;
                }
                let times = words.entry(word(piece.state, piece.sub_state)).or_default();
                times.add(piece.end.0 - piece.start.0, || Stack {
                    case: case.name.to_owned(),
                    how: how.clone(),
                    functions: functions.clone(),
                });
            });
        }
    }
    let longest = |(name, words): (&'static str, BTreeMap<String, Times>)| {
        let (word, times) = words.into_iter().max_by_key(|(_, times)| times.total_ns)?;
        let stack = times.stack?;
        Some((name, Observed { word, stack }))
    };
    times.into_iter().filter_map(longest).collect()
}

/// Whether a goroutine may stand still so wherever it is: whatever allocates may have to help the collector, and the
/// library prepares much when it is first used, while all others wait.
fn is_incidental(state: State) -> bool {
    matches!(state, State::GcAssist | State::GcOther | State::Once)
}

/// Time with one word in one case.
#[derive(Default)]
struct Times {
    total_ns: i64,
    longest_ns: i64,
    /// Of the longest stretch.
    stack: Option<Stack>,
}

impl Times {
    fn add(&mut self, length_ns: i64, stack: impl FnOnce() -> Stack) {
        self.total_ns += length_ns;
        if length_ns > self.longest_ns {
            self.longest_ns = length_ns;
            self.stack = Some(stack());
        }
    }
}

/// `state` or `state/sub_state`; whether a system call has a P is left out.
pub(crate) fn word(state: State, sub_state: &str) -> String {
    match sub_state.strip_suffix("_without_p").unwrap_or(sub_state) {
        "" => state.to_string(),
        sub_state => format!("{state}/{sub_state}"),
    }
}

fn how(recording: &Recording, interval: &StateInterval) -> Option<String> {
    let GoroutineState::Waiting { reason, waker, .. } = interval.state else {
        let in_call = matches!(interval.state, GoroutineState::Syscall | GoroutineState::SyscallBlocked);
        return in_call.then(|| SYSTEM_CALL.to_owned());
    };
    let end = if waker == Waker::External { ENDED_EXTERNALLY } else { "" };
    Some(match reason {
        WaitReason::Runtime(id) => format!("{WAIT_FOR}{}{end}", recording.text(id)),
        WaitReason::CoroutineSwitch => format!("{WAIT_FOR}{COROUTINE}{end}"),
        WaitReason::Unknown => format!("{WAIT_SINCE_BEFORE}{end}"),
    })
}

fn functions(recording: &Recording, interval: &StateInterval) -> Vec<String> {
    let frames = interval.stack.map_or(&[][..], |stack| recording.frames(stack));
    frames
        .iter()
        .map(|frame| recording.text(frame.function).into_owned())
        .collect()
}

/// Whether a stack holds the functions of a case; a type without a method stands for all of its methods.
fn shows(case: &Case, how: &str, functions: &[String]) -> bool {
    if case.word.starts_with("syscall") != (how == SYSTEM_CALL) {
        return false;
    }
    case.stacks.iter().any(|expected| {
        let mut rest = functions.iter();
        expected.iter().all(|expected| {
            rest.any(|function| function == expected || (expected.ends_with(')') && function.starts_with(expected)))
        })
    })
}

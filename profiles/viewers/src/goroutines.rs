//! Naming goroutines, and naming what they do.

use std::borrow::Cow;

use gotrace::{GoroutineId, StackId, StringId, Symbols};
use spandrel_model::State;

/// A stack of so many frames is cut: its last frame is not where the goroutine began (`traceStackSize` of
/// runtime/tracestack.go).
const STACK_FRAMES_MAX: usize = 128;

/// `G12 main.worker`, or `G12` while nothing is known of its first function.
pub(crate) fn label(id: GoroutineId, function: Option<StringId>, symbols: &Symbols) -> String {
    match function {
        Some(function) => format!("G{id} {}", symbols.text(function)),
        None => format!("G{id}"),
    }
}

/// The function that a goroutine with this stack began with: what [`Goroutine::start_function`](gotrace::Goroutine) will
/// say once the goroutine has ended.
pub(crate) fn first_function(stack: StackId, symbols: &Symbols) -> Option<StringId> {
    let frames = symbols.frames(stack);
    let first = frames.last().filter(|_| frames.len() < STACK_FRAMES_MAX)?;
    Some(first.function).filter(|name| *name != StringId::EMPTY)
}

/// What a goroutine is shown to do: `mutex`, `channel recv`, or the runtime's own `reason` for a wait that no rule knows.
/// Why it is runnable stays out of the name, because a viewer colors by name.
pub(crate) fn doing<'a>(state: State, sub_state: &'a str, reason: &'a str) -> Cow<'a, str> {
    match (state, sub_state) {
        (State::Other, "") if !reason.is_empty() => Cow::Borrowed(reason),
        (State::Runnable | State::GcStw | State::Unknown, _) | (_, "") => Cow::Borrowed(state.as_str()),
        (_, sub_state) => Cow::Owned(format!("{state} {sub_state}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_named_by_what_is_known_of_it() {
        assert_eq!(doing(State::Mutex, "", "sync"), "mutex");
        assert_eq!(doing(State::Channel, "recv", "chan receive"), "channel recv");
        assert_eq!(doing(State::Other, "", "quantum wait"), "quantum wait");
        assert_eq!(doing(State::Other, "", ""), "other");
        assert_eq!(doing(State::Runnable, "unblocked", ""), "runnable");
    }
}

//! Finding and naming goroutines, and naming what they do.

use std::borrow::Cow;

use gotrace::{Goroutine, GoroutineId, Recording, TraceNanos};
use spandrel_model::State;

/// Position in [`Recording::goroutines`] of the life of `id` that has begun at `at`, or of its first life if none has.
pub(crate) fn position(recording: &Recording, id: GoroutineId, at: TraceNanos) -> Option<usize> {
    let lives = &recording.goroutines;
    let first = lives.partition_point(|life| life.id < id);
    let after = lives.partition_point(|life| (life.id, life.first) <= (id, at));
    let position = after.saturating_sub(1).max(first);
    (lives.get(position)?.id == id).then_some(position)
}

/// `G12 main.worker`.
pub(crate) fn label(recording: &Recording, goroutine: &Goroutine) -> String {
    match goroutine.start_function {
        Some(function) => format!("G{} {}", goroutine.id, recording.text(function)),
        None => format!("G{}", goroutine.id),
    }
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

//! From the runtime's reason strings and stacks to states: one table, first match wins.
//!
//! Go reports one reason, "sync", for everything built on semaphores (`runtime/sema.go`), so the innermost frames of
//! the blocked goroutine decide between mutexes, wait groups and the rest. An unknown reason is [`State::Other`], and
//! the reason itself stays beside it.

use spandrel_model::State;

/// A wait with reason `reason` and, if `frame` is not empty, a function with that prefix among its innermost frames.
struct WaitRule {
    reason: &'static str,
    frame: &'static str,
    state: State,
    sub_state: &'static str,
}

/// How many frames from the innermost a rule looks at: the runtime's and `sync`'s own, and the first caller.
pub(super) const FRAMES_SEEN: usize = 8;

const fn rule(reason: &'static str, frame: &'static str, state: State, sub_state: &'static str) -> WaitRule {
    WaitRule {
        reason,
        frame,
        state,
        sub_state,
    }
}

/// Reasons of `runtime/traceruntime.go`. A rule with a frame stands before the one without.
/// `RWMutex`, `Once` and `WaitGroup` are built on `Mutex`, so they come first.
const WAIT_RULES: &[WaitRule] = &[
    rule("network", "internal/poll.(*FD).Accept", State::Network, "accept"),
    rule("network", "net.(*netFD).connect", State::Network, "connect"),
    rule("network", "internal/poll.(*FD).Write", State::Network, "write"),
    rule("network", "internal/poll.(*FD).Read", State::Network, "read"),
    rule("network", "", State::Network, ""),
    rule("chan receive", "", State::Channel, "recv"),
    rule("chan send", "", State::Channel, "send"),
    rule("select", "", State::Select, ""),
    rule("sleep", "", State::Sleep, ""),
    rule("sync.(*Cond).Wait", "", State::Cond, ""),
    rule("sync", "runtime.gcStart", State::GcOther, "gc_start"),
    rule("sync", "runtime.gcMarkDone", State::GcOther, "mark_done"),
    rule("sync", "runtime.stopTheWorld", State::GcOther, "stop_the_world"),
    rule("sync", "sync.(*RWMutex).RLock", State::RwMutex, "read"),
    rule("sync", "sync.(*RWMutex).Lock", State::RwMutex, "write"),
    rule("sync", "sync.(*WaitGroup)", State::WaitGroup, ""),
    rule("sync", "sync.(*Once)", State::Once, ""),
    rule("sync", "internal/poll.(*fdMutex)", State::Sync, "fd_mutex"),
    rule("sync", "sync.(*Mutex)", State::Mutex, ""),
    rule("sync", "internal/sync.(*Mutex)", State::Mutex, ""),
    rule("sync", "", State::Sync, ""),
    rule("GC mark assist wait for work", "", State::GcAssist, "wait_for_work"),
    rule("GC background sweeper wait", "", State::GcOther, "background_sweeper"),
    rule("GC weak to strong wait", "", State::GcOther, "weak_to_strong"),
    rule("wait until GC ends", "", State::GcOther, "until_gc_ends"),
    rule("preempted", "", State::GcOther, "suspended"),
    rule("forever", "", State::Forever, ""),
    rule("system goroutine wait", "", State::Other, "system"),
    rule("wait for debug call", "", State::Other, "debug_call"),
    rule("synctest", "", State::Other, "synctest"),
];

/// The state of a wait for `reason`; `frames` are the functions of the blocked goroutine, innermost first.
pub(super) fn wait_state<'a>(reason: &str, frames: impl Iterator<Item = &'a str> + Clone) -> (State, &'static str) {
    let matches = |rule: &&WaitRule| {
        rule.reason == reason
            && (rule.frame.is_empty()
                || frames
                    .clone()
                    .take(FRAMES_SEEN)
                    .any(|frame| frame.starts_with(rule.frame)))
    };
    WAIT_RULES
        .iter()
        .find(matches)
        .map_or((State::Other, ""), |rule| (rule.state, rule.sub_state))
}

/// The state of a wait that no goroutine ended. The network poller readies only goroutines that wait for the
/// network; of channel operations and selects, what no goroutine ends is ended by a timer.
pub(super) fn ended_externally(state: State, sub_state: &'static str) -> (State, &'static str) {
    match state {
        State::Channel | State::Select => (State::Sleep, "timer"),
        _ => (state, sub_state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(reason: &str, frames: &[&str]) -> (State, &'static str) {
        wait_state(reason, frames.iter().copied())
    }

    #[test]
    fn innermost_frames_tell_semaphore_waits_apart() {
        let mutex = [
            "internal/sync.(*Mutex).lockSlow",
            "internal/sync.(*Mutex).Lock",
            "sync.(*Mutex).Lock",
            "main.work",
        ];
        assert_eq!(state("sync", &mutex), (State::Mutex, ""));
        let writer = [
            "sync.(*Mutex).lockSlow",
            "sync.(*Mutex).Lock",
            "sync.(*RWMutex).Lock",
            "main.work",
        ];
        assert_eq!(state("sync", &writer), (State::RwMutex, "write"));
        let once = [
            "sync.(*Mutex).lockSlow",
            "sync.(*Mutex).Lock",
            "sync.(*Once).doSlow",
            "sync.(*Once).Do",
        ];
        assert_eq!(state("sync", &once), (State::Once, ""));
        assert_eq!(
            state("sync", &["sync.(*WaitGroup).Wait", "main.main"]),
            (State::WaitGroup, "")
        );
        assert_eq!(state("sync", &["main.mystery"]), (State::Sync, ""));
    }

    #[test]
    fn a_caller_far_out_does_not_decide() {
        let deep = ["a", "b", "c", "d", "e", "f", "g", "h", "sync.(*Mutex).Lock"];
        assert_eq!(state("sync", &deep), (State::Sync, ""));
    }

    #[test]
    fn a_reason_of_a_later_go_is_other() {
        assert_eq!(state("quantum wait", &[]), (State::Other, ""));
    }

    #[test]
    fn every_plain_reason_has_a_rule_without_frames() {
        for rule in WAIT_RULES {
            assert!(
                WAIT_RULES
                    .iter()
                    .any(|other| other.reason == rule.reason && other.frame.is_empty()),
                "{}",
                rule.reason
            );
        }
    }
}

//! Totals of a recording, summed here and not by the crate under test.

use std::collections::BTreeMap;

use gotrace::{CpuSample, Goroutine, GoroutineState, Recording, StateInterval, Waker};
use spandrel_profiles::go_execution_trace::Refiner;

/// The base state of an interval in the words of the viewers.
pub(crate) fn base(interval: &StateInterval) -> &'static str {
    match interval.state {
        GoroutineState::Undetermined => "unknown",
        GoroutineState::Runnable { .. } => "runnable",
        GoroutineState::Running { .. } => "running",
        GoroutineState::Syscall | GoroutineState::SyscallBlocked => "syscall",
        GoroutineState::Waiting { .. } => "waiting",
    }
}

/// `G12 main.worker`.
pub(crate) fn label(recording: &Recording, goroutine: &Goroutine) -> String {
    let entry = goroutine
        .start_function
        .map_or(String::new(), |function| format!(" {}", recording.text(function)));
    format!("G{}{entry}", goroutine.id)
}

/// Nanoseconds by goroutine and base state.
pub(crate) fn by_goroutine(recording: &Recording) -> BTreeMap<(String, &'static str), i64> {
    let mut totals = BTreeMap::new();
    for goroutine in &recording.goroutines {
        for interval in recording.states_of(goroutine) {
            *totals.entry((label(recording, goroutine), base(interval))).or_default() += interval.duration_ns();
        }
    }
    totals
}

/// Nanoseconds by base state.
pub(crate) fn by_base_state(recording: &Recording) -> BTreeMap<&'static str, i64> {
    let mut totals = BTreeMap::new();
    for ((_, base), ns) in by_goroutine(recording) {
        *totals.entry(base).or_default() += ns;
    }
    totals
}

/// Nanoseconds by base state and refined state. Without `system`, goroutines of the runtime and waits that it calls idle
/// are left out.
pub(crate) fn by_state(recording: &Recording, system: bool) -> BTreeMap<(&'static str, &'static str), i64> {
    let mut totals = BTreeMap::new();
    let mut refiner = Refiner::new(recording);
    for goroutine in recording
        .goroutines
        .iter()
        .filter(|goroutine| system || !goroutine.is_system)
    {
        for interval in recording.states_of(goroutine) {
            let is_idle = match interval.state {
                GoroutineState::Waiting { reason, .. } => recording.wait_reason(reason) == "system goroutine wait",
                _ => false,
            };
            refiner.refine(interval, |piece| {
                if system || !is_idle {
                    *totals.entry((base(interval), piece.state.as_str())).or_default() += piece.end.0 - piece.start.0;
                }
            });
        }
    }
    totals
}

/// CPU samples. Without `system`, those of goroutines of the runtime, and outside goroutines, are left out.
pub(crate) fn cpu_samples(recording: &Recording, system: bool) -> i64 {
    let is_counted = |sample: &&CpuSample| {
        let is_sampled = |life: &&Goroutine| Some(life.id) == sample.goroutine && life.first <= sample.time;
        let sampled = recording.goroutines.iter().rev().find(is_sampled);
        system || sampled.is_some_and(|life| !life.is_system)
    };
    let count = recording.cpu_samples.iter().filter(is_counted).count();
    i64::try_from(count).unwrap()
}

/// Nanoseconds by proc, `P0`, and the goroutine that ran on it.
pub(crate) fn by_proc(recording: &Recording) -> BTreeMap<(String, String), i64> {
    let mut totals = BTreeMap::new();
    for goroutine in &recording.goroutines {
        for interval in recording.states_of(goroutine) {
            if let GoroutineState::Running { proc: Some(proc), .. } = interval.state {
                *totals
                    .entry((format!("P{proc}"), label(recording, goroutine)))
                    .or_default() += interval.duration_ns();
            }
        }
    }
    totals
}

/// How many waits were ended by goroutines, and how many goroutines were created by goroutines, in the trace.
pub(crate) fn causes(recording: &Recording) -> (i64, i64) {
    let woken = |interval: &&StateInterval| {
        matches!(
            interval.state,
            GoroutineState::Waiting {
                waker: Waker::Goroutine(_),
                ..
            }
        )
    };
    let created = |goroutine: &&Goroutine| goroutine.birth.is_some() && goroutine.creator.is_some();
    let wakes = recording.states.iter().filter(woken).count();
    let creations = recording.goroutines.iter().filter(created).count();
    (i64::try_from(wakes).unwrap(), i64::try_from(creations).unwrap())
}

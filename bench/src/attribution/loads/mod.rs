//! The inputs: made-up processes, each made the same in every run.

mod convoy;
mod handoffs;
mod random;
mod script;
mod service;

use anyhow::{Context, Result};
use spandrel_model::{Span, TaskRecording};

/// What attribution gets.
#[derive(Clone, Debug)]
pub struct Input {
    /// The one recording of the process.
    pub recording: TaskRecording,
    /// Its spans.
    pub spans: Vec<Span>,
}

/// A kind of input, of any size.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Name, also that of its folder.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// Requests of the benchmark.
    pub requests: usize,
    make: fn(usize) -> Input,
}

/// Every load.
pub const LOADS: [Load; 4] = [
    Load {
        name: "service",
        what: "requests of five nested spans, bound by logged ids",
        requests: 20_000,
        make: service::bound_by_logged_ids,
    },
    Load {
        name: "service-user-tasks",
        what: "the same, bound by the user tasks of the OpenTelemetry SDK",
        requests: 20_000,
        make: service::bound_by_user_tasks,
    },
    Load {
        name: "handoffs",
        what: "requests whose every wait a goroutine ends, in chains of two to six",
        requests: 20_000,
        make: handoffs::handoffs,
    },
    Load {
        name: "convoy",
        what: "requests that come at once and go through one lock",
        requests: 10_000,
        make: convoy::convoy,
    },
];

impl Load {
    /// The input with so many requests.
    pub fn make(&self, requests: usize) -> Input {
        (self.make)(requests)
    }
}

/// The load of this name.
///
/// # Errors
/// There is none.
pub fn load(name: &str) -> Result<&'static Load> {
    let named = LOADS.iter().find(|load| load.name == name);
    named.with_context(|| format!("no load `{name}`, there are {:?}", LOADS.map(|load| load.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_the_same_every_time_and_keep_what_a_recording_promises() {
        for load in LOADS {
            let (one, other) = (load.make(50), load.make(50));
            assert_eq!(one.recording.states, other.recording.states, "{}", load.name);
            assert_eq!(one.spans, other.spans);
            assert!(one.spans.len() >= 100);
            for pair in one.recording.states.windows(2) {
                let (left, right) = (&pair[0], &pair[1]);
                let (from, to) = ((left.task, left.interval.end()), (right.task, right.interval.start()));
                assert!(
                    left.task < right.task || from == to,
                    "{}: {left:?} {right:?}",
                    load.name
                );
            }
        }
    }
}

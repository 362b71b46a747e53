//! A recording in plain values, to be compared: built from a decoded trace here, and from a simulation in `expect`.
//!
//! Strings and stacks are in their text form, so that values of two traces compare.

use std::collections::BTreeMap;

/// A recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) generations: Vec<GenerationStart>,
    pub(crate) events: Vec<Line>,
    /// By id, then by time.
    pub(crate) lives: Vec<Life>,
    pub(crate) ranges: Vec<RangeView>,
    /// In the order in which the trace first shows each.
    pub(crate) tasks: Vec<TaskView>,
    pub(crate) regions: Vec<RegionView>,
    pub(crate) logs: Vec<LogView>,
    pub(crate) samples: Vec<SampleView>,
    /// Trace clock, monotonic clock and wall clock of each snapshot.
    pub(crate) snapshots: Vec<(i64, u64, i64)>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// Where a generation starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenerationStart {
    pub(crate) number: u64,
    pub(crate) start: i64,
    pub(crate) offset: u64,
}

/// What an event is about, besides its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Nothing,
    Proc(u64),
    Goroutine(u64),
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) time: i64,
    pub(crate) thread: Option<u64>,
    pub(crate) proc: Option<u64>,
    pub(crate) goroutine: Option<u64>,
    pub(crate) name: &'static str,
    pub(crate) subject: Subject,
    /// The rest of what the event says.
    pub(crate) detail: String,
    pub(crate) stack: String,
}

/// One life of a goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) id: u64,
    pub(crate) start_function: Option<String>,
    pub(crate) is_system: bool,
    pub(crate) creator: Option<u64>,
    pub(crate) creation_stack: String,
    pub(crate) birth: Option<i64>,
    pub(crate) death: Option<i64>,
    pub(crate) intervals: Vec<Interval>,
}

/// A stretch of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) state: State,
    /// Who ended it, if it is a wait that was ended.
    pub(crate) waker: String,
    pub(crate) stack: String,
}

/// What a goroutine is doing. The texts are the cause or reason, `"unknown"` where the trace cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Undetermined,
    Runnable(String),
    Running { proc: Option<u64>, thread: Option<u64> },
    Syscall,
    SyscallBlocked,
    Waiting(String),
}

/// Work of the runtime.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RangeView {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) kind: String,
    pub(crate) goroutine: Option<u64>,
    pub(crate) proc: Option<u64>,
    pub(crate) stack: String,
    pub(crate) began: bool,
    pub(crate) ended: bool,
}

/// A user task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskView {
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) name: String,
    pub(crate) begin: Option<Edge>,
    pub(crate) end: Option<Edge>,
}

/// Where a task begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) time: i64,
    pub(crate) goroutine: Option<u64>,
    pub(crate) stack: String,
}

/// A user region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegionView {
    pub(crate) goroutine: Option<u64>,
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
    pub(crate) task: u64,
    pub(crate) name: String,
    pub(crate) stack: String,
}

/// A user log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogView {
    pub(crate) time: i64,
    pub(crate) goroutine: Option<u64>,
    pub(crate) task: u64,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) stack: String,
}

/// A CPU profile sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SampleView {
    pub(crate) time: i64,
    pub(crate) thread: Option<u64>,
    pub(crate) proc: Option<u64>,
    pub(crate) goroutine: Option<u64>,
    pub(crate) stack: String,
}

impl Line {
    /// The event without its time.
    pub(crate) fn untimed(&self) -> Self {
        Self {
            time: 0,
            ..self.clone()
        }
    }
}

impl View {
    /// Lives and their intervals, one after the other: differences show where they are.
    pub(crate) fn life_lines(&self) -> Vec<String> {
        let lines = self.lives.iter().flat_map(|life| {
            let header = Life {
                intervals: Vec::new(),
                ..life.clone()
            };
            let intervals = life
                .intervals
                .iter()
                .map(|interval| format!("g{} {interval:?}", life.id));
            std::iter::once(format!("{header:?}")).chain(intervals)
        });
        lines.collect()
    }
}

/// Panics with the first difference of two lists, and what stands before it.
pub(crate) fn assert_same<T: PartialEq + std::fmt::Debug>(what: &str, found: &[T], expected: &[T]) {
    let same = found
        .iter()
        .zip(expected)
        .take_while(|(found, expected)| found == expected);
    let at = same.count();
    if at == found.len() && at == expected.len() {
        return;
    }
    let before: Vec<String> = expected[at.saturating_sub(4)..at]
        .iter()
        .map(|line| format!("    {line:?}"))
        .collect();
    panic!(
        "{what}: difference at {at} of {}\n  after\n{}\n  found    {:?}\n  expected {:?}",
        expected.len(),
        before.join("\n"),
        found.get(at),
        expected.get(at),
    );
}

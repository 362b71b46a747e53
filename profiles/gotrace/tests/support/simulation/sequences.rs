//! What a trace says whatever the clocks of its threads show: the order of events about each thread, proc and goroutine.
//!
//! Some of what a reader sees depends on which of two threads it believes to be earlier where nothing orders them. All of
//! that is about a thread in a system call whose proc another thread takes away:
//! * whether the thread still has the proc, in the context of what it writes before it needs one;
//! * which of the two announces the proc, and whose context that has;
//! * whether a callback ends before its proc is stolen (then the thief takes an abandoned proc, and the end of the callback
//!   counts as a theft of its own).
//!
//! * which part of a system call that began without a stack gets the one that a status shows.
//!
//! That is left out here.

use std::collections::BTreeMap;

use super::view::{Interval, Life, Line, State, Subject, View};

/// A thread, proc or goroutine; a generation's statuses on no thread's behalf are a thread too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Thread(Option<u64>),
    Proc(u64),
    Goroutine(u64),
}

/// The events about each resource, in their order, without times.
pub(crate) fn sequences(lines: &[Line]) -> BTreeMap<Resource, Vec<Line>> {
    let mut sequences: BTreeMap<Resource, Vec<Line>> = BTreeMap::new();
    for (position, line) in lines.iter().enumerate() {
        if line.name == "GenerationStart" || line.name == "CPUSample" || is_end_of_callback(lines, position) {
            continue;
        }
        let line = certain(line);
        let mut about = resources(&line);
        about.sort();
        about.dedup();
        for resource in about {
            sequences.entry(resource).or_default().push(line.clone());
        }
    }
    sequences
}

/// Whether a theft of a proc is a part of the end of a callback.
fn is_end_of_callback(lines: &[Line], position: usize) -> bool {
    let (theft, after) = (&lines[position], &lines[position + 1..]);
    let next = after.iter().find(|line| line.thread == theft.thread);
    theft.name == "ProcSteal" && next.is_some_and(|line| line.name == "GoDestroySyscall")
}

/// The event without what depends on clocks.
fn certain(line: &Line) -> Line {
    let mut line = line.untimed();
    match line.name {
        "ProcStatus" if is_about_syscall(&line) => {
            line.thread = None;
            line.goroutine = None;
            line.detail = line.detail.replace("abandoned", "syscall");
            line.proc = None;
        }
        "ProcStatus" | "GoStatus" | "GCMarkAssistActive" | "GCSweepActive" | "GoDestroySyscall" => line.proc = None,
        "ProcSteal" => {
            line.proc = None;
            line.detail.clear();
        }
        _ => {}
    }
    line
}

fn is_about_syscall(line: &Line) -> bool {
    line.name == "ProcStatus" && (line.detail.starts_with("syscall") || line.detail.starts_with("abandoned"))
}

fn resources(line: &Line) -> Vec<Resource> {
    let subject = match line.subject {
        Subject::Nothing => None,
        Subject::Proc(id) => Some(Resource::Proc(id)),
        Subject::Goroutine(id) => Some(Resource::Goroutine(id)),
    };
    if is_about_syscall(line) {
        return subject.into_iter().collect();
    }
    let thread = Some(Resource::Thread(line.thread));
    let proc = line.proc.map(Resource::Proc);
    let goroutine = line.goroutine.map(Resource::Goroutine);
    [thread, proc, goroutine, subject].into_iter().flatten().collect()
}

impl View {
    /// All but events and tasks, without times: lists are in an order that does not depend on them.
    ///
    /// Tasks are left out because their ends may be on other threads than their beginnings.
    pub(crate) fn untimed(&self) -> Self {
        let mut view = Self {
            lives: self.lives.iter().map(Life::untimed).collect(),
            ranges: self.ranges.clone(),
            regions: self.regions.clone(),
            logs: self.logs.clone(),
            samples: self.samples.clone(),
            counts: self.counts.clone(),
            ..Self::default()
        };
        for range in &mut view.ranges {
            (range.start, range.end) = (0, 0);
        }
        for region in &mut view.regions {
            region.start = region.start.map(|_| 0);
            region.end = region.end.map(|_| 0);
        }
        view.logs.iter_mut().for_each(|log| log.time = 0);
        view.samples.iter_mut().for_each(|sample| sample.time = 0);
        view.ranges.sort();
        view.regions.sort();
        // Stable: logs of one goroutine keep their order.
        view.logs.sort_by_key(|log| log.goroutine);
        view.samples.sort();
        view
    }
}

impl Life {
    fn untimed(&self) -> Self {
        let untimed = |interval: &Interval| Interval {
            start: 0,
            end: 0,
            ..interval.clone()
        };
        let mut intervals: Vec<Interval> = self.intervals.iter().map(untimed).collect();
        for position in 1..intervals.len() {
            let (before, after) = (&intervals[position - 1], &intervals[position]);
            if before.state == State::Syscall && after.state == State::SyscallBlocked && before.stack.is_empty() {
                intervals[position - 1].stack = after.stack.clone();
            }
        }
        Self {
            birth: self.birth.map(|_| 0),
            death: self.death.map(|_| 0),
            intervals,
            ..self.clone()
        }
    }
}

//! How the times of a recording are known on the wall clock.
//!
//! ```text
//! trace of Go 1.25 and later --decode------------------------------> TaskRecording, clock = Recorded
//! trace of Go 1.22 to 1.24   --decode--> UnanchoredRecording --.
//!                                        spans --> an offset --+---> TaskRecording, clock = Estimated
//! ```

use std::fmt;
use std::sync::Arc;

use crate::{Interval, NameId, ProcessIdentity, TaskRecording, UnixNanos, UserTask};

/// Where the wall times of a [`TaskRecording`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingClock {
    /// The recorder read the wall clock itself.
    Recorded,
    /// The recorder read its own clock only; the offset follows from spans of the process.
    Estimated(OffsetEstimate),
}

impl RecordingClock {
    /// The most by which times of the recording can be off, in nanoseconds; `None` if the recorder read the wall clock.
    pub const fn error_ns(self) -> Option<i64> {
        match self {
            Self::Recorded => None,
            Self::Estimated(estimate) => Some(estimate.error_ns),
        }
    }

    /// The estimate, if the recorder read its own clock only.
    pub const fn estimate(self) -> Option<OffsetEstimate> {
        match self {
            Self::Recorded => None,
            Self::Estimated(estimate) => Some(estimate),
        }
    }
}

/// How much the wall clock is ahead of the clock of a recording, as spans show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEstimate {
    /// Unix time less the recording's own time, nanoseconds.
    pub offset_ns: i64,
    /// The true offset lies within this many nanoseconds of `offset_ns`, either way.
    pub error_ns: i64,
    /// Pairs of user task and span that agree on the offset, at most one for each request and millisecond.
    pub witnesses: usize,
    /// User tasks that were asked.
    pub asked: usize,
}

impl fmt::Display for OffsetEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "offset {} ns +- {} ns, by {} of {} user tasks",
            self.offset_ns, self.error_ns, self.witnesses, self.asked
        )
    }
}

/// A recording whose times are nanoseconds of the recorder's own clock, which differs from the wall clock by an offset
/// that is not known. It cannot be joined with anything until [`Self::anchored`].
#[derive(Clone, Debug)]
pub struct UnanchoredRecording {
    // All times are of the recorder's own clock; `clock` means nothing.
    recording: TaskRecording,
}

impl UnanchoredRecording {
    /// Wraps a recording whose times are all of the recorder's own clock.
    pub const fn new(recording: TaskRecording) -> Self {
        Self { recording }
    }

    /// The recording in Unix time.
    pub fn anchored(self, estimate: OffsetEstimate) -> TaskRecording {
        let mut recording = self.recording;
        recording.shift(estimate.offset_ns);
        recording.clock = RecordingClock::Estimated(estimate);
        recording
    }

    /// Process that was recorded.
    pub const fn process(&self) -> &Arc<ProcessIdentity> {
        &self.recording.process
    }

    /// Names the recorded process.
    pub fn set_process(&mut self, process: Arc<ProcessIdentity>) {
        self.recording.process = process;
    }

    /// Where it came from, for messages.
    pub const fn source(&self) -> &Arc<str> {
        &self.recording.source
    }

    /// What could not be read, in words for the operator.
    pub fn warnings(&self) -> &[String] {
        &self.recording.warnings
    }

    /// Length of the recording, nanoseconds.
    pub const fn duration_ns(&self) -> i64 {
        self.recording.window.duration_ns()
    }

    /// `runtime/trace` tasks, sorted by id; their instants are of the recorder's clock.
    pub fn user_tasks(&self) -> &[UserTask] {
        &self.recording.user_tasks
    }

    /// The string of a name of this recording.
    pub fn name(&self, id: NameId) -> &Arc<str> {
        self.recording.names.resolve(id)
    }

    /// About the memory that it occupies.
    pub fn size_bytes(&self) -> u64 {
        self.recording.size_bytes()
    }
}

impl TaskRecording {
    /// Moves all times by `delta_ns`.
    fn shift(&mut self, delta_ns: i64) {
        let shift = |at: &mut UnixNanos| *at = at.plus(delta_ns);
        let shift_interval = |interval: &mut Interval| *interval = interval.shifted(delta_ns);
        shift_interval(&mut self.window);
        for task in &mut self.tasks {
            task.birth.iter_mut().chain(&mut task.death).for_each(shift);
        }
        self.states
            .iter_mut()
            .for_each(|state| shift_interval(&mut state.interval));
        for task in &mut self.user_tasks {
            let events = task.begin.iter_mut().chain(&mut task.end);
            events.for_each(|(_, at)| shift(at));
        }
        self.user_logs.iter_mut().for_each(|log| shift(&mut log.at));
        let events = self.runtime_events.iter_mut();
        events.for_each(|event| shift_interval(&mut event.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Names, RuntimeEvent, RuntimeEventKind, State, Task, TaskId, TaskKind, TaskState, UserLog, Waker};

    fn interval(start: i64, end: i64) -> Interval {
        Interval::new(UnixNanos(start), UnixNanos(end)).unwrap()
    }

    #[test]
    fn anchoring_moves_every_time_and_says_so() {
        let recording = UnanchoredRecording::new(TaskRecording {
            process: Arc::default(),
            source: "old.trace".into(),
            window: interval(5, 50),
            clock: RecordingClock::Recorded,
            names: Names::new(),
            tasks: vec![Task {
                id: TaskId(1),
                entry_function: Names::EMPTY,
                creator: None,
                birth: Some(UnixNanos(6)),
                death: Some(UnixNanos(40)),
                kind: TaskKind::Application,
            }],
            states: vec![TaskState {
                task: TaskId(1),
                interval: interval(6, 40),
                state: State::Running,
                sub_state: Names::EMPTY,
                reason: Names::EMPTY,
                stack: None,
                waker: Waker::None,
            }],
            user_tasks: vec![UserTask {
                id: 1,
                parent: None,
                name: None,
                begin: Some((TaskId(1), UnixNanos(7))),
                end: Some((TaskId(1), UnixNanos(8))),
            }],
            user_logs: vec![UserLog {
                task: TaskId(1),
                user_task: None,
                at: UnixNanos(9),
                category: Names::EMPTY,
                message: Arc::default(),
            }],
            stacks: vec![],
            runtime_events: vec![RuntimeEvent::new(RuntimeEventKind::Gc, Names::EMPTY, interval(10, 12))],
            warnings: vec![],
        });
        let estimate = OffsetEstimate {
            offset_ns: 1_000,
            error_ns: 3,
            witnesses: 9,
            asked: 10,
        };
        let anchored = recording.anchored(estimate);
        assert_eq!(anchored.window, interval(1_005, 1_050));
        assert_eq!(
            (anchored.tasks[0].birth, anchored.tasks[0].death),
            (Some(UnixNanos(1_006)), Some(UnixNanos(1_040)))
        );
        assert_eq!(anchored.states[0].interval, interval(1_006, 1_040));
        assert_eq!(anchored.user_tasks[0].begin, Some((TaskId(1), UnixNanos(1_007))));
        assert_eq!(anchored.user_tasks[0].end, Some((TaskId(1), UnixNanos(1_008))));
        assert_eq!(anchored.user_logs[0].at, UnixNanos(1_009));
        assert_eq!(anchored.runtime_events[0].interval, interval(1_010, 1_012));
        assert_eq!(anchored.clock.error_ns(), Some(3));
    }
}

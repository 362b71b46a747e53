//! The recordings of one process as one line of time.
//!
//! A process is recorded in stretches of a few seconds, with gaps between them or with a little overlap:
//!
//! ```text
//! recordings   [----- first -----)         [-- third --)
//!                          [---- second ----)
//! counts       [----- first -----)[- second-)[ third --)
//! covered      [---------------------------------------)
//! ```
//!
//! Where two cover the same time, the one that begins earlier counts, so that no instant of a task has two states and
//! a recording that arrives twice changes nothing. What has an identity of its own (tasks, user tasks) is merged by id.

mod merge;
mod tiles;

use std::ops::Range;
use std::sync::Arc;

use spandrel_model::{Interval, NameId, Names, State, TaskId, TaskKind, UnixNanos, UnknownReason, UserLog, UserTask};

pub(crate) use self::tiles::{Tile, Tiles};
use crate::samples::Samples;
use crate::slices::{Position, StateSlice, Wake, WakeId};

/// The merged view of the recordings of one process.
#[derive(Debug, Default)]
pub struct Timeline {
    names: Names,
    // Invariant: sorted, neither overlapping nor touching, none empty.
    covered: Vec<Interval>,
    // Parts of `covered` that come from recordings with an estimated clock, and how far it can be off. Sorted.
    estimated: Vec<(Interval, i64)>,
    // Invariant: sorted by id, each id once.
    tasks: Vec<TaskLine>,
    // Starts of the parts that recordings have in `covered`, sorted.
    seams: Vec<UnixNanos>,
    // Invariant: the slices of a task lie together, sorted, without overlap; all within `covered`; none is unknown.
    slices: Vec<StateSlice>,
    wakes: Vec<Wake>,
    user_tasks: Vec<UserTask>,
    user_logs: Vec<UserLog>,
    samples: Samples,
}

/// A task with its place among the slices.
#[derive(Clone, Debug)]
pub struct TaskLine {
    /// Id.
    pub id: TaskId,
    /// Task that created it.
    pub creator: Option<TaskId>,
    /// Creation, if a recording saw it.
    pub birth: Option<UnixNanos>,
    /// End, if a recording saw it.
    pub death: Option<UnixNanos>,
    /// Whose task it is.
    pub kind: TaskKind,
    slices: Range<usize>,
}

/// What is known about a task over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Standing {
    /// The runtime said so. The name belongs to [`Timeline::name`].
    Known(State, NameId),
    /// Nothing is known.
    Unknown(UnknownReason),
}

impl Standing {
    /// The state in which it is.
    pub(crate) fn state(self) -> State {
        match self {
            Self::Known(state, _) => state,
            Self::Unknown(_) => State::Unknown,
        }
    }
}

/// Position of a task in [`Timeline::tasks`].
pub(crate) type LineIndex = usize;

impl Timeline {
    /// Time that some recording covers, in order.
    pub fn covered(&self) -> &[Interval] {
        &self.covered
    }

    /// Whether a recording covers the instant.
    pub fn covers(&self, at: UnixNanos) -> bool {
        self.covered_from(at).next().is_some_and(|covered| covered.contains(at))
    }

    /// How much of `interval` recordings cover, in nanoseconds.
    pub fn covered_ns(&self, interval: Interval) -> i64 {
        self.covered_from(interval.start())
            .map_while(|covered| covered.intersection(interval))
            .map(Interval::duration_ns)
            .sum()
    }

    /// How far recordings that cover parts of `interval` can be off, in nanoseconds; `None` if all of them hold the wall
    /// clock, or there are none.
    pub fn clock_error_ns(&self, interval: Interval) -> Option<i64> {
        let first = self
            .estimated
            .partition_point(|(part, _)| part.end() <= interval.start());
        let parts = self.estimated[first..].iter();
        parts
            .take_while(|(part, _)| part.start() < interval.end() || part.contains(interval.start()))
            .map(|(_, error_ns)| *error_ns)
            .max()
    }

    /// How far any recording can be off, in nanoseconds; `None` if all of them hold the wall clock.
    pub(crate) fn clock_error_ns_max(&self) -> Option<i64> {
        self.estimated.iter().map(|(_, error_ns)| *error_ns).max()
    }

    /// Tasks that a recording saw, sorted by id.
    pub fn tasks(&self) -> &[TaskLine] {
        &self.tasks
    }

    /// The task `id`, if a recording saw it.
    pub fn task(&self, id: TaskId) -> Option<&TaskLine> {
        self.line_index(id).map(|index| &self.tasks[index])
    }

    /// The known states of all tasks: those of one lie together, in the order of time, without overlap.
    pub(crate) fn slices(&self) -> &[StateSlice] {
        &self.slices
    }

    /// Which of [`Self::slices`] are states of `task` in `time`.
    pub(crate) fn slice_range(&self, task: &TaskLine, time: Interval) -> Range<usize> {
        let slices = &self.slices[task.slices.clone()];
        let first = slices.partition_point(|slice| slice.interval.end() <= time.start());
        let count = slices[first..].partition_point(|slice| slice.interval.start() < time.end());
        let first = task.slices.start + first;
        first..first + count
    }

    /// Where the task `id` stands among [`Self::tasks`].
    pub(crate) fn line_index(&self, id: TaskId) -> Option<LineIndex> {
        self.tasks.binary_search_by_key(&id, |task| task.id).ok()
    }

    /// Where the states of task `id` are at `at`; `None` if no recording saw it.
    pub(crate) fn position(&self, id: TaskId, at: UnixNanos) -> Option<Position> {
        let line = self.line_index(id)?;
        let Range { start, end } = self.tasks[line].slices;
        let before = self.slices[start..end].partition_point(|slice| slice.interval.end() <= at);
        Some(Position {
            line,
            slice: start + before,
        })
    }

    /// The act that ended a wait.
    pub(crate) fn wake(&self, id: WakeId) -> Wake {
        self.wakes[id as usize]
    }

    /// The state of the task at the instant; `None` where nothing is known.
    pub fn state_at(&self, task: TaskId, at: UnixNanos) -> Option<State> {
        let slices = self.slices_from(self.task(task)?, at);
        slices
            .first()
            .filter(|slice| slice.interval.contains(at))
            .map(|slice| slice.state)
    }

    /// The `runtime/trace` tasks, sorted by id, each once; names belong to [`Self::name`].
    pub fn user_tasks(&self) -> &[UserTask] {
        &self.user_tasks
    }

    /// The `runtime/trace` log messages in the order of time; names belong to [`Self::name`].
    pub fn user_logs(&self) -> &[UserLog] {
        &self.user_logs
    }

    /// The looks of the CPU profiler.
    pub(crate) fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The string of a name of this timeline.
    pub fn name(&self, id: NameId) -> &Arc<str> {
        self.names.resolve(id)
    }

    /// From the first known state of `task` to the last; `None` if there is none.
    pub(crate) fn recorded_life(&self, task: &TaskLine) -> Option<Interval> {
        let slices = &self.slices[task.slices.clone()];
        Interval::new(slices.first()?.interval.start(), slices.last()?.interval.end())
    }

    /// The ends of known states of `task` before `at`, the last one first, with the act where a task ended a wait.
    pub(crate) fn wakes_before(
        &self,
        task: &TaskLine,
        at: UnixNanos,
    ) -> impl Iterator<Item = (UnixNanos, Option<Wake>)> {
        let slices = &self.slices[task.slices.clone()];
        let before = slices.partition_point(|slice| slice.interval.end() < at);
        let ends = slices[..before].iter().rev();
        ends.map(|slice| (slice.interval.end(), slice.ending.wake().map(|wake| self.wake(wake))))
    }

    /// The slices of `task` that end after `at`.
    fn slices_from(&self, task: &TaskLine, at: UnixNanos) -> &[StateSlice] {
        let slices = &self.slices[task.slices.clone()];
        &slices[slices.partition_point(|slice| slice.interval.end() <= at)..]
    }

    /// The covered intervals that end after `at`.
    fn covered_from(&self, at: UnixNanos) -> impl Iterator<Item = Interval> {
        let first = self.covered.partition_point(|covered| covered.end() <= at);
        self.covered[first..].iter().copied()
    }
}

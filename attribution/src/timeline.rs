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

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use spandrel_model::{
    Interval, NameId, Names, State, Task, TaskId, TaskKind, TaskRecording, TaskState, UnixNanos, UnknownReason,
    UserLog, UserTask, Waker,
};

use crate::StackLayers;
use crate::samples::Samples;
use crate::slices::{self, Ending, Position, StateSlice, Wake, WakeId};
use crate::stack_layers::{Place, Places};

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

/// Position of a task in [`Timeline::tasks`].
pub(crate) type LineIndex = usize;

impl Timeline {
    /// Merges `recordings`, all of one process, in any order; `stack_layers` say in which layers tasks stand.
    pub fn new(recordings: &[&TaskRecording], stack_layers: &StackLayers) -> Self {
        let mut ordered: Vec<&TaskRecording> = recordings.to_vec();
        ordered.sort_by_key(|recording| {
            let window = recording.window;
            (
                window.start(),
                std::cmp::Reverse(window.end()),
                recording.source.clone(),
            )
        });
        let mut timeline = Self::default();
        let mut tasks: Vec<&Task> = Vec::new();
        for recording in ordered {
            let mut renames = Renames::new(&recording.names);
            if let Some(part) = timeline.claim(recording.window) {
                timeline.seams.push(part.start());
                let places = stack_layers.places(&recording.stacks, &recording.names);
                timeline.add_states(&recording.states, part, &mut renames, &places);
                let rename = |name| renames.rename(name, &mut timeline.names);
                timeline.samples.add(recording, part, &places, rename);
                let error_ns = recording.clock.error_ns();
                timeline.estimated.extend(error_ns.map(|error_ns| (part, error_ns)));
            }
            timeline.add_user_events(recording, &mut renames);
            tasks.extend(&recording.tasks);
        }
        timeline.settle(tasks);
        timeline
    }

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

    /// Cuts `interval` into stretches in which one thing is known about `task`. They tile `interval`.
    pub(crate) fn tiles<'a>(&'a self, task: Option<&'a TaskLine>, interval: Interval) -> Tiles<'a> {
        Tiles {
            timeline: self,
            task,
            slices: task.map_or(&[], |task| self.slices_from(task, interval.start())),
            at: interval.start(),
            end: interval.end(),
        }
    }

    /// As [`Self::tiles`] of the task at `near`, which is that of no earlier instant than the start of `interval`. What
    /// lies shortly before it is found in a few steps, however many states the task has.
    pub(crate) fn tiles_before(&self, near: Position, interval: Interval) -> Tiles<'_> {
        let task = &self.tasks[near.line];
        let start = interval.start();
        let earlier = &self.slices[task.slices.start..near.slice];
        let (mut first, mut step) = (earlier.len(), 1);
        while first > 0 && start < earlier[first - 1].interval.end() {
            first = first.saturating_sub(step);
            step *= 2;
        }
        first += earlier[first..].partition_point(|slice| slice.interval.end() <= start);
        let slices = &self.slices[task.slices.start + first..task.slices.end];
        debug_assert!(slices.first().is_none_or(|slice| start < slice.interval.end()));
        Tiles {
            timeline: self,
            task: Some(task),
            slices,
            at: start,
            end: interval.end(),
        }
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

    /// Takes the part of `window` that no earlier recording covers. Recordings come sorted by start, so it is one
    /// stretch at the end of `window`.
    fn claim(&mut self, window: Interval) -> Option<Interval> {
        let Some(last) = self.covered.last_mut() else {
            self.covered.extend((!window.is_empty()).then_some(window));
            return (!window.is_empty()).then_some(window);
        };
        let part = Interval::new(window.start().max(last.end()), window.end()).filter(|part| !part.is_empty())?;
        if part.start() == last.end() {
            *last = Interval::new(last.start(), part.end()).expect("part ends after last");
        } else {
            self.covered.push(part);
        }
        Some(part)
    }

    fn add_states(&mut self, states: &[TaskState], part: Interval, renames: &mut Renames<'_>, places: &Places) {
        self.slices.reserve(states.len());
        for state in states.iter().filter(|state| state.state != State::Unknown) {
            if let Some(interval) = state.interval.intersection(part) {
                let ending = self.ending(state);
                self.slices.push(StateSlice {
                    task: state.task,
                    interval,
                    state: state.state,
                    sub_state: renames.rename(state.sub_state, &mut self.names),
                    place: match state.state {
                        State::Running => Place::NOT_KNOWN,
                        _ => places.of(state.stack),
                    },
                    ending,
                });
            }
        }
    }

    fn ending(&mut self, state: &TaskState) -> Ending {
        match state.waker {
            Waker::None => Ending::Open,
            Waker::External => Ending::External,
            Waker::Task(waker) => {
                let id = WakeId::try_from(self.wakes.len()).expect("four thousand million states do not fit in memory");
                self.wakes.push(Wake {
                    waker,
                    at: state.interval.end(),
                    position: None,
                });
                Ending::Wake(id)
            }
        }
    }

    fn add_user_events(&mut self, recording: &TaskRecording, renames: &mut Renames<'_>) {
        for user_task in &recording.user_tasks {
            let name = user_task.name.map(|name| renames.rename(name, &mut self.names));
            self.user_tasks.push(UserTask {
                name,
                ..user_task.clone()
            });
        }
        for log in &recording.user_logs {
            let category = renames.rename(log.category, &mut self.names);
            self.user_logs.push(UserLog {
                category,
                ..log.clone()
            });
        }
    }

    /// Sorts what the recordings brought and merges by id. Sorts are stable: of two equals the earlier recording's
    /// comes first and counts.
    fn settle(&mut self, tasks: Vec<&Task>) {
        self.slices.sort_by_key(|slice| slice.task);
        slices::drop_overlap(&mut self.slices);
        slices::stand_still(&mut self.slices);
        slices::join(&mut self.slices, &self.seams);
        self.user_tasks.sort_by_key(|user_task| user_task.id);
        self.user_tasks.dedup_by(|later, kept| {
            let same = later.id == kept.id;
            if same {
                kept.parent = kept.parent.or(later.parent);
                kept.name = kept.name.or(later.name);
                kept.begin = kept.begin.or(later.begin);
                kept.end = kept.end.or(later.end);
            }
            same
        });
        self.user_logs.sort_by_key(|log| log.at);
        self.samples.sort();
        self.settle_tasks(tasks);
        self.find_wakers();
    }

    fn settle_tasks(&mut self, mut tasks: Vec<&Task>) {
        tasks.sort_by_key(|task| task.id);
        let mut from = 0;
        for same in tasks.chunk_by(|left, right| left.id == right.id) {
            let id = same[0].id;
            let start = from + self.slices[from..].partition_point(|slice| slice.task < id);
            from = start + self.slices[start..].partition_point(|slice| slice.task == id);
            self.tasks.push(TaskLine {
                id,
                creator: same.iter().find_map(|task| task.creator),
                birth: same.iter().find_map(|task| task.birth),
                death: same.iter().find_map(|task| task.death),
                kind: same[0].kind,
                slices: start..from,
            });
        }
    }

    /// Finds where the waker of every wake is, in one pass over wakers and slices side by side.
    fn find_wakers(&mut self) {
        let mut wakes: Vec<(TaskId, UnixNanos, usize)> = (self.wakes.iter().enumerate())
            .map(|(wake, Wake { waker, at, .. })| (*waker, *at, wake))
            .collect();
        wakes.sort_unstable();
        let (mut line, mut slice) = (0, 0);
        for (waker, at, wake) in wakes {
            while self.tasks.get(line).is_some_and(|task| task.id < waker) {
                line += 1;
            }
            let Some(task) = self.tasks.get(line).filter(|task| task.id == waker) else {
                continue;
            };
            slice = slice.max(task.slices.start);
            while slice < task.slices.end && self.slices[slice].interval.end() <= at {
                slice += 1;
            }
            self.wakes[wake].position = Some(Position { line, slice });
        }
    }
}

/// Translates the names of one recording.
struct Renames<'a> {
    names: &'a Names,
    known: HashMap<NameId, NameId>,
    last: (NameId, NameId),
}

impl<'a> Renames<'a> {
    fn new(names: &'a Names) -> Self {
        Self {
            names,
            known: HashMap::new(),
            last: (Names::EMPTY, Names::EMPTY),
        }
    }

    fn rename(&mut self, name: NameId, into: &mut Names) -> NameId {
        if name != self.last.0 {
            let renamed = *self
                .known
                .entry(name)
                .or_insert_with(|| into.intern(self.names.resolve(name)));
            self.last = (name, renamed);
        }
        self.last.1
    }
}

/// See [`Timeline::tiles`].
pub(crate) struct Tiles<'a> {
    timeline: &'a Timeline,
    task: Option<&'a TaskLine>,
    slices: &'a [StateSlice],
    at: UnixNanos,
    end: UnixNanos,
}

/// A stretch of a task in which one thing is known about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub(crate) interval: Interval,
    pub(crate) standing: Standing,
    /// What ended it, if it is a wait that another task ended.
    pub(crate) wake: Option<WakeId>,
    /// Layer of the library in which the task stands, as a position in [`StackLayers::layers`].
    pub(crate) stack_layer: Option<usize>,
}

impl Iterator for Tiles<'_> {
    type Item = Tile;

    fn next(&mut self) -> Option<Tile> {
        if self.at >= self.end {
            return None;
        }
        let (end, standing, wake, stack_layer) = match self.slices.split_first() {
            Some((slice, rest)) if slice.interval.start() <= self.at => {
                self.slices = rest;
                let standing = Standing::Known(slice.state, slice.sub_state);
                (slice.interval.end(), standing, slice.ending.wake(), slice.place.layer())
            }
            next => {
                let next = next.map_or(self.end, |(slice, _)| slice.interval.start());
                let (end, reason) = self.hole(next.min(self.end));
                (end, Standing::Unknown(reason), None, None)
            }
        };
        let interval = Interval::new(self.at, end.min(self.end))?;
        self.at = interval.end();
        Some(Tile {
            interval,
            standing,
            wake,
            stack_layer,
        })
    }
}

impl Tiles<'_> {
    /// Whether more than `count` known states are left.
    pub(crate) fn has_more_states_than(&self, count: usize) -> bool {
        self.slices
            .get(count)
            .is_some_and(|slice| slice.interval.start() < self.end)
    }

    /// Why nothing is known from `self.at` on, and until when, at most until `end`. That the task was not alive is
    /// knowledge even where nothing was recorded, so it comes first.
    fn hole(&self, end: UnixNanos) -> (UnixNanos, UnknownReason) {
        let mut end = end;
        if let Some(task) = self.task {
            match task.birth {
                Some(birth) if self.at < birth => return (end.min(birth), UnknownReason::TaskNotAlive),
                _ => {}
            }
            match task.death {
                Some(death) if death <= self.at => return (end, UnknownReason::TaskNotAlive),
                Some(death) => end = end.min(death),
                None => {}
            }
        }
        match self.timeline.covered_from(self.at).next() {
            Some(covered) if covered.contains(self.at) => (end.min(covered.end()), UnknownReason::StateNotRecorded),
            Some(covered) => (end.min(covered.start()), UnknownReason::NotRecorded),
            None => (end, UnknownReason::NotRecorded),
        }
    }
}

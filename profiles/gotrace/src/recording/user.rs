//! What the program itself wrote into the trace: tasks, regions, logs. And CPU profile samples.

use std::collections::{BTreeMap, HashMap};

use crate::clock::TraceNanos;
use crate::event::GoEvent;
use crate::ids::{GoroutineId, ProcId, StackId, StringId, TaskId, ThreadId};

/// A task of `runtime/trace.NewTask`. OpenTelemetry Go makes one per recording span, named after the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTask {
    /// Its id, unique in the process.
    pub id: TaskId,
    /// The task it was made in; `None` for a root task, and where the beginning was not seen.
    pub parent: Option<TaskId>,
    /// Its name; empty where the beginning was not seen.
    pub name: StringId,
    /// Its beginning, if the trace shows it.
    pub begin: Option<TaskEdge>,
    /// Its first end, if the trace shows it.
    pub end: Option<TaskEdge>,
}

/// Where and when a task began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskEdge {
    /// When.
    pub time: TraceNanos,
    /// On which goroutine; an end may be on another than the beginning.
    pub goroutine: Option<GoroutineId>,
    /// Where in the code.
    pub stack: Option<StackId>,
}

/// A region of `runtime/trace.StartRegion` or `WithRegion`: begins and ends on one goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRegion {
    /// The goroutine.
    pub goroutine: Option<GoroutineId>,
    /// The task it belongs to; [`TaskId::BACKGROUND`] outside tasks.
    pub task: TaskId,
    /// Its name.
    pub name: StringId,
    /// When it began; `None` if that was before the trace.
    pub start: Option<TraceNanos>,
    /// When it ended; `None` if the trace does not show it.
    pub end: Option<TraceNanos>,
    /// Where it began.
    pub stack: Option<StackId>,
}

/// An entry of `runtime/trace.Log`. The text of both strings may be any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserLog {
    /// When.
    pub time: TraceNanos,
    /// On which goroutine.
    pub goroutine: Option<GoroutineId>,
    /// The task of its context; [`TaskId::BACKGROUND`] outside tasks.
    pub task: TaskId,
    /// Category: "datadog.uint64_span_id".
    pub key: StringId,
    /// Message: [`Recording::bytes`](crate::Recording::bytes) gives it unchanged.
    pub value: StringId,
    /// Where in the code.
    pub stack: Option<StackId>,
}

/// A sample of a CPU profile that ran at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSample {
    /// When.
    pub time: TraceNanos,
    /// On which thread.
    pub thread: Option<ThreadId>,
    /// On which proc, if any.
    pub proc: Option<ProcId>,
    /// On which goroutine, if any.
    pub goroutine: Option<GoroutineId>,
    /// Where.
    pub stack: Option<StackId>,
}

/// How many of a goroutine's innermost open regions are searched for the one that ends.
const REGION_SEARCH_DEPTH: usize = 64;

/// Pairs the beginnings and ends of tasks and regions.
#[derive(Default)]
pub(super) struct UserBuilder {
    tasks: Vec<UserTask>,
    /// Position of the latest task of each id.
    latest: HashMap<TaskId, usize>,
    regions: Vec<UserRegion>,
    /// Open regions of each goroutine, innermost last.
    open: BTreeMap<Option<GoroutineId>, Vec<UserRegion>>,
}

impl UserBuilder {
    /// A task begins. Returns false if one of that id was open already.
    pub(super) fn task_begins(&mut self, id: TaskId, parent: Option<TaskId>, name: StringId, event: &GoEvent) -> bool {
        let begin = Some(TaskEdge::of(event));
        let before = self.latest.insert(id, self.tasks.len());
        self.tasks.push(UserTask {
            id,
            parent,
            name,
            begin,
            end: None,
        });
        before
            .and_then(|position| self.tasks.get(position))
            .is_none_or(|task| task.end.is_some())
    }

    /// A task ends. Further ends of a task say nothing new.
    pub(super) fn task_ends(&mut self, id: TaskId, event: &GoEvent) {
        let edge = TaskEdge::of(event);
        if let Some(task) = self.latest.get(&id).and_then(|position| self.tasks.get_mut(*position)) {
            task.end.get_or_insert(edge);
            return;
        }
        self.latest.insert(id, self.tasks.len());
        self.tasks.push(UserTask {
            id,
            parent: None,
            name: StringId::EMPTY,
            begin: None,
            end: Some(edge),
        });
    }

    pub(super) fn region_begins(&mut self, task: TaskId, name: StringId, event: &GoEvent) {
        let goroutine = event.context.goroutine;
        let region = UserRegion {
            goroutine,
            task,
            name,
            start: Some(event.time),
            end: None,
            stack: event.stack,
        };
        self.open.entry(goroutine).or_default().push(region);
    }

    /// A region ends. Returns false if it is not the innermost open one of its goroutine: those inside it never end.
    pub(super) fn region_ends(&mut self, task: TaskId, name: StringId, event: &GoEvent) -> bool {
        let goroutine = event.context.goroutine;
        let open = self.open.entry(goroutine).or_default();
        let was_empty = open.is_empty();
        let searched = open.iter().rev().take(REGION_SEARCH_DEPTH);
        let depth = searched
            .map(|region| (region.task, region.name))
            .position(|region| region == (task, name));
        let Some(depth) = depth else {
            let end = Some(event.time);
            self.regions.push(UserRegion {
                goroutine,
                task,
                name,
                start: None,
                end,
                stack: None,
            });
            return was_empty;
        };
        self.regions.extend(open.drain(open.len() - depth..).rev());
        if let Some(region) = open.pop() {
            self.regions.push(UserRegion {
                end: Some(event.time),
                ..region
            });
        }
        depth == 0
    }

    /// A goroutine has ended, and with it its regions.
    pub(super) fn goroutine_ends(&mut self, goroutine: GoroutineId) {
        if let Some(open) = self.open.remove(&Some(goroutine)) {
            self.regions.extend(open.into_iter().rev());
        }
    }

    pub(super) fn finish(mut self) -> (Vec<UserTask>, Vec<UserRegion>) {
        self.regions.extend(self.open.into_values().flatten());
        (self.tasks, self.regions)
    }
}

impl TaskEdge {
    fn of(event: &GoEvent) -> Self {
        Self {
            time: event.time,
            goroutine: event.context.goroutine,
            stack: event.stack,
        }
    }
}

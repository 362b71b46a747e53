//! What the program itself wrote into the trace: tasks, regions, logs. And what the runtime sampled: CPU, heap.

use std::borrow::Cow;

use foldhash::{HashMap, HashSet};

use crate::clock::TraceNanos;
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

/// An entry of `runtime/trace.Log`. Category and message may be any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLog<'a> {
    /// When.
    pub time: TraceNanos,
    /// On which goroutine.
    pub goroutine: Option<GoroutineId>,
    /// The task of its context; [`TaskId::BACKGROUND`] outside tasks.
    pub task: TaskId,
    /// Category: "datadog.uint64_span_id".
    pub key: StringId,
    /// Message. Hardly two are the same, so it is no symbol: those last as long as the trace.
    pub message: Cow<'a, [u8]>,
    /// Where in the code.
    pub stack: Option<StackId>,
}

impl UserLog<'_> {
    /// The same with a message of its own.
    pub fn into_owned(self) -> UserLog<'static> {
        UserLog {
            message: Cow::Owned(self.message.into_owned()),
            ..self
        }
    }
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

/// A number that the runtime told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// When. It holds until the next one of the same kind.
    pub time: TraceNanos,
    /// Of what.
    pub kind: MetricKind,
    /// The number.
    pub value: u64,
}

/// Kinds of [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Bytes of live heap.
    HeapAlloc,
    /// Bytes of heap at which the next garbage collection is to end; 0 if the collector is off.
    HeapGoal,
    /// Number of procs.
    Gomaxprocs,
}

/// How many of a goroutine's innermost open regions are searched for the one that ends.
const REGION_SEARCH_DEPTH: usize = 64;

/// Pairs the beginnings and ends of tasks and regions.
#[derive(Debug, Default)]
pub(super) struct OpenAnnotations {
    tasks: HashMap<TaskId, UserTask>,
    /// Tasks that have ended in this generation, and in the one before.
    ended: [HashSet<TaskId>; 2],
    /// Open regions of each goroutine, innermost last.
    regions: HashMap<Option<GoroutineId>, Vec<UserRegion>>,
}

impl OpenAnnotations {
    /// A task begins. Returns one of that id that was open already: it never ends.
    pub(super) fn task_begins(
        &mut self,
        id: TaskId,
        parent: Option<TaskId>,
        name: StringId,
        edge: TaskEdge,
    ) -> Option<UserTask> {
        for ended in &mut self.ended {
            ended.remove(&id);
        }
        let task = UserTask {
            id,
            parent,
            name,
            begin: Some(edge),
            end: None,
        };
        self.tasks.insert(id, task)
    }

    /// Another generation begins.
    pub(super) fn generation_begins(&mut self) {
        self.ended.swap(0, 1);
        self.ended[0].clear();
    }

    /// A task ends. `None` if it has ended lately: a program may call `Task.End` as often as it likes. Of a call that comes
    /// generations later nobody can tell that it is not the first, unless all ids were kept.
    pub(super) fn task_ends(&mut self, id: TaskId, edge: TaskEdge) -> Option<UserTask> {
        let [lately, before] = &mut self.ended;
        if !lately.insert(id) || before.contains(&id) {
            return None;
        }
        let unseen = UserTask {
            id,
            parent: None,
            name: StringId::EMPTY,
            begin: None,
            end: None,
        };
        Some(UserTask {
            end: Some(edge),
            ..self.tasks.remove(&id).unwrap_or(unseen)
        })
    }

    /// A region begins; its `end` is `None`.
    pub(super) fn region_begins(&mut self, region: UserRegion) {
        self.regions.entry(region.goroutine).or_default().push(region);
    }

    /// A region ends; its `start` is `None`. Calls `each` for the regions inside it, which never end, and for it. Returns
    /// false if it was not the innermost open one of its goroutine.
    pub(super) fn region_ends(&mut self, ended: UserRegion, mut each: impl FnMut(&UserRegion)) -> bool {
        let Some(open) = self.regions.get_mut(&ended.goroutine) else {
            each(&ended);
            return true;
        };
        let is_it = |region: &UserRegion| (region.task, region.name) == (ended.task, ended.name);
        let depth = open.iter().rev().take(REGION_SEARCH_DEPTH).position(is_it);
        let Some(depth) = depth else {
            each(&ended);
            return false;
        };
        open.drain(open.len() - depth..).rev().for_each(|inner| each(&inner));
        if let Some(region) = open.pop() {
            each(&UserRegion {
                end: ended.end,
                ..region
            });
        }
        if open.is_empty() {
            self.regions.remove(&ended.goroutine);
        }
        depth == 0
    }

    /// A goroutine has ended, and with it its regions.
    pub(super) fn goroutine_ends(&mut self, goroutine: GoroutineId) -> impl Iterator<Item = UserRegion> + use<> {
        let open = match self.regions.is_empty() {
            true => None,
            false => self.regions.remove(&Some(goroutine)),
        };
        open.into_iter().flat_map(|open| open.into_iter().rev())
    }

    /// Ends of regions may be missing from here on: nothing more is known of any.
    pub(super) fn forget_regions(&mut self) -> impl Iterator<Item = UserRegion> + use<> {
        let mut open: Vec<_> = std::mem::take(&mut self.regions).into_iter().collect();
        open.sort_unstable_by_key(|(goroutine, _)| *goroutine);
        open.into_iter().flat_map(|(_, regions)| regions)
    }

    /// The tasks that never ended.
    pub(super) fn forget_tasks(&mut self) -> impl Iterator<Item = UserTask> + use<> {
        let mut open: Vec<_> = std::mem::take(&mut self.tasks).into_values().collect();
        open.sort_unstable_by_key(|task| task.id);
        open.into_iter()
    }
}

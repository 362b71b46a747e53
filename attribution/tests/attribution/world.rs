//! What really happened in a process, and what a recording of it and its spans show.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use spandrel_attribution::{Analysis, Attributed, ProcessSpans, Rules, SpanKey, attribute};
use spandrel_model::*;

/// A process from birth to death, seen by someone who knows everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) process: Arc<ProcessIdentity>,
    pub(crate) tasks: Vec<WorldTask>,
    pub(crate) states: Vec<WorldState>,
    pub(crate) user_tasks: Vec<WorldUserTask>,
    pub(crate) logs: Vec<WorldLog>,
    pub(crate) spans: Vec<Span>,
    pub(crate) samples: Vec<WorldSample>,
}

/// A look of the CPU profiler.
#[derive(Clone, Debug)]
pub(crate) struct WorldSample {
    pub(crate) task: u64,
    pub(crate) at: i64,
    /// Functions on the stack, innermost first.
    pub(crate) stack: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct WorldTask {
    pub(crate) id: u64,
    pub(crate) creator: Option<u64>,
    pub(crate) birth: i64,
    pub(crate) death: Option<i64>,
    pub(crate) kind: TaskKind,
}

#[derive(Clone, Debug)]
pub(crate) struct WorldState {
    pub(crate) task: u64,
    pub(crate) interval: Interval,
    pub(crate) state: State,
    pub(crate) sub_state: String,
    /// Who ended it, if it is a wait that ended.
    pub(crate) waker: Waker,
    /// Functions on the stack at which the runtime says that it was entered, innermost first; none if it does not say.
    pub(crate) stack: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct WorldUserTask {
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) name: String,
    pub(crate) begin: (u64, i64),
    pub(crate) end: Option<(u64, i64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct WorldLog {
    pub(crate) task: u64,
    pub(crate) user_task: Option<u64>,
    pub(crate) at: i64,
    pub(crate) category: String,
    pub(crate) message: Vec<u8>,
}

/// The id of a stack, which is the same in every recording; `None` for no stack.
pub(crate) fn stack_id(
    functions: &[String],
    stacks: &mut BTreeMap<StackId, Stack>,
    names: &mut Names,
) -> Option<StackId> {
    let mut hasher = DefaultHasher::new();
    functions.hash(&mut hasher);
    let id = (!functions.is_empty()).then(|| StackId(hasher.finish()))?;
    stacks.entry(id).or_insert_with(|| Stack {
        id,
        frames: functions
            .iter()
            .map(|function| Frame {
                function: names.intern(function),
                file: Names::EMPTY,
                line: 0,
            })
            .collect(),
    });
    Some(id)
}

pub(crate) fn interval(start: i64, end: i64) -> Interval {
    Interval::new(UnixNanos(start), UnixNanos(end)).unwrap()
}

impl World {
    /// One recording per window, as the runtime would have made it: a user task exists only if it began while some
    /// recording was on, and its parent is the nearest ancestor that exists.
    pub(crate) fn record(&self, windows: &[Interval]) -> Vec<TaskRecording> {
        windows.iter().map(|window| self.record_one(*window, windows)).collect()
    }

    /// One recording of everything.
    pub(crate) fn record_all(&self) -> TaskRecording {
        let window = self.extent();
        self.record_one(window, &[window])
    }

    /// From the first to the last state.
    pub(crate) fn extent(&self) -> Interval {
        let start = self.states.iter().map(|state| state.interval.start()).min();
        let end = self.states.iter().map(|state| state.interval.end()).max();
        Interval::new(start.unwrap_or_default(), end.unwrap_or_default()).unwrap()
    }

    pub(crate) fn process_spans(&self) -> ProcessSpans<'_> {
        ProcessSpans {
            process: self.process.clone(),
            spans: self.spans.iter().collect(),
            context: Vec::new(),
        }
    }

    pub(crate) fn attribute(&self, recordings: &[TaskRecording]) -> Attributed {
        self.attribute_by(recordings, &Rules::default())
    }

    pub(crate) fn attribute_by(&self, recordings: &[TaskRecording], rules: &Rules) -> Attributed {
        let recordings: Vec<&TaskRecording> = recordings.iter().collect();
        attribute(&self.process_spans(), &recordings, rules)
    }

    pub(crate) fn analyze(&self, recordings: &[TaskRecording]) -> Analysis<'_> {
        let recordings: Vec<&TaskRecording> = recordings.iter().collect();
        Analysis::new(&self.process_spans(), &recordings, &Rules::default())
    }

    pub(crate) fn key(&self, name: &str) -> SpanKey {
        let span = self.spans.iter().find(|span| &*span.name == name);
        SpanKey::of(span.unwrap_or_else(|| panic!("no span {name}")))
    }

    fn record_one(&self, window: Interval, windows: &[Interval]) -> TaskRecording {
        let mut names = Names::new();
        let mut stacks = BTreeMap::new();
        let inside = |at: i64| window.contains(UnixNanos(at));
        let mut states: Vec<TaskState> = self
            .states
            .iter()
            .filter_map(|state| {
                let waker = match state.interval.end() <= window.end() {
                    true => state.waker,
                    false => Waker::None,
                };
                Some(TaskState {
                    task: TaskId(state.task),
                    interval: state.interval.intersection(window)?,
                    state: state.state,
                    sub_state: names.intern(&state.sub_state),
                    reason: Names::EMPTY,
                    stack: stack_id(&state.stack, &mut stacks, &mut names),
                    waker,
                })
            })
            .collect();
        states.sort_by_key(|state| (state.task, state.interval));
        let mut tasks: Vec<Task> = self
            .tasks
            .iter()
            .filter(|task| {
                let event_inside = inside(task.birth) || task.death.is_some_and(inside);
                event_inside || states.iter().any(|state| state.task.0 == task.id)
            })
            .map(|task| Task {
                id: TaskId(task.id),
                entry_function: Names::EMPTY,
                creator: task.creator.filter(|_| inside(task.birth)).map(TaskId),
                birth: inside(task.birth).then_some(UnixNanos(task.birth)),
                death: task.death.filter(|death| inside(*death)).map(UnixNanos),
                kind: task.kind,
            })
            .collect();
        tasks.sort_by_key(|task| task.id);
        let mut samples: Vec<&WorldSample> = self.samples.iter().filter(|sample| inside(sample.at)).collect();
        samples.sort_by_key(|sample| sample.at);
        let runtime_events = samples.into_iter().map(|sample| RuntimeEvent {
            task: Some(TaskId(sample.task)),
            stack: stack_id(&sample.stack, &mut stacks, &mut names),
            ..RuntimeEvent::new(
                RuntimeEventKind::CpuSample,
                Names::EMPTY,
                interval(sample.at, sample.at),
            )
        });
        let runtime_events = runtime_events.collect();
        let user_tasks = self.record_user_tasks(window, windows, &mut names);
        let mut user_logs: Vec<UserLog> = self
            .logs
            .iter()
            .filter(|log| inside(log.at))
            .map(|log| UserLog {
                task: TaskId(log.task),
                user_task: log.user_task,
                at: UnixNanos(log.at),
                category: names.intern(&log.category),
                message: log.message.clone().into(),
            })
            .collect();
        user_logs.sort_by_key(|log| log.at);
        TaskRecording {
            process: self.process.clone(),
            source: Arc::from(format!("recording of {window:?}")),
            window,
            clock: RecordingClock::Recorded,
            names,
            tasks,
            states,
            user_tasks,
            user_logs,
            stacks: stacks.into_values().collect(),
            runtime_events,
            warnings: Vec::new(),
        }
    }

    fn record_user_tasks(&self, window: Interval, windows: &[Interval], names: &mut Names) -> Vec<UserTask> {
        let find = |id: u64| {
            self.user_tasks
                .binary_search_by_key(&id, |task| task.id)
                .map(|index| &self.user_tasks[index])
        };
        let exists = |task: &WorldUserTask| windows.iter().any(|window| window.contains(UnixNanos(task.begin.1)));
        let event = |(task, at): (u64, i64)| window.contains(UnixNanos(at)).then_some((TaskId(task), UnixNanos(at)));
        self.user_tasks
            .iter()
            .filter(|task| exists(task))
            .filter_map(|task| {
                let begin = event(task.begin);
                let end = task.end.and_then(event);
                (begin.is_some() || end.is_some()).then_some(())?;
                let mut parent = task.parent;
                while let Some(id) = parent
                    && let Ok(task) = find(id)
                    && !exists(task)
                {
                    parent = task.parent;
                }
                Some(UserTask {
                    id: task.id,
                    parent: parent.filter(|_| begin.is_some()),
                    name: begin.map(|_| names.intern(&task.name)),
                    begin,
                    end,
                })
            })
            .collect()
    }
}

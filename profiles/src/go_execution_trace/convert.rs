//! A decoded Go execution trace as a [`TaskRecording`].

use std::collections::HashMap;
use std::sync::Arc;

use gotrace::{GoroutineState, RangeKind, Recording, RunnableCause, StringId, TraceError, TraceNanos, WaitReason};
use spandrel_model::{
    Frame, Interval, NameId, Names, ProcessIdentity, RuntimeEvent, Stack, StackId, State, Task, TaskId, TaskKind,
    TaskRecording, TaskState, UnixNanos, UnknownReason, UserLog, UserTask, Waker,
};

use super::overlay::Overlays;
use super::rules::{FRAMES_SEEN, ended_externally, wait_state};

/// Why a trace gives no recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not a readable trace.
    #[error("cannot decode the Go execution trace from {from}")]
    Trace {
        /// File, target or peer.
        from: Arc<str>,
        /// What is wrong with it, and where.
        source: TraceError,
    },
    /// Traces of Go before 1.25 carry no wall clock, so spans cannot be placed in them.
    #[error(
        "the execution trace from {from} is of {version} and carries no wall clock, so it cannot be joined with spans \
         (build the service with Go 1.25 or later)"
    )]
    NoWallClock {
        /// File, target or peer.
        from: Arc<str>,
        /// Version of the trace format.
        version: &'static str,
    },
}

/// Decodes the bytes of a trace of `process`; `source` says where they came from, for messages.
///
/// # Errors
/// The bytes are not a readable trace, or the trace has no wall clock.
pub fn decode(bytes: &[u8], process: Arc<ProcessIdentity>, source: Arc<str>) -> Result<TaskRecording, DecodeError> {
    let recording = Recording::decode(bytes).map_err(|error| DecodeError::Trace {
        from: source.clone(),
        source: error,
    })?;
    task_recording(&recording, process, source)
}

/// The states of a decoded trace in wall time, refined by overlays and stacks.
///
/// # Errors
/// The trace has no wall clock.
pub fn task_recording(
    recording: &Recording,
    process: Arc<ProcessIdentity>,
    source: Arc<str>,
) -> Result<TaskRecording, DecodeError> {
    let window = wall(recording, recording.start, recording.end);
    let Some(window) = window else {
        return Err(DecodeError::NoWallClock {
            from: source,
            version: recording.version.name(),
        });
    };
    let mut converter = Converter::new(recording);
    let states = converter.states();
    Ok(TaskRecording {
        tasks: converter.tasks(),
        user_tasks: converter.user_tasks(),
        user_logs: converter.user_logs(),
        runtime_events: converter.runtime_events(),
        stacks: converter.stacks(&states),
        states,
        window,
        process,
        warnings: warnings(recording, &source),
        source,
        names: converter.names,
    })
}

fn warnings(recording: &Recording, source: &str) -> Vec<String> {
    let mut texts: Vec<String> = recording
        .warnings
        .as_slice()
        .iter()
        .map(|warning| format!("{source}: {warning}"))
        .collect();
    if recording.warnings.dropped_count() > 0 {
        texts.push(format!(
            "{source}: and {} more warnings",
            recording.warnings.dropped_count()
        ));
    }
    texts
}

fn instant(recording: &Recording, at: TraceNanos) -> Option<UnixNanos> {
    recording.unix(at).map(|at| UnixNanos(at.0))
}

/// `None` without a wall clock. The clock is monotone, so an interval never turns around.
fn wall(recording: &Recording, start: TraceNanos, end: TraceNanos) -> Option<Interval> {
    Interval::new(instant(recording, start)?, instant(recording, end)?)
}

/// Interns the strings and stacks of one recording, and converts its parts.
struct Converter<'a> {
    recording: &'a Recording,
    overlays: Overlays,
    names: Names,
    name_ids: HashMap<StringId, NameId>,
    stack_ids: HashMap<gotrace::StackId, StackId>,
    waits: HashMap<(StringId, Option<gotrace::StackId>), (State, &'static str)>,
}

impl<'a> Converter<'a> {
    fn new(recording: &'a Recording) -> Self {
        Self {
            recording,
            overlays: Overlays::of(recording),
            names: Names::new(),
            name_ids: HashMap::new(),
            stack_ids: recording
                .stacks()
                .map(|(id, frames)| (id, hash(recording, frames)))
                .collect(),
            waits: HashMap::new(),
        }
    }

    fn name(&mut self, id: StringId) -> NameId {
        if let Some(name) = self.name_ids.get(&id) {
            return *name;
        }
        let name = self.names.intern(&self.recording.text(id));
        self.name_ids.insert(id, name);
        name
    }

    fn tasks(&mut self) -> Vec<Task> {
        let recording = self.recording;
        let convert = |goroutine: &gotrace::Goroutine| Task {
            id: TaskId(goroutine.id.get()),
            entry_function: goroutine
                .start_function
                .map_or(Names::EMPTY, |function| self.name(function)),
            creator: goroutine.creator.map(|creator| TaskId(creator.get())),
            birth: goroutine.birth.and_then(|at| instant(recording, at)),
            death: goroutine.death.and_then(|at| instant(recording, at)),
            kind: if goroutine.is_system {
                TaskKind::System
            } else {
                TaskKind::Application
            },
        };
        recording.goroutines.iter().map(convert).collect()
    }

    fn states(&mut self) -> Vec<TaskState> {
        let mut states = Vec::with_capacity(self.recording.states.len());
        for interval in &self.recording.states {
            match interval.state {
                GoroutineState::Runnable { .. } => self.push_runnable(interval, &mut states),
                GoroutineState::Running { .. } => self.push_running(interval, &mut states),
                _ => {
                    let refined = self.refine(interval);
                    self.push(interval, interval.start, interval.end, refined, &mut states);
                }
            }
        }
        states
    }

    fn push_runnable(&mut self, interval: &gotrace::StateInterval, states: &mut Vec<TaskState>) {
        let mut pieces = Vec::new();
        self.overlays
            .stop_the_world
            .cut(interval.start, interval.end, |start, end, stopped| {
                pieces.push((start, end, stopped));
            });
        for (start, end, stopped) in pieces {
            let mut refined = self.refine(interval);
            if stopped {
                refined.state = State::GcStw;
            }
            self.push(interval, start, end, refined, states);
        }
    }

    fn push_running(&mut self, interval: &gotrace::StateInterval, states: &mut Vec<TaskState>) {
        let mut pieces = Vec::new();
        let sweeps = self.overlays.sweeps_of(interval.goroutine);
        self.overlays
            .assists_of(interval.goroutine)
            .cut(interval.start, interval.end, |start, end, assisting| {
                if assisting {
                    pieces.push((start, end, State::GcAssist));
                } else {
                    sweeps.cut(start, end, |start, end, sweeping| {
                        pieces.push((start, end, if sweeping { State::GcSweep } else { State::Running }));
                    });
                }
            });
        for (start, end, state) in pieces {
            let refined = Refined {
                state,
                ..self.refine(interval)
            };
            self.push(interval, start, end, refined, states);
        }
    }

    /// State, sub-state, reason and waker of a base interval, before overlays.
    fn refine(&mut self, interval: &gotrace::StateInterval) -> Refined {
        let plain = |state, sub_state| Refined {
            state,
            sub_state,
            reason: Names::EMPTY,
            waker: Waker::None,
        };
        match interval.state {
            GoroutineState::Undetermined => plain(State::Unknown, UnknownReason::StateNotRecorded.as_str()),
            GoroutineState::Running { .. } => plain(State::Running, ""),
            GoroutineState::Syscall => plain(State::Syscall, "with_p"),
            GoroutineState::SyscallBlocked => plain(State::Syscall, "without_p"),
            GoroutineState::Runnable { cause } => {
                let (sub_state, reason) = match cause {
                    RunnableCause::Created => ("created", Names::EMPTY),
                    RunnableCause::Unblocked => ("unblocked", Names::EMPTY),
                    RunnableCause::Preempted => ("preempted", Names::EMPTY),
                    RunnableCause::Yield => ("yield", Names::EMPTY),
                    RunnableCause::Stopped(reason) => ("stopped", self.name(reason)),
                    RunnableCause::SyscallExit => ("syscall_exit", Names::EMPTY),
                    RunnableCause::Unknown => ("", Names::EMPTY),
                };
                Refined {
                    reason,
                    ..plain(State::Runnable, sub_state)
                }
            }
            GoroutineState::Waiting { reason, waker, .. } => self.refine_wait(interval, reason, waker),
        }
    }

    fn refine_wait(&mut self, interval: &gotrace::StateInterval, reason: WaitReason, waker: gotrace::Waker) -> Refined {
        let (mut state, mut sub_state, name) = match reason {
            WaitReason::Runtime(id) => {
                let (state, sub_state) = self.wait(id, interval.stack);
                (state, sub_state, self.name(id))
            }
            WaitReason::CoroutineSwitch => (State::Other, "coroutine", Names::EMPTY),
            WaitReason::Unknown => (State::Other, "began_before_recording", Names::EMPTY),
        };
        if waker == gotrace::Waker::External {
            (state, sub_state) = ended_externally(state, sub_state);
        }
        let waker = match waker {
            gotrace::Waker::Goroutine(goroutine) => Waker::Task(TaskId(goroutine.get())),
            gotrace::Waker::External => Waker::External,
            gotrace::Waker::None => Waker::None,
        };
        Refined {
            state,
            sub_state,
            reason: name,
            waker,
        }
    }

    /// The rules' answer for a reason at a stack, computed once for each pair.
    fn wait(&mut self, reason: StringId, stack: Option<gotrace::StackId>) -> (State, &'static str) {
        let recording = self.recording;
        *self.waits.entry((reason, stack)).or_insert_with(|| {
            let frames = stack.map_or(&[][..], |stack| recording.frames(stack));
            let functions: Vec<_> = frames
                .iter()
                .take(FRAMES_SEEN)
                .map(|frame| recording.text(frame.function))
                .collect();
            wait_state(&recording.text(reason), functions.iter().map(AsRef::as_ref))
        })
    }

    fn push(
        &mut self,
        interval: &gotrace::StateInterval,
        start: TraceNanos,
        end: TraceNanos,
        refined: Refined,
        states: &mut Vec<TaskState>,
    ) {
        // Two instants of trace time may fall on one nanosecond of a wall clock that runs slower; the neighbors then
        // share that instant and still tile.
        let Some(wall) = wall(self.recording, start, end).filter(|wall| !wall.is_empty()) else {
            return;
        };
        // Only the last piece of a wait meets the waker; waits are never cut, so every wait has its own.
        states.push(TaskState {
            task: TaskId(interval.goroutine.get()),
            interval: wall,
            state: refined.state,
            sub_state: self.names.intern(refined.sub_state),
            reason: refined.reason,
            stack: interval.stack.and_then(|stack| self.stack_ids.get(&stack).copied()),
            waker: refined.waker,
        });
    }

    fn user_tasks(&mut self) -> Vec<UserTask> {
        let recording = self.recording;
        let edge = |edge: Option<gotrace::TaskEdge>| {
            let edge = edge?;
            Some((TaskId(edge.goroutine?.get()), instant(recording, edge.time)?))
        };
        let mut tasks: Vec<UserTask> = recording
            .tasks
            .iter()
            .map(|task| UserTask {
                id: task.id.get(),
                parent: task.parent.map(|parent| parent.get()),
                name: task.begin.map(|_| self.name(task.name)),
                begin: edge(task.begin),
                end: edge(task.end),
            })
            .collect();
        tasks.sort_by_key(|task| task.id);
        tasks
    }

    fn user_logs(&mut self) -> Vec<UserLog> {
        let recording = self.recording;
        let mut logs = Vec::with_capacity(recording.logs.len());
        for log in &recording.logs {
            let (Some(goroutine), Some(at)) = (log.goroutine, instant(recording, log.time)) else {
                continue;
            };
            logs.push(UserLog {
                task: TaskId(goroutine.get()),
                user_task: Some(log.task.get()).filter(|task| *task != 0),
                at,
                category: self.name(log.key),
                message: recording.bytes(log.value).into(),
            });
        }
        logs
    }

    fn runtime_events(&mut self) -> Vec<RuntimeEvent> {
        let recording = self.recording;
        let mut events = Vec::new();
        for range in &recording.ranges {
            let (kind, detail) = match range.kind {
                RangeKind::StopTheWorld { kind } => ("stw", self.name(kind)),
                RangeKind::GcMark => ("gc", self.names.intern("concurrent mark")),
                RangeKind::MarkAssist | RangeKind::Sweep { .. } => continue,
            };
            if let Some(interval) = wall(recording, range.start, range.end) {
                let task = range.goroutine.map(|goroutine| TaskId(goroutine.get()));
                events.push(RuntimeEvent {
                    kind: self.names.intern(kind),
                    detail,
                    interval,
                    task,
                });
            }
        }
        events
    }

    /// The stacks that `states` refer to.
    fn stacks(&mut self, states: &[TaskState]) -> Vec<Stack> {
        let mut used: Vec<StackId> = states.iter().filter_map(|state| state.stack).collect();
        used.sort_unstable();
        used.dedup();
        let recording = self.recording;
        let mut stacks = Vec::with_capacity(used.len());
        for (id, frames) in recording.stacks() {
            let id = self.stack_ids[&id];
            if used.binary_search(&id).is_err() {
                continue;
            }
            let frames = frames
                .iter()
                .map(|frame| Frame {
                    function: self.name(frame.function),
                    file: self.name(frame.file),
                    line: u32::try_from(frame.line).unwrap_or(u32::MAX),
                })
                .collect();
            stacks.push(Stack { id, frames });
        }
        stacks.sort_by_key(|stack| stack.id);
        stacks.dedup_by_key(|stack| stack.id);
        stacks
    }
}

#[derive(Clone, Copy)]
struct Refined {
    state: State,
    sub_state: &'static str,
    reason: NameId,
    waker: Waker,
}

/// FNV-1a (64 bits) over functions, files and lines: fixed for all time, because tables of different days are joined
/// by it.
fn hash(recording: &Recording, frames: &[gotrace::Frame]) -> StackId {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for frame in frames {
        add(recording.bytes(frame.function));
        add(&[0]);
        add(recording.bytes(frame.file));
        add(&[0]);
        add(&frame.line.to_le_bytes());
    }
    StackId(hash)
}

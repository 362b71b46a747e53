//! Rows gathered into a [`TaskRecording`].

use std::sync::Arc;

use spandrel_model::{
    Names, ProcessIdentity, RecordingClock, RuntimeEvent, Stack, Task, TaskRecording, TaskState, UserLog, UserTask,
};

use super::rows::{Converted, Rows};

/// Keeps all rows.
#[derive(Debug, Default)]
pub(super) struct RecordingRows {
    stacks: Vec<Stack>,
    /// By life: a task's states are written where its last one was, which the cache still has.
    states: Vec<Vec<TaskState>>,
    tasks: Vec<(u32, Task)>,
    user_tasks: Vec<UserTask>,
    user_logs: Vec<UserLog>,
    runtime_events: Vec<RuntimeEvent>,
}

impl Rows for RecordingRows {
    fn stack(&mut self, stack: Stack, _: &Names) {
        self.stacks.push(stack);
    }

    fn state(&mut self, life: u32, state: &TaskState, _: &Names) {
        let life = life as usize;
        if life >= self.states.len() {
            self.states.resize_with(life + 1, Vec::new);
        }
        self.states[life].push(*state);
    }

    fn task(&mut self, life: u32, task: Task, _: &Names) {
        self.tasks.push((life, task));
    }

    fn user_task(&mut self, task: UserTask) {
        self.user_tasks.push(task);
    }

    fn user_log(&mut self, log: UserLog) {
        self.user_logs.push(log);
    }

    fn runtime_event(&mut self, event: RuntimeEvent, _: &Names) {
        self.runtime_events.push(event);
    }
}

impl RecordingRows {
    /// Sorts everything as a [`TaskRecording`] has it.
    pub(super) fn into_recording(
        mut self,
        converted: Converted,
        process: Arc<ProcessIdentity>,
        source: Arc<str>,
    ) -> TaskRecording {
        // Lives of one id follow each other, and are numbered in that order.
        self.tasks.sort_by_key(|(life, task)| (task.id, *life));
        let lives = self.tasks.iter().map(|(life, _)| *life);
        let states = in_order(lives, self.states);
        self.stacks.sort_by_key(|stack| stack.id);
        self.user_tasks.sort_by_key(|task| task.id);
        // Further ends of a task say nothing new.
        self.user_tasks
            .dedup_by(|later, kept| later.id == kept.id && later.begin.is_none());
        self.user_logs.sort_by_key(|log| log.at);
        self.runtime_events.sort_by_key(|event| event.interval.start());
        TaskRecording {
            tasks: self.tasks.into_iter().map(|(_, task)| task).collect(),
            states,
            user_tasks: self.user_tasks,
            user_logs: self.user_logs,
            runtime_events: self.runtime_events,
            stacks: self.stacks,
            window: converted.window,
            clock: RecordingClock::Recorded,
            process,
            source,
            names: converted.names,
            warnings: converted.warnings,
        }
    }
}

/// Puts the states of all lives next to each other, in the order of `lives`.
fn in_order(lives: impl Iterator<Item = u32>, mut by_life: Vec<Vec<TaskState>>) -> Vec<TaskState> {
    let mut states = Vec::with_capacity(by_life.iter().map(Vec::len).sum());
    for life in lives {
        if let Some(of_life) = by_life.get_mut(life as usize) {
            states.extend(std::mem::take(of_life));
        }
    }
    states
}

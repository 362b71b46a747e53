//! Who takes what a trace is converted to.

use spandrel_model::{Interval, Names, RuntimeEvent, Stack, Task, TaskState, UserLog, UserTask};

/// Takes rows as soon as they are whole. Names belong to the `names` that come with them, which only ever grow.
pub(super) trait Rows {
    /// A stack that rows after it refer to. Each comes once.
    fn stack(&mut self, stack: Stack, names: &Names);
    /// A state. Those of one life come in order.
    fn state(&mut self, life: u32, state: &TaskState, names: &Names);
    /// A task, after its states.
    fn task(&mut self, life: u32, task: Task, names: &Names);
    /// A user task.
    fn user_task(&mut self, task: UserTask);
    /// A log message.
    fn user_log(&mut self, log: UserLog);
    /// Anything else.
    fn runtime_event(&mut self, event: RuntimeEvent, names: &Names);
    /// Whether more rows are of no use.
    fn is_done(&self) -> bool {
        false
    }
}

/// What is known once all rows have come.
#[derive(Debug)]
pub(super) struct Converted {
    /// Time that the trace covers.
    pub(super) window: Interval,
    /// Whether times are wall times, or those of the trace's own clock.
    pub(super) has_wall_clock: bool,
    pub(super) names: Names,
    /// What could not be read, in words for the operator.
    pub(super) warnings: Vec<String>,
}

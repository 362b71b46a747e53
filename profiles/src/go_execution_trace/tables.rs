//! Rows handed on in batches while a trace is read.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use spandrel_model::{
    Names, ProcessIdentity, RuntimeEvent, Stack, Table, Task, TaskState, UnixNanos, UserLog, UserTask,
};

use super::rows::{Converted, Rows};
use crate::columns::{
    BATCH_ROWS, Context, NameValues, RuntimeEventColumns, StackColumns, TaskColumns, TaskStateColumns,
};

/// Why a batch could not be handed on.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Gathers rows into batches.
pub(super) struct TableRows<F> {
    each: F,
    context: Context,
    name_values: NameValues,
    states: TaskStateColumns,
    events: RuntimeEventColumns,
    tasks: TaskColumns,
    /// Rows tell the start of the recording, which is known for certain at its end.
    stacks: Vec<Stack>,
    failure: Option<Failure>,
}

impl<F: FnMut(Table, RecordBatch) -> Result<(), Failure>> TableRows<F> {
    pub(super) fn new(process: &ProcessIdentity, each: F) -> Self {
        Self {
            each,
            context: Context::new(process),
            name_values: NameValues::new(),
            states: TaskStateColumns::new(),
            events: RuntimeEventColumns::with_capacity(0),
            tasks: TaskColumns::default(),
            stacks: Vec::new(),
            failure: None,
        }
    }

    /// Hands on what is left.
    pub(super) fn finish(mut self, converted: &Converted) -> Result<(), Failure> {
        self.flush_states(&converted.names);
        self.flush_events(&converted.names);
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let (window, names) = (converted.window, &converted.names);
        let values = self.name_values.of(names);
        let tasks = self.tasks.finish(&mut self.context, values, window, None)?;
        let stacks = stack_rows(&self.stacks, names, window.start())?;
        for (table, rows) in [(Table::Tasks, tasks), (Table::Stacks, stacks)] {
            for from in (0..rows.num_rows()).step_by(BATCH_ROWS) {
                let count = BATCH_ROWS.min(rows.num_rows() - from);
                (self.each)(table, rows.slice(from, count))?;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn flush_states(&mut self, names: &Names) {
        let columns = std::mem::replace(&mut self.states, TaskStateColumns::new());
        let rows = columns.finish(&mut self.context, self.name_values.of(names));
        self.hand_on(Table::TaskStates, rows);
    }

    #[inline(never)]
    fn flush_events(&mut self, names: &Names) {
        let columns = std::mem::replace(&mut self.events, RuntimeEventColumns::with_capacity(BATCH_ROWS));
        let rows = columns.finish(&mut self.context, self.name_values.of(names));
        self.hand_on(Table::RuntimeEvents, rows);
    }

    fn hand_on(&mut self, table: Table, rows: Result<RecordBatch, ArrowError>) {
        if self.failure.is_some() {
            return;
        }
        let handed_on = match rows {
            Ok(rows) if rows.num_rows() == 0 => Ok(()),
            Ok(rows) => (self.each)(table, rows),
            Err(error) => Err(error.into()),
        };
        self.failure = handed_on.err();
    }
}

fn stack_rows(stacks: &[Stack], names: &Names, recording_start: UnixNanos) -> Result<RecordBatch, ArrowError> {
    let mut columns = StackColumns::new()?;
    for stack in stacks {
        columns.push(stack, names)?;
    }
    columns.finish(recording_start)
}

impl<F: FnMut(Table, RecordBatch) -> Result<(), Failure>> Rows for TableRows<F> {
    fn stack(&mut self, stack: Stack, _: &Names) {
        self.stacks.push(stack);
    }

    #[inline]
    fn state(&mut self, _: u32, state: &TaskState, names: &Names) {
        self.states.push(state);
        if self.states.rows() >= BATCH_ROWS {
            self.flush_states(names);
        }
    }

    fn task(&mut self, _: u32, task: Task, _: &Names) {
        self.tasks.push(&task);
    }

    fn user_task(&mut self, _: UserTask) {}

    fn user_log(&mut self, _: UserLog) {}

    fn runtime_event(&mut self, event: RuntimeEvent, names: &Names) {
        self.events.push(&event);
        if self.events.rows() >= BATCH_ROWS {
            self.flush_events(names);
        }
    }

    fn is_done(&self) -> bool {
        self.failure.is_some()
    }
}

//! Rows of `tasks`.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use spandrel_model::{Interval, Table, Task, TaskKind};

use super::dictionary::{Context, key, keyed};
use super::{OptionalInt64, batch, booleans, column_id, int64};

/// The columns that differ from row to row.
#[derive(Debug, Default)]
pub(crate) struct TaskColumns {
    task_id: Vec<i64>,
    entry_function: Vec<i32>,
    creator_task_id: OptionalInt64,
    birth_ns: OptionalInt64,
    death_ns: OptionalInt64,
    is_system: Vec<bool>,
}

impl TaskColumns {
    pub(crate) fn push(&mut self, row: &Task) {
        self.task_id.push(column_id(row.id.0));
        self.entry_function.push(key(row.entry_function));
        self.creator_task_id
            .push(row.creator.map(|creator| column_id(creator.0)));
        self.birth_ns.push(row.birth.map(|at| at.0));
        self.death_ns.push(row.death.map(|at| at.0));
        self.is_system.push(row.kind == TaskKind::System);
    }

    /// `window` is the time of the recording, `clock_error_ns` how far it may be off.
    pub(crate) fn finish(
        self,
        context: &mut Context,
        names: &ArrayRef,
        window: Interval,
        clock_error_ns: Option<i64>,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = self.task_id.len();
        let [service, process] = context.columns(rows)?;
        let mut clock_error = OptionalInt64::with_capacity(rows);
        (0..rows).for_each(|_| clock_error.push(clock_error_ns));
        batch(
            Table::Tasks,
            vec![
                service,
                process,
                int64(vec![window.start().0; rows]),
                int64(vec![window.end().0; rows]),
                int64(self.task_id),
                keyed(self.entry_function, names)?,
                self.creator_task_id.finish(),
                self.birth_ns.finish(),
                self.death_ns.finish(),
                booleans(&self.is_system),
                clock_error.finish(),
            ],
        )
    }
}

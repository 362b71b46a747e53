//! Rows of `runtime_events`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::error::ArrowError;
use spandrel_model::{RuntimeEvent, RuntimeEventKind, Table};

use super::dictionary::{Context, key, keyed, words};
use super::{OptionalInt64, batch, column_id, int64, timestamps};

static KINDS: LazyLock<ArrayRef> = LazyLock::new(|| words(RuntimeEventKind::ALL.map(RuntimeEventKind::as_str)));

/// The columns that differ from row to row.
#[derive(Debug)]
pub(crate) struct RuntimeEventColumns {
    start_ns: Vec<i64>,
    duration_ns: Vec<i64>,
    kind: Vec<i32>,
    detail: Vec<i32>,
    task_id: OptionalInt64,
    text: StringBuilder,
    value: OptionalInt64,
    user_task_id: OptionalInt64,
    parent_user_task_id: OptionalInt64,
    stack_id: OptionalInt64,
}

impl RuntimeEventColumns {
    /// With room for so many rows.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            start_ns: Vec::with_capacity(rows),
            duration_ns: Vec::with_capacity(rows),
            kind: Vec::with_capacity(rows),
            detail: Vec::with_capacity(rows),
            task_id: OptionalInt64::with_capacity(rows),
            text: StringBuilder::with_capacity(rows, 0),
            value: OptionalInt64::with_capacity(rows),
            user_task_id: OptionalInt64::with_capacity(rows),
            parent_user_task_id: OptionalInt64::with_capacity(rows),
            stack_id: OptionalInt64::with_capacity(rows),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.start_ns.len()
    }

    pub(crate) fn push(&mut self, row: &RuntimeEvent) {
        self.start_ns.push(row.interval.start().0);
        self.duration_ns.push(row.interval.duration_ns());
        self.kind.push(row.kind as i32);
        self.detail.push(key(row.detail));
        self.task_id.push(row.task.map(|task| column_id(task.0)));
        self.text.append_option(row.text.as_deref());
        self.value.push(row.value);
        self.user_task_id.push(row.user_task.map(column_id));
        self.parent_user_task_id.push(row.parent_user_task.map(column_id));
        self.stack_id.push(row.stack.map(|stack| stack.as_column()));
    }

    pub(crate) fn finish(mut self, context: &mut Context, names: &ArrayRef) -> Result<RecordBatch, ArrowError> {
        let [service, process] = context.columns(self.rows())?;
        let start_time = timestamps(&self.start_ns);
        batch(
            Table::RuntimeEvents,
            vec![
                service,
                process,
                int64(self.start_ns),
                start_time,
                int64(self.duration_ns),
                keyed(self.kind, &KINDS)?,
                keyed(self.detail, names)?,
                self.task_id.finish(),
                Arc::new(self.text.finish()),
                self.value.finish(),
                self.user_task_id.finish(),
                self.parent_user_task_id.finish(),
                self.stack_id.finish(),
            ],
        )
    }
}

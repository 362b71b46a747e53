//! Rows of the tables `stacks`, `tasks`, `task_states` and `runtime_events` as Arrow record batches.
//!
//! Columns have the types of [`Table::row_schema`]: what repeats is a key of a dictionary that all batches of one recording
//! share, so that a row of `task_states` is 64 bytes whatever its words are.

mod dictionary;
mod recording;
mod runtime_events;
mod stacks;
mod task_states;
mod tasks;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::error::ArrowError;
use spandrel_model::Table;

pub(crate) use self::dictionary::{Context, NameValues};
pub use self::recording::tables;
pub(crate) use self::runtime_events::RuntimeEventColumns;
pub(crate) use self::stacks::StackColumns;
pub use self::task_states::BATCH_ROWS;
pub(crate) use self::task_states::TaskStateColumns;
pub(crate) use self::tasks::TaskColumns;

fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(table.row_schema(), columns)
}

/// Ids of tasks and user tasks are counters from 1, far below 2^63; an id beyond is shown as the largest number.
fn column_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

/// A column without nulls.
fn int64(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::new(values.into(), None))
}

/// A column of instants, in microseconds.
fn timestamps(instants_ns: &[i64]) -> ArrayRef {
    let micros: Vec<i64> = instants_ns.iter().map(|ns| ns.div_euclid(1_000)).collect();
    Arc::new(TimestampMicrosecondArray::new(micros.into(), None).with_timezone("UTC"))
}

fn booleans(values: &[bool]) -> ArrayRef {
    Arc::new(BooleanArray::new(bits(values), None))
}

fn bits(values: &[bool]) -> BooleanBuffer {
    BooleanBuffer::collect_bool(values.len(), |row| values[row])
}

fn optional_int64(values: Vec<i64>, is_there: BooleanBuffer) -> ArrayRef {
    Arc::new(Int64Array::new(values.into(), Some(NullBuffer::new(is_there))))
}

/// A column of numbers that may be missing.
#[derive(Debug, Default)]
struct OptionalInt64 {
    values: Vec<i64>,
    is_there: Vec<bool>,
}

impl OptionalInt64 {
    fn with_capacity(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            is_there: Vec::with_capacity(rows),
        }
    }

    #[inline]
    fn push(&mut self, value: Option<i64>) {
        self.values.push(value.unwrap_or(0));
        self.is_there.push(value.is_some());
    }

    fn finish(self) -> ArrayRef {
        optional_int64(self.values, bits(&self.is_there))
    }
}

//! Rows of `task_states`: the millions.

use std::fmt::Debug;
use std::sync::LazyLock;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use spandrel_model::{State, Table, TaskState, Waker};

use super::dictionary::{Context, key, keyed, words};
use super::{batch, bits, column_id, int64, optional_int64, timestamps};

static STATES: LazyLock<ArrayRef> = LazyLock::new(|| words(State::ALL.map(State::as_str)));
static WAKERS: LazyLock<ArrayRef> = LazyLock::new(|| words(["task", "external", "none"]));

/// The most rows in a batch: few enough that it is still in the cache when it is handed on. A power of two.
pub const BATCH_ROWS: usize = 8_192;

/// One column of a batch.
type Column<T> = Box<[T; BATCH_ROWS]>;

/// The columns that differ from row to row. A batch is filled in place: an index that is cut to the length of all columns
/// needs no check, and no column ever grows.
#[derive(Debug)]
pub(crate) struct TaskStateColumns {
    rows: usize,
    task_id: Column<i64>,
    start_ns: Column<i64>,
    duration_ns: Column<i64>,
    state: Column<i32>,
    sub_state: Column<i32>,
    reason: Column<i32>,
    stack_id: Column<i64>,
    has_stack: Column<bool>,
    waker: Column<i32>,
    waker_task_id: Column<i64>,
}

const TASK: i32 = 0;
const EXTERNAL: i32 = 1;
const NONE: i32 = 2;

impl TaskStateColumns {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            task_id: column(),
            start_ns: column(),
            duration_ns: column(),
            state: column(),
            sub_state: column(),
            reason: column(),
            stack_id: column(),
            has_stack: column(),
            waker: column(),
            waker_task_id: column(),
        }
    }

    /// At [`BATCH_ROWS`] rows it is full.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row to a batch that is not full.
    #[inline]
    pub(crate) fn push(&mut self, row: &TaskState) {
        let at = self.rows % BATCH_ROWS;
        self.rows += 1;
        let (waker, waker_task_id) = match row.waker {
            Waker::Task(task) => (TASK, column_id(task.0)),
            Waker::External => (EXTERNAL, 0),
            Waker::None => (NONE, 0),
        };
        self.task_id[at] = column_id(row.task.0);
        self.start_ns[at] = row.interval.start().0;
        self.duration_ns[at] = row.interval.duration_ns();
        self.state[at] = row.state as i32;
        self.sub_state[at] = key(row.sub_state);
        self.reason[at] = key(row.reason);
        self.stack_id[at] = row.stack.map_or(0, |stack| stack.as_column());
        self.has_stack[at] = row.stack.is_some();
        self.waker[at] = waker;
        self.waker_task_id[at] = waker_task_id;
    }

    pub(crate) fn finish(self, context: &mut Context, names: &ArrayRef) -> Result<RecordBatch, ArrowError> {
        let rows = self.rows;
        let [service, process] = context.columns(rows)?;
        let start_ns = filled(self.start_ns, rows);
        let start_time = timestamps(&start_ns);
        let waker = filled(self.waker, rows);
        let has_waker_task = BooleanBuffer::collect_bool(rows, |row| waker[row] == TASK);
        let has_stack = bits(&self.has_stack[..rows]);
        batch(
            Table::TaskStates,
            vec![
                service,
                process,
                int64(filled(self.task_id, rows)),
                int64(start_ns),
                start_time,
                int64(filled(self.duration_ns, rows)),
                keyed(filled(self.state, rows), &STATES)?,
                keyed(filled(self.sub_state, rows), names)?,
                keyed(filled(self.reason, rows), names)?,
                optional_int64(filled(self.stack_id, rows), has_stack),
                keyed(waker, &WAKERS)?,
                optional_int64(filled(self.waker_task_id, rows), has_waker_task),
            ],
        )
    }
}

fn column<T: Copy + Default + Debug>() -> Column<T> {
    let column: Box<[T]> = vec![T::default(); BATCH_ROWS].into();
    column.try_into().expect("it is of that length")
}

/// The rows of a column that have been filled.
fn filled<T>(column: Column<T>, rows: usize) -> Vec<T> {
    let mut values = Vec::from(column as Box<[T]>);
    values.truncate(rows);
    values
}

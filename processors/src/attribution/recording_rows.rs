//! Rows of a recording: `tasks`, `task_states`, `stacks` and `runtime_events`.
//!
//! A recording of the time before a restart may have its rows already, sent by the earlier run. Its rows then replace those that
//! are the same, so that it does not matter whether they were there, all or in part.

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use spandrel_model::{Table, TaskRecording, UnixNanos};
use spandrel_pipeline::TableRows;
use spandrel_profiles::columns;

/// The rows of a recording. `stored_until` is when an earlier run last stored something.
///
/// # Errors
/// Arrow refuses the columns, which means that they do not fit the schema of a table.
pub(super) fn recording_rows(
    recording: &TaskRecording,
    stored_until: Option<UnixNanos>,
) -> Result<Vec<TableRows>, ArrowError> {
    let may_be_stored = stored_until.is_some_and(|until| recording.window.start() <= until);
    let rows_of = |(table, rows): (Table, RecordBatch)| -> Result<TableRows, ArrowError> {
        let replaces = match may_be_stored && rows.num_rows() > 0 {
            true => Some(own_keys(table, &rows)?),
            false => None,
        };
        Ok(TableRows { table, rows, replaces })
    };
    columns::tables(recording)?.into_iter().map(rows_of).collect()
}

/// The columns of the rows that tell them from rows of other recordings. Two snapshots of a flight recorder may begin at the
/// same time, and end at others. Where both saw the same, their rows are the same, and one of these is enough; but a row of
/// `tasks` tells until when a recording saw a task.
fn own_keys(table: Table, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns: &[&str] = match table {
        Table::Tasks => &[
            "service_name",
            "process_id",
            "recording_start_ns",
            "recording_end_ns",
            "task_id",
        ],
        Table::Stacks => &["stack_id", "recording_start_ns"],
        Table::TaskStates => &["service_name", "process_id", "task_id", "start_ns", "duration_ns"],
        _ => &[
            "service_name",
            "process_id",
            "start_ns",
            "duration_ns",
            "kind",
            "detail",
            "task_id",
        ],
    };
    let schema = rows.schema();
    let indices: Vec<usize> = (columns.iter())
        .map(|name| schema.index_of(name))
        .collect::<Result<_, _>>()?;
    rows.project(&indices)
}

//! A whole [`TaskRecording`] as rows.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use spandrel_model::{Table, TaskRecording};

use super::{BATCH_ROWS, Context, NameValues, RuntimeEventColumns, StackColumns, TaskColumns, TaskStateColumns};

/// The rows of one recording in the order of [`Table::ALL`]: batches of [`BATCH_ROWS`](super::BATCH_ROWS) task states, and one
/// batch of each other table. Tables without rows are left out.
///
/// # Errors
/// Arrow refuses the columns, which means that they do not fit the schema of the table.
pub fn tables(recording: &TaskRecording) -> Result<Vec<(Table, RecordBatch)>, ArrowError> {
    let mut context = Context::new(&recording.process);
    let mut names = NameValues::new();
    let names = names.of(&recording.names);

    let mut stacks = StackColumns::new()?;
    for stack in &recording.stacks {
        stacks.push(stack, &recording.names)?;
    }
    let mut tasks = TaskColumns::default();
    recording.tasks.iter().for_each(|task| tasks.push(task));
    let mut events = RuntimeEventColumns::with_capacity(recording.runtime_events.len());
    recording.runtime_events.iter().for_each(|event| events.push(event));

    let (window, clock_error_ns) = (recording.window, recording.clock.error_ns());
    let mut batches = vec![
        (Table::Stacks, stacks.finish(window.start())?),
        (Table::Tasks, tasks.finish(&mut context, names, window, clock_error_ns)?),
    ];
    for rows in recording.states.chunks(BATCH_ROWS) {
        let mut states = TaskStateColumns::new();
        rows.iter().for_each(|state| states.push(state));
        batches.push((Table::TaskStates, states.finish(&mut context, names)?));
    }
    batches.push((Table::RuntimeEvents, events.finish(&mut context, names)?));
    Ok(batches.into_iter().filter(|(_, rows)| rows.num_rows() > 0).collect())
}

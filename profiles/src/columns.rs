//! A [`TaskRecording`] as rows of the tables `stacks`, `tasks`, `task_states` and `runtime_events`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Builder, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use spandrel_model::{NameId, Table, TaskKind, TaskRecording, UnixNanos, Waker};

/// The rows of one recording, a batch per table, in the order of [`Table::ALL`]. Tables without rows are left out.
///
/// # Errors
/// Arrow refuses the columns, which means that they do not fit the schema of the table.
pub fn tables(recording: &TaskRecording) -> Result<Vec<(Table, RecordBatch)>, ArrowError> {
    let batches = [
        (Table::Stacks, stacks(recording)?),
        (Table::Tasks, tasks(recording)?),
        (Table::TaskStates, task_states(recording)?),
        (Table::RuntimeEvents, runtime_events(recording)?),
    ];
    Ok(batches.into_iter().filter(|(_, rows)| rows.num_rows() > 0).collect())
}

fn stacks(recording: &TaskRecording) -> Result<RecordBatch, ArrowError> {
    let schema = Table::Stacks.schema();
    let frames = &recording.stacks;
    let ids = frames.iter().map(|stack| stack.id.as_column());
    batch(
        Table::Stacks,
        vec![
            int64(ids),
            int64(frames.iter().map(|_| recording.window.start().0)),
            frame_lists(recording, schema.field_with_name("frames")?.data_type())?,
        ],
    )
}

fn frame_lists(recording: &TaskRecording, list: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::List(item) = list else {
        return Err(ArrowError::SchemaError(format!(
            "`stacks.frames` is a {list}, expected a list"
        )));
    };
    let DataType::Struct(members) = item.data_type() else {
        return Err(ArrowError::SchemaError(format!(
            "`stacks.frames` holds {}, expected structs",
            item.data_type()
        )));
    };
    let structs = StructBuilder::from_fields(members.clone(), 0);
    let mut lists = ListBuilder::new(structs).with_field(item.clone());
    let misfit = || ArrowError::SchemaError("`stacks.frames` does not hold (function, file, line)".to_owned());
    for stack in &recording.stacks {
        let structs = lists.values();
        for frame in &stack.frames {
            let strings = [frame.function, frame.file].map(|name| recording.names.resolve(name));
            for (index, text) in strings.into_iter().enumerate() {
                structs
                    .field_builder::<StringBuilder>(index)
                    .ok_or_else(misfit)?
                    .append_value(text);
            }
            let line = i32::try_from(frame.line).unwrap_or(i32::MAX);
            structs
                .field_builder::<Int32Builder>(2)
                .ok_or_else(misfit)?
                .append_value(line);
            structs.append(true);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn tasks(recording: &TaskRecording) -> Result<RecordBatch, ArrowError> {
    let tasks = &recording.tasks;
    let [service, process] = service_columns(recording, tasks.len());
    batch(
        Table::Tasks,
        vec![
            service,
            process,
            int64(tasks.iter().map(|_| recording.window.start().0)),
            int64(tasks.iter().map(|_| recording.window.end().0)),
            int64(tasks.iter().map(|task| column_id(task.id.0))),
            strings(recording, tasks.iter().map(|task| task.entry_function)),
            optional_int64(
                tasks
                    .iter()
                    .map(|task| task.creator.map(|creator| column_id(creator.0))),
            ),
            optional_int64(tasks.iter().map(|task| task.birth.map(|at| at.0))),
            optional_int64(tasks.iter().map(|task| task.death.map(|at| at.0))),
            Arc::new(BooleanArray::from_iter(
                tasks.iter().map(|task| Some(task.kind == TaskKind::System)),
            )),
        ],
    )
}

fn task_states(recording: &TaskRecording) -> Result<RecordBatch, ArrowError> {
    let states = &recording.states;
    let [service, process] = service_columns(recording, states.len());
    let waker = |waker: &Waker| match waker {
        Waker::Task(_) => "task",
        Waker::External => "external",
        Waker::None => "none",
    };
    let waker_task = |waker: &Waker| match waker {
        Waker::Task(task) => Some(column_id(task.0)),
        Waker::External | Waker::None => None,
    };
    batch(
        Table::TaskStates,
        vec![
            service,
            process,
            int64(states.iter().map(|state| column_id(state.task.0))),
            int64(states.iter().map(|state| state.interval.start().0)),
            timestamps(states.iter().map(|state| state.interval.start())),
            int64(states.iter().map(|state| state.interval.duration_ns())),
            Arc::new(StringArray::from_iter_values(
                states.iter().map(|state| state.state.as_str()),
            )),
            strings(recording, states.iter().map(|state| state.sub_state)),
            strings(recording, states.iter().map(|state| state.reason)),
            optional_int64(states.iter().map(|state| state.stack.map(|stack| stack.as_column()))),
            Arc::new(StringArray::from_iter_values(
                states.iter().map(|state| waker(&state.waker)),
            )),
            optional_int64(states.iter().map(|state| waker_task(&state.waker))),
        ],
    )
}

fn runtime_events(recording: &TaskRecording) -> Result<RecordBatch, ArrowError> {
    let events = &recording.runtime_events;
    let [service, process] = service_columns(recording, events.len());
    batch(
        Table::RuntimeEvents,
        vec![
            service,
            process,
            int64(events.iter().map(|event| event.interval.start().0)),
            timestamps(events.iter().map(|event| event.interval.start())),
            int64(events.iter().map(|event| event.interval.duration_ns())),
            strings(recording, events.iter().map(|event| event.kind)),
            strings(recording, events.iter().map(|event| event.detail)),
            optional_int64(events.iter().map(|event| event.task.map(|task| column_id(task.0)))),
        ],
    )
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(table.schema(), columns)
}

fn service_columns(recording: &TaskRecording, rows: usize) -> [ArrayRef; 2] {
    let repeated = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values((0..rows).map(|_| text))) };
    [
        repeated(&recording.process.service_name),
        repeated(&recording.process.process_id()),
    ]
}

/// Task ids are counters from 1, far below 2^63; an id beyond is shown as the largest number.
fn column_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn int64(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn optional_int64(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn strings(recording: &TaskRecording, names: impl Iterator<Item = NameId>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(
        names.map(|name| recording.names.resolve(name).as_ref()),
    ))
}

fn timestamps(instants: impl Iterator<Item = UnixNanos>) -> ArrayRef {
    let micros = instants.map(|at| at.0.div_euclid(1_000));
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

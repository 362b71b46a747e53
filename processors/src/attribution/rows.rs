//! Results of the join as rows of the tables `task_spans`, `attribution` and `span_quality`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeBinaryBuilder, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;
use spandrel_attribution::{InFlight, SpanAttribution, TaskSpan, binding_word};
use spandrel_model::{Binding, Cell, Culprit, ProcessIdentity, SpanId, Table, TaskId, TraceId, UnixNanos};
use spandrel_pipeline::TableRows;

use super::emitted::Replaced;

/// Rows of `task_spans`, `attribution` and `span_quality`, in this order. Tables without rows are left out.
///
/// # Errors
/// Arrow refuses the columns, which means that they do not fit the schema of the table.
pub fn attribution_rows(spans: &[SpanAttribution]) -> Result<Vec<TableRows>, ArrowError> {
    replacing_rows(spans, &[])
}

/// The same, in the place of the rows that `replaced` names.
pub(super) fn replacing_rows(spans: &[SpanAttribution], replaced: &[Replaced]) -> Result<Vec<TableRows>, ArrowError> {
    let on_task: Vec<(&SpanAttribution, &TaskSpan)> = spans
        .iter()
        .flat_map(|span| {
            let on_tasks = span.on_task.iter().chain(&span.handed_over);
            on_tasks.map(move |on_task| (span, on_task))
        })
        .collect();
    let cells: Vec<(&SpanAttribution, &Cell)> = spans
        .iter()
        .flat_map(|span| span.cells.iter().map(move |cell| (span, cell)))
        .collect();
    let mut tables = [task_spans(&on_task)?, attribution(&cells)?, span_quality(spans)?];
    for table in &mut tables {
        table.replaces = span_keys(table.table, replaced)?;
    }
    let is_empty = |table: &TableRows| table.rows.num_rows() == 0 && table.replaces.is_none();
    Ok(tables.into_iter().filter(|table| !is_empty(table)).collect())
}

/// Keys of the rows of spans in one of their tables.
fn span_keys(table: Table, replaced: &[Replaced]) -> Result<Option<RecordBatch>, ArrowError> {
    let starts = |span: &Replaced| match table {
        Table::TaskSpans => span.task_starts.clone(),
        _ => vec![span.start],
    };
    let of_span = |span| std::iter::repeat(span).zip(starts(span));
    let spans: Vec<(&Replaced, UnixNanos)> = replaced.iter().flat_map(of_span).collect();
    let processes = spans.iter().map(|(span, _)| &*span.process);
    let [service, process] = process_columns(processes);
    keys(
        table,
        &["service_name", "process_id", "trace_id", "span_id", "start_ns"],
        vec![
            service,
            process,
            trace_ids(spans.iter().map(|(span, _)| span.trace_id))?,
            span_ids(spans.iter().map(|(span, _)| span.span_id))?,
            int64(spans.iter().map(|(_, start)| start.0)),
        ],
    )
}

/// Some columns of a table; `None` if they have no rows.
pub(super) fn keys(table: Table, names: &[&str], columns: Vec<ArrayRef>) -> Result<Option<RecordBatch>, ArrowError> {
    let schema = table.schema();
    let indices: Vec<usize> = names
        .iter()
        .map(|name| schema.index_of(name))
        .collect::<Result<_, _>>()?;
    let keys = RecordBatch::try_new(Arc::new(schema.project(&indices)?), columns)?;
    Ok(Some(keys).filter(|keys| keys.num_rows() > 0))
}

fn task_spans(rows: &[(&SpanAttribution, &TaskSpan)]) -> Result<TableRows, ArrowError> {
    let [service, process] = service_columns(rows.iter().map(|(span, _)| *span));
    table(
        Table::TaskSpans,
        vec![
            service,
            process,
            int64(rows.iter().map(|(_, on)| task_column(on.task))),
            trace_ids(rows.iter().map(|(span, _)| span.trace_id))?,
            span_ids(rows.iter().map(|(span, _)| span.span_id))?,
            int64(rows.iter().map(|(_, on)| on.interval.start().0)),
            timestamps(rows.iter().map(|(_, on)| on.interval.start())),
            int64(rows.iter().map(|(_, on)| on.interval.duration_ns())),
            strings(rows.iter().map(|(_, on)| on.kind.as_str())),
        ],
    )
}

fn attribution(rows: &[(&SpanAttribution, &Cell)]) -> Result<TableRows, ArrowError> {
    let [service, process] = service_columns(rows.iter().map(|(span, _)| *span));
    let culprit = |word: for<'c> fn(&'c Culprit) -> &'c str| -> ArrayRef {
        let words = rows.iter().map(|(_, cell)| cell.culprit.as_deref().map(word));
        Arc::new(words.collect::<StringArray>())
    };
    table(
        Table::Attribution,
        vec![
            trace_ids(rows.iter().map(|(span, _)| span.trace_id))?,
            span_ids(rows.iter().map(|(span, _)| span.span_id))?,
            service,
            process,
            strings(rows.iter().map(|(span, _)| &*span.operation)),
            Arc::new(BooleanArray::from_iter(
                rows.iter().map(|(span, _)| Some(span.is_request)),
            )),
            int64(rows.iter().map(|(span, _)| span.interval.start().0)),
            timestamps(rows.iter().map(|(span, _)| span.interval.start())),
            strings(rows.iter().map(|(_, cell)| cell.view.as_str())),
            strings(rows.iter().map(|(_, cell)| cell.layer.as_str())),
            strings(rows.iter().map(|(_, cell)| cell.state.as_str())),
            strings(rows.iter().map(|(_, cell)| &*cell.sub_state)),
            strings(rows.iter().map(|(_, cell)| cell.relation.as_str())),
            culprit(|culprit| &culprit.operation),
            culprit(|culprit| culprit.layer.as_str()),
            culprit(|culprit| culprit.state.as_str()),
            strings(rows.iter().map(|(_, cell)| cell.evidence.as_str())),
            int64(rows.iter().map(|(_, cell)| cell.ns)),
        ],
    )
}

fn span_quality(spans: &[SpanAttribution]) -> Result<TableRows, ArrowError> {
    let [service, process] = service_columns(spans.iter());
    let bound_task = |span: &SpanAttribution| match span.binding {
        Binding::Bound { task, .. } => Some(task_column(task)),
        Binding::Unbound(_) => None,
    };
    let in_flight = |part: fn(InFlight) -> i64| -> ArrayRef {
        Arc::new(
            spans
                .iter()
                .map(|span| span.in_flight.map(part))
                .collect::<Int64Array>(),
        )
    };
    table(
        Table::SpanQuality,
        vec![
            trace_ids(spans.iter().map(|span| span.trace_id))?,
            span_ids(spans.iter().map(|span| span.span_id))?,
            service,
            process,
            strings(spans.iter().map(|span| &*span.operation)),
            Arc::new(BooleanArray::from_iter(spans.iter().map(|span| Some(span.is_request)))),
            int64(spans.iter().map(|span| span.interval.start().0)),
            timestamps(spans.iter().map(|span| span.interval.start())),
            int64(spans.iter().map(|span| span.interval.duration_ns())),
            strings(spans.iter().map(|span| span.layer.as_str())),
            strings(spans.iter().map(|span| binding_word(span.binding))),
            Arc::new(spans.iter().map(bound_task).collect::<Int64Array>()),
            int64(spans.iter().map(|span| span.recorded_ns)),
            int64(spans.iter().map(|span| span.exact_ns)),
            int64(spans.iter().map(|span| span.inferred_ns)),
            int64(spans.iter().map(|span| span.unknown_ns)),
            int64(spans.iter().map(|span| span.truncated_ns)),
            Arc::new(spans.iter().map(|span| span.boundaries).collect::<Int64Array>()),
            Arc::new(spans.iter().map(|span| span.clock_error_ns).collect::<Int64Array>()),
            int64(spans.iter().map(|span| span.detached_ns)),
            Arc::new(spans.iter().map(|span| span.offset_lo_ns).collect::<Int64Array>()),
            Arc::new(spans.iter().map(|span| span.offset_hi_ns).collect::<Int64Array>()),
            in_flight(|in_flight| in_flight.min_ns),
            in_flight(|in_flight| in_flight.max_ns),
            in_flight(|in_flight| in_flight.request_min_ns),
            in_flight(|in_flight| in_flight.request_max_ns),
        ],
    )
}

pub(super) fn table(table: Table, columns: Vec<ArrayRef>) -> Result<TableRows, ArrowError> {
    Ok(TableRows {
        table,
        rows: RecordBatch::try_new(table.schema(), columns)?,
        replaces: None,
    })
}

fn service_columns<'a>(spans: impl Iterator<Item = &'a SpanAttribution> + Clone) -> [ArrayRef; 2] {
    process_columns(spans.map(|span| &*span.process))
}

fn process_columns<'a>(processes: impl Iterator<Item = &'a ProcessIdentity> + Clone) -> [ArrayRef; 2] {
    let process_ids = processes.clone().map(ProcessIdentity::process_id);
    [
        strings(processes.map(|process| &*process.service_name)),
        Arc::new(StringArray::from_iter_values(process_ids)),
    ]
}

fn trace_ids(ids: impl Iterator<Item = TraceId>) -> Result<ArrayRef, ArrowError> {
    fixed_size(TraceId::LEN, ids, |id| id.as_bytes().to_vec())
}

fn span_ids(ids: impl Iterator<Item = SpanId>) -> Result<ArrayRef, ArrowError> {
    fixed_size(SpanId::LEN, ids, |id| id.as_bytes().to_vec())
}

fn fixed_size<T>(len: usize, ids: impl Iterator<Item = T>, bytes: fn(&T) -> Vec<u8>) -> Result<ArrayRef, ArrowError> {
    let width = i32::try_from(len).map_err(|_| ArrowError::SchemaError(format!("an id of {len} bytes")))?;
    let mut builder = FixedSizeBinaryBuilder::new(width);
    for id in ids {
        builder.append_value(bytes(&id))?;
    }
    Ok(Arc::new(builder.finish()))
}

fn task_column(task: TaskId) -> i64 {
    i64::try_from(task.0).unwrap_or(i64::MAX)
}

pub(super) fn int64(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(super) fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(super) fn timestamps(instants: impl Iterator<Item = UnixNanos>) -> ArrayRef {
    let micros = instants.map(|at| at.0.div_euclid(1_000));
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

//! The latest spans of the store, and which of them have rows already.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use spandrel_attribution::{SpanKey, TaskSpan};
use spandrel_model::{BindingKind, Interval, PROMOTED_ATTRIBUTES, Span, Table, TaskId, UnixNanos};
use spandrel_pipeline::{StoredRows, WantedRows, otlp};

use super::RecallError;
use super::columns::{KEY_COLUMNS, Keys, Shared, StoredKey, integers, text, word};
use super::requests::{BINDING_KINDS, Cells, Quality};
use crate::attribution::emitted::Emitted;

/// Columns of which a span is made, beside the attributes that columns of their own hold as integers.
const SPAN_COLUMNS: [&str; 11] = [
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "scope_name",
    "flags",
    "start_ns",
    "duration_ns",
    "attributes",
    "resource_attributes",
];

/// A span of the store.
#[derive(Debug)]
pub(in crate::attribution) struct RecalledSpan {
    pub(in crate::attribution) span: Span,
    /// Whether its rows could still be corrected when the earlier run ended.
    pub(in crate::attribution) is_correctable: bool,
    /// What was sent on for it; [`Emitted::NOTHING`] if it was never joined.
    pub(in crate::attribution) emitted: Emitted,
    /// How long recordings covered it when it was joined, nanoseconds. `None` if it was not, or not all rows were
    /// stored.
    pub(in crate::attribution) recorded_ns: Option<i64>,
}

/// The spans committed last, so many at most, with the times of their commits.
pub(super) fn read(
    rows: &dyn StoredRows,
    wanted: &WantedRows,
    limit: usize,
) -> Result<Vec<(UnixNanos, Span)>, RecallError> {
    let integers = PROMOTED_ATTRIBUTES.into_iter();
    let integers = integers.filter(|(_, _, data_type)| *data_type == DataType::Int64);
    let columns: Vec<&str> = (SPAN_COLUMNS.into_iter())
        .chain(integers.map(|(_, column, _)| column))
        .collect();
    let mut spans = Vec::new();
    rows.read(Table::Spans, &columns, wanted, &mut |committed_at, batch| {
        let of_batch = otlp::spans_from_rows(batch)?;
        spans.extend(of_batch.into_iter().map(|span| (committed_at, span)));
        Ok(match spans.len() < limit {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    })?;
    spans.truncate(limit);
    Ok(spans)
}

/// Spans with what is known of their rows. Those that were committed at `since` or later can be corrected.
pub(super) fn with_rows(
    spans: Vec<(UnixNanos, Span)>,
    rows: &dyn StoredRows,
    wanted: &WantedRows,
    since: UnixNanos,
    quality: &mut Quality,
    cells: &Cells,
) -> Result<Vec<RecalledSpan>, RecallError> {
    let mut shared = Shared::default();
    let mut on_tasks = read_task_spans(rows, wanted, &mut shared)?;
    let with_rows = spans.into_iter().map(|(committed_at, span)| {
        let key = shared.key_of(SpanKey::of(&span), &span.process);
        let stored = quality.find(&key, &span.process);
        let on_tasks = on_tasks.remove(&key).unwrap_or_default();
        let digest = stored.map(|stored| {
            let mut digest = stored.digest;
            on_tasks.iter().for_each(|on_task| digest.add_task_span(on_task));
            digest
        });
        let has_rows = digest.is_some() || cells.contains(&key) || !on_tasks.is_empty();
        let is_request = stored.is_some_and(|stored| stored.is_request);
        let starts = on_tasks.iter().map(|on_task| on_task.interval.start()).collect();
        RecalledSpan {
            span,
            is_correctable: committed_at >= since,
            emitted: match has_rows {
                true => Emitted::by_earlier_run(digest, is_request, starts),
                false => Emitted::NOTHING,
            },
            recorded_ns: stored.map(|stored| stored.recorded_ns),
        }
    });
    Ok(with_rows.collect())
}

/// The rows of `task_spans`, by span.
fn read_task_spans(
    rows: &dyn StoredRows,
    wanted: &WantedRows,
    shared: &mut Shared,
) -> Result<HashMap<StoredKey, Vec<TaskSpan>>, RecallError> {
    let mut on_tasks: HashMap<StoredKey, Vec<TaskSpan>> = HashMap::new();
    let mut columns: Vec<&str> = KEY_COLUMNS.to_vec();
    columns.extend(["task_id", "start_ns", "duration_ns", "binding"]);
    rows.read(Table::TaskSpans, &columns, wanted, &mut |_, batch| {
        let keys = Keys::of(batch)?;
        for row in 0..batch.num_rows() {
            let of_span = on_tasks.entry(keys.key(row, shared)?).or_default();
            of_span.push(task_span(batch, row)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(on_tasks)
}

fn task_span(batch: &RecordBatch, row: usize) -> Result<TaskSpan, ArrowError> {
    let value = |name: &str| Ok::<_, ArrowError>(integers(batch, name)?.value(row));
    let start = UnixNanos(value("start_ns")?);
    let interval = Interval::new(start, start.plus(value("duration_ns")?));
    Ok(TaskSpan {
        task: TaskId(u64::try_from(value("task_id")?).unwrap_or(u64::MAX)),
        interval: interval.ok_or_else(|| ArrowError::SchemaError("a stored duration is negative".to_owned()))?,
        kind: word(&BINDING_KINDS, BindingKind::as_str, text(batch, "binding")?.value(row))?,
    })
}

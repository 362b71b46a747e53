//! What the peer gets: the tables that attribution stores, as Parquet files, and our cells to compare with.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use spandrel_attribution::{Attributed, ProcessSpans, Rules, SpanAttribution, TaskSpan, attribute};
use spandrel_model::{Cell, SpanId, TaskId, TraceId, View};

use super::loads::Input;

type Columns = Vec<(&'static str, ArrayRef)>;

/// Writes `spans`, `task_spans`, `task_states`, `span_quality` and `attribution` into `folder`, with those of their columns
/// that the self view is made of.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write(input: &Input, folder: &Path) -> Result<()> {
    let Input { recording, spans } = input;
    let process_spans = ProcessSpans {
        process: recording.process.clone(),
        spans: spans.iter().collect(),
        context: Vec::new(),
    };
    let Attributed { spans: results, .. } = attribute(&process_spans, &[recording], &Rules::default());
    let tables: [(&str, Columns); 5] = [
        ("spans", reported(input)?),
        ("task_states", states(input)?),
        ("task_spans", bound(&results)?),
        ("span_quality", quality(&results)?),
        ("attribution", cells(&results)?),
    ];
    for (name, columns) in tables {
        let path = folder.join(name);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        write_one(&path.join("all.parquet"), columns).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn write_one(path: &Path, columns: Columns) -> Result<()> {
    let rows = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, rows.schema(), None)?;
    writer.write(&rows)?;
    writer.close()?;
    Ok(())
}

fn reported(input: &Input) -> Result<Columns> {
    let spans = &input.spans;
    let parents = spans.iter().map(|span| span.parent_span_id.map(|id| *id.as_bytes()));
    Ok(vec![
        ("process_id", process_ids(spans.len())),
        ("trace_id", trace_ids(spans.iter().map(|span| span.trace_id))?),
        ("span_id", span_ids(spans.iter().map(|span| span.span_id))?),
        (
            "parent_span_id",
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(parents, 8)?),
        ),
        ("start_ns", int64(spans.iter().map(|span| span.interval.start().0))),
        (
            "duration_ns",
            int64(spans.iter().map(|span| span.interval.duration_ns())),
        ),
    ])
}

fn states(input: &Input) -> Result<Columns> {
    let states = &input.recording.states;
    let names = &input.recording.names;
    Ok(vec![
        ("process_id", process_ids(states.len())),
        ("task_id", task_ids(states.iter().map(|state| state.task))?),
        ("start_ns", int64(states.iter().map(|state| state.interval.start().0))),
        (
            "duration_ns",
            int64(states.iter().map(|state| state.interval.duration_ns())),
        ),
        ("state", strings(states.iter().map(|state| state.state.as_str()))),
        (
            "sub_state",
            strings(states.iter().map(|state| &**names.resolve(state.sub_state))),
        ),
    ])
}

fn bound(spans: &[SpanAttribution]) -> Result<Columns> {
    let on_tasks = |span: &'_ SpanAttribution| span.on_task.into_iter().chain(span.handed_over.clone());
    let bound: Vec<(&SpanAttribution, TaskSpan)> = spans
        .iter()
        .flat_map(|span| on_tasks(span).map(move |on| (span, on)))
        .collect();
    Ok(vec![
        ("process_id", process_ids(bound.len())),
        ("task_id", task_ids(bound.iter().map(|(_, on)| on.task))?),
        ("trace_id", trace_ids(bound.iter().map(|(span, _)| span.trace_id))?),
        ("span_id", span_ids(bound.iter().map(|(span, _)| span.span_id))?),
        ("start_ns", int64(bound.iter().map(|(_, on)| on.interval.start().0))),
        (
            "duration_ns",
            int64(bound.iter().map(|(_, on)| on.interval.duration_ns())),
        ),
    ])
}

fn quality(spans: &[SpanAttribution]) -> Result<Columns> {
    let tasks = spans
        .iter()
        .map(|span| span.on_task.map(|on| i64::try_from(on.task.0)).transpose());
    let tasks: Int64Array = tasks.collect::<Result<Vec<_>, _>>()?.into();
    Ok(vec![
        ("process_id", process_ids(spans.len())),
        ("trace_id", trace_ids(spans.iter().map(|span| span.trace_id))?),
        ("span_id", span_ids(spans.iter().map(|span| span.span_id))?),
        ("layer", strings(spans.iter().map(|span| span.layer.as_str()))),
        (
            "binding",
            strings(
                spans
                    .iter()
                    .map(|span| spandrel_attribution::binding_word(span.binding)),
            ),
        ),
        ("task_id", Arc::new(tasks)),
    ])
}

fn cells(spans: &[SpanAttribution]) -> Result<Columns> {
    let of_self = |cell: &&Cell| cell.view == View::SelfView;
    let cells: Vec<(&SpanAttribution, &Cell)> = spans
        .iter()
        .flat_map(|span| span.cells.iter().filter(of_self).map(move |cell| (span, cell)))
        .collect();
    Ok(vec![
        ("process_id", process_ids(cells.len())),
        ("trace_id", trace_ids(cells.iter().map(|(span, _)| span.trace_id))?),
        ("span_id", span_ids(cells.iter().map(|(span, _)| span.span_id))?),
        ("view", strings(cells.iter().map(|(_, cell)| cell.view.as_str()))),
        ("layer", strings(cells.iter().map(|(_, cell)| cell.layer.as_str()))),
        ("state", strings(cells.iter().map(|(_, cell)| cell.state.as_str()))),
        ("sub_state", strings(cells.iter().map(|(_, cell)| &*cell.sub_state))),
        ("ns", int64(cells.iter().map(|(_, cell)| cell.ns))),
    ])
}

/// There is one process.
fn process_ids(count: usize) -> ArrayRef {
    strings(std::iter::repeat_n("shop-1", count))
}

fn task_ids(ids: impl Iterator<Item = TaskId>) -> Result<ArrayRef> {
    let ids = ids.map(|id| i64::try_from(id.0)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Int64Array::from(ids)))
}

fn trace_ids(ids: impl Iterator<Item = TraceId>) -> Result<ArrayRef> {
    let ids = ids.map(|id| Some(*id.as_bytes()));
    Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 16)?))
}

fn span_ids(ids: impl Iterator<Item = SpanId>) -> Result<ArrayRef> {
    let ids = ids.map(|id| Some(*id.as_bytes()));
    Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 8)?))
}

fn int64(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

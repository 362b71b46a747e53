//! Spans of a trace with their cells, from the tables.

use std::collections::BTreeMap;

use anyhow::bail;
use spandrel_model::View;

use super::super::super::answers::Value;
use super::super::cause::{COLUMNS, Cause};
use super::super::{Tables, literal, other_types};
use super::in_flight::{self, InFlight};
use super::{Cell, Span};

/// By process and span id: two processes may report one span.
type Spans = BTreeMap<(String, String), Span>;

/// The spans in no order, their cells by time, largest first.
///
/// # Errors
/// There are none.
pub(super) async fn spans(tables: &Tables<'_>, trace_id: &str) -> anyhow::Result<Vec<Span>> {
    let mut spans = load_spans(tables, trace_id).await?;
    if spans.is_empty() {
        bail!(
            "no span of trace {trace_id} is in `{}`: if it was sent just now, try again in some seconds, when the collector has \
             flushed it (`flush_interval`); else --data names another directory of tables",
            tables.data.display()
        );
    }
    load_qualities(tables, trace_id, &mut spans).await?;
    load_cells(tables, trace_id, &mut spans).await?;
    Ok(spans.into_values().collect())
}

async fn load_spans(tables: &Tables<'_>, trace_id: &str) -> anyhow::Result<Spans> {
    let sql = format!(
        "SELECT hex(span_id), hex(parent_span_id), service_name, process_id, name, kind, start_ns, duration_ns, status_code \
         FROM spans WHERE trace_id = {}",
        literal(trace_id)
    );
    let mut spans = Spans::new();
    for row in tables.rows(&sql).await? {
        let [
            Value::Text(id),
            parent,
            Value::Text(service),
            Value::Text(process),
            Value::Text(operation),
            Value::Text(kind),
            Value::Int(start_ns),
            Value::Int(duration_ns),
            Value::Text(status),
        ] = row.as_slice()
        else {
            return Err(other_types());
        };
        let span = Span {
            span_id: id.clone(),
            parent_span_id: match parent {
                Value::Text(id) => Some(id.clone()),
                Value::Int(_) | Value::Null => None,
            },
            service: service.clone(),
            process: process.clone(),
            operation: operation.clone(),
            kind: kind.clone(),
            start_ns: *start_ns,
            duration_ns: *duration_ns,
            status: status.clone(),
            ..Span::default()
        };
        spans.insert((process.clone(), id.clone()), span);
    }
    Ok(spans)
}

async fn load_qualities(tables: &Tables<'_>, trace_id: &str, spans: &mut Spans) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT process_id, hex(span_id), binding, layer, task_id, exact_ns, CAST(is_request AS BIGINT), {} \
         FROM span_quality WHERE trace_id = {}",
        in_flight::COLUMNS,
        literal(trace_id)
    );
    for row in tables.rows(&sql).await? {
        let [
            Value::Text(process),
            Value::Text(id),
            Value::Text(binding),
            Value::Text(layer),
            task,
            Value::Int(exact_ns),
            Value::Int(is_request),
            in_flight @ ..,
        ] = row.as_slice()
        else {
            return Err(other_types());
        };
        if let Some(span) = spans.get_mut(&(process.clone(), id.clone())) {
            span.binding = Some(binding.clone());
            span.layer.clone_from(layer);
            span.goroutine = match task {
                Value::Int(task) => Some(*task),
                Value::Text(_) | Value::Null => None,
            };
            span.exact_ns = *exact_ns;
            span.is_request = *is_request != 0;
            span.in_flight = InFlight::of(in_flight);
        }
    }
    Ok(())
}

async fn load_cells(tables: &Tables<'_>, trace_id: &str, spans: &mut Spans) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT a.process_id, hex(a.span_id), a.view, a.sub_state, sum(a.ns), {COLUMNS} FROM attribution AS a WHERE a.trace_id = {} \
         GROUP BY a.process_id, a.span_id, a.view, a.sub_state, {COLUMNS} \
         ORDER BY 5 DESC, a.sub_state, {COLUMNS}",
        literal(trace_id)
    );
    for row in tables.rows(&sql).await? {
        let Some((
            [
                Value::Text(process),
                Value::Text(id),
                Value::Text(view),
                Value::Text(sub_state),
                Value::Int(ns),
            ],
            columns,
        )) = row.split_first_chunk::<5>()
        else {
            return Err(other_types());
        };
        let cell = Cell {
            cause: Cause::of(columns)?,
            sub_state: sub_state.clone(),
            ns: *ns,
            at: None,
            by: None,
            ran: None,
        };
        if let Some(span) = spans.get_mut(&(process.clone(), id.clone())) {
            match view == View::Root.as_str() {
                true => span.root.push(cell),
                false => span.self_cells.push(cell),
            }
        }
    }
    Ok(())
}

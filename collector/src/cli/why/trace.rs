//! The spans of one trace, and what each did and waited for.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{bail, ensure};
use serde::Serialize;
use spandrel_model::View;

use super::super::answers::Value;
use super::cause::{COLUMNS, Cause};
use super::{Tables, literal, other_types};
use crate::report::duration::human;
use crate::report::number::share;

/// Hexadecimal digits of a trace id.
const TRACE_ID_DIGITS: usize = 32;
/// Cells of a span that are shown; the others are one.
const CELLS_SHOWN_MAX: usize = 4;
/// Nested deeper than this, spans are shown at this depth: a chain of parents that somebody made up has no end.
const DEPTH_SHOWN_MAX: usize = 64;

/// A trace.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    trace_id: String,
    /// Parents before children, children by their start.
    spans: Vec<Span>,
}

/// A span of it.
#[derive(Debug, Default, Serialize)]
struct Span {
    span_id: String,
    parent_span_id: Option<String>,
    service: String,
    operation: String,
    kind: String,
    start_ns: i64,
    duration_ns: i64,
    status: String,
    /// How many spans of the trace it is in.
    depth: usize,
    /// How it was bound to a goroutine, or why not; `None` if no attribution of it is stored.
    binding: Option<String>,
    goroutine: Option<i64>,
    /// Time with exact evidence.
    exact_ns: i64,
    /// What its own goroutine did.
    #[serde(rename = "self")]
    self_cells: Vec<Cell>,
    /// What it really waited for.
    root: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    #[serde(flatten)]
    cause: Cause,
    ns: i64,
}

/// Loads a trace.
///
/// # Errors
/// The id is none, or no span of the trace is stored.
pub(super) async fn explain(tables: &Tables<'_>, trace_id: &str) -> anyhow::Result<Explained> {
    let trace_id = trace_id.to_ascii_lowercase();
    ensure!(
        trace_id.len() == TRACE_ID_DIGITS && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "`{trace_id}` is no trace id: expected {TRACE_ID_DIGITS} hexadecimal digits"
    );
    let mut spans = load_spans(tables, &trace_id).await?;
    if spans.is_empty() {
        bail!("no span of trace {trace_id} is in `{}`", tables.data.display());
    }
    load_qualities(tables, &trace_id, &mut spans).await?;
    load_cells(tables, &trace_id, &mut spans).await?;
    Ok(Explained {
        trace_id,
        spans: in_order(spans.into_values().collect()),
    })
}

/// By process and span id: two processes may report one span.
type Spans = BTreeMap<(String, String), Span>;

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
        "SELECT process_id, hex(span_id), binding, task_id, exact_ns FROM span_quality WHERE trace_id = {}",
        literal(trace_id)
    );
    for row in tables.rows(&sql).await? {
        let [
            Value::Text(process),
            Value::Text(id),
            Value::Text(binding),
            task,
            Value::Int(exact_ns),
        ] = row.as_slice()
        else {
            return Err(other_types());
        };
        if let Some(span) = spans.get_mut(&(process.clone(), id.clone())) {
            span.binding = Some(binding.clone());
            span.goroutine = match task {
                Value::Int(task) => Some(*task),
                Value::Text(_) | Value::Null => None,
            };
            span.exact_ns = *exact_ns;
        }
    }
    Ok(())
}

async fn load_cells(tables: &Tables<'_>, trace_id: &str, spans: &mut Spans) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT a.process_id, hex(a.span_id), a.view, sum(a.ns), {COLUMNS} FROM attribution AS a WHERE a.trace_id = {} \
         GROUP BY a.process_id, a.span_id, a.view, {COLUMNS} ORDER BY 4 DESC",
        literal(trace_id)
    );
    for row in tables.rows(&sql).await? {
        let Some(([Value::Text(process), Value::Text(id), Value::Text(view), Value::Int(ns)], columns)) =
            row.split_first_chunk::<4>()
        else {
            return Err(other_types());
        };
        let cell = Cell {
            cause: Cause::of(columns)?,
            ns: *ns,
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

/// Parents before children. Spans whose parent is not there, or that are their own ancestors, stand at the top.
fn in_order(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|a, b| (a.start_ns, &a.span_id).cmp(&(b.start_ns, &b.span_id)));
    let mut children: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    let ids: std::collections::BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    for (at, span) in spans.iter().enumerate() {
        let parent = span.parent_span_id.clone();
        let parent = parent.filter(|parent| ids.contains(parent.as_str()) && *parent != span.span_id);
        children.entry(parent).or_default().push(at);
    }
    let mut slots: Vec<Option<Span>> = spans.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(slots.len());
    let mut pending: Vec<(usize, usize)> = Vec::new();
    let mut tops = children.remove(&None).unwrap_or_default().into_iter();
    loop {
        let Some((at, depth)) = pending.pop().or_else(|| tops.next().map(|at| (at, 0))) else {
            // What is left are circles: any span of them may be the top.
            let Some(at) = slots.iter().position(Option::is_some) else {
                return ordered;
            };
            pending.push((at, 0));
            continue;
        };
        let Some(mut span) = slots[at].take() else { continue };
        let inner = children.remove(&Some(span.span_id.clone())).unwrap_or_default();
        pending.extend(inner.into_iter().rev().map(|child| (child, depth + 1)));
        span.depth = depth;
        ordered.push(span);
    }
}

/// For people.
pub(super) fn render(explained: &Explained, color: bool) -> String {
    let mut page = format!("trace {}   {} spans\n", explained.trace_id, explained.spans.len());
    let start_ns = explained.spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    for span in &explained.spans {
        let indent = "  ".repeat(span.depth.min(DEPTH_SHOWN_MAX));
        let failed = if span.status == "error" { "   error" } else { "" };
        let _ = writeln!(
            page,
            "\n{indent}{}   {}   {}   {} at +{}{failed}   {}",
            bold(&span.operation, color),
            span.service,
            span.kind,
            human(span.duration_ns),
            human(span.start_ns.saturating_sub(start_ns)),
            known(span)
        );
        for (view, cells) in [("self", &span.self_cells), ("root", &span.root)] {
            if !cells.is_empty() {
                let _ = writeln!(page, "{indent}  {view}  {}", line(cells, span.duration_ns, color));
            }
        }
    }
    page
}

/// What is known of a span's goroutine.
fn known(span: &Span) -> String {
    match (&span.binding, span.goroutine) {
        (None, _) => "no attribution stored".to_owned(),
        (Some(binding), Some(goroutine)) => {
            let exact = share(span.exact_ns, span.duration_ns);
            format!("goroutine {goroutine} (by {binding}), {exact} known")
        }
        (Some(reason), None) => format!("not bound to a goroutine: {reason}"),
    }
}

/// The largest cells, and the rest.
fn line(cells: &[Cell], duration_ns: i64, color: bool) -> String {
    let shown = |cell: &Cell| {
        let text = format!(
            "{} {} ({})",
            cell.cause.shown(),
            human(cell.ns),
            share(cell.ns, duration_ns)
        );
        match 100 * i128::from(cell.ns) / i128::from(duration_ns.max(1)) {
            30.. if color => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
            10..30 if color => format!("\u{1b}[33m{text}\u{1b}[0m"),
            _ => text,
        }
    };
    let mut parts: Vec<String> = cells.iter().take(CELLS_SHOWN_MAX).map(shown).collect();
    let rest = cells.get(CELLS_SHOWN_MAX..).unwrap_or_default();
    if !rest.is_empty() {
        let ns = rest.iter().map(|cell| cell.ns).sum();
        parts.push(format!("{} more {}", rest.len(), human(ns)));
    }
    parts.join(", ")
}

fn bold(text: &str, color: bool) -> String {
    match color {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, start_ns: i64) -> Span {
        Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            start_ns,
            ..Span::default()
        }
    }

    fn order(spans: Vec<Span>) -> Vec<(String, usize)> {
        let ordered = in_order(spans).into_iter();
        ordered.map(|span| (span.span_id, span.depth)).collect()
    }

    fn shown(of: &[(&str, usize)]) -> Vec<(String, usize)> {
        of.iter().map(|(id, depth)| ((*id).to_owned(), *depth)).collect()
    }

    #[test]
    fn children_follow_their_parent_in_the_order_of_their_starts() {
        let spans = vec![
            span("d", Some("b"), 4),
            span("c", Some("a"), 3),
            span("b", Some("a"), 2),
            span("a", None, 1),
            span("e", Some("gone"), 0),
        ];
        assert_eq!(order(spans), shown(&[("e", 0), ("a", 0), ("b", 1), ("d", 2), ("c", 1)]));
    }

    #[test]
    fn spans_in_a_circle_are_shown_once() {
        let spans = vec![
            span("a", Some("b"), 1),
            span("b", Some("a"), 2),
            span("c", Some("c"), 3),
        ];
        assert_eq!(order(spans), shown(&[("c", 0), ("a", 0), ("b", 1)]));
    }

    #[test]
    fn the_largest_cells_are_shown_and_the_rest_is_summed() {
        let cell = |layer: &str, ns| Cell {
            cause: Cause {
                layer: layer.into(),
                state: "running".into(),
                relation: "same".into(),
                culprit: None,
            },
            ns,
        };
        let cells = [("a", 50), ("b", 20), ("c", 10), ("d", 10), ("e", 6), ("f", 4)].map(|(layer, ns)| cell(layer, ns));
        assert_eq!(
            line(&cells, 100, false),
            "a/running 50 ns (50.0 %), b/running 20 ns (20.0 %), c/running 10 ns (10.0 %), d/running 10 ns (10.0 %), 2 more 10 ns"
        );
    }
}

//! Which goroutine each span is bound to, beside the ones that really started and ended it. Those stand in two attributes
//! that the service sets and Spandrel does not read.

use serde_json::Value;

use crate::sql::{Row, Tables, integer, text};

/// A span, and the goroutines it was on.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Name of the span.
    pub span: String,
    /// Evidence, or why there is none: the column `binding`.
    pub evidence: String,
    /// Whether recordings cover the whole span.
    pub is_recorded: bool,
    /// The goroutine it is bound to, from its start.
    pub first: Option<i64>,
    /// The goroutine it was handed over to last; the same if it was not.
    pub last: Option<i64>,
    /// The goroutine that started it.
    pub started_on: i64,
    /// The goroutine that ended it.
    pub ended_on: i64,
}

impl Binding {
    /// Whether it is bound to any goroutine.
    pub fn is_bound(&self) -> bool {
        self.first.is_some()
    }

    /// Whether all that is claimed is true: where it started and, if it was handed over at all, where it ended.
    pub fn is_right(&self) -> bool {
        let stayed = self.last == self.first;
        self.first == Some(self.started_on) && (stayed || self.last == Some(self.ended_on))
    }

    /// Whether another goroutine ended it than started it.
    pub fn is_handed_over(&self) -> bool {
        self.started_on != self.ended_on
    }

    /// Whether it was followed to the goroutine that ended it.
    pub fn is_followed(&self) -> bool {
        self.is_right() && self.last == Some(self.ended_on)
    }
}

/// Counts of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingCounts {
    /// All.
    pub spans: usize,
    /// Those that recordings cover whole.
    pub recorded: usize,
    /// Those that are bound.
    pub bound: usize,
    /// Those of the bound that are bound right.
    pub right: usize,
    /// Those that ended on another goroutine than they started on.
    pub handed_over: usize,
    /// Those of them that were followed there.
    pub followed: usize,
}

impl BindingCounts {
    /// Counts.
    pub fn of<'a>(bindings: impl IntoIterator<Item = &'a Binding>) -> Self {
        let mut counts = Self::default();
        for binding in bindings {
            counts.spans += 1;
            counts.recorded += usize::from(binding.is_recorded);
            counts.bound += usize::from(binding.is_bound());
            counts.right += usize::from(binding.is_right());
            counts.handed_over += usize::from(binding.is_handed_over());
            counts.followed += usize::from(binding.is_handed_over() && binding.is_followed());
        }
        counts
    }
}

/// The bindings of all spans.
///
/// # Panics
/// A span does not say which goroutines started and ended it.
pub(crate) fn read(tables: &Tables) -> Vec<Binding> {
    let rows = tables.rows(
        "WITH ways AS (SELECT trace_id, span_id, task_id, \
             row_number() OVER (PARTITION BY trace_id, span_id ORDER BY start_ns DESC) AS nth FROM task_spans) \
         SELECT spans.name, binding, span_quality.task_id AS first, ways.task_id AS last, \
             recorded_ns = span_quality.duration_ns AS is_recorded, \
             CAST(attributes['truth.goroutine'] AS BIGINT) AS started_on, \
             CAST(attributes['truth.goroutine.end'] AS BIGINT) AS ended_on \
         FROM spans JOIN span_quality USING (trace_id, span_id) \
         LEFT JOIN ways ON ways.trace_id = spans.trace_id AND ways.span_id = spans.span_id AND nth = 1",
    );
    rows.iter().map(binding).collect()
}

fn binding(row: &Row) -> Binding {
    let goroutine = |column: &str| row.get(column).and_then(Value::as_i64);
    Binding {
        span: text(row, "name").to_owned(),
        evidence: text(row, "binding").to_owned(),
        is_recorded: row.get("is_recorded").and_then(Value::as_bool) == Some(true),
        first: goroutine("first"),
        last: goroutine("last"),
        started_on: integer(row, "started_on"),
        ended_on: integer(row, "ended_on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(first: Option<i64>, last: Option<i64>) -> Binding {
        Binding {
            span: "GET /".to_owned(),
            evidence: "user_task".to_owned(),
            is_recorded: true,
            first,
            last,
            started_on: 1,
            ended_on: 2,
        }
    }

    #[test]
    fn a_span_is_right_where_it_started_and_never_where_it_was_not() {
        for (first, last, right, followed) in [
            (Some(1), Some(2), true, true),
            (Some(1), Some(1), true, false),
            (Some(1), Some(3), false, false),
            (Some(2), Some(2), false, false),
            (None, None, false, false),
        ] {
            let binding = binding(first, last);
            assert_eq!(
                (binding.is_right(), binding.is_followed()),
                (right, followed),
                "{binding:?}"
            );
        }
    }

    #[test]
    fn an_unbound_span_counts_as_unbound_and_not_as_wrong() {
        let counts = BindingCounts::of(&[
            binding(Some(1), Some(2)),
            binding(Some(3), Some(3)),
            binding(None, None),
        ]);
        let expected = BindingCounts {
            spans: 3,
            recorded: 3,
            bound: 2,
            right: 1,
            handed_over: 3,
            followed: 1,
        };
        assert_eq!(counts, expected);
    }
}

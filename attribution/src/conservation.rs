//! Conservation: the cells of a span sum to its duration, in each view. Checked for every span, in release builds too.

use spandrel_model::View;
use thiserror::Error;

use crate::{SpanAttribution, SpanKey};

/// The cells of a span do not sum to its duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "span {} of trace {}: cells of view {} sum to {sum_ns} ns, expected its duration of {duration_ns} ns; this is a \
     defect of Spandrel, please report it with the span and the recording",
    .span.span_id, .span.trace_id, .view.as_str()
)]
pub struct ConservationError {
    /// The span.
    pub span: SpanKey,
    /// The view.
    pub view: View,
    /// Duration of the span, nanoseconds.
    pub duration_ns: i64,
    /// Sum of its cells, nanoseconds.
    pub sum_ns: i128,
}

/// One integer comparison per span and view, kept in release builds.
pub(crate) fn conserved(span: &SpanAttribution) -> Result<(), ConservationError> {
    [View::SelfView, View::Root]
        .into_iter()
        .try_for_each(|view| sums_up(span, view))
}

fn sums_up(span: &SpanAttribution, view: View) -> Result<(), ConservationError> {
    let cells = span.cells.iter().filter(|cell| cell.view == view);
    let sum_ns: i128 = cells.map(|cell| i128::from(cell.ns)).sum();
    let duration_ns = span.interval.duration_ns();
    if sum_ns == i128::from(duration_ns) {
        return Ok(());
    }
    Err(ConservationError {
        span: span.key(),
        view,
        duration_ns,
        sum_ns,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spandrel_model::{
        Binding, Cell, Evidence, Interval, Layer, Relation, SpanId, State, TraceId, UnixNanos, UnknownReason,
    };

    use super::*;

    #[test]
    fn cells_that_do_not_sum_to_the_duration_are_an_error_that_says_so() {
        let cell = Cell {
            view: View::SelfView,
            layer: Layer::new("db"),
            state: State::Network,
            sub_state: Arc::from(""),
            relation: Relation::Same,
            culprit: None,
            evidence: Evidence::Exact,
            ns: 7,
        };
        let root = |ns| Cell {
            view: View::Root,
            ns,
            ..cell.clone()
        };
        let mut span = SpanAttribution {
            trace_id: TraceId::default(),
            span_id: SpanId::default(),
            process: Arc::default(),
            operation: Arc::from("q"),
            interval: Interval::new(UnixNanos(0), UnixNanos(7)).unwrap(),
            is_request: true,
            layer: Layer::new("db"),
            binding: Binding::Unbound(UnknownReason::NotRecorded),
            functions: Vec::new(),
            helper_running_ns: 0,
            cells: vec![cell.clone(), root(7)],
            recorded_ns: 7,
            exact_ns: 7,
            inferred_ns: 0,
            unknown_ns: 0,
            truncated_ns: 0,
            clock_error_ns: None,
            boundaries: None,
            detached_ns: 0,
            offset_lo_ns: None,
            offset_hi_ns: None,
            in_flight: None,
            on_task: None,
            handed_over: vec![],
        };
        assert_eq!(conserved(&span), Ok(()));
        span.cells[1] = root(6);
        let error = conserved(&span).unwrap_err();
        assert_eq!((error.view, error.duration_ns, error.sum_ns), (View::Root, 7, 6));
        span.cells.push(cell);
        let error = conserved(&span).unwrap_err();
        assert_eq!((error.view, error.duration_ns, error.sum_ns), (View::SelfView, 7, 14));
        assert!(
            error
                .to_string()
                .contains("sum to 14 ns, expected its duration of 7 ns"),
            "{error}"
        );
    }
}

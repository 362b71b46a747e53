//! What was sent on for a span, and how rows that say something else take its place.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use arrow::error::ArrowError;
use spandrel_attribution::SpanAttribution;
use spandrel_model::{SpanId, TraceId, UnixNanos};
use spandrel_pipeline::TableRows;

use super::rows::replacing_rows;
use super::windows::Windows;

/// What was sent on for a span: enough to see whether later rows differ, and to name those that they replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Emitted {
    digest: u64,
    /// Start in the first row of `task_spans`, if there is one.
    task_start: Option<UnixNanos>,
    /// Starts in its other rows there. Hardly a span has any.
    handed_over: Vec<UnixNanos>,
    /// Whether the matrix counts it.
    is_request: bool,
}

impl Emitted {
    /// No row was sent on.
    pub(super) const NOTHING: Self = Self {
        digest: 0,
        task_start: None,
        handed_over: Vec::new(),
        is_request: false,
    };

    pub(super) fn of(span: &SpanAttribution) -> Self {
        let mut hasher = DefaultHasher::new();
        span.hash(&mut hasher);
        Self {
            // 0 is nothing.
            digest: hasher.finish().max(1),
            task_start: span.on_task.map(|on_task| on_task.interval.start()),
            handed_over: (span.handed_over.iter())
                .map(|on_task| on_task.interval.start())
                .collect(),
            is_request: span.is_request,
        }
    }
}

/// Names the rows of a span that others replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Trace of the span.
    pub(super) trace_id: TraceId,
    /// The span.
    pub(super) span_id: SpanId,
    /// Start of the span.
    pub(super) start: UnixNanos,
    /// Starts in its rows of `task_spans`.
    pub(super) task_starts: Vec<UnixNanos>,
}

/// What joins have to say that was not said before.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Spans that are sent on for the first time.
    pub(super) first: Vec<SpanAttribution>,
    /// Spans of which something else was sent on before.
    pub(super) corrected: Vec<SpanAttribution>,
    /// Their earlier rows.
    pub(super) replaced: Vec<Replaced>,
    /// Corrected requests whose window of the matrix has been let go.
    pub(super) too_late_requests: u64,
}

impl Changes {
    pub(super) fn first(&mut self, span: SpanAttribution, windows: &mut Windows, now: Instant) {
        windows.add(&span, now);
        self.first.push(span);
    }

    /// Rows of `task_spans`, `attribution` and `span_quality`.
    pub(super) fn into_rows(self) -> Result<Vec<TableRows>, ArrowError> {
        let mut spans = self.first;
        spans.extend(self.corrected);
        replacing_rows(&spans, &self.replaced)
    }

    pub(super) fn correct(&mut self, span: SpanAttribution, before: Emitted, windows: &mut Windows, now: Instant) {
        if !before.is_request {
            windows.add(&span, now);
        } else if !windows.correct(&span, now) {
            self.too_late_requests += 1;
        }
        self.replaced.push(Replaced {
            trace_id: span.trace_id,
            span_id: span.span_id,
            start: span.interval.start(),
            task_starts: before.task_start.into_iter().chain(before.handed_over).collect(),
        });
        self.corrected.push(span);
    }
}

//! What was sent on for a span, and how rows that say something else take its place.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use arrow::error::ArrowError;
use spandrel_attribution::SpanAttribution;
use spandrel_model::{ProcessIdentity, SpanId, TraceId, UnixNanos};
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

    /// Names the rows that were sent on for a span.
    fn rows_of(self, span: &SpanAttribution) -> Replaced {
        Replaced {
            process: span.process.clone(),
            trace_id: span.trace_id,
            span_id: span.span_id,
            start: span.interval.start(),
            task_starts: self.task_start.into_iter().chain(self.handed_over).collect(),
        }
    }
}

/// Names the rows of a span that others replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Process that reported the span: another may use the same ids.
    pub(super) process: Arc<ProcessIdentity>,
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
    /// Spans of which something else was sent on before, with that.
    pub(super) corrected: Vec<(SpanAttribution, Emitted)>,
    /// How many spans wait no longer once this is sent.
    pub(super) joined_count: usize,
}

impl Changes {
    /// Number of spans.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.corrected.len()
    }

    /// Takes some spans out, `count` of them if there are so many.
    pub(super) fn take(&mut self, count: usize) -> Self {
        let first: Vec<_> = self.first.drain(..count.min(self.first.len())).collect();
        let rest = (count - first.len()).min(self.corrected.len());
        Self {
            corrected: self.corrected.drain(..rest).collect(),
            first,
            joined_count: 0,
        }
    }

    /// Counts the requests among the spans in their windows. Returns how many corrected ones came too late for theirs.
    pub(super) fn count(&self, windows: &mut Windows, now: Instant) -> u64 {
        for span in &self.first {
            windows.add(span, now);
        }
        let corrected = self.corrected.iter();
        let too_late = corrected.filter(|(span, before)| !windows.correct(span, before.is_request, now));
        too_late.count() as u64
    }

    /// Rows of `task_spans`, `attribution` and `span_quality`.
    pub(super) fn into_rows(self) -> Result<Vec<TableRows>, ArrowError> {
        let (mut spans, mut replaced) = (self.first, Vec::with_capacity(self.corrected.len()));
        for (span, before) in self.corrected {
            replaced.push(before.rows_of(&span));
            spans.push(span);
        }
        replacing_rows(&spans, &replaced)
    }
}

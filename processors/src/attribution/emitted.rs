//! What was sent on for a span, and how rows that say something else take its place.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use arrow::error::ArrowError;
use spandrel_attribution::{SpanAttribution, TaskSpan};
use spandrel_model::{Cell, ProcessIdentity, SpanId, TraceId, UnixNanos};
use spandrel_pipeline::TableRows;

use super::rows::replacing_rows;
use super::windows::Windows;

/// What was sent on for a span: enough to see whether later rows differ, and to name those that they replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Emitted {
    digest: RowsDigest,
    /// Of what the profiler saw a request and its helpers run, which no row of the span says.
    functions: u64,
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
        digest: RowsDigest::NOTHING,
        functions: 0,
        task_start: None,
        handed_over: Vec::new(),
        is_request: false,
    };

    /// Rows that an earlier run sent on. Where not all are known, there is no digest, and whatever a join says is new.
    pub(super) fn by_earlier_run(digest: Option<RowsDigest>, is_request: bool, task_starts: Vec<UnixNanos>) -> Self {
        Self {
            digest: digest.unwrap_or(RowsDigest::UNKNOWN),
            functions: 0,
            task_start: None,
            handed_over: task_starts,
            is_request,
        }
    }

    pub(super) fn of(span: &SpanAttribution) -> Self {
        let mut digest = RowsDigest::of_quality(span);
        span.cells.iter().for_each(|cell| digest.add_cell(cell));
        let on_tasks = span.on_task.iter().chain(&span.handed_over);
        on_tasks.for_each(|on_task| digest.add_task_span(on_task));
        Self {
            digest,
            functions: match span.functions.is_empty() && span.helper_running_ns == 0 {
                true => 0,
                false => hash(&(&span.functions, span.helper_running_ns)),
            },
            task_start: span.on_task.map(|on_task| on_task.interval.start()),
            handed_over: (span.handed_over.iter())
                .map(|on_task| on_task.interval.start())
                .collect(),
            is_request: span.is_request,
        }
    }

    /// Whether rows of the span would be the same.
    pub(super) fn has_rows_of(&self, other: &Self) -> bool {
        self.digest == other.digest
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

    /// Whether the matrix counts it.
    pub(super) fn is_request(&self) -> bool {
        self.is_request
    }
}

/// Tells the rows of a span from others of it. It does not depend on their order, so that rows read back have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowsDigest(u64);

impl RowsDigest {
    const NOTHING: Self = Self(0);
    const UNKNOWN: Self = Self(1);

    /// Of the row of `span_quality` alone.
    pub(super) fn of_quality(span: &SpanAttribution) -> Self {
        let known = (
            span.recorded_ns,
            span.exact_ns,
            span.inferred_ns,
            span.unknown_ns,
            span.truncated_ns,
        );
        let clocks = (
            span.clock_error_ns,
            span.detached_ns,
            span.offset_lo_ns,
            span.offset_hi_ns,
            span.in_flight,
        );
        Self(hash(&(
            span.key(),
            &span.operation,
            span.interval,
            span.is_request,
            &span.layer,
            (span.binding, span.boundaries),
            known,
            clocks,
        )))
    }

    /// Adds a row of `attribution`.
    pub(super) fn add_cell(&mut self, cell: &Cell) {
        self.0 = self.0.wrapping_add(hash(cell));
    }

    /// Adds a row of `task_spans`.
    pub(super) fn add_task_span(&mut self, on_task: &TaskSpan) {
        self.0 = self.0.wrapping_add(hash(on_task));
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
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
    pub(super) first: VecDeque<SpanAttribution>,
    /// Spans of which something else was sent on before, with that.
    pub(super) corrected: VecDeque<(SpanAttribution, Emitted)>,
    /// Spans whose rows stay, and that count for something else in their windows: a CPU profile came.
    pub(super) recounted: VecDeque<SpanAttribution>,
    /// How many spans wait no longer once this is sent.
    pub(super) joined_count: usize,
}

impl Changes {
    /// Number of spans.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.corrected.len() + self.recounted.len()
    }

    /// Takes some spans out, `count` of them if there are so many.
    pub(super) fn take(&mut self, count: usize) -> Self {
        let first: VecDeque<_> = self.first.drain(..count.min(self.first.len())).collect();
        let count = count - first.len();
        let corrected: VecDeque<_> = self.corrected.drain(..count.min(self.corrected.len())).collect();
        let count = count - corrected.len();
        Self {
            recounted: self.recounted.drain(..count.min(self.recounted.len())).collect(),
            first,
            corrected,
            joined_count: 0,
        }
    }

    /// Counts the requests among the spans in their windows. Returns how many corrected ones came too late for theirs.
    pub(super) fn count(&self, windows: &mut Windows, now: Instant) -> u64 {
        for span in &self.first {
            windows.add(span, now);
        }
        let corrected = self.corrected.iter().map(|(span, before)| (span, before.is_request));
        let recounted = self.recounted.iter().map(|span| (span, span.is_request));
        let changed = corrected.chain(recounted);
        let too_late = changed.filter(|(span, was_request)| !windows.correct(span, *was_request, now));
        too_late.count() as u64
    }

    /// Rows of `task_spans`, `attribution` and `span_quality`.
    pub(super) fn into_rows(self) -> Result<Vec<TableRows>, ArrowError> {
        let (mut spans, mut replaced) = (Vec::from(self.first), Vec::with_capacity(self.corrected.len()));
        for (span, before) in self.corrected {
            replaced.push(before.rows_of(&span));
            spans.push(span);
        }
        replacing_rows(&spans, &replaced)
    }
}

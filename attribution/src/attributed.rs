//! What attribution says of spans.

use std::sync::Arc;

use spandrel_model::{Binding, BindingKind, Cell, Interval, Layer, ProcessIdentity, SpanId, TaskId, TraceId};

use crate::{CallCounts, ConservationError, InFlight, SampledFunction, SpanKey, WalkCounts};

/// The result of [`attribute`](crate::attribute).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributed {
    /// One entry per span that yields rows, sorted by (start, end, id).
    pub spans: Vec<SpanAttribution>,
    /// Spans whose cells do not sum to their duration, and which are therefore not in `spans`. Always empty unless this
    /// crate has a defect; to be reported, never to be stored.
    pub violations: Vec<ConservationError>,
    /// What the root view met.
    pub walks: WalkCounts,
    /// What became of calls to servers whose spans are known.
    pub calls: CallCounts,
}

/// A span with its time given out: what the tables `attribution`, `span_quality`, `task_spans` and `matrix` need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpanAttribution {
    /// Trace that the span belongs to.
    pub trace_id: TraceId,
    /// Id of the span.
    pub span_id: SpanId,
    /// Process that reported it.
    pub process: Arc<ProcessIdentity>,
    /// Name of the span.
    pub operation: Arc<str>,
    /// Time open.
    pub interval: Interval,
    /// Whether work enters the process here: the span has no known parent in the process, or is of kind server or
    /// consumer.
    pub is_request: bool,
    /// Layer of the span itself.
    pub layer: Layer,
    /// The task that it ran on, or why that is not known.
    pub binding: Binding,
    /// Of a request: what the profiler saw it run. Too few for one span; they divide the running time of many.
    pub functions: Vec<SampledFunction>,
    /// Of a request that is bound: how long other tasks ran for it, nanoseconds. Samples that are known by labels may be theirs.
    pub helper_running_ns: i64,
    /// Cells of every view, those of the self view first, sorted by layer and state. Those of a view sum to the duration.
    pub cells: Vec<Cell>,
    /// Time of the span that recordings of the process cover, nanoseconds.
    pub recorded_ns: i64,
    /// Time with exact evidence in the self view, nanoseconds.
    pub exact_ns: i64,
    /// Time in the root view that is inferred from the spans alone, nanoseconds.
    pub inferred_ns: i64,
    /// Time without evidence in the self view, nanoseconds.
    pub unknown_ns: i64,
    /// Time in the root view at the end of chains too long to follow, nanoseconds.
    pub truncated_ns: i64,
    /// How far the recordings of the span can be off the wall clock, nanoseconds, where that is estimated; `None` where
    /// they hold the wall clock themselves, or there are none.
    pub clock_error_ns: Option<i64>,
    /// Distinct starts and ends of spans of its task within it, its own included; `None` if it is not bound. If the clock of
    /// the spans is off by e against that of the recordings, at most `2 |e| (boundaries - 1)` of the self view lie in wrong
    /// cells.
    pub boundaries: Option<i64>,
    /// Time of servers that the span called and cannot have waited for, on their own clocks, nanoseconds.
    pub detached_ns: i64,
    /// The least by which the clocks of the servers in its root view may be ahead of its own, nanoseconds; `None` without
    /// such.
    pub offset_lo_ns: Option<i64>,
    /// The greatest.
    pub offset_hi_ns: Option<i64>,
    /// How long request and response of its call took; `None` unless it waited for exactly one server that is known.
    pub in_flight: Option<InFlight>,
    /// The span on the task that it started on, if it is bound.
    pub on_task: Option<TaskSpan>,
    /// The span on the tasks that it was handed over to, in the order of time. Hardly a span has any.
    pub handed_over: Vec<TaskSpan>,
}

impl SpanAttribution {
    /// The ids of the span.
    pub fn key(&self) -> SpanKey {
        SpanKey {
            trace_id: self.trace_id,
            span_id: self.span_id,
        }
    }
}

/// A stretch of a task in which a span was on it: a row of the table `task_spans`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskSpan {
    /// The task.
    pub task: TaskId,
    /// Time of the span within the life of the task, as far as that is known.
    pub interval: Interval,
    /// Evidence.
    pub kind: BindingKind,
}

/// The word in the column `binding` of `span_quality`: the evidence, or the reason why the span is not bound.
pub const fn binding_word(binding: Binding) -> &'static str {
    match binding {
        Binding::Bound { kind, .. } => kind.as_str(),
        Binding::Unbound(reason) => reason.as_str(),
    }
}

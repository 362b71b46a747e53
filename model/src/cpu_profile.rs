//! What a CPU profiler saw of one process.

use std::sync::Arc;

use crate::{Interval, Names, ProcessIdentity, SpanId, Stack, StackId, TraceId};

/// Samples of the CPU time of one process over one window of time. A sample does not say when it was taken.
#[derive(Clone, Debug)]
pub struct CpuProfile {
    /// Process that was profiled.
    pub process: Arc<ProcessIdentity>,
    /// Where it came from, for messages: a file, a target.
    pub source: Arc<str>,
    /// Time that the profile covers.
    pub window: Interval,
    /// CPU time between two samples, nanoseconds; 10 ms for Go unless the program says otherwise.
    pub period_ns: i64,
    /// Strings that the stacks refer to.
    pub names: Names,
    /// Stacks that samples refer to, each once, sorted by id.
    pub stacks: Vec<Stack>,
    /// The samples.
    pub samples: Vec<CpuSamples>,
}

/// Samples with the same stack and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSamples {
    /// Where the program was; `None` if the profile does not say.
    pub stack: Option<StackId>,
    /// How many, greater than zero.
    pub count: i64,
    /// CPU time that they stand for, nanoseconds.
    pub cpu_ns: i64,
    /// The span that the goroutine's labels name.
    pub span: Option<LabeledSpan>,
}

/// The span that profiler labels name. Labels pass from a goroutine to those it starts and stay when the span has ended,
/// so that they say for which work a goroutine was started, not that the span was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabeledSpan {
    /// Trace, if a label names it.
    pub trace_id: Option<TraceId>,
    /// Span: the innermost one, or the one with which the work entered the process, as the labels' writer does it.
    pub span_id: SpanId,
}

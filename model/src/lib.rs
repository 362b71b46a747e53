//! The nouns of Spandrel as plain data: ids, time, spans, runtime tasks, attribution, table schemas.
//!
//! Every other room speaks in these words. Nothing here does I/O, reads a clock or knows a wire format.
//!
//! * [`Span`]: what a service reported, from OTLP.
//! * [`TaskRecording`]: what a runtime knew about the tasks (goroutines) of one process in one stretch of time; an
//!   [`UnanchoredRecording`] as long as nobody knows when that was.
//! * [`CpuProfile`]: where the processor time of a process went, by samples.
//! * [`Cell`]: time of one span given to one (layer, state).
//! * [`FunctionPattern`]: names of functions in the rules that users write.
//! * [`Table`]: the contract with analysts.
//!
//! Words that the field overloads are fixed: a *task* is a runtime task (a goroutine); the `trace.NewTask` of Go's
//! `runtime/trace` is a [`UserTask`], as Go's own event `UserTaskBegin` calls it.

#![forbid(unsafe_code)]

mod attribute;
mod cell;
mod clock;
mod cpu_profile;
mod function_pattern;
mod ids;
mod layer;
mod names;
mod process;
mod span;
mod state;
mod table;
mod task;
mod time;

pub use attribute::{Attribute, AttributeValue};
pub use cell::{Binding, BindingKind, Cell, Culprit, Evidence, Relation, UnknownReason, View};
pub use clock::{OffsetEstimate, RecordingClock, UnanchoredRecording};
pub use cpu_profile::{CpuProfile, CpuSamples, LabeledSpan, SampleCounts};
pub use function_pattern::FunctionPattern;
pub use ids::{SpanId, StackId, TaskId, TraceId};
pub use layer::Layer;
pub use names::{NameId, Names};
pub use process::ProcessIdentity;
pub use span::{Span, SpanKind};
pub use state::State;
pub use table::{PARTITION_COLUMNS, PROMOTED_ATTRIBUTES, Table};
pub use task::{
    Frame, RuntimeEvent, RuntimeEventKind, Stack, Task, TaskKind, TaskRecording, TaskState, UserLog, UserTask, Waker,
};
pub use time::{Interval, UnixNanos};

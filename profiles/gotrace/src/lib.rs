//! Decoder of Go execution traces (Go 1.22 and later): bytes in, ordered events and goroutine intervals out.
//!
//! ```text
//! bytes -> header -> splitter -> generation -> frontier + order -> Events -> Recording
//!          version   batches of  its tables    threads merged,    one by    intervals,
//!                    one second                states checked     one       tasks, logs, ranges
//! ```
//! * [`Recording::decode`] turns a whole trace into what lasted: goroutines with their state intervals, what woke them,
//!   garbage collection, user tasks, regions and logs. Most callers want this.
//! * [`ExecTrace::open`] and [`ExecTrace::events`] stream [`GoEvent`]s, holding one generation (about a second) in memory.
//!
//! The crate does no I/O, reads no clock and spawns nothing. It never panics and never hangs, whatever the bytes are;
//! memory and time are in proportion to them. Damage costs at most the generations that it is in and is reported as
//! [`Warning`]s with byte offsets.
//!
//! Not here: traces of Go 1.21 and earlier (another format), linking to OpenTelemetry spans, any interpretation of
//! stacks.
//!
//! Rules come from the Go toolchain's `src/internal/trace` and `src/runtime/trace*.go`, named where they are applied.
//!
//! ```
//! // An error says what was found and where.
//! let error = gotrace::Recording::decode(b"<html>502 Bad Gateway</html>").unwrap_err();
//! assert!(error.to_string().contains("an HTML or XML page"));
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

mod batch;
mod clock;
mod decoder;
mod error;
mod event;
mod frontier;
mod generation;
mod header;
mod id_index;
mod ids;
mod lanes;
mod order;
mod reader;
mod recording;
mod spec;
mod splitter;
mod stream;
mod tables;
mod window;
mod wire;

pub use crate::clock::{ClockSnapshot, ClockSync, TraceNanos, UnixNanos};
pub use crate::decoder::GenerationInfo;
pub use crate::error::{DecodeError, DecodeErrorKind, OpenError, TraceError, Warning, WarningKind, Warnings};
pub use crate::event::{Context, EventKind, GoEvent, GoStatus, ProcStatus};
pub use crate::header::Version;
pub use crate::ids::{GoroutineId, ProcId, StackId, StringId, TaskId, ThreadId};
pub use crate::recording::{
    CpuSample, Goroutine, GoroutineState, RangeKind, Recording, RunnableCause, RuntimeRange, StateInterval, TaskEdge,
    UserLog, UserRegion, UserTask, WaitReason, Waker,
};
pub use crate::spec::{Place, SPECS, Spec, WireEvent};
pub use crate::stream::{Events, ExecTrace};
pub use crate::tables::{Frame, StackTable, StringTable};

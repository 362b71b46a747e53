//! Decoder of Go execution traces (Go 1.22 and later): bytes in, ordered events and goroutine intervals out.
//!
//! ```no_run
//! use gotrace::{ExecTrace, GoroutineState, OpenError};
//!
//! /// How long was each goroutine ready to run, and did not? About a second of the trace is in memory at a time.
//! fn print_scheduler_waits(file: std::fs::File) -> Result<(), OpenError> {
//!     for interval in ExecTrace::read(file)?.intervals() {
//!         if let GoroutineState::Runnable { cause } = interval.state {
//!             println!("goroutine {}: {} ns, {cause:?}", interval.goroutine, interval.duration_ns());
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! ```text
//! bytes -> header -> splitter -> generation -> frontier + order -> Events -> Visitor -> Recording
//!          version   batches of  its tables    threads merged,    one by    what       all of it,
//!                    one second                states checked     one       lasted     sorted
//! ```
//! * [`Recording::decode`] turns a whole trace into what lasted: goroutines with their state intervals, what woke them,
//!   garbage collection, user tasks, regions and logs. The simplest way where a trace fits into memory.
//! * [`ExecTrace::visit`] hands the same to a [`Visitor`] while the trace is read, and [`ExecTrace::intervals`] is an
//!   iterator of the states alone. Memory is for one generation (about a second) and for what is open.
//! * [`ExecTrace::events`] streams the [`GoEvent`]s themselves, [`Events::for_each_event`] the fastest.
//!
//! The crate does no I/O, reads no clock and spawns nothing but the one thread of [`ExecTrace::visit_in_background`]. It never
//! panics and never hangs, whatever the bytes are; memory and time are in proportion to them. Damage costs at most the
//! generations that it is in, up to where it first contradicts something, and is reported as [`Warning`]s with byte offsets.
//!
//! Enums that may get more variants are `non_exhaustive`; those that are not say why. Facts are plain data, so that a test of
//! a [`Visitor`] can make some.
//!
//! Not here: traces of Go 1.21 and earlier (another format), linking to OpenTelemetry spans, any interpretation of
//! stacks.
//!
//! Rules come from the Go toolchain's `src/internal/trace` and `src/runtime/trace*.go`, named where they are applied.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

mod batch;
mod clock;
mod decoder;
mod error;
mod event;
mod facts;
mod frontier;
mod generation;
mod header;
mod id_index;
mod ids;
mod lanes;
mod order;
mod reader;
mod spec;
mod splitter;
mod stream;
mod tables;
mod window;
mod wire;

pub use crate::clock::{ClockSnapshot, ClockStep, ClockSync, TraceNanos, UnixCursor, UnixNanos};
pub use crate::decoder::GenerationInfo;
pub use crate::error::{DecodeError, DecodeErrorKind, OpenError, TraceError, Warning, WarningKind, Warnings};
pub use crate::event::{Context, EventKind, GoEvent, GoStatus, ProcStatus};
pub use crate::facts::{
    CpuSample, Goroutine, GoroutineState, Intervals, Lookup, Metric, MetricKind, RangeKind, Recording, RunnableCause,
    RuntimeRange, StateInterval, Summary, Symbols, TaskEdge, UserLog, UserRegion, UserTask, Visitor, WaitReason, Waker,
};
pub use crate::header::Version;
pub use crate::ids::{GoroutineId, ProcId, StackId, StringId, TaskId, ThreadId};
pub use crate::spec::{Place, SPECS, Spec, WireEvent};
pub use crate::stream::{Events, ExecTrace};
pub use crate::tables::{Frame, StackTable, StringTable};

/// The guides, so that their code is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../../../docs/gotrace.md")]
mod guides {}

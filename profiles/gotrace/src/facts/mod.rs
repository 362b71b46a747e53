//! What lasted: goroutine states, runtime ranges, user tasks and regions, each handed out as soon as its end is known.
//!
//! ```text
//! events --Follower--> Visitor      every fact once, in the order of the ends; memory for what is still open
//!                      |- Recording   keeps all of them, sorted
//!                      |- Intervals   an iterator of goroutine states
//!                      `- yours
//! ```
//! Facts own their data and refer to strings and stacks by ids of [`Symbols`], which hold for the whole trace. All times
//! are [`TraceNanos`](crate::TraceNanos). Intervals are half-open, `[start, end)`.
//!
//! Invariant of the states: the intervals of one life of a goroutine, in their order, tile `[first, last)` of that
//! goroutine with neither gap nor overlap, and none is empty. Where the trace does not say, the state is
//! [`GoroutineState::Undetermined`].

mod background;
mod follower;
mod intervals;
mod ranges;
mod recording;
mod states;
mod symbols;
mod user;
mod visitor;

pub(crate) use self::background::visit_in_background;
pub use self::intervals::Intervals;
pub use self::ranges::{RangeKind, RuntimeRange};
pub use self::recording::Recording;
pub use self::states::{Goroutine, GoroutineState, RunnableCause, StateInterval, WaitReason, Waker};
pub use self::symbols::Symbols;
pub use self::user::{CpuSample, Metric, MetricKind, TaskEdge, UserLog, UserRegion, UserTask};
pub(crate) use self::visitor::visit;
pub use self::visitor::{Lookup, Summary, Visitor};

//! A trace folded into what lasted: goroutines with their state intervals, runtime ranges, user annotations, samples.
//!
//! [`Recording::decode`] reads a whole trace. Everything in a recording owns its data and refers to strings and stacks
//! by ids that hold for the whole recording. All times are [`TraceNanos`]; [`Recording::unix`] maps them to the wall
//! clock. Intervals are half-open, `[start, end)`.
//!
//! Invariant of [`Recording::states`]: the intervals of a goroutine, in order, tile `[first, last)` of that goroutine with
//! neither gap nor overlap, and none is empty. Where the trace does not say, the state is
//! [`GoroutineState::Undetermined`].

mod builder;
mod ranges;
mod states;
mod symbols;
mod user;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

pub use self::ranges::{RangeKind, RuntimeRange};
pub use self::states::{Goroutine, GoroutineState, RunnableCause, StateInterval, WaitReason, Waker};
pub use self::user::{CpuSample, TaskEdge, UserLog, UserRegion, UserTask};

use crate::clock::{ClockSync, TraceNanos, UnixNanos};
use crate::decoder::GenerationInfo;
use crate::error::{TraceError, Warnings};
use crate::header::Version;
use crate::ids::{StackId, StringId};
use crate::stream::ExecTrace;
use crate::tables::{Frame, StackTable, StringTable};

/// A decoded trace.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Format of the trace.
    pub version: Version,
    /// Start of the first generation. All intervals lie in `[start, end)`.
    pub start: TraceNanos,
    /// One nanosecond after the last event.
    pub end: TraceNanos,
    /// Time of the first event (not counting the start of a generation); `None` if there is none.
    pub first_event: Option<TraceNanos>,
    /// Time of the last event.
    pub last_event: Option<TraceNanos>,
    /// The generations that were decoded, in order.
    pub generations: Vec<GenerationInfo>,
    /// Maps trace time to wall time.
    pub clock: ClockSync,
    /// Goroutines, by id; an id that the runtime reused has one entry per life.
    pub goroutines: Vec<Goroutine>,
    /// State intervals, by goroutine as in `goroutines`, then by start.
    pub states: Vec<StateInterval>,
    /// Stop-the-world, mark phases, mark assists and sweeps, by start.
    pub ranges: Vec<RuntimeRange>,
    /// User tasks, in the order in which the trace first shows each.
    pub tasks: Vec<UserTask>,
    /// User regions, by the order of their ends; those that never end come last.
    pub regions: Vec<UserRegion>,
    /// User log entries, by time.
    pub logs: Vec<UserLog>,
    /// CPU profile samples, by time.
    pub cpu_samples: Vec<CpuSample>,
    /// Number of events by name ("GoStart"); kinds that do not occur are absent.
    pub event_counts: BTreeMap<&'static str, u64>,
    /// What was odd or missing.
    pub warnings: Warnings,
    strings: StringTable,
    stacks: StackTable,
}

impl Recording {
    /// Decodes a whole trace.
    ///
    /// Damaged generations are left out with a warning each.
    ///
    /// # Errors
    /// If the bytes are not a trace of Go 1.22 or later, or if no generation of it is whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, TraceError> {
        builder::build(ExecTrace::open(bytes)?)
    }

    /// As [`Recording::decode`], from a source that gives a whole file; its bytes are held a generation at a time.
    ///
    /// # Errors
    /// As [`Recording::decode`], and if the source fails before the header is read.
    pub fn read(source: impl std::io::Read + Send) -> Result<Self, TraceError> {
        builder::build(ExecTrace::read(source)?)
    }

    /// The text of a string id; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self, id: StringId) -> Cow<'_, str> {
        self.strings.text(id)
    }

    /// The bytes of a string id.
    pub fn bytes(&self, id: StringId) -> &[u8] {
        self.strings.bytes(id)
    }

    /// The frames of a stack, leaf first.
    pub fn frames(&self, id: StackId) -> &[Frame] {
        self.stacks.frames(id)
    }

    /// All stacks, each once.
    pub fn stacks(&self) -> impl Iterator<Item = (StackId, &[Frame])> {
        self.stacks.iter()
    }

    /// The intervals of one goroutine, by start.
    pub fn states_of(&self, goroutine: &Goroutine) -> &[StateInterval] {
        self.states.get(Range::clone(&goroutine.states)).unwrap_or_default()
    }

    /// The name of a wait reason: the runtime's own word, "" where the runtime gave none.
    pub fn wait_reason(&self, reason: WaitReason) -> Cow<'_, str> {
        match reason {
            WaitReason::Runtime(id) => self.text(id),
            WaitReason::CoroutineSwitch | WaitReason::Unknown => Cow::Borrowed(""),
        }
    }

    /// Wall time of a moment; `None` if the trace has no clock snapshot (before Go 1.25).
    pub fn unix(&self, at: TraceNanos) -> Option<UnixNanos> {
        self.clock.unix(at)
    }
}

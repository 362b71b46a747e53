//! Who takes the facts of a trace, and what comes with them.

use std::collections::BTreeMap;

use super::follower::{Extent, Follower};
use super::{CpuSample, Goroutine, Metric, RuntimeRange, StateInterval, Symbols, UserLog, UserRegion, UserTask};
use crate::clock::{ClockSnapshot, ClockSync, TraceNanos};
use crate::decoder::{Decoder, GenerationInfo};
use crate::error::{DecodeErrorKind, TraceError, Warnings};
use crate::header::{HEADER_BYTES, Version};
use crate::reader::error_at;
use crate::stream::ExecTrace;

/// What ids and times of a fact refer to. Ids stay valid: a visitor may keep them and resolve them in [`Summary::symbols`].
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Strings and stacks, under ids that hold for the whole trace.
    pub symbols: &'a Symbols,
    /// Wall time of all moments so far. What it says of a moment never changes.
    pub clock: &'a ClockSync,
}

/// Takes the facts of a trace, each as soon as it is whole. Every method does nothing unless it is written.
///
/// What a visitor gets is in the order of the ends, but for a state that is [undetermined](super::GoroutineState::Undetermined), which comes when
/// the goroutine is met again or known to have ended. At the end of the trace it gets what is still open then, unless it has
/// [seen enough](Visitor::is_done) before. The states
/// of one life come in order and touch; its goroutine comes after the last, and only that knows the start function.
#[allow(unused_variables, reason = "a visitor takes what it needs")]
pub trait Visitor {
    /// A goroutine has left a state.
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {}
    /// A goroutine has ended, or the trace has. All its intervals came before.
    fn goroutine(&mut self, goroutine: &Goroutine, lookup: Lookup<'_>) {}
    /// The runtime has begun something: the range that [`Visitor::range`] gives when it has ended, as far as it is known.
    fn range_begins(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {}
    /// The runtime has ended something.
    fn range(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {}
    /// A user task has ended, or the trace has. A second end of a task is left out, but for one that
    /// comes two generations later: that comes as a task whose beginning was not seen.
    fn task(&mut self, task: &UserTask, lookup: Lookup<'_>) {}
    /// A user region has ended, or its goroutine or the trace has.
    fn region(&mut self, region: &UserRegion, lookup: Lookup<'_>) {}
    /// The program has logged something.
    fn log(&mut self, log: &UserLog<'_>, lookup: Lookup<'_>) {}
    /// The CPU profiler has looked.
    fn cpu_sample(&mut self, sample: &CpuSample, lookup: Lookup<'_>) {}
    /// The runtime has told a number.
    fn metric(&mut self, metric: &Metric, lookup: Lookup<'_>) {}
    /// A generation begins. No goroutine that is runnable now has been so since before `runnable_since`: what happened
    /// before that can no longer matter to any runnable interval.
    fn generation(&mut self, generation: &GenerationInfo, runnable_since: TraceNanos, lookup: Lookup<'_>) {}
    /// Whether the visitor has seen enough. Asked after each [`Visitor::generation`], and nowhere else. If so that was the
    /// last fact, and the [`Summary`] is that of a trace which ends there: of what is open nothing is told, and the events
    /// of that generation are not counted.
    fn is_done(&self) -> bool {
        false
    }
}

/// What is known of a trace as a whole once it has been read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
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
    /// The strings and stacks that facts referred to.
    pub symbols: Symbols,
    /// Number of events by name ("GoStart"); kinds that do not occur are absent.
    pub event_counts: BTreeMap<&'static str, u64>,
    /// What was odd or missing.
    pub warnings: Warnings,
}

/// Hands the facts of a trace to a visitor.
pub(crate) fn visit(trace: ExecTrace<'_>, visitor: &mut impl Visitor) -> Result<Summary, TraceError> {
    follow(trace, visitor, |visitor, _| !visitor.is_done())
}

/// Hands the facts of a trace to a visitor. Where a generation has begun, `goes_on` says whether to read on.
#[inline(always)]
pub(super) fn follow<V: Visitor>(
    trace: ExecTrace<'_>,
    visitor: &mut V,
    mut goes_on: impl FnMut(&mut V, Standing<'_, '_>) -> bool,
) -> Result<Summary, TraceError> {
    let mut decoder = trace.into_decoder();
    let mut follower = Follower::default();
    let mut extent = None;
    while extent.is_none()
        && decoder.run(u64::MAX, |event, subject, tables| {
            follower.apply(&event, subject, tables, visitor);
        })
    {
        let (decoder, follower) = (&decoder, &follower);
        if decoder.has_begun_generation() && !goes_on(visitor, Standing { decoder, follower }) {
            extent = follower.extent();
        }
    }
    let Some(extent) = extent.or_else(|| follower.finish(&decoder.tables, visitor)) else {
        let nothing = error_at(HEADER_BYTES, DecodeErrorKind::Missing { what: "batches" });
        return Err(decoder.warnings.into_error(nothing));
    };
    let outline = Outline::new(extent, &decoder, &follower);
    Ok(outline.into_summary(decoder.tables.generations, decoder.tables.clock, follower.symbols))
}

/// What is known of a trace where a generation has begun.
pub(super) struct Standing<'s, 'a> {
    decoder: &'s Decoder<'a>,
    follower: &'s Follower,
}

impl<'s> Standing<'s, '_> {
    pub(super) fn symbols(&self) -> &'s Symbols {
        &self.follower.symbols
    }

    /// The clock of the generation behind the one that has begun, where it could be seen.
    pub(super) fn next_clock(&self) -> Option<ClockSnapshot> {
        self.decoder.tables.next_clock
    }

    /// That of a trace which ends here.
    pub(super) fn outline(&self) -> Option<Outline> {
        let extent = self.follower.extent()?;
        Some(Outline::new(extent, self.decoder, self.follower))
    }
}

/// The part of a [`Summary`] that is neither told as facts nor in their lookups.
#[derive(Debug)]
pub(super) struct Outline {
    version: Version,
    extent: Extent,
    event_counts: BTreeMap<&'static str, u64>,
    warnings: Warnings,
}

impl Outline {
    fn new(extent: Extent, decoder: &Decoder<'_>, follower: &Follower) -> Self {
        let mut warnings = decoder.warnings.clone();
        warnings.append(follower.warnings());
        Self {
            version: decoder.version,
            extent,
            event_counts: decoder.event_counts().collect(),
            warnings,
        }
    }

    pub(super) fn into_summary(self, generations: Vec<GenerationInfo>, clock: ClockSync, symbols: Symbols) -> Summary {
        Summary {
            version: self.version,
            start: self.extent.start,
            end: self.extent.end,
            first_event: self.extent.first_event,
            last_event: self.extent.last_event,
            generations,
            clock,
            symbols,
            event_counts: self.event_counts,
            warnings: self.warnings,
        }
    }
}

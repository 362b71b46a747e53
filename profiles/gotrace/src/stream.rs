//! A trace as a stream of ordered events.

use crate::clock::{ClockSync, TickRate, TraceNanos};
use crate::error::{DecodeError, DecodeErrorKind, OpenError, WarningKind, Warnings};
use crate::event::{Context, EventKind, GoEvent};
use crate::frontier::{Frontier, Ordered};
use crate::generation::decode_generation;
use crate::header::{HEADER_BYTES, Version, split_header};
use crate::order::{Emitted, Order};
use crate::reader::{Reader, error_at};
use crate::recording::GenerationInfo;
use crate::spec::{SPECS, WireEvent};
use crate::splitter::{RawGeneration, Split, Splitter};
use crate::tables::{StackTable, StringTable};

/// The bytes of a trace whose header has been read.
#[derive(Clone, Copy, Debug)]
pub struct ExecTrace<'a> {
    version: Version,
    body: &'a [u8],
}

impl<'a> ExecTrace<'a> {
    /// Reads the header. The bytes are those of a whole file.
    ///
    /// # Errors
    /// If they are not a trace, or one of a version that this crate does not know.
    pub fn open(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let (version, body) = split_header(bytes)?;
        Ok(Self { version, body })
    }

    /// Format of the trace.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Decodes the trace, one generation in memory at a time.
    pub fn events(&self) -> Events<'a> {
        Events {
            version: self.version,
            splitter: Splitter::new(self.version, Reader::new(self.body, HEADER_BYTES)),
            order: Order::new(),
            active: None,
            last: TraceNanos(0),
            unbroken: false,
            queued: None,
            strings: StringTable::new(),
            stacks: StackTable::default(),
            clock: ClockSync::default(),
            generations: Vec::new(),
            warnings: Warnings::default(),
            counts: [0; 256],
        }
    }
}

/// The events of a trace, in order: the iterator behind [`ExecTrace::events`].
///
/// Whatever the bytes are, it neither panics nor fails: what cannot be decoded is left out and noted in
/// [`Events::warnings`], and the time and memory it takes are in proportion to the bytes. A generation whose tables or
/// batches are damaged is left out as a whole. One whose events contradict each other ends before the first that does.
/// Where events are missing between two that are there, an [`EventKind::Gap`] says so.
///
/// Ids of strings and stacks in events are looked up in [`Events::strings`] and [`Events::stacks`].
#[derive(Debug)]
pub struct Events<'a> {
    version: Version,
    splitter: Splitter<'a>,
    order: Order,
    active: Option<Active<'a>>,
    /// Time of the event before.
    last: TraceNanos,
    /// Whether the model of the scheduler holds what was true at the end of the events so far.
    unbroken: bool,
    /// The start of a generation, while the gap before it is handed out.
    queued: Option<GoEvent>,
    strings: StringTable<'a>,
    stacks: StackTable,
    clock: ClockSync,
    generations: Vec<GenerationInfo>,
    warnings: Warnings,
    counts: [u64; 256],
}

/// The generation whose events are being handed out.
#[derive(Debug)]
struct Active<'a> {
    number: u64,
    rate: TickRate,
    frontier: Frontier<'a>,
    events_count: u64,
    /// Time of the last event in ticks: events that one wire event stands for share it.
    ticks: u64,
}

impl<'a> Events<'a> {
    /// The strings of all generations so far.
    pub fn strings(&self) -> &StringTable<'a> {
        &self.strings
    }

    /// The stacks of all generations so far.
    pub fn stacks(&self) -> &StackTable {
        &self.stacks
    }

    /// The clock snapshots of all generations so far.
    pub fn clock(&self) -> &ClockSync {
        &self.clock
    }

    /// The generations so far.
    pub fn generations(&self) -> &[GenerationInfo] {
        &self.generations
    }

    /// What was odd so far.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Number of events so far by their wire name, in the order of their numbers; kinds that did not occur are left out.
    /// One coroutine switch counts once, although it is three events.
    pub fn event_counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SPECS
            .iter()
            .zip(SPECS.iter().map(|spec| self.count_of(spec.event)))
            .filter_map(|(spec, count)| {
                let occurs = count > 0;
                occurs.then_some((spec.name, count))
            })
    }

    pub(crate) fn into_tables(self) -> (StringTable<'a>, StackTable, ClockSync, Vec<GenerationInfo>, Warnings) {
        (self.strings, self.stacks, self.clock, self.generations, self.warnings)
    }

    fn count_of(&self, event: WireEvent) -> u64 {
        self.counts.get(usize::from(event.byte())).copied().unwrap_or(0)
    }

    /// Starts the next generation that can be decoded, and returns its first event.
    fn begin_generation(&mut self) -> Option<GoEvent> {
        loop {
            match self.splitter.next()? {
                Split::Whole(raw) => {
                    if let Some(event) = self.begin(raw) {
                        return Some(event);
                    }
                }
                Split::Damaged { generation, error } => self.drop_generation(generation, error),
                Split::Lost { error, lost_bytes } => {
                    let lost_bytes = u64::try_from(lost_bytes).unwrap_or(u64::MAX);
                    self.warnings
                        .push(None, WarningKind::RestUnreadable { lost_bytes, error });
                }
            }
        }
    }

    fn begin(&mut self, raw: RawGeneration<'a>) -> Option<GoEvent> {
        let number = raw.number;
        let generation = match decode_generation(raw, self.version, &mut self.strings, &mut self.stacks) {
            Ok(generation) => generation,
            Err(error) => {
                self.drop_generation(Some(number), error);
                return None;
            }
        };
        let before = self.generations.last().map(|generation| generation.number);
        if let Some(after) = before
            && self.unbroken
            && after.checked_add(1) != Some(number)
        {
            self.warnings
                .push(Some(number), WarningKind::GenerationsMissing { after });
            self.unbroken = false;
        }
        let gap = (before.is_some() && !self.unbroken).then(|| self.stamp(self.last, EventKind::Gap));
        let start = self.stamp(generation.start, EventKind::GenerationStart { generation: number });
        let offset_bytes = u64::try_from(generation.offset).unwrap_or(u64::MAX);
        self.generations.push(GenerationInfo {
            number,
            start: start.time,
            clock: generation.clock,
            offset_bytes,
        });
        if let Some(snapshot) = generation.clock {
            self.clock.add(snapshot);
        }
        self.order.begin_generation(!self.unbroken);
        self.unbroken = true;
        let rate = generation.rate;
        let frontier = Frontier::new(generation, &mut self.order);
        self.active = Some(Active {
            number,
            rate,
            frontier,
            events_count: 0,
            ticks: 0,
        });
        match gap {
            Some(gap) => {
                self.queued = Some(start);
                Some(gap)
            }
            None => Some(start),
        }
    }

    fn drop_generation(&mut self, generation: Option<u64>, error: DecodeError) {
        self.unbroken = false;
        self.warnings.push(generation, WarningKind::GenerationDropped(error));
    }

    /// The next event of the active generation, or `None` if there is none, or no more.
    #[inline]
    fn next_active(&mut self) -> Option<GoEvent> {
        let active = self.active.as_mut()?;
        if let Some(emitted) = self.order.take_extra() {
            let time = active.rate.nanos(active.ticks)?;
            return Some(self.emit(time, emitted));
        }
        match active.frontier.next(&mut self.order) {
            Ok(Some(ordered)) => self.emit_ordered(ordered),
            Ok(None) => {
                self.active = None;
                None
            }
            Err(error) => {
                self.shorten(error);
                None
            }
        }
    }

    #[inline]
    fn emit_ordered(&mut self, ordered: Ordered) -> Option<GoEvent> {
        let active = self.active.as_mut()?;
        let Some(time) = active.rate.nanos(ordered.ticks) else {
            let kind = DecodeErrorKind::OutOfRange {
                what: "event time",
                value: ordered.ticks,
            };
            self.shorten(error_at(ordered.offset, kind));
            return None;
        };
        active.ticks = ordered.ticks;
        active.events_count += 1;
        if let Some(count) = self.counts.get_mut(usize::from(ordered.event.byte())) {
            *count += 1;
        }
        Some(self.emit(time, ordered.emitted))
    }

    /// Ends the active generation before its end.
    #[cold]
    fn shorten(&mut self, error: DecodeError) {
        self.unbroken = false;
        if let Some(Active {
            number, events_count, ..
        }) = self.active.take()
        {
            let kind = WarningKind::GenerationShortened {
                events_kept: events_count,
                error,
            };
            self.warnings.push(Some(number), kind);
        }
    }

    #[inline]
    fn emit(&mut self, time: TraceNanos, emitted: Emitted) -> GoEvent {
        let Emitted { context, stack, kind } = emitted;
        GoEvent {
            time: self.advance_clock(time),
            context,
            stack,
            kind,
        }
    }

    fn stamp(&mut self, time: TraceNanos, kind: EventKind) -> GoEvent {
        self.emit(
            time,
            Emitted {
                context: Context::default(),
                stack: None,
                kind,
            },
        )
    }

    /// Makes times strictly increase, as Go's reader does. Cannot overflow: see `TickRate::nanos`.
    #[inline]
    fn advance_clock(&mut self, time: TraceNanos) -> TraceNanos {
        self.last = TraceNanos(time.0.max(self.last.0.saturating_add(1)));
        self.last
    }
}

impl Iterator for Events<'_> {
    type Item = GoEvent;

    #[inline]
    fn next(&mut self) -> Option<GoEvent> {
        if let Some(event) = self.queued.take() {
            return Some(event);
        }
        loop {
            if let Some(event) = self.next_active() {
                return Some(event);
            }
            if self.active.is_none() {
                return self.begin_generation();
            }
        }
    }
}

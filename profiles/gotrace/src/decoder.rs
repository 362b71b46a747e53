//! Generation after generation: bytes to ordered events, handed to whoever asks for them.

use crate::clock::{ClockSnapshot, ClockSync, TraceNanos};
use crate::error::{DecodeError, WarningKind, Warnings};
use crate::event::{Context, EventKind, GoEvent};
use crate::frontier::{Counts, Frontier};
use crate::generation::{Generation, decode_generation};
use crate::header::Version;
use crate::order::{NO_SLOT, Order, Sink, Slot, StatusTimes};
use crate::spec::{SPECS, WireEvent};
use crate::splitter::{RawGeneration, Split, Splitter};
use crate::tables::{StackTable, StringTable};
use crate::window::Window;

/// What events refer to.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// The strings of the current generation.
    pub(crate) strings: StringTable,
    /// The stacks of the current generation.
    pub(crate) stacks: StackTable,
    /// The clocks of all generations so far.
    pub(crate) clock: ClockSync,
    /// The clock of the next generation, where it could be seen.
    pub(crate) next_clock: Option<ClockSnapshot>,
    /// The generations so far.
    pub(crate) generations: Vec<GenerationInfo>,
    /// Whether the latest of them has been read to its end.
    pub(crate) is_whole: bool,
}

/// One decoded generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerationInfo {
    /// Its number. The first of a trace may be any.
    pub number: u64,
    /// When it starts.
    pub start: TraceNanos,
    /// Its reading of trace and wall clock (Go 1.25 and later).
    pub clock: Option<ClockSnapshot>,
    /// Offset in the file of its first batch.
    pub offset_bytes: u64,
    /// Length in the file of its batches.
    pub length_bytes: u64,
}

/// Decodes a trace whose header has been read.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    pub(crate) version: Version,
    pub(crate) tables: Tables,
    pub(crate) warnings: Warnings,
    splitter: Splitter<'a>,
    order: Order,
    active: Option<Active<'a>>,
    /// Whether the model of the scheduler holds what was true at the end of the events so far.
    unbroken: bool,
    counts: Counts,
}

/// The generation whose events are being handed out.
#[derive(Debug)]
struct Active<'a> {
    number: u64,
    frontier: Frontier<'a>,
}

/// Hands events on together with the tables that their ids belong to.
struct Hand<'t, F> {
    tables: &'t Tables,
    each: F,
}

impl<F: FnMut(GoEvent, Slot, &Tables)> Sink for Hand<'_, F> {
    #[inline(always)]
    fn event(&mut self, event: GoEvent, subject: Slot) {
        (self.each)(event, subject, self.tables);
    }
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(version: Version, window: Window<'a>, times: StatusTimes) -> Self {
        Self {
            version,
            tables: Tables::default(),
            warnings: Warnings::default(),
            splitter: Splitter::new(version, window),
            order: Order::new(times),
            active: None,
            unbroken: false,
            counts: [0; 256],
        }
    }

    /// Hands out the start of a generation, or about `limit` events of one. Returns false at the end of the trace.
    ///
    /// `each` gets an event, the scheduler model's number of the goroutine that it is about (see [`Sink`]) and the tables.
    #[inline(always)]
    pub(crate) fn run(&mut self, limit: u64, each: impl FnMut(GoEvent, Slot, &Tables)) -> bool {
        let Some(active) = &mut self.active else {
            return self.begin_generation(each);
        };
        let mut hand = Hand {
            tables: &self.tables,
            each,
        };
        match active.frontier.run(limit, &mut self.order, &mut self.counts, &mut hand) {
            Ok(true) => {}
            Ok(false) => self.end_generation(None),
            Err(error) => self.end_generation(Some(error)),
        }
        true
    }

    /// Whether a generation has begun of which there may be events left. After a [`Decoder::run`] without a limit: whether
    /// that handed out its start.
    pub(crate) fn has_begun_generation(&self) -> bool {
        self.active.is_some()
    }

    /// Number of events so far by their wire name, in the order of their numbers; kinds that did not occur are left out.
    /// One coroutine switch counts once, although it is three events.
    pub(crate) fn event_counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SPECS
            .iter()
            .zip(SPECS.iter().map(|spec| self.count_of(spec.event)))
            .filter_map(|(spec, count)| {
                let occurs = count > 0;
                occurs.then_some((spec.name, count))
            })
    }

    fn count_of(&self, event: WireEvent) -> u64 {
        self.counts.get(usize::from(event.byte())).copied().unwrap_or(0)
    }

    /// Starts the next generation that can be decoded. Returns false if there is none.
    #[inline(never)]
    fn begin_generation(&mut self, mut each: impl FnMut(GoEvent, Slot, &Tables)) -> bool {
        while let Some(split) = self.splitter.next() {
            match split {
                Split::Whole(raw) => {
                    if self.begin(raw, &mut each) {
                        return true;
                    }
                }
                Split::Damaged { generation, error } => self.drop_generation(generation, error),
                Split::Lost { error, lost_bytes } => {
                    let lost_bytes = u64::try_from(lost_bytes).unwrap_or(u64::MAX);
                    self.unbroken = false;
                    self.warnings
                        .push(None, WarningKind::BytesUnreadable { lost_bytes, error });
                }
            }
        }
        if let Some(failure) = self.splitter.take_failure() {
            let message = failure.to_string();
            self.warnings.push(None, WarningKind::SourceFailed { message });
        }
        false
    }

    fn begin(&mut self, raw: RawGeneration<'a>, each: &mut impl FnMut(GoEvent, Slot, &Tables)) -> bool {
        let number = raw.number;
        let Tables { strings, stacks, .. } = &mut self.tables;
        let generation = match decode_generation(raw, self.version, strings, stacks) {
            Ok(generation) => generation,
            Err((error, held)) => {
                self.splitter.recycle(held);
                self.drop_generation(Some(number), error);
                return false;
            }
        };
        let before = self.tables.generations.last().map(|generation| generation.number);
        if let Some(after) = before
            && self.unbroken
            && after.checked_add(1) != Some(number)
        {
            self.warnings
                .push(Some(number), WarningKind::GenerationsMissing { after });
            self.unbroken = false;
        }
        if before.is_some() && !self.unbroken {
            let gap = self.marker(self.order.last(), EventKind::Gap);
            each(gap, NO_SLOT, &self.tables);
        }
        let start = self.marker(generation.start, EventKind::GenerationStart { generation: number });
        self.note(number, start.time, &generation);
        each(start, NO_SLOT, &self.tables);
        self.order.begin_generation(!self.unbroken);
        self.unbroken = true;
        let frontier = Frontier::new(generation, &mut self.order);
        self.active = Some(Active { number, frontier });
        true
    }

    fn note(&mut self, number: u64, start: TraceNanos, generation: &Generation<'_>) {
        self.tables.is_whole = false;
        self.tables.generations.push(GenerationInfo {
            number,
            start,
            clock: generation.clock,
            offset_bytes: u64::try_from(generation.held.base).unwrap_or(u64::MAX),
            length_bytes: u64::try_from(generation.held.bytes.len()).unwrap_or(u64::MAX),
        });
        self.tables.next_clock = generation.next_clock;
        if let Some(clock) = generation.clock {
            self.tables.clock.add(start, clock, generation.next_clock);
        }
    }

    fn drop_generation(&mut self, generation: Option<u64>, error: DecodeError) {
        self.unbroken = false;
        self.warnings.push(generation, WarningKind::GenerationDropped(error));
    }

    /// Ends the active generation, before its end if there is an error.
    #[cold]
    fn end_generation(&mut self, error: Option<DecodeError>) {
        let Some(Active { number, frontier }) = self.active.take() else {
            return;
        };
        self.tables.is_whole = error.is_none();
        if let Some(error) = error {
            self.unbroken = false;
            let events_kept = frontier.events_count();
            self.warnings
                .push(Some(number), WarningKind::GenerationShortened { events_kept, error });
        }
        self.splitter.recycle(frontier.into_held());
    }

    fn marker(&mut self, time: TraceNanos, kind: EventKind) -> GoEvent {
        GoEvent {
            time: self.order.stamp(time),
            context: Context::default(),
            stack: None,
            kind,
        }
    }
}

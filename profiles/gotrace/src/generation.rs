//! The tables of one generation: strings, stacks, CPU samples and clocks (internal/trace/generation.go).
//!
//! Tables may stand anywhere in a generation, so a generation is decoded as a whole before its first event. The first
//! byte of a payload tells what the batch holds; every entry repeats its own type byte:
//! ```text
//! Strings     4   { 5 id length bytes }*
//! Stacks      2   { 3 id count { pc function file line }*count }*          leaf frame first; function and file are string ids
//! CPUSamples  6   { 7 time thread proc goroutine stack }*                  absolute time; goroutine 0 is none
//! Frequency   8 ticks_per_second                                           Go < 1.25
//! Sync        50  { 8 ticks_per_second | 51 dt monotonic_ns sec nsec }*    Go >= 1.25, one of each
//! anything else is events of the batch's thread
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::num::NonZeroUsize;

use crate::batch::TraceBatch;
use crate::clock::{ClockSnapshot, TickRate, TraceNanos, UnixNanos};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::event::Context;
use crate::header::Version;
use crate::ids::{GoroutineId, ProcId, StackId, StringId, ThreadId};
use crate::reader::{Reader, error_at};
use crate::spec::WireEvent;
use crate::splitter::RawGeneration;
use crate::tables::{Definition, Frame, StackTable, StringTable, WireTable};
use crate::window::Held;

/// Longest string (`MaxEventTrailerDataSize`).
const STRING_BYTES_MAX: u64 = 1 << 10;
/// Most frames of a stack (`MaxFramesPerStack`).
pub(crate) const STACK_FRAMES_MAX: usize = 128;
/// A frame is four numbers of at least one byte.
const FRAME_BYTES_MIN: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");

/// A generation, ready to be ordered. Its strings and stacks are in the tables that [`decode_generation`] filled.
#[derive(Debug)]
pub(crate) struct Generation<'a> {
    pub(crate) held: Held<'a>,
    /// Time of the earliest batch.
    pub(crate) start: TraceNanos,
    pub(crate) rate: TickRate,
    pub(crate) clock: Option<ClockSnapshot>,
    /// The clock of the generation behind this one, where that could be seen.
    pub(crate) next_clock: Option<ClockSnapshot>,
    pub(crate) names: WireNames,
    /// By time.
    pub(crate) samples: Vec<Sample>,
    /// Batches of events. Those of one thread stand together, in the order in which they were written.
    pub(crate) batches: Vec<TraceBatch>,
}

/// Maps a generation's own string and stack numbers to the positions in its tables.
#[derive(Debug)]
pub(crate) struct WireNames {
    strings: WireTable<StringId>,
    stacks: WireTable<StackId>,
}

impl WireNames {
    /// Wire id 0 is the empty string.
    #[inline]
    pub(crate) fn string(&self, wire_id: u64) -> Result<StringId, DecodeErrorKind> {
        if wire_id == 0 {
            return Ok(StringId::EMPTY);
        }
        self.strings.get(wire_id).ok_or(DecodeErrorKind::UnknownId {
            what: "string",
            id: wire_id,
        })
    }

    /// Wire id 0 is "no stack".
    #[inline]
    pub(crate) fn stack(&self, wire_id: u64) -> Result<Option<StackId>, DecodeErrorKind> {
        if wire_id == 0 {
            return Ok(None);
        }
        match self.stacks.get(wire_id) {
            Some(stack) => Ok(Some(stack)),
            None => Err(DecodeErrorKind::UnknownId {
                what: "stack",
                id: wire_id,
            }),
        }
    }
}

/// A CPU profile sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) ticks: u64,
    pub(crate) context: Context,
    pub(crate) stack: Option<StackId>,
}

/// Decodes all tables of a generation. `strings` and `stacks` are emptied and filled with its own. What is wrong is
/// returned with the bytes, whose memory can be used again.
pub(crate) fn decode_generation<'a>(
    raw: RawGeneration<'a>,
    version: Version,
    strings: &mut StringTable,
    stacks: &mut StackTable,
) -> Result<Generation<'a>, (DecodeError, Held<'a>)> {
    let RawGeneration {
        held, batches, next, ..
    } = raw;
    let tables = Tables::decode(&held, batches, version, strings, stacks);
    match tables {
        Ok(tables) => Ok(Generation {
            next_clock: next.and_then(|(batch, payload)| clock_of(&batch, &payload, version)),
            held,
            start: tables.start,
            rate: tables.rate,
            clock: tables.clock,
            names: tables.names,
            samples: tables.samples,
            batches: tables.events,
        }),
        Err(error) => Err((error, held)),
    }
}

struct Tables {
    start: TraceNanos,
    rate: TickRate,
    clock: Option<ClockSnapshot>,
    names: WireNames,
    samples: Vec<Sample>,
    events: Vec<TraceBatch>,
}

impl Tables {
    fn decode(
        held: &Held<'_>,
        batches: Vec<TraceBatch>,
        version: Version,
        strings: &mut StringTable,
        stacks: &mut StackTable,
    ) -> Result<Self, DecodeError> {
        let start_ticks = start_ticks(&batches);
        let sections = Sections::sort(batches, version);
        let mut clocks = Clocks::default();
        for batch in &sections.clocks {
            clocks.read(batch, payload(held, batch), version)?;
        }
        let missing = |what| error_at(held.base, DecodeErrorKind::Missing { what });
        let rate = clocks.rate.ok_or_else(|| missing("frequency"))?;
        if version.has_clock_snapshot() && clocks.snapshot.is_none() {
            return Err(missing("clock snapshot"));
        }
        let clock = clocks.resolve()?;
        let out_of_range = || DecodeErrorKind::OutOfRange {
            what: "batch time",
            value: start_ticks,
        };
        let start = rate
            .nanos(start_ticks)
            .ok_or_else(|| error_at(held.base, out_of_range()))?;
        let strings = read_strings(held, &sections.strings, strings)?;
        let stacks = read_stacks(held, &sections.stacks, &strings, stacks)?;
        let names = WireNames { strings, stacks };
        let samples = read_samples(held, &sections.samples, &names)?;
        let mut events = sections.events;
        // Stable: batches of one thread keep their order, which is the order of that thread's events.
        events.sort_by_key(|batch| batch.thread);
        Ok(Self {
            start,
            rate,
            clock,
            names,
            samples,
            events,
        })
    }
}

/// The earliest batch time. As in Go's reader, a 0 is replaced by the time of the batch behind it, whatever that is.
fn start_ticks(batches: &[TraceBatch]) -> u64 {
    let times = batches.iter().map(|batch| batch.time_ticks);
    times.fold(0, |start, ticks| if start == 0 { ticks } else { start.min(ticks) })
}

/// The batches of a generation by what they hold.
#[derive(Default)]
struct Sections {
    strings: Vec<TraceBatch>,
    stacks: Vec<TraceBatch>,
    samples: Vec<TraceBatch>,
    clocks: Vec<TraceBatch>,
    events: Vec<TraceBatch>,
}

impl Sections {
    fn sort(batches: Vec<TraceBatch>, version: Version) -> Self {
        let mut sections = Self::default();
        for batch in batches.into_iter().filter(|batch| !batch.experimental) {
            let section = match batch.first.and_then(WireEvent::spec_of).map(|spec| spec.event) {
                Some(WireEvent::Strings) => &mut sections.strings,
                Some(WireEvent::Stacks) => &mut sections.stacks,
                Some(WireEvent::CpuSamples) => &mut sections.samples,
                Some(WireEvent::Frequency) if !version.has_clock_snapshot() => &mut sections.clocks,
                Some(WireEvent::Sync) if version.has_clock_snapshot() => &mut sections.clocks,
                _ => &mut sections.events,
            };
            section.push(batch);
        }
        sections
    }
}

fn payload<'b>(held: &'b Held<'_>, batch: &TraceBatch) -> Reader<'b> {
    let inside = |offset: usize| offset.saturating_sub(held.base);
    let range = inside(batch.payload.start)..inside(batch.payload.end);
    Reader::new(held.bytes.get(range).unwrap_or_default(), batch.payload.start)
}

fn read_strings(
    held: &Held<'_>,
    batches: &[TraceBatch],
    strings: &mut StringTable,
) -> Result<WireTable<StringId>, DecodeError> {
    strings.clear();
    let mut definitions = Vec::new();
    for batch in batches {
        let mut payload = payload(held, batch);
        payload.u8("a strings batch")?;
        while !payload.is_empty() {
            let offset = payload.offset();
            expect(&mut payload, WireEvent::String, "a string")?;
            let wire_id = payload.uvarint("a string id")?;
            let at_length = payload.clone();
            let declared = payload.uvarint("a string length")?;
            if declared > STRING_BYTES_MAX {
                let possible = STRING_BYTES_MAX;
                let kind = DecodeErrorKind::CountTooLarge {
                    what: "string bytes",
                    declared,
                    possible,
                };
                return Err(at_length.error(kind));
            }
            let length = usize::try_from(declared).unwrap_or(usize::MAX);
            let bytes = payload.take(length, "the rest of a string")?;
            let value = strings.push(bytes).ok_or_else(|| table_full(offset, "string"))?;
            definitions.push(Definition { wire_id, offset, value });
        }
    }
    WireTable::build(definitions).map_err(|twice| defined_twice(&twice, "string"))
}

fn read_stacks(
    held: &Held<'_>,
    batches: &[TraceBatch],
    strings: &WireTable<StringId>,
    stacks: &mut StackTable,
) -> Result<WireTable<StackId>, DecodeError> {
    stacks.clear();
    let mut definitions = Vec::new();
    for batch in batches {
        let mut payload = payload(held, batch);
        payload.u8("a stacks batch")?;
        while !payload.is_empty() {
            let offset = payload.offset();
            expect(&mut payload, WireEvent::Stack, "a stack")?;
            let wire_id = payload.uvarint("a stack id")?;
            read_frames(&mut payload, offset, strings, stacks)?;
            let value = stacks.close().ok_or_else(|| table_full(offset, "stack"))?;
            definitions.push(Definition { wire_id, offset, value });
        }
    }
    WireTable::build(definitions).map_err(|twice| defined_twice(&twice, "stack"))
}

fn read_frames(
    payload: &mut Reader<'_>,
    offset: usize,
    strings: &WireTable<StringId>,
    stacks: &mut StackTable,
) -> Result<(), DecodeError> {
    let at_count = payload.clone();
    let count = payload.count("stack frames", FRAME_BYTES_MIN)?;
    if count > STACK_FRAMES_MAX {
        let value = u64::try_from(count).unwrap_or(u64::MAX);
        return Err(at_count.error(DecodeErrorKind::OutOfRange {
            what: "number of stack frames",
            value,
        }));
    }
    let name = |wire_id| match wire_id {
        0 => Ok(StringId::EMPTY),
        id => strings
            .get(id)
            .ok_or_else(|| error_at(offset, DecodeErrorKind::UnknownId { what: "string", id })),
    };
    for _ in 0..count {
        let pc = payload.uvarint("a program counter")?;
        let function = payload.uvarint("a function name")?;
        let file = payload.uvarint("a file name")?;
        let line = payload.uvarint("a line number")?;
        stacks.push_frame(Frame {
            pc,
            function: name(function)?,
            file: name(file)?,
            line,
        });
    }
    Ok(())
}

fn read_samples(held: &Held<'_>, batches: &[TraceBatch], names: &WireNames) -> Result<Vec<Sample>, DecodeError> {
    let mut samples = Vec::new();
    for batch in batches {
        let mut payload = payload(held, batch);
        payload.u8("a CPU samples batch")?;
        while !payload.is_empty() {
            let offset = payload.offset();
            expect(&mut payload, WireEvent::CpuSample, "a CPU sample")?;
            let ticks = payload.uvarint("a sample's time")?;
            let context = Context {
                thread: ThreadId::new(payload.uvarint("a sample's thread")?),
                proc: ProcId::new(payload.uvarint("a sample's proc")?),
                goroutine: GoroutineId::new(payload.uvarint("a sample's goroutine")?).filter(|id| id.get() != 0),
            };
            let stack = payload.uvarint("a sample's stack")?;
            let stack = names.stack(stack).map_err(|kind| error_at(offset, kind))?;
            samples.push(Sample { ticks, context, stack });
        }
    }
    samples.sort_by_key(|sample| sample.ticks);
    Ok(samples)
}

/// A clock snapshot in ticks, and where it stands.
#[derive(Debug)]
struct RawSnapshot {
    offset: usize,
    ticks: u64,
    monotonic_ns: u64,
    sec: u64,
    nsec: u64,
}

impl RawSnapshot {
    fn resolve(&self, rate: TickRate) -> Result<ClockSnapshot, DecodeError> {
        let out_of_range = |what, value| error_at(self.offset, DecodeErrorKind::OutOfRange { what, value });
        let trace = rate
            .nanos(self.ticks)
            .ok_or_else(|| out_of_range("snapshot time", self.ticks))?;
        if self.nsec >= 1_000_000_000 {
            return Err(out_of_range("nanosecond of the wall clock", self.nsec));
        }
        let unix_ns = self
            .sec
            .checked_mul(1_000_000_000)
            .and_then(|ns| ns.checked_add(self.nsec));
        let unix_ns = unix_ns.and_then(|ns| i64::try_from(ns).ok());
        let unix = unix_ns
            .map(UnixNanos)
            .ok_or_else(|| out_of_range("second of the wall clock", self.sec))?;
        Ok(ClockSnapshot {
            trace,
            monotonic_ns: self.monotonic_ns,
            unix,
        })
    }
}

/// What the sync batches of a generation say.
#[derive(Debug, Default)]
struct Clocks {
    rate: Option<TickRate>,
    snapshot: Option<RawSnapshot>,
}

impl Clocks {
    fn read(&mut self, batch: &TraceBatch, mut payload: Reader<'_>, version: Version) -> Result<(), DecodeError> {
        if batch.first == Some(WireEvent::Sync.byte()) {
            payload.u8("a sync batch")?;
        }
        let mut ticks = batch.time_ticks;
        while !payload.is_empty() {
            let at = payload.clone();
            let found = payload.u8("a clock")?;
            match WireEvent::spec_of(found).map(|spec| spec.event) {
                Some(WireEvent::Frequency) => self.read_frequency(&at, payload.uvarint("a frequency")?)?,
                Some(WireEvent::ClockSnapshot) if version.has_clock_snapshot() => {
                    let dt = payload.uvarint("a snapshot's time")?;
                    let out_of_range = DecodeErrorKind::OutOfRange {
                        what: "snapshot time",
                        value: dt,
                    };
                    ticks = ticks.checked_add(dt).ok_or_else(|| at.error(out_of_range))?;
                    let snapshot = RawSnapshot {
                        offset: at.offset(),
                        ticks,
                        monotonic_ns: payload.uvarint("a monotonic time")?,
                        sec: payload.uvarint("a wall clock second")?,
                        nsec: payload.uvarint("a wall clock nanosecond")?,
                    };
                    if self.snapshot.replace(snapshot).is_some() {
                        return Err(at.error(DecodeErrorKind::Duplicate { what: "clock snapshot" }));
                    }
                }
                _ => {
                    let expected = match version.has_clock_snapshot() {
                        true => "a frequency or a clock snapshot",
                        false => "a frequency",
                    };
                    return Err(at.error(DecodeErrorKind::UnexpectedByte { expected, found }));
                }
            }
        }
        Ok(())
    }

    fn read_frequency(&mut self, at: &Reader<'_>, value: u64) -> Result<(), DecodeError> {
        let out_of_range = DecodeErrorKind::OutOfRange {
            what: "frequency",
            value,
        };
        let rate = TickRate::new(value).ok_or_else(|| at.error(out_of_range))?;
        if self.rate.replace(rate).is_some() {
            return Err(at.error(DecodeErrorKind::Duplicate { what: "frequency" }));
        }
        Ok(())
    }

    fn resolve(&self) -> Result<Option<ClockSnapshot>, DecodeError> {
        match (&self.snapshot, self.rate) {
            (Some(snapshot), Some(rate)) => snapshot.resolve(rate).map(Some),
            _ => Ok(None),
        }
    }
}

/// The clock in a sync batch on its own; `None` if the batch is damaged, which is for its own generation to report.
fn clock_of(batch: &TraceBatch, payload: &[u8], version: Version) -> Option<ClockSnapshot> {
    let mut clocks = Clocks::default();
    let payload = Reader::new(payload, batch.payload.start);
    clocks.read(batch, payload, version).ok()?;
    clocks.resolve().ok()?
}

fn expect(reader: &mut Reader<'_>, event: WireEvent, expected: &'static str) -> Result<(), DecodeError> {
    let at = reader.clone();
    let found = reader.u8(expected)?;
    if found == event.byte() {
        return Ok(());
    }
    Err(at.error(DecodeErrorKind::UnexpectedByte { expected, found }))
}

fn defined_twice<T>(twice: &Definition<T>, what: &'static str) -> DecodeError {
    error_at(
        twice.offset,
        DecodeErrorKind::DuplicateId {
            what,
            id: twice.wire_id,
        },
    )
}

fn table_full(offset: usize, what: &'static str) -> DecodeError {
    error_at(
        offset,
        DecodeErrorKind::OutOfRange {
            what,
            value: u64::from(u32::MAX),
        },
    )
}

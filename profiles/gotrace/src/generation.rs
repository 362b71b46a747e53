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

/// Longest string (`MaxEventTrailerDataSize`).
const STRING_BYTES_MAX: u64 = 1 << 10;
/// Most frames of a stack (`MaxFramesPerStack`).
pub(crate) const STACK_FRAMES_MAX: usize = 128;
/// A frame is four numbers of at least one byte.
const FRAME_BYTES_MIN: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");

/// A generation, ready to be ordered.
#[derive(Debug)]
pub(crate) struct Generation<'a> {
    pub(crate) offset: usize,
    /// Time of the earliest batch.
    pub(crate) start: TraceNanos,
    pub(crate) rate: TickRate,
    pub(crate) clock: Option<ClockSnapshot>,
    pub(crate) names: WireNames,
    /// By time.
    pub(crate) samples: Vec<Sample>,
    /// Batches of events. Those of one thread stand together, in the order in which they were written.
    pub(crate) batches: Vec<TraceBatch<'a>>,
}

/// Maps a generation's own string and stack numbers to the trace's.
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

/// Decodes all tables of a generation; strings and stacks are added to the trace's.
pub(crate) fn decode_generation<'a>(
    raw: RawGeneration<'a>,
    version: Version,
    strings: &mut StringTable<'a>,
    stacks: &mut StackTable,
) -> Result<Generation<'a>, DecodeError> {
    let offset = raw.offset;
    let start_ticks = start_ticks(&raw.batches);
    let mut sections = Sections::default();
    for batch in raw.batches {
        sections.add(batch, version)?;
    }
    let missing = |what| error_at(offset, DecodeErrorKind::Missing { what });
    let rate = sections.rate.ok_or_else(|| missing("frequency"))?;
    if version.has_clock_snapshot() && sections.snapshot.is_none() {
        return Err(missing("clock snapshot"));
    }
    let strings = sections.strings(strings)?;
    let stacks = sections.stacks(&strings, stacks)?;
    let names = WireNames { strings, stacks };
    let samples = sections.samples(&names)?;
    let out_of_range = |value| {
        error_at(
            offset,
            DecodeErrorKind::OutOfRange {
                what: "batch time",
                value,
            },
        )
    };
    let start = rate.nanos(start_ticks).ok_or_else(|| out_of_range(start_ticks))?;
    let clock = match sections.snapshot {
        Some(snapshot) => Some(snapshot.resolve(rate)?),
        None => None,
    };
    // Stable: batches of one thread keep their order, which is the order of that thread's events.
    sections.events.sort_by_key(|batch| batch.thread);
    Ok(Generation {
        offset,
        start,
        rate,
        clock,
        names,
        samples,
        batches: sections.events,
    })
}

/// The earliest batch time. As in Go's reader, 0 counts only if no other time is there.
fn start_ticks(batches: &[TraceBatch<'_>]) -> u64 {
    batches
        .iter()
        .map(|batch| batch.time_ticks)
        .filter(|ticks| *ticks != 0)
        .min()
        .unwrap_or(0)
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

/// A stack as written, with its frames in [`Sections::frames`].
#[derive(Debug)]
struct RawStack {
    wire_id: u64,
    offset: usize,
    frames: std::ops::Range<usize>,
}

#[derive(Debug)]
struct RawFrame {
    pc: u64,
    function: u64,
    file: u64,
    line: u64,
}

#[derive(Debug)]
struct RawString<'a> {
    wire_id: u64,
    offset: usize,
    bytes: &'a [u8],
}

#[derive(Debug)]
struct RawSample {
    offset: usize,
    ticks: u64,
    context: Context,
    stack: u64,
}

/// What the batches of a generation hold, sorted by kind but not yet resolved.
#[derive(Debug, Default)]
struct Sections<'a> {
    strings: Vec<RawString<'a>>,
    stacks: Vec<RawStack>,
    frames: Vec<RawFrame>,
    samples: Vec<RawSample>,
    rate: Option<TickRate>,
    snapshot: Option<RawSnapshot>,
    events: Vec<TraceBatch<'a>>,
}

impl<'a> Sections<'a> {
    fn add(&mut self, batch: TraceBatch<'a>, version: Version) -> Result<(), DecodeError> {
        if batch.experimental {
            return Ok(());
        }
        let mut payload = batch.payload.clone();
        match payload.peek().and_then(WireEvent::spec_of).map(|spec| spec.event) {
            Some(WireEvent::Strings) => {
                payload.u8("a strings batch")?;
                self.read_strings(payload)
            }
            Some(WireEvent::Stacks) => {
                payload.u8("a stacks batch")?;
                self.read_stacks(payload)
            }
            Some(WireEvent::CpuSamples) => {
                payload.u8("a CPU samples batch")?;
                self.read_samples(payload)
            }
            Some(WireEvent::Frequency) if !version.has_clock_snapshot() => self.read_sync(payload, batch.time_ticks),
            Some(WireEvent::Sync) if version.has_clock_snapshot() => {
                payload.u8("a sync batch")?;
                self.read_sync(payload, batch.time_ticks)
            }
            _ => {
                self.events.push(batch);
                Ok(())
            }
        }
    }

    fn read_strings(&mut self, mut payload: Reader<'a>) -> Result<(), DecodeError> {
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
            self.strings.push(RawString { wire_id, offset, bytes });
        }
        Ok(())
    }

    fn read_stacks(&mut self, mut payload: Reader<'a>) -> Result<(), DecodeError> {
        while !payload.is_empty() {
            let offset = payload.offset();
            expect(&mut payload, WireEvent::Stack, "a stack")?;
            let wire_id = payload.uvarint("a stack id")?;
            let at_count = payload.clone();
            let count = payload.count("stack frames", FRAME_BYTES_MIN)?;
            if count > STACK_FRAMES_MAX {
                let value = u64::try_from(count).unwrap_or(u64::MAX);
                return Err(at_count.error(DecodeErrorKind::OutOfRange {
                    what: "number of stack frames",
                    value,
                }));
            }
            let first = self.frames.len();
            for _ in 0..count {
                self.frames.push(RawFrame {
                    pc: payload.uvarint("a program counter")?,
                    function: payload.uvarint("a function name")?,
                    file: payload.uvarint("a file name")?,
                    line: payload.uvarint("a line number")?,
                });
            }
            self.stacks.push(RawStack {
                wire_id,
                offset,
                frames: first..self.frames.len(),
            });
        }
        Ok(())
    }

    fn read_samples(&mut self, mut payload: Reader<'a>) -> Result<(), DecodeError> {
        while !payload.is_empty() {
            let offset = payload.offset();
            expect(&mut payload, WireEvent::CpuSample, "a CPU sample")?;
            let ticks = payload.uvarint("a sample's time")?;
            let thread = ThreadId::new(payload.uvarint("a sample's thread")?);
            let proc = ProcId::new(payload.uvarint("a sample's proc")?);
            let goroutine = GoroutineId::new(payload.uvarint("a sample's goroutine")?).filter(|id| id.get() != 0);
            let stack = payload.uvarint("a sample's stack")?;
            self.samples.push(RawSample {
                offset,
                ticks,
                context: Context {
                    thread,
                    proc,
                    goroutine,
                },
                stack,
            });
        }
        Ok(())
    }

    fn read_sync(&mut self, mut payload: Reader<'a>, batch_ticks: u64) -> Result<(), DecodeError> {
        let mut ticks = batch_ticks;
        while !payload.is_empty() {
            let at = payload.clone();
            let found = payload.u8("a clock")?;
            match WireEvent::spec_of(found).map(|spec| spec.event) {
                Some(WireEvent::Frequency) => {
                    let value = payload.uvarint("a frequency")?;
                    let rate = TickRate::new(value);
                    let out_of_range = DecodeErrorKind::OutOfRange {
                        what: "frequency",
                        value,
                    };
                    let rate = rate.ok_or_else(|| at.error(out_of_range))?;
                    if self.rate.replace(rate).is_some() {
                        return Err(at.error(DecodeErrorKind::Duplicate { what: "frequency" }));
                    }
                }
                Some(WireEvent::ClockSnapshot) => {
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
                    return Err(at.error(DecodeErrorKind::UnexpectedByte {
                        expected: "a clock",
                        found,
                    }));
                }
            }
        }
        Ok(())
    }

    fn strings(&self, strings: &mut StringTable<'a>) -> Result<WireTable<StringId>, DecodeError> {
        let mut definitions = Vec::with_capacity(self.strings.len());
        for RawString { wire_id, offset, bytes } in &self.strings {
            let value = strings.intern(bytes).ok_or_else(|| table_full(*offset, "string"))?;
            definitions.push(Definition {
                wire_id: *wire_id,
                offset: *offset,
                value,
            });
        }
        WireTable::build(definitions).map_err(|twice| defined_twice(&twice, "string"))
    }

    fn stacks(
        &self,
        strings: &WireTable<StringId>,
        stacks: &mut StackTable,
    ) -> Result<WireTable<StackId>, DecodeError> {
        let name = |wire_id, offset| match wire_id {
            0 => Ok(StringId::EMPTY),
            id => strings
                .get(id)
                .ok_or_else(|| error_at(offset, DecodeErrorKind::UnknownId { what: "string", id })),
        };
        let mut definitions = Vec::with_capacity(self.stacks.len());
        let mut frames = Vec::with_capacity(STACK_FRAMES_MAX);
        for RawStack {
            wire_id,
            offset,
            frames: range,
        } in &self.stacks
        {
            frames.clear();
            for RawFrame {
                pc,
                function,
                file,
                line,
            } in self.frames.get(range.clone()).unwrap_or_default()
            {
                let (function, file) = (name(*function, *offset)?, name(*file, *offset)?);
                frames.push(Frame {
                    pc: *pc,
                    function,
                    file,
                    line: *line,
                });
            }
            let value = stacks.intern(&frames).ok_or_else(|| table_full(*offset, "stack"))?;
            definitions.push(Definition {
                wire_id: *wire_id,
                offset: *offset,
                value,
            });
        }
        WireTable::build(definitions).map_err(|twice| defined_twice(&twice, "stack"))
    }

    fn samples(&self, names: &WireNames) -> Result<Vec<Sample>, DecodeError> {
        let mut samples = Vec::with_capacity(self.samples.len());
        for RawSample {
            offset,
            ticks,
            context,
            stack,
        } in &self.samples
        {
            let stack = names.stack(*stack).map_err(|kind| error_at(*offset, kind))?;
            samples.push(Sample {
                ticks: *ticks,
                context: *context,
                stack,
            });
        }
        samples.sort_by_key(|sample| sample.ticks);
        Ok(samples)
    }
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

//! Cuts a trace into generations (internal/trace/generation.go), and finds the next one after damage.
//!
//! ```text
//! Go < 1.26    | gen 1 batches | gen 2 batches | ...          a batch of the next number, or the end of the file, ends one
//! Go >= 1.26   | gen 1 batches | 52 | gen 2 batches | 52 ...  byte 52 ends one; without it the file was cut
//! ```
//! A generation is either whole or left out. A single batch of a wrong number spoils the generation it stands in, or before
//! whose first batch it stands; two of the same number in a row start a new generation. Where the bytes stop being batches, the next place from which
//! batches follow each other is searched for; what stands there up to the next start of a generation is lost too.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::batch::{FRAME_BYTES_MAX, Frame, FrameError, TraceBatch, read_frame};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::header::{HEADER_BYTES, Version};
use crate::reader::{Reader, error_at};
use crate::spec::WireEvent;
use crate::window::{Held, Window};

/// How many batches must follow each other to be taken for batches, after others were not.
const CHAIN_LENGTH: usize = 3;
/// How far generation numbers may lie apart around damage.
const NUMBERS_APART_MAX: u64 = 1 << 20;

/// The batches of one generation, as they stand in the file.
#[derive(Debug)]
pub(crate) struct RawGeneration<'a> {
    pub(crate) number: u64,
    pub(crate) held: Held<'a>,
    pub(crate) batches: Vec<TraceBatch>,
    /// The first batch of the generation behind this one, if there is one and it stands there.
    pub(crate) next: Option<(TraceBatch, Vec<u8>)>,
}

/// A generation whose end has not been seen.
#[derive(Debug)]
struct Open {
    number: u64,
    offset: usize,
    batches: Vec<TraceBatch>,
    damage: Option<DecodeError>,
}

impl Open {
    fn new(first: TraceBatch, offset: usize) -> Self {
        Self {
            number: first.generation,
            offset,
            damage: (first.generation == 0).then(|| zero_generation(&first)),
            batches: vec![first],
        }
    }

    /// The runtime writes stacks and then strings last; before Go 1.26 nothing else tells a whole last generation from
    /// a cut one.
    fn has_tables(&self) -> bool {
        let has = |event: WireEvent| self.batches.iter().any(|batch| batch.first == Some(event.byte()));
        has(WireEvent::Stacks) && has(WireEvent::Strings)
    }

    fn spoil(&mut self, error: DecodeError) {
        self.damage.get_or_insert(error);
    }

    /// A single batch of another generation stands in the middle of this one.
    fn spoil_by(&mut self, stray: &Self) {
        let kind = DecodeErrorKind::GenerationMixed {
            expected: self.number,
            found: stray.number,
        };
        self.spoil(error_at(stray.offset, kind));
    }
}

/// What [`Splitter::next`] found.
#[derive(Debug)]
pub(crate) enum Split<'a> {
    Whole(RawGeneration<'a>),
    /// A generation that is damaged or cut.
    Damaged {
        generation: Option<u64>,
        error: DecodeError,
    },
    /// Batch boundaries are lost: `lost_bytes` behind `error` cannot be read.
    Lost {
        error: DecodeError,
        lost_bytes: usize,
    },
}

/// Reads generation after generation.
#[derive(Debug)]
pub(crate) struct Splitter<'a> {
    window: Window<'a>,
    version: Version,
    /// Offset in the file of the next frame.
    at: usize,
    /// The beginning of the next generation, where its first batches ended the one before.
    begun: Option<Open>,
    /// Set when batch boundaries were lost while a generation before that point was still to be delivered.
    lost: Option<(DecodeError, usize)>,
    /// Number of the latest generation, damaged or not.
    number: u64,
}

impl<'a> Splitter<'a> {
    /// `window` starts with the header.
    pub(crate) fn new(version: Version, window: Window<'a>) -> Self {
        Self {
            window,
            version,
            at: HEADER_BYTES,
            begun: None,
            lost: None,
            number: 0,
        }
    }

    /// Gives the bytes of a generation back.
    pub(crate) fn recycle(&mut self, held: Held<'a>) {
        self.window.recycle(held);
    }

    /// Why the source ended early. Handed out once.
    pub(crate) fn take_failure(&mut self) -> Option<std::io::Error> {
        self.window.take_failure()
    }

    /// The next generation, or `None` at the end of the trace.
    pub(crate) fn next(&mut self) -> Option<Split<'a>> {
        if let Some((error, from)) = self.lost.take() {
            let lost_bytes = self.resume(from).saturating_sub(from);
            return Some(Split::Lost { error, lost_bytes });
        }
        let mut current = self.begun.take();
        // The batch before, if it was of a generation that is not expected here.
        let mut stray: Option<Open> = None;
        loop {
            let at = self.at;
            let frame = match self.read_frame() {
                Some(frame) => frame,
                None => break,
            };
            let batch = match frame {
                Ok(Frame::Batch(batch)) => batch,
                Ok(Frame::EndOfGeneration) => {
                    spoil_by(&mut current, stray.take());
                    match self.end_of_generation(&mut current, at) {
                        Some(split) => return Some(split),
                        None => continue,
                    }
                }
                Err(error) => {
                    // One damaged byte in the first batch of the next generation may change its number and its length.
                    let is_next = |open: &Open| !self.version.marks_generation_end() && open.has_tables();
                    if let (Some(stray), true) = (&stray, current.as_ref().is_some_and(is_next)) {
                        let end = stray.offset;
                        return Some(self.lose(current, error, end));
                    }
                    spoil_by(&mut current, stray);
                    return Some(self.lose(current, error, at));
                }
            };
            let Some(generation) = &mut current else {
                current = Some(Open::new(batch, at));
                continue;
            };
            if batch.generation == generation.number {
                generation.batches.push(batch);
                spoil_by(&mut current, stray.take());
                continue;
            }
            if self.is_successor(generation.number, batch.generation) {
                return current.map(|generation| self.succeed(generation, stray, Open::new(batch, at), at));
            }
            match stray.take() {
                Some(mut other) if other.number == batch.generation => {
                    other.batches.push(batch);
                    let end = other.offset;
                    self.begun = Some(other);
                    return current.map(|generation| self.end_of_batches(generation, end));
                }
                before => {
                    spoil_by(&mut current, before);
                    stray = Some(Open::new(batch, at));
                }
            }
        }
        spoil_by(&mut current, stray);
        let end = self.at;
        current.map(|generation| self.end_of_batches(generation, end))
    }

    /// The next frame, or `None` at the end of the file.
    fn read_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        let bytes = self.window.at(self.at, FRAME_BYTES_MAX);
        if bytes.is_empty() {
            return None;
        }
        let mut reader = Reader::new(bytes, self.at);
        let frame = read_frame(&mut reader);
        if frame.is_ok() {
            self.at = reader.offset();
        }
        Some(frame)
    }

    fn is_successor(&self, number: u64, next: u64) -> bool {
        !self.version.marks_generation_end() && number.checked_add(1) == Some(next)
    }

    /// Byte 52. Before Go 1.26 it does not exist, and where no generation is open it ends none.
    fn end_of_generation(&mut self, current: &mut Option<Open>, at: usize) -> Option<Split<'a>> {
        let byte = WireEvent::EndOfGeneration.byte();
        let unexpected = DecodeErrorKind::UnexpectedByte {
            expected: "a batch",
            found: byte,
        };
        match current.take() {
            Some(generation) if self.version.marks_generation_end() => Some(self.finish(generation, self.at)),
            Some(mut generation) => {
                generation.spoil(error_at(at, unexpected));
                *current = Some(generation);
                None
            }
            None => Some(Split::Damaged {
                generation: None,
                error: error_at(at, unexpected),
            }),
        }
    }

    /// The next generation begins at `at`. A single batch of a wrong number right before was meant for it if the tables of
    /// this one are there, which are written last.
    fn succeed(&mut self, mut generation: Open, stray: Option<Open>, mut next: Open, at: usize) -> Split<'a> {
        let mut end = at;
        if let Some(stray) = stray {
            let spoiled = match generation.has_tables() {
                true => {
                    end = stray.offset;
                    &mut next
                }
                false => &mut generation,
            };
            spoiled.spoil_by(&stray);
        }
        self.begun = Some(next);
        self.finish(generation, end)
    }

    /// At `end` the file ends, or another generation begins that does not follow this one.
    fn end_of_batches(&mut self, mut generation: Open, end: usize) -> Split<'a> {
        if self.version.marks_generation_end() || !generation.has_tables() {
            let kept_bytes = u64::try_from(end.saturating_sub(generation.offset)).unwrap_or(u64::MAX);
            let kind = DecodeErrorKind::GenerationCut {
                number: generation.number,
                kept_bytes,
            };
            generation.spoil(error_at(end, kind));
        }
        self.finish(generation, end)
    }

    /// A frame is unreadable. The open generation is whole if the frame says that it belongs to the next one, or if the
    /// tables are there and it does not say to belong to this one. Garbage may say anything else.
    fn lose(&mut self, current: Option<Open>, frame: FrameError, at: usize) -> Split<'a> {
        self.lost = Some((frame.error.clone(), at));
        let Some(mut generation) = current else {
            self.lost = None;
            let lost_bytes = self.resume(at).saturating_sub(at);
            return Split::Lost {
                error: frame.error,
                lost_bytes,
            };
        };
        let whole = match frame.generation {
            _ if self.version.marks_generation_end() => false,
            Some(number) if self.is_successor(generation.number, number) => true,
            number => number != Some(generation.number) && generation.has_tables(),
        };
        if !whole {
            generation.spoil(frame.error);
        }
        self.finish(generation, at)
    }

    /// Moves to where a generation starts behind unreadable bytes at `from`, or to the end of the file. Returns that place.
    fn resume(&mut self, from: usize) -> usize {
        self.at = from.saturating_add(1);
        while self.find_chain() && !self.find_start() {
            self.at = self.at.saturating_add(1);
        }
        self.at
    }

    /// Moves to the next place, this one included, from which batches follow each other; false at the end of the file.
    fn find_chain(&mut self) -> bool {
        // An end of a generation before each batch.
        let window_bytes = FRAME_BYTES_MAX.saturating_add(1).saturating_mul(CHAIN_LENGTH);
        loop {
            self.window.forget(self.at);
            let bytes = self.window.at(self.at, window_bytes);
            if bytes.is_empty() {
                return false;
            }
            match bytes.iter().position(|byte| is_frame_start(*byte)) {
                None => self.at = self.at.saturating_add(bytes.len()),
                Some(skipped) => {
                    self.at = self.at.saturating_add(skipped);
                    let chain = Reader::new(self.window.at(self.at, window_bytes), self.at);
                    if is_chain(chain, self.number) {
                        return true;
                    }
                    self.at = self.at.saturating_add(1);
                }
            }
        }
    }

    /// Reads on to the start of a generation, or to the end of the file; false where the batches end before.
    fn find_start(&mut self) -> bool {
        let mut number = None;
        loop {
            let at = self.at;
            self.window.forget(at);
            match self.read_frame() {
                None | Some(Ok(Frame::EndOfGeneration)) => return true,
                Some(Ok(Frame::Batch(batch))) => {
                    if *number.get_or_insert(batch.generation) != batch.generation {
                        self.at = at;
                        return true;
                    }
                }
                Some(Err(_)) => return false,
            }
        }
    }

    fn finish(&mut self, generation: Open, end: usize) -> Split<'a> {
        self.number = generation.number;
        if let Some(error) = generation.damage {
            self.window.forget(end);
            return Split::Damaged {
                generation: Some(generation.number),
                error,
            };
        }
        let held = self.window.cut(generation.offset..end);
        Split::Whole(RawGeneration {
            number: generation.number,
            held,
            batches: generation.batches,
            next: self.look_ahead(end),
        })
    }

    /// The batch at `offset`, with its payload.
    fn look_ahead(&mut self, offset: usize) -> Option<(TraceBatch, Vec<u8>)> {
        let bytes = self.window.at(offset, FRAME_BYTES_MAX);
        let Ok(Frame::Batch(batch)) = read_frame(&mut Reader::new(bytes, offset)) else {
            return None;
        };
        if batch.first != Some(WireEvent::Sync.byte()) {
            return None;
        }
        let payload = batch.payload.start.checked_sub(offset)?..batch.payload.end.checked_sub(offset)?;
        let payload = bytes.get(payload)?.to_vec();
        Some((batch, payload))
    }
}

fn is_frame_start(byte: u8) -> bool {
    byte == WireEvent::EventBatch.byte()
        || byte == WireEvent::ExperimentalBatch.byte()
        || byte == WireEvent::EndOfGeneration.byte()
}

/// Whether frames of plausible generations follow each other, to the end of the bytes or for long enough.
fn is_chain(mut reader: Reader<'_>, after: u64) -> bool {
    let mut number = after;
    let mut batches_count = 0_usize;
    // Two ends of a generation in a row are no chain: a run of such bytes would be read again from each of them.
    let mut has_ended = false;
    while batches_count < CHAIN_LENGTH && !reader.is_empty() {
        match read_frame(&mut reader) {
            Ok(Frame::EndOfGeneration) if has_ended => return false,
            Ok(Frame::EndOfGeneration) => has_ended = true,
            Ok(Frame::Batch(batch)) => {
                has_ended = false;
                let apart = batch.generation.checked_sub(number);
                if batch.generation == 0 || apart.is_none_or(|apart| apart > NUMBERS_APART_MAX) {
                    return false;
                }
                number = batch.generation;
                batches_count = batches_count.saturating_add(1);
            }
            Err(_) => return false,
        }
    }
    batches_count > 0
}

/// What [`Open::spoil_by`] does, where both are there.
fn spoil_by(current: &mut Option<Open>, stray: Option<Open>) {
    if let (Some(generation), Some(stray)) = (current, stray) {
        generation.spoil_by(&stray);
    }
}

/// Generation 0 is never written (runtime/trace.go).
fn zero_generation(batch: &TraceBatch) -> DecodeError {
    let kind = DecodeErrorKind::OutOfRange {
        what: "generation number",
        value: 0,
    };
    error_at(batch.payload.start, kind)
}

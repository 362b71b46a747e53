//! Cuts a trace into generations (internal/trace/generation.go), and finds the next one after damage.
//!
//! ```text
//! Go < 1.26    | gen 1 batches | gen 2 batches | ...          a batch of the next number, or the end of the file, ends one
//! Go >= 1.26   | gen 1 batches | 52 | gen 2 batches | 52 ...  byte 52 ends one; without it the file was cut
//! ```
//! A generation is either whole or left out. A single batch of a wrong number spoils the generation it stands in; two
//! of the same number in a row start a new generation.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::batch::{Frame, FrameError, TraceBatch, read_frame};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::header::Version;
use crate::reader::{Reader, error_at};
use crate::spec::WireEvent;

/// The batches of one generation, as they stand in the file.
#[derive(Debug)]
pub(crate) struct RawGeneration<'a> {
    pub(crate) number: u64,
    pub(crate) offset: usize,
    pub(crate) batches: Vec<TraceBatch<'a>>,
    damage: Option<DecodeError>,
}

impl<'a> RawGeneration<'a> {
    fn new(first: TraceBatch<'a>, offset: usize) -> Self {
        let damage = (first.generation == 0).then(|| zero_generation(&first));
        Self {
            number: first.generation,
            offset,
            batches: vec![first],
            damage,
        }
    }

    /// The runtime writes stacks and then strings last; before Go 1.26 nothing else tells a whole last generation from
    /// a cut one.
    fn has_tables(&self) -> bool {
        let has = |event: WireEvent| {
            self.batches
                .iter()
                .any(|batch| batch.payload.peek() == Some(event.byte()))
        };
        has(WireEvent::Stacks) && has(WireEvent::Strings)
    }

    fn spoil(&mut self, error: DecodeError) {
        self.damage.get_or_insert(error);
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
    /// Batch boundaries are lost: nothing after `error` can be read.
    Lost {
        error: DecodeError,
        lost_bytes: usize,
    },
}

/// Reads generation after generation.
#[derive(Debug)]
pub(crate) struct Splitter<'a> {
    reader: Reader<'a>,
    version: Version,
    /// The beginning of the next generation, where its first batches ended the one before.
    begun: Option<RawGeneration<'a>>,
    /// Set when batch boundaries were lost while a generation before that point was still to be delivered.
    lost: Option<(DecodeError, usize)>,
}

impl<'a> Splitter<'a> {
    pub(crate) fn new(version: Version, reader: Reader<'a>) -> Self {
        Self {
            reader,
            version,
            begun: None,
            lost: None,
        }
    }

    /// The next generation, or `None` at the end of the trace.
    pub(crate) fn next(&mut self) -> Option<Split<'a>> {
        if let Some((error, lost_bytes)) = self.lost.take() {
            return Some(Split::Lost { error, lost_bytes });
        }
        let mut current = self.begun.take();
        // The batch before, if it was of a generation that is not expected here.
        let mut stray: Option<RawGeneration<'a>> = None;
        while !self.reader.is_empty() {
            let at = self.reader.clone();
            let batch = match read_frame(&mut self.reader) {
                Ok(Frame::Batch(batch)) => batch,
                Ok(Frame::EndOfGeneration) => {
                    spoil_by(&mut current, stray.take());
                    match self.end_of_generation(&mut current, &at) {
                        Some(split) => return Some(split),
                        None => continue,
                    }
                }
                Err(error) => {
                    spoil_by(&mut current, stray);
                    return Some(self.lose(current, error, &at));
                }
            };
            let Some(generation) = &mut current else {
                current = Some(RawGeneration::new(batch, at.offset()));
                continue;
            };
            if batch.generation == generation.number {
                generation.batches.push(batch);
                spoil_by(&mut current, stray.take());
                continue;
            }
            if self.is_successor(generation.number, batch.generation) {
                spoil_by(&mut current, stray);
                self.begun = Some(RawGeneration::new(batch, at.offset()));
                return current.map(finish);
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
                    stray = Some(RawGeneration::new(batch, at.offset()));
                }
            }
        }
        spoil_by(&mut current, stray);
        let end = self.reader.offset();
        current.map(|generation| self.end_of_batches(generation, end))
    }

    fn is_successor(&self, number: u64, next: u64) -> bool {
        !self.version.marks_generation_end() && number.checked_add(1) == Some(next)
    }

    /// Byte 52. Before Go 1.26 it does not exist, and where no generation is open it ends none.
    fn end_of_generation(&self, current: &mut Option<RawGeneration<'a>>, at: &Reader<'a>) -> Option<Split<'a>> {
        let byte = WireEvent::EndOfGeneration.byte();
        let unexpected = DecodeErrorKind::UnexpectedByte {
            expected: "a batch",
            found: byte,
        };
        match current.take() {
            Some(generation) if self.version.marks_generation_end() => Some(finish(generation)),
            Some(mut generation) => {
                generation.spoil(at.error(unexpected));
                *current = Some(generation);
                None
            }
            None => Some(Split::Damaged {
                generation: None,
                error: at.error(unexpected),
            }),
        }
    }

    /// At `end` the file ends, or another generation begins that does not follow this one.
    fn end_of_batches(&self, mut generation: RawGeneration<'a>, end: usize) -> Split<'a> {
        if self.version.marks_generation_end() || !generation.has_tables() {
            let kept_bytes = u64::try_from(end.saturating_sub(generation.offset)).unwrap_or(u64::MAX);
            let kind = DecodeErrorKind::GenerationCut {
                number: generation.number,
                kept_bytes,
            };
            generation.spoil(error_at(end, kind));
        }
        finish(generation)
    }

    /// A frame is unreadable, so no later batch can be found. The open generation is whole if the frame says that it belongs
    /// to another, or if it is too short to say and the tables are there.
    fn lose(&mut self, current: Option<RawGeneration<'a>>, frame: FrameError, at: &Reader<'a>) -> Split<'a> {
        let lost_bytes = at.len();
        self.reader = Reader::new(&[], at.offset().saturating_add(lost_bytes));
        let lost = Split::Lost {
            error: frame.error.clone(),
            lost_bytes,
        };
        let Some(mut generation) = current else {
            return lost;
        };
        let whole = match frame.generation {
            _ if self.version.marks_generation_end() => false,
            Some(number) => number != generation.number,
            None => generation.has_tables(),
        };
        if !whole {
            generation.spoil(frame.error.clone());
        }
        self.lost = Some((frame.error, lost_bytes));
        finish(generation)
    }
}

/// A single batch of another generation stands in the middle of this one.
fn spoil_by(current: &mut Option<RawGeneration<'_>>, stray: Option<RawGeneration<'_>>) {
    if let (Some(generation), Some(stray)) = (current, stray) {
        let kind = DecodeErrorKind::GenerationMixed {
            expected: generation.number,
            found: stray.number,
        };
        generation.spoil(error_at(stray.offset, kind));
    }
}

fn finish(generation: RawGeneration<'_>) -> Split<'_> {
    match generation.damage {
        Some(error) => Split::Damaged {
            generation: Some(generation.number),
            error,
        },
        None => Split::Whole(generation),
    }
}

/// Generation 0 is never written (runtime/trace.go).
fn zero_generation(batch: &TraceBatch<'_>) -> DecodeError {
    batch.payload.error(DecodeErrorKind::OutOfRange {
        what: "generation number",
        value: 0,
    })
}

//! The events of one thread in one generation, one at a time (internal/trace/batchcursor.go).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::batch::TraceBatch;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::reader::Reader;
use crate::spec::{TIMED_ARGS_MAX, WireEvent};

/// An event as written: numbers without meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawEvent {
    pub(crate) event: WireEvent,
    /// Absolute time.
    pub(crate) ticks: u64,
    /// Offset in the file of the type byte.
    pub(crate) offset: usize,
    /// Arguments after the time; unused ones are 0.
    pub(crate) args: [u64; TIMED_ARGS_MAX],
}

/// Walks over the batches of one thread.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    /// Batches not yet begun, as positions in the generation's batches.
    batches: Range<usize>,
    reader: Reader<'a>,
    ticks: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(batches: Range<usize>) -> Self {
        Self {
            batches,
            reader: Reader::new(&[], 0),
            ticks: 0,
        }
    }

    /// The next event, or `None` after the last. `batches` are the generation's.
    #[inline]
    pub(crate) fn next(&mut self, batches: &[TraceBatch<'a>]) -> Result<Option<RawEvent>, DecodeError> {
        while self.reader.is_empty() {
            let Some(batch) = self.batches.next().and_then(|i| batches.get(i)) else {
                return Ok(None);
            };
            self.reader = batch.payload.clone();
            self.ticks = batch.time_ticks;
        }
        self.read_event().map(Some)
    }

    #[inline]
    fn read_event(&mut self) -> Result<RawEvent, DecodeError> {
        let offset = self.reader.offset();
        let found = self.reader.u8("an event")?;
        let Some(spec) = WireEvent::spec_of(found).filter(|spec| spec.is_timed()) else {
            let kind = DecodeErrorKind::UnexpectedByte {
                expected: "an event with a time",
                found,
            };
            return Err(crate::reader::error_at(offset, kind));
        };
        let dt = self.reader.uvarint("an event's time")?;
        let mut args = [0; TIMED_ARGS_MAX];
        for arg in args.iter_mut().take(spec.args.len().saturating_sub(1)) {
            *arg = self.reader.uvarint("an event's argument")?;
        }
        let out_of_range = DecodeErrorKind::OutOfRange {
            what: "time since the event before",
            value: dt,
        };
        let ticks = self
            .ticks
            .checked_add(dt)
            .ok_or_else(|| crate::reader::error_at(offset, out_of_range))?;
        self.ticks = ticks;
        Ok(RawEvent {
            event: spec.event,
            ticks,
            offset,
            args,
        })
    }
}

//! Framing: after the header a trace is a sequence of batches, and since Go 1.26 of end-of-generation bytes.
//!
//! ```text
//! 1               gen m time size   size payload bytes      EventBatch         (internal/trace/batch.go)
//! 49 experiment   gen m time size   size payload bytes      ExperimentalBatch  (the experiment is one plain byte)
//! 52                                                        EndOfGeneration    (Go >= 1.26)
//! ```
//! The runtime pads `size` to ten bytes. It counts the payload alone.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::ids::ThreadId;
use crate::reader::Reader;
use crate::spec::WireEvent;

/// Largest payload of a batch (`MaxBatchSize`).
const BATCH_BYTES_MAX: u64 = 64 << 10;

/// Most bytes of a frame: two plain bytes, four numbers and the payload.
pub(crate) const FRAME_BYTES_MAX: usize = 2 + 4 * 10 + (64 << 10);

/// One batch, its payload still in place.
#[derive(Clone, Debug)]
pub(crate) struct TraceBatch {
    pub(crate) generation: u64,
    /// `None` for tables and for the statuses at the end of a generation.
    pub(crate) thread: Option<ThreadId>,
    /// Absolute time when the batch was opened, in ticks.
    pub(crate) time_ticks: u64,
    /// Offsets in the file.
    pub(crate) payload: Range<usize>,
    /// Type byte of the first entry; `None` in an empty batch.
    pub(crate) first: Option<u8>,
    pub(crate) experimental: bool,
}

/// What stands between two batch boundaries.
#[derive(Debug)]
pub(crate) enum Frame {
    Batch(TraceBatch),
    EndOfGeneration,
}

/// A frame that could not be read, and the generation it says to belong to if that much was readable.
#[derive(Debug)]
pub(crate) struct FrameError {
    pub(crate) generation: Option<u64>,
    pub(crate) error: DecodeError,
}

impl From<DecodeError> for FrameError {
    fn from(error: DecodeError) -> Self {
        Self {
            generation: None,
            error,
        }
    }
}

/// Reads the next frame.
pub(crate) fn read_frame(reader: &mut Reader<'_>) -> Result<Frame, FrameError> {
    let start = reader.clone();
    let byte = reader.u8("a batch")?;
    let experimental = match WireEvent::spec_of(byte).map(|spec| spec.event) {
        Some(WireEvent::EndOfGeneration) => return Ok(Frame::EndOfGeneration),
        Some(WireEvent::EventBatch) => false,
        Some(WireEvent::ExperimentalBatch) => {
            reader.u8("an experiment's number")?;
            true
        }
        _ => {
            return Err(start
                .error(DecodeErrorKind::UnexpectedByte {
                    expected: "a batch",
                    found: byte,
                })
                .into());
        }
    };
    let generation = reader.uvarint("a generation number")?;
    read_body(reader, generation, experimental)
        .map(Frame::Batch)
        .map_err(|error| FrameError {
            generation: Some(generation),
            error,
        })
}

fn read_body(reader: &mut Reader<'_>, generation: u64, experimental: bool) -> Result<TraceBatch, DecodeError> {
    let thread = ThreadId::new(reader.uvarint("a thread id")?);
    let time_ticks = reader.uvarint("a batch time")?;
    let at_size = reader.clone();
    let size = reader.uvarint("a batch size")?;
    if size > BATCH_BYTES_MAX {
        let kind = DecodeErrorKind::CountTooLarge {
            what: "batch bytes",
            declared: size,
            possible: BATCH_BYTES_MAX,
        };
        return Err(at_size.error(kind));
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let start = reader.offset();
    let first = reader.take(size, "the rest of a batch")?.first().copied();
    Ok(TraceBatch {
        generation,
        thread,
        time_ticks,
        payload: start..reader.offset(),
        first,
        experimental,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Frame, FrameError> {
        read_frame(&mut Reader::new(bytes, 16))
    }

    #[test]
    fn reads_a_batch_with_a_padded_size() {
        let bytes = [
            1, 7, 42, 100, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0xaa, 0xbb, 52,
        ];
        let Ok(Frame::Batch(batch)) = read(&bytes) else {
            panic!("no batch")
        };
        assert_eq!(
            (batch.generation, batch.thread, batch.time_ticks),
            (7, ThreadId::new(42), 100)
        );
        assert_eq!((batch.payload, batch.first), (30..32, Some(0xaa)));
    }

    #[test]
    fn reads_the_experiment_of_a_batch_as_one_byte() {
        let Ok(Frame::Batch(batch)) = read(&[49, 0x81, 7, 42, 100, 1, 0xaa]) else {
            panic!("no batch")
        };
        assert!(batch.experimental);
        assert_eq!(batch.generation, 7);
    }

    #[test]
    fn rejects_a_payload_larger_than_any_runtime_writes() {
        let error = read(&[1, 7, 42, 100, 0x81, 0x80, 0x04]).unwrap_err();
        assert_eq!(
            error.error.to_string(),
            "byte 20: 65537 batch bytes announced, at most 65536 fit"
        );
        assert_eq!(error.generation, Some(7));
    }

    #[test]
    fn a_cut_batch_still_tells_its_generation() {
        let error = read(&[1, 7, 42, 100, 5, 1, 2]).unwrap_err();
        assert_eq!(error.generation, Some(7));
        assert_eq!(
            error.error.to_string(),
            "byte 21: the bytes end where the rest of a batch was expected"
        );
    }

    #[test]
    fn rejects_other_bytes_between_batches() {
        let error = read(&[16, 0, 0]).unwrap_err();
        assert_eq!(error.error.to_string(), "byte 16: expected a batch, found type byte 16");
    }
}

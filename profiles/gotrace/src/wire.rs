//! Events as bytes: a type byte, the ticks since the event before, and arguments, all LEB128 numbers.
//!
//! This is the innermost loop of the decoder. An event has at most 51 bytes, so it is read out of 64 bytes whose bounds
//! are checked once; positions are masked instead of checked, and whether the event stayed inside its payload is asked
//! once, at its end.

use crate::error::DecodeErrorKind;
use crate::spec::{Place, SPECS, WireEvent};

/// Bytes that hold any event.
pub(crate) type Chunk = [u8; CHUNK_BYTES];
pub(crate) const CHUNK_BYTES: usize = 64;
const CHUNK_MASK: usize = CHUNK_BYTES - 1;

/// A position after a number that does not fit 64 bits: beyond any payload, and so are all positions after it.
const OVERFLOWN: usize = 1 << 20;

/// Reads the number at `at`; returns the position after it. Zero-padded forms are valid; a tenth byte above 1 is not (Go's
/// `binary.ReadUvarint`).
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "masked positions lie inside the chunk")]
pub(crate) fn uvarint(chunk: &Chunk, at: usize) -> (u64, usize) {
    let first = u64::from(chunk[at & CHUNK_MASK]);
    if first < 0x80 {
        return (first, at + 1);
    }
    let second = u64::from(chunk[(at + 1) & CHUNK_MASK]);
    if second < 0x80 {
        return (first & 0x7f | second << 7, at + 2);
    }
    let third = u64::from(chunk[(at + 2) & CHUNK_MASK]);
    if third < 0x80 {
        return (first & 0x7f | (second & 0x7f) << 7 | third << 14, at + 3);
    }
    long_uvarint(chunk, at)
}

/// Up to eight bytes at once: the first byte without continuation bit ends the number, and the groups of seven bits
/// are pushed together pairwise.
#[inline(never)]
fn long_uvarint(chunk: &Chunk, at: usize) -> (u64, usize) {
    let Some(word) = chunk.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
        return longest_uvarint(chunk, at);
    };
    let word = u64::from_le_bytes(*word);
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return longest_uvarint(chunk, at);
    }
    let bits = word & (ends ^ ends.wrapping_sub(1));
    let bits = (bits & 0x007f_007f_007f_007f) | (bits & 0x7f00_7f00_7f00_7f00) >> 1;
    let bits = (bits & 0x0000_3fff_0000_3fff) | (bits & 0x3fff_0000_3fff_0000) >> 2;
    let bits = (bits & 0x0fff_ffff) | (bits & 0x0fff_ffff_0000_0000) >> 4;
    let length = usize::try_from(ends.trailing_zeros() / 8 + 1).expect("at most eight");
    (bits, at + length)
}

#[cold]
#[expect(clippy::indexing_slicing, reason = "masked positions lie inside the chunk")]
fn longest_uvarint(chunk: &Chunk, at: usize) -> (u64, usize) {
    let mut value = 0;
    for (position, shift) in (at..).zip((0..64).step_by(7)) {
        let byte = chunk[position & CHUNK_MASK];
        if shift == 63 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (value, position + 1);
        }
    }
    (0, OVERFLOWN)
}

/// The arguments of an event after its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'b> {
    chunk: &'b Chunk,
    /// How many bytes of the payload are left at the start of the chunk.
    left: usize,
}

impl<'b> Args<'b> {
    #[inline(always)]
    pub(crate) fn new(chunk: &'b Chunk, left: usize) -> Self {
        Self { chunk, left }
    }

    /// Reads all arguments of an event. Returns how many bytes they take.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`] if one is not a number, or does not lie inside the payload.
    #[inline(always)]
    pub(crate) fn read<const COUNT: usize>(self) -> Result<([u64; COUNT], usize), DecodeErrorKind> {
        let mut values = [0; COUNT];
        let mut at = 0;
        for value in &mut values {
            (*value, at) = uvarint(self.chunk, at);
        }
        if at > self.left {
            return Err(DecodeErrorKind::Truncated {
                what: "an event's argument",
            });
        }
        Ok((values, at))
    }
}

/// The event of a type byte if it is one that stands in the stream of a thread.
#[inline(always)]
pub(crate) fn timed_event(byte: u8) -> Option<WireEvent> {
    TIMED.get(usize::from(byte)).copied().flatten()
}

/// Clock snapshots are timed too, but stand in sync batches only.
static TIMED: [Option<WireEvent>; 256] = timed_events();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "evaluated by the compiler"
)]
const fn timed_events() -> [Option<WireEvent>; 256] {
    let mut table = [None; 256];
    let mut row = 0;
    while row < SPECS.len() {
        if matches!(SPECS[row].place, Place::Stream | Place::Experiment) {
            table[SPECS[row].event as usize] = Some(SPECS[row].event);
        }
        row += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reader::Reader;

    fn chunk_of(bytes: &[u8]) -> Chunk {
        let mut chunk = [0; CHUNK_BYTES];
        chunk[..bytes.len()].copy_from_slice(bytes);
        chunk
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_careful_reader(
            mut bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x80_u8..=0xff], 1..=12),
            at in 0_usize..=51,
        ) {
            bytes.push(0);
            let mut chunk = [0x80; CHUNK_BYTES];
            chunk[at..at + bytes.len()].copy_from_slice(&bytes);
            let mut reader = Reader::new(&bytes, 0);
            let (value, end) = uvarint(&chunk, at);
            match reader.uvarint("n") {
                Ok(expected) => prop_assert_eq!((value, end), (expected, at + reader.offset())),
                Err(_) => prop_assert!(end >= OVERFLOWN),
            }
        }
    }

    #[test]
    fn arguments_must_lie_inside_the_payload() {
        let chunk = chunk_of(&[5, 0x80, 0x01, 7]);
        assert_eq!(Args::new(&chunk, 4).read::<3>().unwrap(), ([5, 128, 7], 4));
        assert!(Args::new(&chunk, 3).read::<3>().is_err());
        assert!(Args::new(&chunk_of(&[0xff; 20]), 20).read::<1>().is_err());
    }

    #[test]
    fn only_events_of_threads_are_timed() {
        assert_eq!(timed_event(16), Some(WireEvent::GoStart));
        assert_eq!(timed_event(WireEvent::Strings.byte()), None);
        assert_eq!(timed_event(WireEvent::ClockSnapshot.byte()), None);
        assert_eq!(timed_event(127), None);
    }
}

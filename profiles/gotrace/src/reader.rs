//! The only code that touches bytes: a cursor over a slice that checks every bound and knows its place in the file.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::num::NonZeroUsize;

use crate::error::{DecodeError, DecodeErrorKind};

/// Reads numbers and slices from the front of a byte slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Offset in the file of the byte after `rest`. Invariant: `rest.len() <= end`.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which start at `offset` in the file.
    pub(crate) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self {
            rest: bytes,
            end: offset.saturating_add(bytes.len()),
        }
    }

    /// Offset in the file of the next byte.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at the next byte.
    #[cold]
    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        error_at(self.offset(), kind)
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let Some((&byte, rest)) = self.rest.split_first() else {
            return Err(self.error(DecodeErrorKind::Truncated { what }));
        };
        self.rest = rest;
        Ok(byte)
    }

    /// Reads an unsigned LEB128 number. Zero-padded forms are valid (the Go runtime back-patches padded lengths);
    /// a tenth byte above 1 is not (Go's `binary.ReadUvarint`).
    #[inline]
    pub(crate) fn uvarint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_uvarint(what),
        }
    }

    fn long_uvarint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let start = self.clone();
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(start.error(DecodeErrorKind::VarintOverflow { what }))
    }

    /// Reads a count of things of at least `min_len` bytes each and refuses one that the rest cannot hold, before
    /// anyone allocates for it.
    pub(crate) fn count(&mut self, what: &'static str, min_len: NonZeroUsize) -> Result<usize, DecodeError> {
        let start = self.clone();
        let declared = self.uvarint(what)?;
        let possible = self.rest.len().checked_div(min_len.get()).unwrap_or(0);
        match usize::try_from(declared) {
            Ok(count) if count <= possible => Ok(count),
            _ => {
                let possible = u64::try_from(possible).unwrap_or(u64::MAX);
                Err(start.error(DecodeErrorKind::CountTooLarge {
                    what,
                    declared,
                    possible,
                }))
            }
        }
    }

    /// Takes the next `len` bytes.
    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.error(DecodeErrorKind::Truncated { what }));
        };
        self.rest = rest;
        Ok(bytes)
    }
}

/// An error at a byte of the file.
#[cold]
pub(crate) fn error_at(offset: usize, kind: DecodeErrorKind) -> DecodeError {
    DecodeError {
        offset_bytes: u64::try_from(offset).unwrap_or(u64::MAX),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uvarint(bytes: &[u8]) -> Result<u64, String> {
        Reader::new(bytes, 0).uvarint("n").map_err(|error| error.to_string())
    }

    #[test]
    fn reads_minimal_and_padded_numbers() {
        assert_eq!(uvarint(&[0x00]), Ok(0));
        assert_eq!(uvarint(&[0xac, 0x02]), Ok(300));
        assert_eq!(
            uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Ok(u64::MAX)
        );
        assert_eq!(
            uvarint(&[0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            Ok(5)
        );
    }

    #[test]
    fn rejects_numbers_beyond_64_bits() {
        let error = "byte 0: n is not a 64-bit LEB128 number".to_owned();
        assert_eq!(
            uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            Err(error.clone())
        );
        assert_eq!(
            uvarint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            Err(error)
        );
    }

    #[test]
    fn names_the_byte_where_the_bytes_end() {
        assert_eq!(
            uvarint(&[0x80]),
            Err("byte 1: the bytes end where n was expected".to_owned())
        );
        let mut reader = Reader::new(&[1, 2, 3], 100);
        reader.u8("first").unwrap();
        assert_eq!(
            reader.take(3, "name").unwrap_err().to_string(),
            "byte 101: the bytes end where name was expected"
        );
        assert_eq!(reader.take(2, "name").unwrap(), [2, 3]);
        assert!(reader.is_empty());
    }

    #[test]
    fn rejects_a_count_larger_than_the_rest_can_hold() {
        let four = NonZeroUsize::new(4).unwrap();
        let mut reader = Reader::new(&[3, 0, 0, 0, 0, 0, 0, 0, 0], 10);
        assert_eq!(
            reader.count("stack frames", four).unwrap_err().to_string(),
            "byte 10: 3 stack frames announced, at most 2 fit"
        );
        let mut reader = Reader::new(&[2, 0, 0, 0, 0, 0, 0, 0, 0], 10);
        assert_eq!(reader.count("stack frames", four).unwrap(), 2);
    }
}

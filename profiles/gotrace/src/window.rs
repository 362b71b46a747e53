//! The stretch of a trace that is held while its batches are found: all of it for a slice, about a generation for a
//! reader.
//!
//! A position is always an offset in the file, whatever part of the file is held.
//!
//! ```text
//! Stream.held   | forgotten | live: the rest of what has been read |
//!               0           front                                  len       front is at `base` in the file
//! ```
//! However small the pieces are that are cut off or forgotten, a byte is copied a small number of times: a piece is copied
//! out where it is shorter than what stays, and the other way around; what is forgotten is only removed before a read, once
//! it is longer than what stays.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// Read from the source at a time. What is read beyond the end of a generation is copied once.
const READ_BYTES: usize = 256 << 10;

/// Bytes of a file, and where they stand in it.
#[derive(Clone, Debug)]
pub(crate) struct Held<'a> {
    /// Offset in the file of the first byte.
    pub(crate) base: usize,
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// Where the bytes come from.
pub(crate) enum Window<'a> {
    Slice(&'a [u8]),
    Stream(Stream<'a>),
}

/// A reader, and what has been read but not yet cut off.
pub(crate) struct Stream<'a> {
    reader: Box<dyn Read + Send + 'a>,
    held: Vec<u8>,
    /// How many bytes at the start of `held` have been forgotten. Invariant: `front <= held.len()`.
    front: usize,
    /// Offset in the file of the first byte that has not.
    base: usize,
    ended: bool,
    failure: Option<io::Error>,
    /// Memory of an earlier generation, to be used again.
    spare: Vec<u8>,
}

impl fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Window")
    }
}

impl<'a> Window<'a> {
    pub(crate) fn stream(reader: Box<dyn Read + Send + 'a>) -> Self {
        Self::Stream(Stream {
            reader,
            held: Vec::new(),
            front: 0,
            base: 0,
            ended: false,
            failure: None,
            spare: Vec::new(),
        })
    }

    /// The bytes from `offset` on: at least `want_bytes`, fewer only where the file ends. `offset` must not lie before
    /// anything cut off.
    pub(crate) fn at(&mut self, offset: usize, want_bytes: usize) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes.get(offset..).unwrap_or_default(),
            Self::Stream(stream) => stream.at(offset, want_bytes),
        }
    }

    /// Takes a range of the file out; everything before its end is forgotten. All of it must have been looked at.
    pub(crate) fn cut(&mut self, range: Range<usize>) -> Held<'a> {
        let base = range.start;
        let bytes = match self {
            Self::Slice(bytes) => Cow::Borrowed(bytes.get(range).unwrap_or_default()),
            Self::Stream(stream) => Cow::Owned(stream.cut(range)),
        };
        Held { base, bytes }
    }

    /// Forgets everything before `offset`.
    pub(crate) fn forget(&mut self, offset: usize) {
        if let Self::Stream(stream) = self {
            stream.forget(offset);
        }
    }

    /// Gives the memory of a cut back.
    pub(crate) fn recycle(&mut self, held: Held<'a>) {
        if let (Self::Stream(stream), Cow::Owned(bytes)) = (self, held.bytes) {
            stream.recycle(bytes);
        }
    }

    /// Why the source ended early. Handed out once.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        match self {
            Self::Slice(_) => None,
            Self::Stream(stream) => stream.failure.take(),
        }
    }
}

impl Stream<'_> {
    fn at(&mut self, offset: usize, want_bytes: usize) -> &[u8] {
        while self.held.len() < self.place(offset.saturating_add(want_bytes)) && !self.ended {
            self.read();
        }
        self.held.get(self.place(offset)..).unwrap_or_default()
    }

    /// Where in `held` an offset in the file is found, if it has been read.
    fn place(&self, offset: usize) -> usize {
        self.front.saturating_add(offset.saturating_sub(self.base))
    }

    fn read(&mut self) {
        if self.front > self.held.len().saturating_sub(self.front) {
            self.held.drain(..self.front);
            self.front = 0;
        }
        let limit = u64::try_from(READ_BYTES).unwrap_or(u64::MAX);
        match (&mut self.reader).take(limit).read_to_end(&mut self.held) {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => {
                self.failure = Some(error);
                self.ended = true;
            }
        }
    }

    fn forget(&mut self, offset: usize) {
        let place = self.place(offset).min(self.held.len());
        self.base = self.base.saturating_add(place.saturating_sub(self.front));
        self.front = place;
    }

    fn cut(&mut self, range: Range<usize>) -> Vec<u8> {
        let (start, end) = (self.place(range.start), self.place(range.end).min(self.held.len()));
        let piece = self.held.get(start..end).unwrap_or_default();
        let rest = self.held.get(end..).unwrap_or_default();
        let mut copy = std::mem::take(&mut self.spare);
        copy.clear();
        if piece.len() < rest.len() {
            copy.extend_from_slice(piece);
            self.forget(range.end);
            return copy;
        }
        copy.extend_from_slice(rest);
        self.forget(range.end);
        let mut piece = std::mem::replace(&mut self.held, copy);
        self.front = 0;
        piece.truncate(end);
        piece.drain(..start.min(end));
        piece
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() > self.spare.capacity() {
            self.spare = bytes;
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    /// Gives one byte at a time, and fails after the last.
    struct Drip(Vec<u8>);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::other("torn"));
            }
            buffer[0] = self.0.remove(0);
            Ok(1)
        }
    }

    #[test]
    fn a_slice_and_a_reader_show_the_same_bytes() {
        let file: Vec<u8> = (0..200).collect();
        for mut window in [Window::Slice(&file), Window::stream(Box::new(&file[..]))] {
            assert!(window.at(16, 50).starts_with(&file[16..66]));
            assert!(window.at(190, 50) == &file[190..]);
            let cut = window.cut(16..40);
            assert_eq!((cut.base, &*cut.bytes), (16, &file[16..40]));
            window.recycle(cut);
            assert!(window.at(40, 1).starts_with(&[40]));
            window.forget(100);
            assert!(window.at(100, 100) == &file[100..]);
            assert!(window.at(200, 1).is_empty());
            assert!(window.take_failure().is_none());
        }
    }

    #[test]
    fn cutting_a_small_piece_off_leaves_the_rest_where_it_is() {
        let file = vec![7; 1000];
        let mut window = Window::stream(Box::new(&file[..]));
        let first = window.at(0, 1000).as_ptr();
        for start in (0..400).step_by(10) {
            let piece = window.cut(start..start + 5);
            assert_eq!((piece.base, piece.bytes.len()), (start, 5));
            window.recycle(piece);
            window.forget(start + 10);
            assert_eq!(window.at(start + 10, 1).as_ptr(), first.wrapping_add(start + 10));
        }
        assert_eq!(window.at(400, 1000).len(), 600);
    }

    #[test]
    fn what_is_forgotten_is_given_back_before_more_is_read() {
        let file = vec![7; 40 * READ_BYTES];
        let mut window = Window::stream(Box::new(&file[..]));
        for offset in (0..file.len()).step_by(100) {
            window.forget(offset);
            assert!(!window.at(offset, 100).is_empty());
        }
        let Window::Stream(stream) = window else {
            panic!("it was made a stream");
        };
        assert!(stream.held.capacity() <= 4 * READ_BYTES, "{}", stream.held.capacity());
    }

    #[test]
    fn what_was_read_before_a_failure_stays() {
        let mut window = Window::stream(Box::new(Drip(vec![1, 2, 3])));
        assert_eq!(window.at(0, 10), [1, 2, 3]);
        assert_eq!(window.take_failure().unwrap().to_string(), "torn");
        assert!(window.take_failure().is_none());
    }
}

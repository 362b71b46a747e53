//! The stretch of a trace that is held while its batches are found: all of it for a slice, about a generation for a
//! reader.
//!
//! A position is always an offset in the file, whatever part of the file is held.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// Read from the source at a time. What is read beyond the end of a generation is copied once.
const READ_BYTES: usize = 256 << 10;

/// Most bytes before the position of a search that are kept for nothing.
const FORGOTTEN_BYTES_MAX: usize = 4 << 20;

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
            let held = stream.cut(offset..offset);
            stream.recycle(held);
        }
    }

    /// Forgets what lies before `offset` once that is worth a copy of the rest.
    pub(crate) fn forget_far(&mut self, offset: usize) {
        if let Self::Stream(stream) = self
            && offset.saturating_sub(stream.base) > FORGOTTEN_BYTES_MAX
        {
            self.forget(offset);
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
        let start = offset.saturating_sub(self.base);
        let needed = start.saturating_add(want_bytes);
        while self.held.len() < needed && !self.ended {
            self.read();
        }
        self.held.get(start..).unwrap_or_default()
    }

    fn read(&mut self) {
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

    fn cut(&mut self, range: Range<usize>) -> Vec<u8> {
        let inside = |offset: usize| offset.saturating_sub(self.base).min(self.held.len());
        let (start, end) = (inside(range.start), inside(range.end));
        let mut rest = std::mem::take(&mut self.spare);
        rest.clear();
        rest.extend_from_slice(self.held.get(end..).unwrap_or_default());
        let mut cut = std::mem::replace(&mut self.held, rest);
        self.base = self.base.saturating_add(end);
        cut.truncate(end);
        if start > 0 {
            cut.drain(..start);
        }
        cut
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
    fn what_was_read_before_a_failure_stays() {
        let mut window = Window::stream(Box::new(Drip(vec![1, 2, 3])));
        assert_eq!(window.at(0, 10), [1, 2, 3]);
        assert_eq!(window.take_failure().unwrap().to_string(), "torn");
        assert!(window.take_failure().is_none());
    }
}

//! A source as slow and uneven as the network can make one.

use std::io::{self, Read};

use crate::support::writer::layout::Random;

/// Gives bytes in small pieces of uneven length, now and then interrupted, and fails at the end if told to.
pub(crate) struct Ragged<'a> {
    rest: &'a [u8],
    random: Random,
    fails: bool,
}

/// What the failure says.
pub(crate) const FAILURE: &str = "the line is dead";

impl<'a> Ragged<'a> {
    pub(crate) fn whole(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            random: Random::new(bytes.len() as u64),
            fails: false,
        }
    }

    pub(crate) fn failing_after(bytes: &'a [u8]) -> Self {
        Self {
            fails: true,
            ..Self::whole(bytes)
        }
    }
}

impl Read for Ragged<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && self.fails {
            return Err(io::Error::other(FAILURE));
        }
        if self.random.below(8) == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let longest = 1 << self.random.below(12);
        let length = (1 + self.random.below(longest)) as usize;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()).min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(piece);
        self.rest = rest;
        Ok(piece.len())
    }
}

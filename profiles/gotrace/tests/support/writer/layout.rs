//! The choices that a writer has.

use crate::support::text::uvarint;

/// How a trace becomes bytes.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Decides everything that the other fields leave open.
    pub(crate) seed: u64,
    pub(crate) arrangement: Arrangement,
    pub(crate) numbers: Numbers,
    pub(crate) ids: Ids,
    /// How many events of a thousand end their batch.
    pub(crate) splits_per_mille: u64,
}

/// The order of the batches of a generation. Those of one thread always keep theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// As they are flushed; tables last.
    Runtime,
    /// Any.
    Shuffled,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// In as few bytes as possible.
    Minimal,
    /// As the runtime does it: sizes of batches in ten bytes.
    PaddedSizes,
    /// Any number in up to ten bytes.
    Padded,
}

/// How strings and stacks are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// From 1, as the runtime does it.
    Sequential,
    /// Below 65536, in no order.
    Scattered,
    /// Anywhere in 64 bits.
    Huge,
}

impl Layout {
    /// What a runtime of Go writes.
    pub(crate) const RUNTIME: Self = Self {
        seed: 0,
        arrangement: Arrangement::Runtime,
        numbers: Numbers::PaddedSizes,
        ids: Ids::Sequential,
        splits_per_mille: 20,
    };

    /// Appends a number of a batch.
    pub(crate) fn number(&self, bytes: &mut Vec<u8>, value: u64, random: &mut Random) {
        let start = bytes.len();
        uvarint(bytes, value);
        if self.numbers == Numbers::Padded {
            pad(bytes, start, random.below(11));
        }
    }

    /// Appends the size of a batch.
    pub(crate) fn size(&self, bytes: &mut Vec<u8>, value: usize) {
        let start = bytes.len();
        uvarint(bytes, value as u64);
        if self.numbers != Numbers::Minimal {
            pad(bytes, start, VARINT_BYTES_MAX);
        }
    }

    /// The id of the `count`-th string or stack of a generation, counted from 1.
    pub(crate) fn id(&self, count: u64) -> u64 {
        match self.ids {
            Ids::Sequential => count,
            // An odd factor permutes the numbers of any power of two, and leaves 0 alone.
            Ids::Scattered => count.wrapping_mul(40_503) & 0xffff,
            Ids::Huge => count.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }
}

const VARINT_BYTES_MAX: u64 = 10;

/// Lengthens the LEB128 number from `start` on to `length` bytes.
fn pad(bytes: &mut Vec<u8>, start: usize, length: u64) {
    let end = start + length as usize;
    if bytes.len() >= end {
        return;
    }
    *bytes.last_mut().expect("a number has a byte") |= 0x80;
    bytes.resize(end, 0x80);
    *bytes.last_mut().expect("a number has a byte") = 0;
}

/// A small random generator (SplitMix64): the same seed gives the same bytes.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

//! The id of a stack: FNV-1a (64 bits) over functions, files and lines. Fixed for all time, because tables of different
//! days, and profiles of different formats, are joined by it.

use spandrel_model::StackId;

/// Adds frames, innermost first.
#[derive(Debug)]
pub(crate) struct StackHash(u64);

impl StackHash {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// A `line` that is not known is 0.
    pub(crate) fn frame(&mut self, function: &[u8], file: &[u8], line: u64) {
        self.bytes(function);
        self.bytes(&[0]);
        self.bytes(file);
        self.bytes(&[0]);
        self.bytes(&line.to_le_bytes());
    }

    pub(crate) const fn id(&self) -> StackId {
        StackId(self.0)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

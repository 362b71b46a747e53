//! What a fuzzer's bytes become, and what must hold of the decoder's answer whatever they are.
//!
//! ```text
//! header      bytes -> a file's beginning      -> what it is, and why not a trace
//! batch       bytes -> payloads in batches     \
//! generation  bytes -> a program, and damage    -> the promises of `promises`; what an undamaged program did
//! whole_file  bytes -> a file                  /
//! ```
//! The targets of `fuzz/` find inputs, and `tests/fuzz_corpus.rs` repeats those that were kept.

mod batch;
mod damage;
mod generation;
mod header;
mod history;
pub(crate) mod promises;
mod ragged;
pub(crate) mod seeds;

/// A fuzz target, and a folder of `fuzz/corpus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Header,
    Batch,
    Generation,
    WholeFile,
}

impl Target {
    pub(crate) const ALL: [Self; 4] = [Self::Header, Self::Batch, Self::Generation, Self::WholeFile];

    /// Name of the target and of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Batch => "batch",
            Self::Generation => "generation",
            Self::WholeFile => "whole_file",
        }
    }

    /// Panics if the decoder breaks a promise.
    pub(crate) fn check(self, bytes: &[u8]) {
        match self {
            Self::Header => header::check(bytes),
            Self::Batch => promises::check(&batch::trace(bytes)),
            Self::Generation => generation::check(bytes),
            Self::WholeFile => promises::check(bytes),
        }
    }
}

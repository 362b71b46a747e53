//! What the fuzz targets do with their bytes. The checks are those that `tests/fuzz_corpus.rs` repeats on the corpus with
//! a stable compiler: `tests/support/fuzzing`.

mod support;

use support::fuzzing::Target;

/// Bytes are the beginning of a file.
pub fn header(bytes: &[u8]) {
    Target::Header.check(bytes);
}

/// Bytes are payloads of batches.
pub fn batch(bytes: &[u8]) {
    Target::Batch.check(bytes);
}

/// Bytes are what a program does, and what happens to its trace.
pub fn generation(bytes: &[u8]) {
    Target::Generation.check(bytes);
}

/// Bytes are a file.
pub fn whole_file(bytes: &[u8]) {
    Target::WholeFile.check(bytes);
}

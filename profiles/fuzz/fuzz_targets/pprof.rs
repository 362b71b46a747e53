//! Bytes are a profile in the format of pprof, in most cases without its compression.

#![no_main]

#[path = "../../tests/support/pprof_promises.rs"]
mod promises;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promises::check(bytes));

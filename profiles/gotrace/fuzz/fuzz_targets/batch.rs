//! See `gotrace_fuzz::batch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gotrace_fuzz::batch(bytes));

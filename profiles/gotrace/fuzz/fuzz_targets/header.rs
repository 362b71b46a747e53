//! See `gotrace_fuzz::header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gotrace_fuzz::header(bytes));

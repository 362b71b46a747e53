//! See `gotrace_fuzz::generation`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gotrace_fuzz::generation(bytes));

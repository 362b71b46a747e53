//! See `gotrace_fuzz::whole_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gotrace_fuzz::whole_file(bytes));

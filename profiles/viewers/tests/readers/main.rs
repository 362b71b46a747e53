//! Programs that are not ours read what is written, and find the recording in it: Perfetto's own trace processor,
//! `go tool pprof`, and speedscope's schema. All totals are compared in whole nanoseconds.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod expected;
mod perfetto;
mod pprof;
mod speedscope;
mod tools;
mod traces;

/// The decoder's own tests know how to make an older trace of a new one.
#[path = "../../../gotrace/tests/support/frames.rs"]
#[allow(dead_code, reason = "one version is enough")]
mod frames;
#[path = "../../../gotrace/tests/support/text.rs"]
#[allow(dead_code, reason = "`frames` uses a part of it")]
mod text;

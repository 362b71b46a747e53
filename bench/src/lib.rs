//! Benchmarks that measure Spandrel and its peers on the same input, in the same run, on the same machine.
//!
//! * [`gotrace`]: the decoder of Go execution traces against Go's own reader.
//! * [`attribution`]: the join of spans with task states against DuckDB.
//!
//! Every measurement is a process of its own, so that its peak memory is its own. Peers that do the same work count the
//! same facts, and a run fails if they disagree: a speed is worth nothing if the results differ.
//!
//! `docs/benchmarks.md` says how to run them and keeps the last results.

#![forbid(unsafe_code)]

pub mod attribution;
pub mod gotrace;
mod machine;
mod page;
mod process;
mod spread;
mod table;

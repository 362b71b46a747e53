//! The decoder of Go execution traces against Go's own reader, golang.org/x/exp/trace.
//!
//! ```text
//! TraceFile --generator (Go)--> target/bench/*.trace        made once
//!                                      |
//!        for each file, over and over: | every Work: Go events, Go states, ours scan, events, ...
//!                                      v
//!        one pinned process a run --Measurement--> agreement of facts --> report --> docs/benchmarks.md
//! ```
//! * [`STAGES`] is the list of what our side does; one entry there is one more row of the tables.
//! * [`run`] is the whole benchmark, [`measure_stage`] what its own processes do.
//! * [`profile`] says what a stage spends its time with, counted by valgrind instead of measured.

mod agreement;
mod cachegrind;
mod facts;
mod files;
mod measurement;
mod peer;
mod profile;
mod report;
mod runner;
mod scan;
mod stages;
mod totals;
mod work;

pub use facts::Facts;
pub use measurement::{Measurement, measure_stage};
pub use profile::{ProfileOptions, profile};
pub use runner::{Options, run};
pub use stages::{Run, STAGES, Stage, stage};

//! The join of spans with task states: how fast, how it grows with its input, and DuckDB's range join beside it.
//!
//! ```text
//! Load --make--> Input --+--> attribution, step by step, one pinned process a run --Measurement--+--> report
//!                        |                                                                       |
//!                        +--> Parquet tables --> DuckDB computes the self view, compares cells --+
//! ```
//! * [`LOADS`] is the list of inputs.
//! * [`run`] is the whole benchmark, [`measure`] what its own processes do.

mod loads;
mod measurement;
mod peer;
mod report;
mod runner;
mod tables;
mod targets;

pub use loads::{Input, LOADS, Load, load};
pub use measurement::{Measurement, Part, measure};
pub use runner::{Options, run};

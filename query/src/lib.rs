//! SQL over a snapshot of the store.
//!
//! ```text
//! Snapshot --session--> SessionContext --run--> QueryResult --Format::write--> table, JSON, CSV
//! ```
//!
//! [`session()`] is the one function that builds a DataFusion session; every front end uses it. A session sees the
//! snapshot it was built over, for its whole life, and cannot change anything: [`run`] refuses what is not a query.
//!
//! Ids are fixed-size binary. They are compared with hexadecimal text, or with what `unhex` makes of it, and shown by
//! `hex`; attributes are read by key:
//!
//! ```sql
//! SELECT hex(span_id), name, attributes['http.route'] FROM spans
//! WHERE trace_id = '4bf92f3577b34da6a3ce929d0e0e4736' AND dt = '2026-11-21'
//! ```
//!
//! Sketches, the columns from which quantiles of any time are made, are merged by `sketch_merge` and asked by
//! `sketch_quantile`, `sketch_count` and `sketch_subtract`.
//!
//! Not here: network front ends, the command line, writing.

mod error;
mod file_pruning;
mod format;
mod functions;
mod id_literals;
mod run;
mod session;
mod sketch_functions;
mod sketch_merge;
mod snapshot_table;
mod value;

/// What [`session`] makes and [`run`] takes.
pub use datafusion::prelude::SessionContext;
pub use error::QueryError;
pub use format::Format;
pub use run::{Limits, QueryResult, run};
pub use session::{SessionOptions, session};

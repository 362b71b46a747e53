//! Runtime task profiles decoded into Spandrel's model, one module per format.
//!
//! * [`go_execution_trace`]: what `runtime/trace` writes.
//! * [`pprof`]: CPU profiles with labels, as `runtime/pprof` and many others write them.
//! * [`columns`]: a recording as rows of Spandrel's tables.
//!
//! Pure: bytes in, plain data out. Fetching is the receivers' business, joining with spans that of
//! `spandrel-attribution`.

#![forbid(unsafe_code)]

pub mod columns;
pub mod go_execution_trace;
pub mod pprof;
mod stack_hash;

//! Ends of pipelines, one folder each.
//!
//! * [`parquet`]: rows of every signal into the store's Delta tables.

#![forbid(unsafe_code)]

pub mod parquet;

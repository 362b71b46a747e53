//! Ends of pipelines, one folder each.
//!
//! * [`otlp_http`]: traces, metrics and logs to another OTLP endpoint.
//! * [`parquet`]: rows of every signal into the store's Delta tables.

#![forbid(unsafe_code)]

pub mod otlp_http;
pub mod parquet;

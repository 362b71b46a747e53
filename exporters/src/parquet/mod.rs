//! The `parquet` exporter: rows of every signal into the store's Delta tables.
//!
//! ```text
//! consume --> buffer (bounded, in memory) --> flush every `flush_interval`, or at `flush_size` --> Store::commit
//! ```
//!
//! A batch is accepted when its rows are in the buffer; it is durable after the next flush. A flush that fails is
//! tried again with the same rows and the same commit key, so that no row is written twice, while the buffer fills
//! and then refuses: senders wait, nothing is dropped.

mod buffer;
mod config;
mod exporter;
mod metrics;
mod recalled;
#[cfg(test)]
mod tests;

pub use config::{FACTORY, ParquetConfig};
pub use exporter::ParquetExporter;

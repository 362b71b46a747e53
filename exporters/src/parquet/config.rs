//! Configuration of the `parquet` exporter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use spandrel_config::{ByteSize, HumanDuration, Problems, Section};
use spandrel_pipeline::{BuildContext, BuildError, Exporter, ExporterConfig, ExporterFactory, Signal};

use super::ParquetExporter;

/// The row of this component in the collector's table.
pub static FACTORY: ExporterFactory = ExporterFactory {
    kind: "parquet",
    accepts: &[Signal::Traces, Signal::Metrics, Signal::Logs, Signal::Tables],
    summary: "writes Delta tables of Parquet files to a local directory",
    check: |section, problems| {
        let config = ParquetConfig::check(section, problems)?;
        Some(Box::new(config))
    },
};

/// The section as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawParquet {
    directory: Option<String>,
    flush_interval: Option<HumanDuration>,
    flush_size: Option<ByteSize>,
    buffer_limit: Option<ByteSize>,
}

/// A valid section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParquetConfig {
    /// Directory of the store. Default `./spandrel-data`.
    pub directory: PathBuf,
    /// Longest time that rows wait in memory. Default 5 s.
    pub flush_interval: Duration,
    /// Buffered bytes that cause a flush before its time. Default 64 MiB.
    pub flush_size_bytes: u64,
    /// Buffered bytes, those being flushed included, beyond which batches are refused. Default 256 MiB.
    pub buffer_limit_bytes: u64,
}

impl Default for ParquetConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("./spandrel-data"),
            flush_interval: Duration::from_secs(5),
            flush_size_bytes: 64 << 20,
            buffer_limit_bytes: 256 << 20,
        }
    }
}

impl ParquetConfig {
    /// Checks a section; every problem goes to `problems`.
    pub fn check(section: &Section, problems: &mut Problems) -> Option<Self> {
        let raw: RawParquet = section.parse(problems)?;
        let default = Self::default();
        let config = Self {
            directory: raw.directory.map_or(default.directory, PathBuf::from),
            flush_interval: raw.flush_interval.map_or(default.flush_interval, |duration| duration.0),
            flush_size_bytes: raw.flush_size.map_or(default.flush_size_bytes, |size| size.0),
            buffer_limit_bytes: raw.buffer_limit.map_or(default.buffer_limit_bytes, |size| size.0),
        };
        let mut valid = true;
        let mut refuse = |key: &str, message: &str, help: &str| {
            problems.push(section.at(key), message).help(help);
            valid = false;
        };
        if config.directory.as_os_str().is_empty() {
            refuse(
                "directory",
                "must not be empty",
                "name the directory that holds the tables",
            );
        }
        if config.flush_interval.is_zero() {
            refuse(
                "flush_interval",
                "must be greater than 0",
                "5s writes a file per table every five seconds",
            );
        }
        if config.flush_size_bytes > config.buffer_limit_bytes {
            refuse(
                "flush_size",
                "must not exceed buffer_limit",
                "raise buffer_limit to twice flush_size or more",
            );
        }
        valid.then_some(config)
    }
}

#[async_trait]
impl ExporterConfig for ParquetConfig {
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Arc<dyn Exporter>, BuildError> {
        Ok(Arc::new(ParquetExporter::open(*self, &context).await?))
    }
}

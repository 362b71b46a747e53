//! Metrics of the `parquet` exporter.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use spandrel_pipeline::{BuildError, Signal};

/// What the exporter counts, labelled with its id.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Rows accepted, by table.
    pub(super) accepted_rows: IntCounterVec,
    /// Rows made durable, by table.
    pub(super) sent_rows: IntCounterVec,
    /// Rows that others replaced, of those made durable and of those made durable with them.
    pub(super) replaced_rows: IntCounter,
    /// Durable files that held replaced rows.
    pub(super) rewritten_files: IntCounter,
    /// Bytes of the files written in their place.
    pub(super) rewritten_bytes: IntCounter,
    /// Times that a stored file could not be read to remove replaced rows from it.
    pub(super) damaged_files: IntCounter,
    /// Batches refused, by signal.
    pub(super) refused_batches: IntCounterVec,
    /// Commits that failed and are tried again.
    pub(super) failed_commits: IntCounter,
    /// Bytes accepted and not yet durable.
    pub(super) buffered_bytes: IntGauge,
}

impl Metrics {
    pub(super) fn register(id: &str, registry: &Registry) -> Result<Self, BuildError> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("exporter", id);
        let build = || -> prometheus::Result<Self> {
            let metrics = Self {
                accepted_rows: IntCounterVec::new(
                    opts("spandrel_exporter_accepted_rows", "Rows taken into the buffer"),
                    &["table"],
                )?,
                sent_rows: IntCounterVec::new(opts("spandrel_exporter_sent_rows", "Rows made durable"), &["table"])?,
                replaced_rows: IntCounter::with_opts(opts(
                    "spandrel_exporter_replaced_rows",
                    "Sent rows that later ones replaced",
                ))?,
                rewritten_files: IntCounter::with_opts(opts(
                    "spandrel_exporter_rewritten_files",
                    "Files written again because rows in them were replaced",
                ))?,
                rewritten_bytes: IntCounter::with_opts(opts(
                    "spandrel_exporter_rewritten_bytes",
                    "Bytes written for files whose rows were replaced in part",
                ))?,
                damaged_files: IntCounter::with_opts(opts(
                    "spandrel_exporter_damaged_files",
                    "Times that replaced rows stayed in a stored file because it cannot be read",
                ))?,
                refused_batches: IntCounterVec::new(
                    opts("spandrel_exporter_refused_batches", "Batches refused, to be sent again"),
                    &["signal"],
                )?,
                failed_commits: IntCounter::with_opts(opts(
                    "spandrel_exporter_failed_commits",
                    "Commits that failed; each is tried again",
                ))?,
                buffered_bytes: IntGauge::with_opts(opts(
                    "spandrel_exporter_buffered_bytes",
                    "Bytes accepted and not yet durable",
                ))?,
            };
            registry.register(Box::new(metrics.accepted_rows.clone()))?;
            registry.register(Box::new(metrics.sent_rows.clone()))?;
            registry.register(Box::new(metrics.replaced_rows.clone()))?;
            registry.register(Box::new(metrics.rewritten_files.clone()))?;
            registry.register(Box::new(metrics.rewritten_bytes.clone()))?;
            registry.register(Box::new(metrics.damaged_files.clone()))?;
            registry.register(Box::new(metrics.refused_batches.clone()))?;
            registry.register(Box::new(metrics.failed_commits.clone()))?;
            registry.register(Box::new(metrics.buffered_bytes.clone()))?;
            Ok(metrics)
        };
        build().map_err(|error| BuildError::caused_by(format!("cannot register the metrics of exporter `{id}`"), error))
    }

    pub(super) fn refused(&self, signal: Signal) {
        self.refused_batches.with_label_values(&[signal.as_str()]).inc();
    }
}

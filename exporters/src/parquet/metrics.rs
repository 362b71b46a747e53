//! Metrics of the `parquet` exporter.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use spandrel_pipeline::{BuildError, Signal};

/// What the exporter counts, labelled with its id.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Rows accepted, by table.
    pub(super) accepted_rows: IntCounterVec,
    /// Rows made durable, by table.
    pub(super) sent_rows: IntCounterVec,
    /// Batches refused, by signal.
    pub(super) refused_batches: IntCounterVec,
    /// Commits that failed and are tried again.
    pub(super) failed_commits: prometheus::IntCounter,
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
                refused_batches: IntCounterVec::new(
                    opts("spandrel_exporter_refused_batches", "Batches refused, to be sent again"),
                    &["signal"],
                )?,
                failed_commits: prometheus::IntCounter::with_opts(opts(
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

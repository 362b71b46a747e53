//! Metrics of the `otlp_http` exporter.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use spandrel_pipeline::{BuildError, Signal};

/// What the exporter counts, labelled with its id.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Requests delivered, by signal.
    sent_requests: IntCounterVec,
    /// Requests given up, by signal.
    failed_requests: IntCounterVec,
    /// Items of delivered requests that the endpoint rejected, by signal.
    rejected_items: IntCounterVec,
    /// Batches refused, by signal.
    refused_batches: IntCounterVec,
    /// Attempts that failed and are made again.
    pub(super) failed_attempts: IntCounter,
    /// Bytes accepted and neither delivered nor given up.
    pub(super) queued_bytes: IntGauge,
}

impl Metrics {
    pub(super) fn register(id: &str, registry: &Registry) -> Result<Self, BuildError> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("exporter", id);
        let by_signal = |name: &str, help: &str| IntCounterVec::new(opts(name, help), &["signal"]);
        let build = || -> prometheus::Result<Self> {
            let metrics = Self {
                sent_requests: by_signal("spandrel_exporter_sent_requests", "Requests delivered")?,
                failed_requests: by_signal(
                    "spandrel_exporter_failed_requests",
                    "Requests given up: their data is lost",
                )?,
                rejected_items: by_signal(
                    "spandrel_exporter_rejected_items",
                    "Items of delivered requests that the endpoint rejected",
                )?,
                refused_batches: by_signal("spandrel_exporter_refused_batches", "Batches refused, to be sent again")?,
                failed_attempts: IntCounter::with_opts(opts(
                    "spandrel_exporter_failed_attempts",
                    "Attempts that failed; each is made again",
                ))?,
                queued_bytes: IntGauge::with_opts(opts(
                    "spandrel_exporter_queued_bytes",
                    "Bytes accepted and neither delivered nor given up",
                ))?,
            };
            registry.register(Box::new(metrics.sent_requests.clone()))?;
            registry.register(Box::new(metrics.failed_requests.clone()))?;
            registry.register(Box::new(metrics.rejected_items.clone()))?;
            registry.register(Box::new(metrics.refused_batches.clone()))?;
            registry.register(Box::new(metrics.failed_attempts.clone()))?;
            registry.register(Box::new(metrics.queued_bytes.clone()))?;
            Ok(metrics)
        };
        build().map_err(|error| BuildError::caused_by(format!("cannot register the metrics of exporter `{id}`"), error))
    }

    pub(super) fn sent(&self, signal: Signal) {
        self.sent_requests.with_label_values(&[signal.as_str()]).inc();
    }

    pub(super) fn failed(&self, signal: Signal) {
        self.failed_requests.with_label_values(&[signal.as_str()]).inc();
    }

    pub(super) fn rejected(&self, signal: Signal, count: u64) {
        let rejected = self.rejected_items.with_label_values(&[signal.as_str()]);
        rejected.inc_by(count);
    }

    pub(super) fn refused(&self, signal: Signal) {
        self.refused_batches.with_label_values(&[signal.as_str()]).inc();
    }
}

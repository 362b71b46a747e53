//! What the collector says about itself: logs on standard error, metrics for Prometheus.

pub mod logs;
pub mod metrics;

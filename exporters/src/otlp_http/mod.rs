//! The `otlp_http` exporter: traces, metrics and logs to another OTLP endpoint, as they came.
//!
//! ```text
//! consume --> queue (bounded, in memory) --> ten senders --> POST <endpoint>/v1/{traces,metrics,logs}
//!                                              ^      |
//!                                              '------' busy or away: again, later
//! ```
//!
//! A batch is accepted when it is in the queue. While the endpoint is away the queue fills and then refuses: senders wait.
//! What an answer means is the rule of the [OTLP specification](https://opentelemetry.io/docs/specs/otlp/#otlphttp).

mod config;
mod endpoint;
mod exporter;
mod metrics;
mod queue;
#[cfg(test)]
mod tests;

pub use config::{FACTORY, OtlpHttpConfig, RetryRules};
pub use exporter::OtlpHttpExporter;

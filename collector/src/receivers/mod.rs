//! Where telemetry enters the process.
//!
//! * [`otlp`]: OTLP over gRPC and HTTP, and uploads of Go execution traces and CPU profiles on the HTTP port.
//! * [`go_runtime`]: pulls Go execution traces from `net/http/pprof` of running services.
//!
//! A receiver answers its sender only after a pipeline has taken responsibility for the data, or has refused it. Limits
//! hold before anything is decoded. Not here: what OTLP messages mean (`spandrel-pipeline`), what traces mean (`gotrace`).

mod log_limit;
mod metrics;
mod resource;
#[cfg(test)]
mod scripted;

pub mod go_runtime;
pub mod otlp;

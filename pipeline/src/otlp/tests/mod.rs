//! The decoder against the protobuf types of `opentelemetry-proto`, and against damaged and hostile input.

mod damage;
mod equivalence;
mod generate;
mod hostile;
mod json;
mod logs;
mod metrics;
mod rows;
mod span_rows;
mod traces;

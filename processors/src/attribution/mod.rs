//! The `attribution` connector: spans and runtime profiles in, attribution tables out.
//!
//! ```text
//! traces   --consume--> spans wait `join_delay` --.
//!                                                 +--> join (spandrel-attribution) --> attribution, span_quality,
//! profiles --consume--> decode --> recordings ----'                |                   task_spans
//!                          `--> tasks, task_states, stacks,        `--> windows --> matrix
//!                               runtime_events
//! ```
//!
//! A span is joined `join_delay` after it arrived, with every recording of its process that has arrived by then; it
//! then stays as context for its neighbors for `retention`. Each span is joined once: a duplicate that arrives within
//! the retention is dropped, a recording that arrives later than the delay is not used for spans joined already.
//! A recording without a wall clock (Go before 1.25) is joined once its process's spans show when it was made.
//! Everything held is bounded; beyond the bound batches are refused, so senders wait.

mod config;
mod connector;
mod duplicates;
mod emitted;
mod held_spans;
mod join;
mod metrics;
mod pending;
mod recordings;
mod rows;
mod slots;
mod state_rules;
#[cfg(test)]
mod tests;
mod unanchored;
mod windows;

pub use config::{AttributionConfig, FACTORY};
pub use connector::AttributionConnector;
pub use rows::{attribution_rows, matrix_rows};
pub use state_rules::check_state_rules;

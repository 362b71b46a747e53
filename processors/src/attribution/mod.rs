//! The `attribution` connector: spans and runtime profiles in, attribution tables out.
//!
//! ```text
//! traces   --consume--> spans wait `join_delay` --.
//!                                                 +--> join (spandrel-attribution) --> attribution, span_quality,
//! profiles --consume--> decode --> recordings ----'                |                   task_spans
//!                          |       CPU profiles                    `--> windows --> operations, matrix,
//!                          `--> tasks, task_states, stacks,                         interference,
//!                               runtime_events                                      running_functions
//! ```
//!
//! A span is joined `join_delay` after it arrived, with every recording of its process that has arrived by then.
//! What comes later and touches it makes it due again, until `retention` after the join; rows that come out differently
//! replace the earlier ones. So the tables do not depend on the order in which things arrive. A recording without a wall clock
//! (Go before 1.25) is joined once its process's spans show when it was made.
//! Everything held is bounded; beyond the bound batches are refused, so senders wait. What is held survives a restart: spans are
//! in the store, profiles in `recordings_directory`.

mod accepting;
mod choosing;
mod config;
mod connector;
mod cpu_profiles;
mod decode_queue;
mod duplicates;
mod emitted;
mod guarded;
mod held_profile;
mod held_spans;
mod join;
mod lock_turns;
mod matrix_metrics;
mod matrix_rows;
mod metrics;
mod output;
mod pending;
mod recording_output;
mod recording_rows;
mod recording_source;
mod recordings;
mod recordings_directory;
mod relatives;
mod restart;
mod restored_recordings;
mod restoring;
mod rows;
mod safe_join;
mod setting_aside;
mod slots;
mod stack_layers;
mod state_rules;
#[cfg(test)]
mod tests;
mod unanchored;
mod windows;

pub use config::{AttributionConfig, FACTORY};
pub use connector::AttributionConnector;
pub use matrix_rows::matrix_rows;
pub use rows::attribution_rows;
pub use state_rules::check_state_rules;

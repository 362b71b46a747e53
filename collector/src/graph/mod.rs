//! The configured components and how they are connected: checked, built, run, stopped.
//!
//! ```text
//! Sections --plan--> Plan --build--> Graph --run--> until stopped: receivers, then connectors, then exporters
//!   (pure: all problems)     (opens ports, files)
//! ```

mod build;
mod check;
mod join_delay;
mod run;
#[cfg(test)]
mod tests;

pub use build::{Graph, GraphError};
pub use check::{Plan, Sections, plan};

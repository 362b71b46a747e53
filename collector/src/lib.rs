//! The collector: every component by name, the graph that connects them, their life, and the command line.
//!
//! ```text
//! cli::run -> service -> config -> graph::plan -> graph::Graph::build -> graph::Graph::run
//!                                  (components)   (ports, files)        (until SIGINT or SIGTERM)
//! ```
//!
//! [`components`] is the table of all receivers, connectors, exporters and extensions; adding one touches its own
//! folder and one line there.

#![forbid(unsafe_code)]

pub mod cli;
pub mod components;
pub mod extensions;
pub mod files;
pub mod graph;
pub mod receivers;
pub mod report;
pub mod service;
pub mod telemetry;

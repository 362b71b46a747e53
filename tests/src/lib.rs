//! Checks of the whole: end-to-end tests against the built binary, the architecture, the tidiness of the tree.
//!
//! The tests are in `tests/tests/`, one file a subject; here is what they share. The end-to-end tests use `spandrel` as a
//! user does: they start the program, speak to its ports, and read its tables with SQL. Nothing of it is linked in.

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod attribution_checks;
pub mod binary;
pub mod burner;
pub mod collector;
pub mod http;
pub mod kiosk;
pub mod process;
pub mod recording;
pub mod repository;
pub mod scratch;
pub mod self_view;
pub mod services;
pub mod slow_operations;
pub mod sql;
pub mod tables_doc;

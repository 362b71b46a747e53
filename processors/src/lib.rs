//! Pipeline nodes that change, select or join data, one folder each.
//!
//! * [`attribution`]: the connector that joins spans with runtime profiles.

#![forbid(unsafe_code)]

pub mod attribution;

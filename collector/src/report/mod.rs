//! What the command line shows a person.

pub mod duration;
pub mod matrix;

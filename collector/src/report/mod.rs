//! What the command line shows a person.

pub mod color;
pub mod columns;
pub mod duration;
pub mod matrix;
pub mod meaning;
pub mod number;
pub mod palette;
pub mod terminal;

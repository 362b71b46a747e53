//! The part of the tests' support that needs nothing but the decoder.

#![allow(dead_code, reason = "tests use the rest")]

#[path = "../../tests/support/frames.rs"]
pub(crate) mod frames;
#[path = "../../tests/support/fuzzing/mod.rs"]
pub(crate) mod fuzzing;
#[path = "../../tests/support/simulation/mod.rs"]
pub(crate) mod simulation;
#[path = "../../tests/support/text.rs"]
pub(crate) mod text;
#[path = "../../tests/support/tiled.rs"]
mod tiled;
#[path = "../../tests/support/writer/mod.rs"]
pub(crate) mod writer;

pub(crate) use self::tiled::assert_tiled;

//! What several test files need: the text form of traces, and the invariants of a recording.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod accepts;
pub(crate) mod drawn;
pub(crate) mod frames;
pub(crate) mod fuzzing;
pub(crate) mod go;
pub(crate) mod simulation;
pub(crate) mod text;
mod tiled;
pub(crate) mod writer;

pub(crate) use self::tiled::assert_tiled;

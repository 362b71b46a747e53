//! Go execution traces: the facts that `gotrace` tells, refined into states in wall time.
//!
//! ```text
//! bytes --gotrace--> facts --Converter--> rows -----> TaskRecording   decode, read
//!                    base states  |       one by one  `-> Arrow batches  read_tables
//!                                 |
//!                         overlays: stop-the-world, GC assist, sweep cut states
//!                         rules:    stacks and reason strings tell kinds of waits apart
//! ```
//!
//! Traces of Go 1.22 to 1.24 know no wall time. Their recordings stay in trace time and are [`Decoded::Unanchored`] until
//! spans of the process show the offset (`spandrel-attribution`).

mod answers;
mod convert;
mod decode;
mod overlay;
mod recording;
mod refine;
mod rows;
mod rules;
mod tables;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, Decoded, decode, read, read_tables};
pub use refine::{LiveRefiner, Piece, Refiner, raw_reason};
pub use rules::{
    ANY, Blocked, COROUTINE, InvalidStateRule, RULE_STATES, RefinedState, RuleFault, SYSCALL, StateRule, StateRules,
    SubStateId, USER_RULES_MAX, WITHIN_DEFAULT, WITHIN_MAX,
};

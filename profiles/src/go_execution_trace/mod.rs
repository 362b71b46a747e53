//! Go execution traces: `gotrace`'s intervals in trace time, refined into states in wall time.
//!
//! ```text
//! bytes --gotrace--> Recording --overlays--> pieces --rules--> TaskRecording
//!                    base states   STW, GC assist, sweep   stacks and reason strings tell kinds of waits apart
//! ```

mod convert;
mod overlay;
mod rules;
#[cfg(test)]
mod tests;

pub use convert::{DecodeError, decode, task_recording};

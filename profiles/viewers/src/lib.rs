//! Go execution traces as files that the usual viewers open.
//!
//! ```text
//! facts of the trace --LiveRefiner--> pieces of state --+--> perfetto    a timeline: everything, each piece a slice
//!   as they end                                         '--> totals --+--> speedscope  flame graphs of time by state
//!                                                                     '--> pprof       the same, for `go tool pprof`
//! ```
//! * [`perfetto::write`], [`speedscope::write`] and [`pprof::write`] each read a trace once and write one format. Decoding is
//!   done on a thread of its own meanwhile.
//! * Time is counted in whole nanoseconds and never estimated: the slices of a goroutine, and the values of a profile,
//!   sum to the intervals that `gotrace` tells exactly.
//! * Memory is for about one generation of the trace, what is open, and distinct strings and stacks; beside that, a timeline
//!   needs a few numbers for each goroutine and user task, and a profile its sums, one for each state at each stack.
//!
//! Not here: decoding (`gotrace`), telling waits apart (`spandrel-profiles`), files and progress bars.

#![forbid(unsafe_code)]

mod goroutines;
mod group;
pub mod perfetto;
pub mod pprof;
pub mod speedscope;
mod totals;

use std::io;

use gotrace::TraceError;
use spandrel_profiles::go_execution_trace::StateRules;

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What the viewer calls the recording: the name of its file, say.
    pub title: &'a str,
    /// Whether flame graphs also count the goroutines of the runtime, and waits that the runtime itself calls idle. They
    /// wait for most of their lives and hide everything else. A timeline always shows them, in a group of their own.
    pub system: bool,
    /// Which waits and system calls have which state.
    pub rules: &'a StateRules,
}

/// Why no file, or only a part of one, was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

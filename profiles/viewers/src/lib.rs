//! Go execution traces as files that the usual viewers open.
//!
//! ```text
//! Recording --Refiner--> pieces of state --+--> perfetto    a timeline: everything, each piece a slice
//!                                          '--> totals --+--> speedscope  flame graphs of time by state
//!                                                        '--> pprof       the same, for `go tool pprof`
//! ```
//! * [`perfetto::write`], [`speedscope::write`] and [`pprof::write`] each write one format.
//! * Time is counted in whole nanoseconds and never estimated: the slices of a goroutine, and the values of a profile,
//!   sum to the intervals of the [`Recording`](gotrace::Recording) exactly.
//! * Output is streamed: beside the recording, memory holds distinct strings and stacks, and one number for each interval
//!   that ran on a proc.
//!
//! Not here: decoding (`gotrace`), telling waits apart (`spandrel-profiles`), files and progress bars.

#![forbid(unsafe_code)]

mod goroutines;
mod group;
pub mod perfetto;
pub mod pprof;
pub mod speedscope;
mod totals;

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

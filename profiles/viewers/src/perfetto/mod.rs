//! Timelines for [Perfetto](https://ui.perfetto.dev): its native protobuf packets.
//!
//! ```text
//! process
//! |- garbage collection      concurrent mark phases
//! |- stop the world          named by what for
//! |- procs
//! |  '- P0, P1 ...           which goroutine runs
//! |- user tasks
//! |  '- GET /report          a root task; tasks begun in it nest below
//! |- goroutines
//! |  '- G12 main.worker      one slice for each piece of state; `wake` and `create` lead to what they caused
//! |     '- regions
//! '- runtime goroutines
//! ```
//! A slice's category is the base state, its name the refined one. Arguments: the runtime's `reason`, the `waker`, `proc`
//! and `thread`, the innermost frames as `stack`; the whole stack is attached as a call stack. User logs and CPU samples
//! are instants on their goroutine.
//!
//! Times are those of the trace, which on Linux is CLOCK_MONOTONIC; clock snapshots give the wall time (Go 1.25 and later).
//! Packets are not in the order of time, which Perfetto does not ask for: it sorts.

mod goroutines;
mod intern;
mod lanes;
mod packets;
mod procs;
mod proto;
mod runtime;
mod samples;
mod tracks;
mod user;

use std::io;

use gotrace::Recording;

use self::tracks::Timeline;
use crate::Options;

/// Writes the timeline. Calls `progress` with the number of state intervals that have been written.
///
/// # Errors
/// Those of `out`.
pub fn write(
    recording: &Recording,
    options: &Options<'_>,
    out: impl io::Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut timeline = Timeline::begin(recording, options.title, out)?;
    runtime::write(&mut timeline)?;
    procs::write(&mut timeline)?;
    user::write(&mut timeline)?;
    samples::write(&mut timeline)?;
    goroutines::write(&mut timeline, options.rules, progress)?;
    timeline.packets.finish()
}

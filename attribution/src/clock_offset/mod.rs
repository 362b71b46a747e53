//! The offset between the clock of a recording and the wall clock, found from the spans of its process.
//!
//! Execution traces of Go 1.22 to 1.24 hold no wall time. But OpenTelemetry's Go SDK leaves the same event on both
//! clocks: a span ends, and about a microsecond later so does the `runtime/trace` task of its name. Whoever knows which
//! task belongs to which span knows the offset; and with the right offset, far more tasks find a span than with any
//! other. So every task votes, and nobody needs to know the pairs beforehand:
//!
//! ```text
//! wall clock     --[start == span == end]------       vote = end of the span - end of the task
//! trace clock    ----[begin == task == end]----            = offset - end lag,      0 < end lag, mostly 1 us
//!
//! all votes   . .  .   .  . .|.   . .  .  .  |||||||. .   . .  .  .|  .  .    .  .   .
//!                            rival           peak  ^ offset
//! ```
//!
//! 1. [`votes`]: one task of each request and millisecond votes, for every span of its name that is as long as it, give
//!    or take the lags; where some of them fit its parent too, only for those.
//! 2. [`peak`]: the 2 us with the most voters win, if every rival elsewhere loses clearly: of the voters that tell the
//!    two apart, four in five must be for the winner. Periodic load has rivals a period away which are as good, unless
//!    its periods, or anything else in the process, are irregular; then there is no estimate. Where lags are so uneven
//!    that no 2 us win, 8 us may.
//! 3. [`envelope`]: lags are never negative, so the offset lies at the upper end of the peak. How far beyond, at most, is
//!    the error.
//!
//! Nothing but spans and tasks counts: neither when the recording arrived nor how old its file is. Such hints would hide
//! rivals, and the search does not need them.
//!
//! The wall clock must run like that of the recording, as it does on Linux, where the kernel adjusts both alike. A clock
//! that is set during the recording makes two peaks, of which neither wins clearly, unless one of them lasts long.

mod envelope;
mod peak;
mod votes;

use spandrel_model::{OffsetEstimate, UnanchoredRecording};
use thiserror::Error;

use crate::ProcessSpans;
use crate::spans::SpanSet;

/// How much longer a span may be than its task, tried in this order: the begin lag, up to what span processors take.
const BEGIN_LAGS_NS: [i64; 2] = [200_000, 5_000_000];
/// Votes that lie so close together are for the same offset, tried in this order. With the SDK's measured lags, nine in
/// ten true pairs lie within the first.
const WIDTHS_NS: [i64; 2] = [2_000, 8_000];
/// Fewest witnesses of an offset. Eight tasks of different requests, of which each fits to microseconds by chance, do
/// not occur.
const WITNESSES_MIN: usize = 8;

/// Why no offset can be given. To be tried again when more spans have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoOffset {
    /// The recording has no user task with both beginning and end.
    #[error(
        "none of its user tasks both begins and ends in it (does the service use the OpenTelemetry SDK, and was it busy?)"
    )]
    NoUserTasks,
    /// Too few tasks agree on any offset.
    #[error(
        "no offset fits more than {witnesses} of {asked} user tasks, at least {WITNESSES_MIN} must agree (have the spans \
         of that time arrived? is the recording long enough?)"
    )]
    TooFewWitnesses {
        /// Tasks that agree on the best offset.
        witnesses: usize,
        /// Tasks asked.
        asked: usize,
    },
    /// Tasks that agree on an offset do so too loosely.
    #[error(
        "{witnesses} user tasks agree on an offset, and {beside} more on others less than {reach_ns} ns away (is the machine \
         so busy that the ends of spans and of their tasks lie far apart?)"
    )]
    Scattered {
        /// Tasks that agree.
        witnesses: usize,
        /// Tasks for offsets nearby.
        beside: usize,
        /// What nearby means, nanoseconds.
        reach_ns: i64,
    },
    /// Another offset fits about as well.
    #[error(
        "two offsets fit, {rival_after_ns} ns apart: {witnesses} user tasks speak for one, {rival_witnesses} for the other \
         (load that repeats itself cannot be told from itself a period later)"
    )]
    Ambiguous {
        /// Tasks that fit the better offset and not the other.
        witnesses: usize,
        /// Tasks that fit the other and not the better one.
        rival_witnesses: usize,
        /// From the better offset to the other, nanoseconds.
        rival_after_ns: i64,
    },
}

/// Finds the offset between the clock of `recording` and that of `spans`, which are of the recorded process.
///
/// # Errors
/// The spans do not show it beyond doubt.
pub fn estimate_offset(spans: &ProcessSpans<'_>, recording: &UnanchoredRecording) -> Result<OffsetEstimate, NoOffset> {
    let spans = SpanSet::new(spans);
    let electorate = votes::Electorate::new(&spans, recording);
    if electorate.is_empty() {
        return Err(NoOffset::NoUserTasks);
    }
    let mut result = Err(NoOffset::NoUserTasks);
    for begin_lag_ns in BEGIN_LAGS_NS {
        let votes = electorate.votes(begin_lag_ns);
        for width_ns in WIDTHS_NS {
            result = peak::find(&votes, width_ns).map(|peak| envelope::estimate(&votes, &peak));
            if result.is_ok() {
                return result;
            }
        }
        if !matches!(result, Err(NoOffset::TooFewWitnesses { .. })) {
            return result;
        }
    }
    result
}

//! Pairs whose lags are not as lags are as a rule, for spans and tasks that have found no other partner.
//!
//! There are three ways to such a pair:
//!
//! ```text
//! stalled          span  [ start ------------------------- end )
//!                  task        ready, ready, ready [ begin ------ end )   the goroutine lost its processor in between
//!
//! torn             span  [ start ----------------- end )
//!                  task      [ begin -------------------- end )          start and end are read from two clocks
//!
//! after the fact   span  [ start ------------------------- end )
//!                  task  running, network, running      [ begin, end )    made when the operation was over
//! ```
//!
//! *Stalled*: between the two readings of a beginning, or of an end, the SDK only computes. A machine short of processors
//! may take seconds over that, but the goroutine never waits meanwhile, and begins (ends) no other task.
//!
//! *Torn*: the end of a span is its start plus what a monotonic clock has counted since. Go reads the wall clock for the start
//! and that clock next. A thread that loses its processor in between makes the end early by that time, and both lags longer.
//! So the end was read later than it says, by the smaller of the lags at most.
//!
//! *After the fact*: instrumentation of `database/sql` and the like makes the span when the operation is over, with a
//! start time that it noted. The task then begins at the span's end, and the goroutine goes from there to the task's end
//! without a wait. It must have been running when the start was noted, and so was alive throughout. If it did not wait at all
//! it is a stalled pair or none.

use spandrel_model::{Interval, UnixNanos};

use super::edges::{self, Edge};
use super::passes::Matching;
use super::user_tasks::{Mark, RowIndex};
use crate::spans::SpanIndex;

/// How much later than it says the end of a span can have been read: longer than was measured (80 us), and short enough to
/// keep most goroutines out.
const TORN_MAX_NS: i64 = 100_000;

/// The edge of a pair that is late but possible.
pub(super) fn edge(matching: &Matching<'_>, span: SpanIndex, row: RowIndex) -> Option<Edge> {
    let interval = matching.spans.interval(span);
    let task = matching.table.row(row);
    let (begin, end) = (task.begin.as_ref()?, task.end.as_ref()?);
    if matching.pins[span].is_some_and(|pin| pin.task != begin.goroutine) {
        return None;
    }
    let (begin_lag_ns, end_lag_ns) = (begin.at.since(interval.start()), end.at.since(interval.end()));
    let limit_ns = matching.windows.late_lag_ns;
    if begin_lag_ns < matching.clock.least_ns || !(matching.clock.least_ns..=limit_ns).contains(&end_lag_ns) {
        return None;
    }
    let at_begin = edges::ran(matching, begin, interval.start(), 0)?;
    let torn_ns = begin_lag_ns.min(end_lag_ns).clamp(0, TORN_MAX_NS);
    let at_end = edges::ran(matching, end, interval.end(), torn_ns)?;
    let between =
        stalled(matching, interval, begin, end, torn_ns).or_else(|| made_afterwards(matching, interval, begin, end))?;
    let recorded = |from: UnixNanos| edges::all_recorded(matching, from, from.plus(limit_ns));
    Some(Edge {
        span,
        row,
        begin_lag_ns,
        end_lag_ns: Some(end_lag_ns),
        witnessed: at_begin && at_end && between,
        near_border: !recorded(interval.start()) || !recorded(interval.end()) || !recorded(begin.at.plus(-limit_ns)),
    })
}

/// Whether the pair of a span and this task says that the span was made after the fact.
pub(super) fn is_after_the_fact(matching: &Matching<'_>, span: SpanIndex, row: RowIndex) -> bool {
    let start = matching.spans.interval(span).start();
    let begin = matching.table.row(row).begin.as_ref();
    begin.is_some_and(|begin| {
        begin.at.since(start) > matching.windows.begin_lag_ns && waited_since(matching, begin, start)
    })
}

/// Whether the readings lie as far apart as they do because the goroutine was kept from running; `None` if not.
fn stalled(matching: &Matching<'_>, span: Interval, begin: &Mark<'_>, end: &Mark<'_>, torn_ns: i64) -> Option<bool> {
    let is_first = |mark: &Mark<'_>, at: UnixNanos| edges::is_first_after(matching.clock, mark, at);
    let end_read = span.end().plus(torn_ns);
    if !is_first(begin, span.start()) || !is_first(end, end_read) {
        return None;
    }
    let began = went_on(matching, begin, latest_reading(matching, span.start()), begin.at)?;
    Some(began && went_on(matching, end, end_read, end.at)?)
}

/// Whether the task can have been begun and ended at once when the span was over; `None` if not.
fn made_afterwards(matching: &Matching<'_>, span: Interval, begin: &Mark<'_>, end: &Mark<'_>) -> Option<bool> {
    let waited_before = waited_since(matching, begin, span.start());
    let began_at_the_end = span.end().since(begin.at) <= matching.windows.begin_lag_ns;
    if begin.goroutine != end.goroutine || !waited_before || !began_at_the_end {
        return None;
    }
    went_on(
        matching,
        begin,
        begin.at.min(latest_reading(matching, span.end())),
        end.at,
    )
}

/// Whether the mark's goroutine has waited between a reading of the span's clock and the mark.
fn waited_since(matching: &Matching<'_>, mark: &Mark<'_>, reading: UnixNanos) -> bool {
    went_on(matching, mark, latest_reading(matching, reading), mark.at).is_none()
}

/// The latest that a span's clock can have been read, by the recording's: a wait that seems to last until after the
/// reading had ended before it, if it is not longer than the clocks are uncertain.
fn latest_reading(matching: &Matching<'_>, at: UnixNanos) -> UnixNanos {
    at.plus(matching.clock.most_ns)
}

/// Whether the mark's goroutine went from one instant to the other without a wait, on a processor or ready for one; `None`
/// if it did not, and not certain where its state is not recorded.
fn went_on(matching: &Matching<'_>, mark: &Mark<'_>, from: UnixNanos, to: UnixNanos) -> Option<bool> {
    let Some(time) = Interval::new(from, to) else {
        return Some(true);
    };
    let Some(line) = mark.line else {
        return Some(time.is_empty());
    };
    matching.unbroken().went_on(matching.timeline, line, time)
}

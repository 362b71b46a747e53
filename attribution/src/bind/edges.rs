//! Edges: the pairs of span and user task whose times fit.
//!
//! For each span the tasks that end shortly after it are found by binary search among the tasks of its name, sorted by
//! end, because the end lag is much the sharper of the two. Each of them must pass what is certain about a true pair:
//!
//! * both lags lie between the clock's offset and their limit;
//! * between the two readings of a beginning (or end) the goroutine began (ended) no other task;
//! * the goroutine was running when the span's clock was read. On a machine with few processors this leaves few. Where
//!   its state is not recorded, the pair stays a rival of others and is never accepted itself: less evidence must not make
//!   more bindings.

use std::ops::Range;

use spandrel_model::{Interval, State, UnixNanos, UnknownReason};

use super::clock::ClockOffset;
use super::late;
use super::levels::LEVELS;
use super::passes::{Matching, Pass};
use super::user_tasks::{Mark, RowIndex};
use crate::spans::SpanIndex;
use crate::timeline::Standing;

/// Most tasks that are looked at for one span. A span with more in its window sees those of a narrower one only, so that
/// the work stays linear however many equal spans end at once.
const SCAN_MAX: usize = 64;

/// Most states that are looked at around an instant. With more, nobody knows whether the goroutine ran.
const STATES_MAX: usize = 256;

/// A span and a task that may belong together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) span: SpanIndex,
    pub(super) row: RowIndex,
    pub(super) begin_lag_ns: i64,
    /// `None` if the end of the task is not recorded.
    pub(super) end_lag_ns: Option<i64>,
    /// Whether the goroutine is known to have run at the span's times.
    pub(super) witnessed: bool,
    /// Whether the true partner of either side may have its beginning outside the recordings.
    pub(super) near_border: bool,
}

/// The edges of a pass.
pub(super) struct Edges {
    /// Sorted by span, then row.
    pub(super) edges: Vec<Edge>,
    /// For each span, the number of levels at which it sees all its edges.
    pub(super) span_levels: Vec<usize>,
    /// For each row, the number of levels at which all spans that may want it are seen.
    pub(super) row_levels: Vec<usize>,
}

/// Unclaimed tasks to choose from.
#[derive(Clone, Default)]
struct Shelf {
    by_end: Vec<RowIndex>,
    open: Vec<RowIndex>,
}

/// Finds the edges between what `matching` has not paired yet.
pub(super) fn find(matching: &Matching<'_>, pass: Pass) -> Edges {
    let shelves = shelves(matching, pass);
    let mut found = Edges {
        edges: Vec::new(),
        span_levels: vec![LEVELS.len(); matching.spans.len()],
        row_levels: vec![LEVELS.len(); matching.table.len()],
    };
    let mut crowds: Vec<Crowd> = shelves.iter().map(|_| Crowd::default()).collect();
    for span in 0..matching.spans.len() {
        let Some(number) = shelf_of(matching, pass, span) else {
            continue;
        };
        let shelf = &shelves[number];
        let everything = window(matching, pass, LEVELS.len(), span, shelf);
        let mut levels = LEVELS.len();
        let mut seen = everything.clone();
        while seen.len() > SCAN_MAX {
            levels -= 1;
            seen = window(matching, pass, levels, span, shelf);
        }
        if levels < LEVELS.len() {
            found.span_levels[span] = levels;
            crowds[number].ended.push((everything.ended, levels));
            crowds[number].open.push((everything.open, levels));
        }
        let before = found.edges.len();
        let rows = seen.rows(shelf);
        found
            .edges
            .extend(rows.filter_map(|row| edge(matching, pass, span, row)));
        found.edges[before..].sort_unstable_by_key(|edge| edge.row);
    }
    for (shelf, crowd) in shelves.iter().zip(&crowds) {
        lower(&mut found.row_levels, &shelf.by_end, &crowd.ended);
        lower(&mut found.row_levels, &shelf.open, &crowd.open);
    }
    found
}

/// Ranges of a shelf of which some span sees only a part, with the number of levels at which it sees all that fit.
#[derive(Default)]
struct Crowd {
    ended: Vec<(Range<usize>, usize)>,
    open: Vec<(Range<usize>, usize)>,
}

/// Lowers the levels of `rows` to the lowest of the `ranges` that they lie in, in one pass over all of them: many equal
/// spans have ranges that overlap.
fn lower(row_levels: &mut [usize], rows: &[RowIndex], ranges: &[(Range<usize>, usize)]) {
    if ranges.is_empty() {
        return;
    }
    let mut changes = vec![[0_i64; LEVELS.len()]; rows.len() + 1];
    for (range, levels) in ranges {
        changes[range.start][*levels] += 1;
        changes[range.end][*levels] -= 1;
    }
    let mut open = [0_i64; LEVELS.len()];
    for (row, change) in rows.iter().zip(&changes) {
        open.iter_mut().zip(change).for_each(|(open, change)| *open += change);
        if let Some(lowest) = open.iter().position(|open| *open > 0) {
            row_levels[*row] = row_levels[*row].min(lowest);
        }
    }
}

fn shelves(matching: &Matching<'_>, pass: Pass) -> Vec<Shelf> {
    let table = &matching.table;
    let count = match pass {
        Pass::Named | Pass::Detached | Pass::Late => table.group_count(),
        Pass::Renamed => 1,
    };
    let shelf_of = |row: RowIndex| match pass {
        _ if matching.span_of[row].is_some() || table.row(row).begin.is_none() => None,
        Pass::Renamed | Pass::Detached | Pass::Late if matching.row_wanted[row] => None,
        Pass::Named | Pass::Detached | Pass::Late => table.row(row).group,
        Pass::Renamed => Some(0),
    };
    let mut shelves = vec![Shelf::default(); count];
    for row in &table.by_end {
        if let Some(shelf) = shelf_of(*row) {
            shelves[shelf].by_end.push(*row);
        }
    }
    for row in &table.open {
        if let Some(shelf) = shelf_of(*row) {
            shelves[shelf].open.push(*row);
        }
    }
    shelves
}

/// The shelf that the span may choose from; `None` if the span is paired or its beginning is not recorded. A span that was
/// made after the fact has its task at its end, so one that began earlier is a rival there, though it is never accepted.
fn shelf_of(matching: &Matching<'_>, pass: Pass, span: SpanIndex) -> Option<usize> {
    if matching.task_of[span].is_some() || !(matching.start_covered[span] || pass == Pass::Late) {
        return None;
    }
    match pass {
        Pass::Renamed | Pass::Detached | Pass::Late if matching.ambiguous[span] => None,
        Pass::Named | Pass::Detached | Pass::Late => matching.table.group(&matching.spans.span(span).name),
        Pass::Renamed => Some(0),
    }
}

/// Tasks whose times lie near those of a span, as ranges of a shelf.
#[derive(Clone, Default)]
struct Window {
    ended: Range<usize>,
    open: Range<usize>,
}

impl Window {
    fn len(&self) -> usize {
        self.ended.len() + self.open.len()
    }

    fn rows(&self, shelf: &Shelf) -> impl Iterator<Item = RowIndex> {
        let ended = shelf.by_end[self.ended.clone()].iter();
        ended.chain(&shelf.open[self.open.clone()]).copied()
    }
}

/// The tasks that the span sees at `levels` levels, none at none: those whose end lies near its own, and at the last
/// level those whose end is not recorded and whose beginning lies near its own.
fn window(matching: &Matching<'_>, pass: Pass, levels: usize, span: SpanIndex, shelf: &Shelf) -> Window {
    let interval = matching.spans.interval(span);
    let limits = matching.windows;
    let end_lag_ns = match pass {
        Pass::Late => limits.late_lag_ns,
        Pass::Named | Pass::Renamed | Pass::Detached => limits.end_lag_ns,
    };
    let mut window = Window::default();
    let Some(level) = levels.checked_sub(1).map(|last| LEVELS[last]) else {
        return window;
    };
    let earliest_end = interval.end().plus(matching.clock.least_ns);
    let latest_end = interval.end().plus(level.window_ns(end_lag_ns));
    window.ended = range(&shelf.by_end, earliest_end, latest_end, |row| {
        matching.table.row(row).end_at()
    });
    let is_end_recorded = all_recorded(matching, earliest_end, interval.end().plus(limits.end_lag_ns));
    if level.is_last() && pass != Pass::Late && !is_end_recorded {
        let earliest = interval.start().plus(matching.clock.least_ns);
        let latest = interval.start().plus(limits.begin_lag_ns);
        window.open = range(&shelf.open, earliest, latest, |row| matching.table.row(row).begin_at());
    }
    window
}

/// The rows from `first` to `last`, both included.
fn range(
    rows: &[RowIndex],
    first: UnixNanos,
    last: UnixNanos,
    at: impl Fn(RowIndex) -> Option<UnixNanos>,
) -> Range<usize> {
    let start = rows.partition_point(|row| at(*row) < Some(first));
    start..start + rows[start..].partition_point(|row| at(*row) <= Some(last))
}

/// Takes out the edges that the clock rules out by now.
pub(super) fn recheck(matching: &Matching<'_>, found: &mut Edges) {
    found
        .edges
        .retain(|known| edge(matching, Pass::Named, known.span, known.row).is_some());
}

fn edge(matching: &Matching<'_>, pass: Pass, span: SpanIndex, row: RowIndex) -> Option<Edge> {
    if pass == Pass::Late {
        return late::edge(matching, span, row);
    }
    let interval = matching.spans.interval(span);
    let limits = matching.windows;
    let task = matching.table.row(row);
    let begin = task.begin.as_ref()?;
    if matching.pins[span].is_some_and(|pin| pin.task != begin.goroutine) {
        return None;
    }
    let begin_lag_ns = lag(matching.clock, begin, interval.start(), limits.begin_lag_ns)?;
    let end_lag_ns = match &task.end {
        Some(end) => Some(lag(matching.clock, end, interval.end(), limits.end_lag_ns)?),
        None => None,
    };
    let at_begin = ran(matching, begin, interval.start(), 0)?;
    let at_end = match &task.end {
        Some(end) => ran(matching, end, interval.end(), 0)?,
        None => true,
    };
    Some(Edge {
        span,
        row,
        begin_lag_ns,
        end_lag_ns,
        witnessed: at_begin && at_end,
        near_border: !all_recorded(matching, interval.start(), interval.start().plus(limits.begin_lag_ns))
            || !all_recorded(matching, begin.at.plus(-limits.begin_lag_ns), begin.at),
    })
}

pub(super) fn all_recorded(matching: &Matching<'_>, from: UnixNanos, to: UnixNanos) -> bool {
    Interval::new(from, to).is_none_or(|time| matching.timeline.covered_ns(time) == time.duration_ns())
}

/// Nanoseconds from a time of the span to that of the task, if the two can belong together.
fn lag(clock: ClockOffset, mark: &Mark<'_>, of_span: UnixNanos, limit_ns: i64) -> Option<i64> {
    let lag_ns = mark.at.since(of_span);
    ((clock.least_ns..=limit_ns).contains(&lag_ns) && is_first_after(clock, mark, of_span)).then_some(lag_ns)
}

/// Whether the mark's goroutine began (ended) no other task after the span's time.
pub(super) fn is_first_after(clock: ClockOffset, mark: &Mark<'_>, of_span: UnixNanos) -> bool {
    mark.previous
        .is_none_or(|previous| previous <= of_span.plus(clock.most_ns))
}

/// Whether the mark's goroutine certainly executed code of the program at the span's time `at`, which may be early by
/// `early_ns`; `None` if it did not.
pub(super) fn ran(matching: &Matching<'_>, mark: &Mark<'_>, at: UnixNanos, early_ns: i64) -> Option<bool> {
    let clock = matching.clock;
    let most_ns = clock.most_ns.max(early_ns).saturating_add(1);
    let around = Interval::new(at.plus(clock.least_ns), at.plus(most_ns))?;
    let mut unknown = false;
    for (number, tile) in matching.timeline.tiles(mark.line, around).enumerate() {
        if number == STATES_MAX {
            return Some(false);
        }
        match tile.standing {
            Standing::Known(State::Running | State::GcAssist | State::GcSweep, _) => return Some(true),
            Standing::Known(..) | Standing::Unknown(UnknownReason::TaskNotAlive) => {}
            Standing::Unknown(_) => unknown = true,
        }
    }
    unknown.then_some(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_have_the_lowest_level_of_all_ranges_they_lie_in(
            ranges in proptest::collection::vec((0..20_usize, 0..20_usize, 0..LEVELS.len()), 0..10),
            before in proptest::collection::vec(0..=LEVELS.len(), 20),
        ) {
            let ranges = ranges.into_iter().map(|(one, other, levels)| (one.min(other)..one.max(other), levels));
            let ranges: Vec<(Range<usize>, usize)> = ranges.collect();
            let rows: Vec<RowIndex> = (0..20).rev().collect();
            let (mut at_once, mut one_by_one) = (before.clone(), before);
            lower(&mut at_once, &rows, &ranges);
            for (range, levels) in &ranges {
                rows[range.clone()].iter().for_each(|row| one_by_one[*row] = one_by_one[*row].min(*levels));
            }
            prop_assert_eq!(at_once, one_by_one);
        }
    }
}

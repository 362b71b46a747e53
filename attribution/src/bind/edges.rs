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
    for span in 0..matching.spans.len() {
        let Some(shelf) = shelf_of(matching, pass, span, &shelves) else {
            continue;
        };
        let everything = window(matching, pass, LEVELS.len(), span, shelf);
        let mut levels = LEVELS.len();
        let mut seen = everything;
        while seen.len() > SCAN_MAX {
            levels -= 1;
            seen = window(matching, pass, levels, span, shelf);
        }
        if levels < LEVELS.len() {
            found.span_levels[span] = levels;
            everything
                .rows()
                .for_each(|row| found.row_levels[row] = found.row_levels[row].min(levels));
        }
        let before = found.edges.len();
        found
            .edges
            .extend(seen.rows().filter_map(|row| edge(matching, pass, span, row)));
        found.edges[before..].sort_unstable_by_key(|edge| edge.row);
    }
    found
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

/// The tasks that the span may choose from; `None` if the span is paired or its beginning is not recorded. A span that was
/// made after the fact has its task at its end, so one that began earlier is a rival there, though it is never accepted.
fn shelf_of<'a>(matching: &Matching<'_>, pass: Pass, span: SpanIndex, shelves: &'a [Shelf]) -> Option<&'a Shelf> {
    if matching.task_of[span].is_some() || !(matching.start_covered[span] || pass == Pass::Late) {
        return None;
    }
    match pass {
        Pass::Renamed | Pass::Detached | Pass::Late if matching.ambiguous[span] => None,
        Pass::Named | Pass::Detached | Pass::Late => {
            shelves.get(matching.table.group(&matching.spans.span(span).name)?)
        }
        Pass::Renamed => shelves.first(),
    }
}

/// Tasks whose times lie near those of a span.
#[derive(Clone, Copy)]
struct Window<'a> {
    ended: &'a [RowIndex],
    open: &'a [RowIndex],
}

impl Window<'_> {
    fn len(&self) -> usize {
        self.ended.len() + self.open.len()
    }

    fn rows(&self) -> impl Iterator<Item = RowIndex> {
        self.ended.iter().chain(self.open).copied()
    }
}

/// The tasks that the span sees at `levels` levels, none at none: those whose end lies near its own, and at the last
/// level those whose end is not recorded and whose beginning lies near its own.
fn window<'a>(matching: &Matching<'_>, pass: Pass, levels: usize, span: SpanIndex, shelf: &'a Shelf) -> Window<'a> {
    let interval = matching.spans.span(span).interval;
    let limits = matching.windows;
    let end_lag_ns = match pass {
        Pass::Late => limits.late_lag_ns,
        Pass::Named | Pass::Renamed | Pass::Detached => limits.end_lag_ns,
    };
    let mut window = Window { ended: &[], open: &[] };
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

fn range(
    rows: &[RowIndex],
    first: UnixNanos,
    last: UnixNanos,
    at: impl Fn(RowIndex) -> Option<UnixNanos>,
) -> &[RowIndex] {
    let at = |row: &RowIndex| at(*row);
    let rows = &rows[rows.partition_point(|row| at(row) < Some(first))..];
    &rows[..rows.partition_point(|row| at(row) <= Some(last))]
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
    let interval = matching.spans.span(span).interval;
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
    for tile in matching.timeline.tiles(mark.line, around) {
        match tile.standing {
            Standing::Known(State::Running | State::GcAssist | State::GcSweep, _) => return Some(true),
            Standing::Known(..) | Standing::Unknown(UnknownReason::TaskNotAlive) => {}
            Standing::Unknown(_) => unknown = true,
        }
    }
    unknown.then_some(false)
}

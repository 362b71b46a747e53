//! What a connector that starts again learns from the rows of earlier runs.
//!
//! ```text
//! spans                     -> spans to hold ----------.
//! span_quality, task_spans  -> which have rows already -+-> held_spans/restore.rs
//! span_quality, attribution -> requests of windows ----.
//! operations, matrix,                                   +-> windows/restore.rs
//!   interference            -> what was sent of them --'
//! ```
//!
//! Time is counted back from the last commit, not from now: however long the collector was down, what it held when it
//! ended is what matters. A crash can have come between the commits of two tables, in the order of `Table::ALL`; so a
//! span counts as joined if it has its row of `span_quality`, the last of the three that are about spans, and a window
//! as sent if the rows of all its tables agree with those of its requests.

mod columns;
mod requests;
mod sent;
mod spans;

use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZeroI64;
use std::time::Duration;

use spandrel_attribution::{SpanAttribution, window_start};
use spandrel_model::{Interval, Span, UnixNanos};
use spandrel_pipeline::{StoredRows, WantedRows};

use super::AttributionConfig;

pub(super) use self::sent::SentGroups;
pub(super) use self::spans::RecalledSpan;

/// More windows than these are not filled again: those that began first are left as they are.
const RESTORED_WINDOWS: usize = 1_000;

/// Why stored rows cannot be used.
pub(super) type RecallError = Box<dyn Error + Send + Sync>;

/// What earlier runs held when they ended, as far as the store shows it.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    /// The latest spans, each once or more.
    pub(super) spans: Vec<RecalledSpan>,
    /// All requests of some windows, from the rows about them.
    pub(super) requests: Vec<SpanAttribution>,
    /// What was sent of these windows, or part of them.
    pub(super) sent: SentGroups,
}

impl Recalled {
    /// Reads rows. Does I/O.
    ///
    /// # Errors
    /// Rows cannot be read.
    pub(super) fn read(rows: &dyn StoredRows, config: &AttributionConfig) -> Result<Self, RecallError> {
        // What was correctable then, and as much before it: the neighbors and parents of that.
        let correctable_ns = nanoseconds(config.join_delay + config.retention);
        let last_commit = rows.last_commit();
        let latest = WantedRows {
            since: last_commit.plus(correctable_ns.saturating_mul(-2)),
            times: Vec::new(),
        };
        let spans = spans::read(rows, &latest, config.span_limit)?;
        let correctable_since = last_commit.plus(-correctable_ns);
        let windows = windows_of(&spans, correctable_since, config.window_ns);
        let wanted = WantedRows {
            times: windows
                .iter()
                .filter_map(|start| window(*start, config.window_ns))
                .collect(),
            ..latest
        };
        let mut quality = requests::read_quality(rows, &wanted, config.span_limit)?;
        let cells = requests::read_cells(rows, &wanted, &mut quality)?;
        let spans = spans::with_rows(spans, rows, &wanted, correctable_since, &mut quality, &cells)?;
        let sent = sent::read(rows, &wanted, config.window_ns)?;
        let requests = match sent {
            Some(_) => requests::of_windows(quality, cells, &windows, config.window_ns),
            None => Vec::new(),
        };
        Ok(Self {
            spans,
            requests,
            sent: sent.unwrap_or_default(),
        })
    }
}

/// The latest of the windows in which spans began that were committed at `since` or later.
fn windows_of(spans: &[(UnixNanos, Span)], since: UnixNanos, window_ns: NonZeroI64) -> BTreeSet<UnixNanos> {
    let correctable = spans.iter().filter(|(committed_at, _)| *committed_at >= since);
    let mut windows: BTreeSet<UnixNanos> = correctable
        .map(|(_, span)| window_start(span.interval.start(), window_ns))
        .collect();
    while windows.len() > RESTORED_WINDOWS {
        windows.pop_first();
    }
    windows
}

fn window(start: UnixNanos, window_ns: NonZeroI64) -> Option<Interval> {
    Interval::new(start, start.plus(window_ns.get()))
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

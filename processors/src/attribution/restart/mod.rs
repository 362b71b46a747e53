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
//! span counts as joined if it has its row of `span_quality`, the last of the three that are about spans, and a window as
//! sent if the rows of all its tables agree with those of its requests.

mod columns;
mod requests;
mod sent;
mod spans;

use std::error::Error;
use std::time::Duration;

use spandrel_attribution::{SpanAttribution, window_start};
use spandrel_pipeline::StoredRows;

use super::AttributionConfig;

pub(super) use self::sent::SentGroups;
pub(super) use self::spans::RecalledSpan;

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
        let since = last_commit.plus(correctable_ns.saturating_mul(-2));
        let since = window_start(since, config.window_ns);
        let mut quality = requests::read_quality(rows, since, config.span_limit)?;
        let cells = requests::read_cells(rows, since, &mut quality)?;
        let spans = spans::read(rows, since, config.span_limit, &quality, &cells)?;
        let correctable_since = last_commit.plus(-correctable_ns);
        let sent = sent::read(rows, since, config.window_ns)?;
        let requests = match sent {
            Some(_) => requests::of_windows(quality, cells, since, config.window_ns),
            None => Vec::new(),
        };
        Ok(Self {
            spans: spans::mark_correctable(spans, correctable_since),
            requests,
            sent: sent.unwrap_or_default(),
        })
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

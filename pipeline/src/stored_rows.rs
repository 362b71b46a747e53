//! What a consumer still has of earlier runs of the collector: the memory of a component that starts again.

use std::error::Error;
use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;
use spandrel_model::{Interval, Table, UnixNanos};

/// Rows that earlier runs left at a consumer, all tables as they were at one moment.
pub trait StoredRows: Send + Sync {
    /// When rows of any table were last committed, on the clock of the collector.
    fn last_commit(&self) -> UnixNanos;

    /// Shows `take` some columns of rows of `table`, in the types of [`Table::schema`]: all rows of `wanted`, and maybe
    /// others. What was committed last comes first; a batch comes with the time of its commit. Ends early if `take`
    /// breaks. Does I/O.
    ///
    /// # Errors
    /// Rows cannot be read, or `take` fails.
    fn read(
        &self,
        table: Table,
        columns: &[&str],
        wanted: &WantedRows,
        take: &mut TakeRows<'_>,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Which rows are wanted: those that meet either condition.
#[derive(Clone, Debug)]
pub struct WantedRows {
    /// Committed at this time or later.
    pub since: UnixNanos,
    /// With a [`Table::time_column`] in one of these intervals, which are sorted and do not overlap.
    pub times: Vec<Interval>,
}

impl WantedRows {
    /// Whether rows of which the times lie in `range`, ends included, and which were committed at this time may be
    /// wanted. The range is `None` if it is not known.
    pub fn may_hold(&self, committed_at: UnixNanos, range: Option<(UnixNanos, UnixNanos)>) -> bool {
        let Some((first, last)) = range else {
            return true;
        };
        let next = self.times.partition_point(|time| time.end() <= first);
        committed_at >= self.since || self.times.get(next).is_some_and(|time| time.start() <= last)
    }
}

/// Takes a batch of rows and the time at which they were committed.
pub type TakeRows<'a> =
    dyn FnMut(UnixNanos, &RecordBatch) -> Result<ControlFlow<()>, Box<dyn Error + Send + Sync>> + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_wanted_for_their_commit_or_for_their_time() {
        let interval = |start, end| Interval::new(UnixNanos(start), UnixNanos(end)).unwrap();
        let wanted = WantedRows {
            since: UnixNanos(100),
            times: vec![interval(10, 20), interval(30, 40)],
        };
        let may_hold = |at, first, last| wanted.may_hold(UnixNanos(at), Some((UnixNanos(first), UnixNanos(last))));
        assert!(may_hold(100, 0, 1));
        let early = [(0, 9), (0, 10), (19, 19), (20, 29), (20, 30), (15, 35), (40, 50)];
        assert_eq!(
            early.map(|(first, last)| may_hold(99, first, last)),
            [false, true, true, false, true, true, false]
        );
        assert!(wanted.may_hold(UnixNanos(0), None));
    }
}

//! What a consumer still has of earlier runs of the collector: the memory of a component that starts again.

use std::error::Error;
use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;
use spandrel_model::{Table, UnixNanos};

/// Rows that earlier runs left at a consumer, all tables as they were at one moment.
pub trait StoredRows: Send + Sync {
    /// When rows of any table were last committed, on the clock of the collector.
    fn last_commit(&self) -> UnixNanos;

    /// Shows `take` some columns of rows of `table`, in the types of [`Table::schema`]: all rows whose commit or whose
    /// [`Table::time_column`] is at `since` or later, and maybe some earlier ones. What was committed last comes first; a
    /// batch comes with the time of its commit. Ends early if `take` breaks. Does I/O.
    ///
    /// # Errors
    /// Rows cannot be read, or `take` fails.
    fn read(
        &self,
        table: Table,
        columns: &[&str],
        since: UnixNanos,
        take: &mut TakeRows<'_>,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Takes a batch of rows and the time at which they were committed.
pub type TakeRows<'a> =
    dyn FnMut(UnixNanos, &RecordBatch) -> Result<ControlFlow<()>, Box<dyn Error + Send + Sync>> + 'a;

//! The latest rows of a table, for a component that starts again and must know what was written.

use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use spandrel_model::{Table, UnixNanos};

use crate::stored_file::StoredFile;
use crate::{DataFile, Snapshot, StoreError};

impl Snapshot {
    /// When the newest file of any table was committed; `None` if there is none.
    pub fn last_commit(&self) -> Option<UnixNanos> {
        let files = Table::ALL.into_iter().flat_map(|table| &self.table(table).files);
        files.map(committed_at).max()
    }

    /// Gives `take` some columns of those files of `table` that `is_wanted` says: by the time of their commit, and by
    /// the least and greatest [`Table::time_column`] in them, if that is known. Rows come a few thousand at a time,
    /// with the time of their commit, the files committed last first. Columns are in the order of the table and in the
    /// types of [`Table::schema`]. Ends early if `take` breaks. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or `take` fails.
    pub fn read_files<E: From<StoreError>>(
        &self,
        table: Table,
        columns: &[&str],
        is_wanted: impl Fn(UnixNanos, Option<(UnixNanos, UnixNanos)>) -> bool,
        mut take: impl FnMut(UnixNanos, &RecordBatch) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let range = |file: &DataFile| file.time_ns.map(|(first, last)| (UnixNanos(first), UnixNanos(last)));
        let files = self.table(table).files.iter();
        let mut files: Vec<&DataFile> = files
            .filter(|file| is_wanted(committed_at(file), range(file)))
            .collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.modified_ms));
        for file in files {
            let stored = StoredFile::open(table, &file.path)?;
            for batch in stored.read(|name| columns.contains(&name), None)? {
                if take(committed_at(file), &batch?)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn committed_at(file: &DataFile) -> UnixNanos {
    UnixNanos(file.modified_ms.saturating_mul(1_000_000))
}

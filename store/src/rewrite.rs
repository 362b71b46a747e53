//! Removal of rows from committed files: each file that holds one is written again without it.
//!
//! ```text
//! files of the keys' hours -> those that may hold a key's time -> read the times -> read the keys -> copy the rest
//!                             (what is remembered, else the log's statistics)
//! ```
//!
//! One file is open at a time. A file that is damaged is left as it is. The old files stay for readers of older snapshots, until [`crate::vacuum`].

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::RowSelection;
use spandrel_model::Table;

use crate::StoreError;
use crate::file_times::FileTimes;
use crate::keys::{COMMITTED, Keys};
use crate::log_entry::{LoggedFile, RewrittenFile};
use crate::parquet_file::FileWriter;
use crate::partition::int64_column;
use crate::stored_file::{StoredFile, read_error};

/// Finds and rewrites the files of one table.
pub(crate) struct Rewriter<'a> {
    pub(crate) table: Table,
    pub(crate) keys: &'a Keys,
    pub(crate) writer: &'a FileWriter<'a>,
    pub(crate) times: &'a SharedFileTimes,
}

/// [`FileTimes`] for the threads of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedFileTimes(Arc<Mutex<FileTimes>>);

impl SharedFileTimes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, FileTimes> {
        // It only spares work: what a panic left is at worst incomplete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of the files that may hold rows to be removed.
#[derive(Default)]
pub(crate) struct Rewritten {
    /// Those that held some.
    pub(crate) files: Vec<RewrittenFile>,
    /// How many cannot be read and are left as they are.
    pub(crate) damaged: u64,
}

impl Rewriter<'_> {
    /// Writes those of `files` again that hold rows to be removed, without them. Blocks.
    ///
    /// A damaged file is left as it is: nobody can read the rows that should go, and no commit of that hour would ever
    /// succeed if it had to wait for the file.
    pub(crate) fn rewrite(&self, files: Vec<LoggedFile>) -> Result<Rewritten, StoreError> {
        let mut rewritten = Rewritten::default();
        for file in files {
            let path = file.path.clone();
            match self.rewrite_file(file) {
                Ok(file) => rewritten.files.extend(file),
                Err(error) if error.is_damaged_file(&path) => {
                    rewritten.damaged += 1;
                    report(self.table, &path, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rewritten)
    }

    fn rewrite_file(&self, file: LoggedFile) -> Result<Option<RewrittenFile>, StoreError> {
        if !self.may_hold_keys(&file) {
            return Ok(None);
        }
        let stored = StoredFile::open(self.table, &file.path)?;
        let replaced = self.replaced_rows(&stored, &file.path)?;
        if replaced.is_empty() {
            return Ok(None);
        }
        let row_count = stored.row_count();
        let copy = if replaced.len() == row_count {
            None
        } else {
            let rest = RowSelection::from_consecutive_ranges(others(&replaced, row_count), row_count);
            Some(self.writer.write(file.hour, stored.read(|_| true, Some(rest))?)?)
        };
        Ok(Some(RewrittenFile {
            old: file,
            copy,
            replaced_rows: replaced.len() as u64,
        }))
    }

    fn may_hold_keys(&self, file: &LoggedFile) -> bool {
        if let Some(times_ns) = self.times.lock().get(&file.path) {
            return self.keys.has_time_among(times_ns);
        }
        let range = file.time_range_ns(self.table);
        range.is_none_or(|(min_ns, max_ns)| self.keys.has_time_between(min_ns, max_ns))
    }

    /// Rows of the file that equal a key, ascending.
    fn replaced_rows(&self, stored: &StoredFile, path: &Path) -> Result<Vec<usize>, StoreError> {
        let time_column = self.table.time_column();
        let rows_error = |source: ArrowError| read_error(self.table, path, source.into());
        let mut times_ns = Vec::with_capacity(stored.row_count());
        for batch in stored.read(|name| name == time_column, None)? {
            times_ns.extend(int64_column(&batch?, time_column).map_err(rows_error)?.values());
        }
        let has_time = |row: &usize| self.keys.has_time(times_ns[*row]);
        let candidates = (0..times_ns.len()).filter(has_time).collect::<Vec<_>>();
        self.times.lock().learn(path, times_ns);
        if candidates.is_empty() {
            return Ok(candidates);
        }
        let columns = self.keys.columns();
        let selection = candidates.iter().map(|row| *row..row + 1);
        let selection = RowSelection::from_consecutive_ranges(selection, stored.row_count());
        let (mut replaced, mut read) = (Vec::new(), 0);
        for batch in stored.read(|name| columns.contains(name), Some(selection))? {
            let batch = batch?;
            let rows = self.keys.replaced_rows(&batch, COMMITTED).map_err(rows_error)?;
            replaced.extend(rows.into_iter().map(|row| candidates[read + row]));
            read += batch.num_rows();
        }
        Ok(replaced)
    }
}

fn report(table: Table, path: &Path, error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(
        table = table.name(),
        file = %path.display(),
        cause = cause.unwrap_or_default(),
        "a stored file cannot be read, so replaced rows in it stay: restore the file, or delete it and take it out of \
         the Delta log with `DeltaTable.repair()` of the Python package deltalake: {error}"
    );
}

/// The rows between `rows`, which are ascending.
fn others(rows: &[usize], row_count: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = std::iter::once(0).chain(rows.iter().map(|row| row + 1));
    let ends = rows.iter().copied().chain([row_count]);
    starts.zip(ends).map(|(start, end)| start..end)
}

//! What can go wrong in the store, with the table, the place and the operation.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use deltalake::DeltaTableError;
use parquet::errors::ParquetError;
use spandrel_model::Table;

/// Why the store could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another [`crate::Store`] of this one, writes to the directory.
    #[error("store `{}` is in use by another writer; stop it, or choose another directory", dir.display())]
    Locked {
        /// Directory of the store.
        dir: PathBuf,
    },

    /// The operating system refused an operation on a file or directory.
    #[error("failed to {operation} `{}`", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },

    /// Rows or keys given to [`crate::Store::commit`] have other columns than [`Table::schema`]. Nothing was written.
    #[error("rows or keys for table `{}` do not have its columns", table.name())]
    Rows {
        /// The table they were meant for.
        table: Table,
        /// Which column differs, and how.
        source: ArrowError,
    },

    /// The rows could not be sorted or copied.
    #[error("failed to sort rows of table `{}`", table.name())]
    Sort {
        /// The table.
        table: Table,
        /// What Arrow says.
        source: ArrowError,
    },

    /// A data file could not be encoded or decoded.
    #[error("failed to {operation} Parquet file `{}` of table `{}`", path.display(), table.name())]
    Parquet {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The table.
        table: Table,
        /// The file; under its temporary name if it was being written.
        path: PathBuf,
        /// What the Parquet library says.
        source: ParquetError,
    },

    /// The Delta log of a table could not be read or written.
    #[error("failed to {operation} the Delta log of table `{}` in `{}`", table.name(), path.display())]
    Delta {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The table.
        table: Table,
        /// Directory of the table.
        path: PathBuf,
        /// What the Delta library says.
        source: Box<DeltaTableError>,
    },

    /// The table on the disk lacks a column of this version, or has it with another type.
    #[error(
        "table `{}` in `{}` has no column `{column}` of type {expected}: another version of Spandrel wrote it; \
         choose a new directory",
        table.name(), path.display()
    )]
    Columns {
        /// The table.
        table: Table,
        /// Directory of the table.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its Delta type in this version.
        expected: String,
    },

    /// The directory's path cannot be written as a URL, which the Delta library asks for.
    #[error("path `{}` cannot be written as a URL; choose an absolute path without unusual characters", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },

    /// The runtime shut down while a file was being written. The commit did not happen.
    #[error("the runtime shut down during a commit")]
    Shutdown,
}

impl StoreError {
    /// Whether this says that the file at `path` cannot be read and will not be readable when that is tried again: it is
    /// missing, or not what was written. A shortage of memory, files or time is no damage.
    pub(crate) fn is_damaged_file(&self, at: &Path) -> bool {
        match self {
            Self::Io { path, source, .. } => path == at && is_lasting(source),
            // What the operating system refuses while a stored file is read is `Io`: see `WatchedFile`.
            Self::Parquet { path, .. } => path == at,
            _ => false,
        }
    }
}

fn is_lasting(error: &io::Error) -> bool {
    /// "Input/output error" of Unix: the disk cannot read its own blocks.
    const EIO: i32 = 5;
    use io::ErrorKind::{InvalidData, IsADirectory, NotFound, PermissionDenied, UnexpectedEof};
    let is_kind = matches!(
        error.kind(),
        InvalidData | IsADirectory | NotFound | PermissionDenied | UnexpectedEof
    );
    is_kind || error.raw_os_error() == Some(EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_no_damage_of_a_file() {
        let (path, other) = (Path::new("part-1.parquet"), Path::new("part-2.parquet"));
        let opened = |kind: io::ErrorKind| StoreError::Io {
            operation: "open",
            path: path.to_owned(),
            source: kind.into(),
        };
        let read = |source| StoreError::Parquet {
            operation: "read",
            table: Table::Spans,
            path: path.to_owned(),
            source,
        };
        for damage in [
            opened(io::ErrorKind::NotFound),
            read(ParquetError::General("not Parquet".to_owned())),
            opened(io::ErrorKind::UnexpectedEof),
        ] {
            assert!(damage.is_damaged_file(path), "{damage:?}");
            assert!(!damage.is_damaged_file(other), "{damage:?}");
        }
        for passing in [opened(io::ErrorKind::OutOfMemory), opened(io::ErrorKind::TimedOut)] {
            assert!(!passing.is_damaged_file(path), "{passing:?}");
        }
    }
}

//! The store as the memory of components that start again.

use std::error::Error;

use spandrel_model::{Table, UnixNanos};
use spandrel_pipeline::{StoredRows, TakeRows, WantedRows};
use spandrel_store::Snapshot;

/// A snapshot that holds rows.
pub(super) struct Recalled {
    snapshot: Snapshot,
    last_commit: UnixNanos,
}

impl Recalled {
    /// `None` if nothing was ever committed.
    pub(super) fn new(snapshot: Snapshot) -> Option<Self> {
        let last_commit = snapshot.last_commit()?;
        Some(Self { snapshot, last_commit })
    }
}

impl StoredRows for Recalled {
    fn last_commit(&self) -> UnixNanos {
        self.last_commit
    }

    fn read(
        &self,
        table: Table,
        columns: &[&str],
        wanted: &WantedRows,
        take: &mut TakeRows<'_>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let is_wanted = |committed_at, range| wanted.may_hold(committed_at, range);
        self.snapshot.read_files(table, columns, is_wanted, take)
    }
}

//! What is committed: the files of every table at one moment, from the logs alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use spandrel_model::Table;
use tokio::sync::Mutex;

use crate::StoreError;
use crate::delta_log::DeltaLog;
use crate::disk::Disk;

/// Reads the logs of a store, without a lock, beside any writer. Clones share what they have read.
#[derive(Clone)]
pub struct StoreReader {
    dir: Arc<Path>,
    /// In the order of [`Table::ALL`].
    logs: Arc<Mutex<Vec<DeltaLog>>>,
}

impl StoreReader {
    /// Opens the store in a directory that exists; it may be empty. Reads nothing yet.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        let dir = dir.canonicalize().map_err(|source| StoreError::Io {
            operation: "open the store in",
            path: dir.to_owned(),
            source,
        })?;
        let disk = Disk::new(&dir);
        let logs = Table::ALL.map(|table| DeltaLog::new(&disk, &dir, table));
        Ok(Self {
            dir: dir.into(),
            logs: Arc::new(Mutex::new(logs.into_iter().collect::<Result<_, _>>()?)),
        })
    }

    /// Absolute directory of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest committed state of every table. Must run in a tokio runtime.
    ///
    /// A commit adds to the tables in the order of [`Table::ALL`], so the logs are read in the opposite order: rows
    /// that refer to others are never seen without them.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut logs = self.logs.lock().await;
        for log in logs.iter_mut().rev() {
            log.refresh().await?;
        }
        Ok(Snapshot {
            dir: self.dir.clone(),
            tables: logs.iter().map(|log| Arc::new(log.table_snapshot())).collect(),
        })
    }
}

/// The state of every table at one moment. It never changes; the files it lists are not deleted while it is in use
/// unless that is longer than the retention of removed files.
#[derive(Clone, Debug)]
pub struct Snapshot {
    dir: Arc<Path>,
    /// In the order of [`Table::ALL`].
    tables: Vec<Arc<TableSnapshot>>,
}

impl Snapshot {
    /// Absolute directory of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The state of one table.
    pub fn table(&self, table: Table) -> &Arc<TableSnapshot> {
        let index = Table::ALL.iter().position(|each| *each == table);
        &self.tables[index.expect("ALL holds every table")]
    }
}

/// The state of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSnapshot {
    /// Version of the Delta log; `None` if no row was ever committed.
    pub version: Option<u64>,
    /// The files that hold the rows.
    pub files: Vec<DataFile>,
}

/// A Parquet file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Absolute path.
    pub path: PathBuf,
    /// Size of the file.
    pub size_bytes: u64,
    /// When the file was committed, in milliseconds since the Unix epoch.
    pub modified_ms: i64,
    /// Rows in the file, if its writer said.
    pub rows: Option<u64>,
    /// UTC date of the rows, `2026-11-21`.
    pub dt: String,
    /// UTC hour of the rows, `09`.
    pub hr: String,
    /// Least and greatest value of [`Table::time_column`], if its writer said.
    pub time_ns: Option<(i64, i64)>,
}

//! The one writer of a store.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use spandrel_model::Table;
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use crate::delta_log::DeltaLog;
use crate::disk::Disk;
use crate::encoding::recoded;
use crate::parquet_file::{WrittenFile, write_files};
use crate::sweep::sweep;
use crate::{StoreError, StoreReader};

const LOCK_FILE: &str = ".lock";

/// Writes tables into a directory. There is one at a time for a directory, on all of the machine.
pub struct Store {
    disk: Disk,
    reader: StoreReader,
    /// In the order of [`Table::ALL`]. Held during a commit: commits follow each other.
    logs: Mutex<Vec<DeltaLog>>,
    /// The operating system drops the lock with the file, also when the process is killed.
    _lock: File,
}

/// Names a commit, so that a repetition of it is recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitKey {
    /// Who commits; versions are compared within one such name.
    pub app_id: String,
    /// Grows with every commit of that name.
    pub version: i64,
}

/// What a commit added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Rows of all tables.
    pub rows: u64,
    /// Parquet files.
    pub files: u64,
    /// Size of these files.
    pub bytes: u64,
}

impl Store {
    /// Opens the directory for writing, creates it if needed, and removes what a crash left there.
    /// Must run in a tokio runtime.
    ///
    /// Fails with [`StoreError::Locked`] if the directory has a writer already.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref().to_owned();
        let (dir, lock) = blocking(move || create_and_lock(&dir)).await?;
        let disk = Disk::new(&dir);
        let mut logs = Vec::new();
        for table in Table::ALL {
            let mut log = DeltaLog::new(&disk, &dir, table)?;
            log.refresh().await?;
            let known = log.known_files().await?;
            let table_dir = log.dir().to_owned();
            blocking(move || {
                sweep(&table_dir, &known).map_err(|source| StoreError::Io {
                    operation: "remove uncommitted files from",
                    path: table_dir,
                    source,
                })
            })
            .await?;
            logs.push(log);
        }
        Ok(Self {
            disk,
            reader: StoreReader::open(&dir)?,
            logs: Mutex::new(logs),
            _lock: lock,
        })
    }

    /// Absolute directory of the store.
    pub fn dir(&self) -> &Path {
        self.reader.dir()
    }

    #[cfg(test)]
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// A reader of this store.
    pub fn reader(&self) -> StoreReader {
        self.reader.clone()
    }

    /// Adds rows to tables. They are durable and visible when this returns.
    ///
    /// Every batch has the columns of [`Table::row_schema`] or [`Table::schema`]. The rows of one table become visible at once; tables follow
    /// each other in the order of [`Table::ALL`]. On an error some tables may be committed and others not; the same
    /// rows with the same `key` then complete the commit, as a table that holds the key at this or a later version is
    /// left alone. Without a key, repetition means duplicates.
    ///
    /// Memory: the batches, their sort keys (about 50 bytes a row), and one row group per table in turn.
    pub async fn commit(
        &self,
        rows: Vec<(Table, Vec<RecordBatch>)>,
        key: Option<CommitKey>,
    ) -> Result<Committed, StoreError> {
        let mut rows = conforming_rows(rows)?;
        let mut logs = self.logs.lock().await;
        let mut flushes = Vec::new();
        for (log, table) in logs.iter_mut().zip(Table::ALL) {
            let Some(batches) = rows.remove(&table) else {
                continue;
            };
            if !is_committed(log, key.as_ref()).await? {
                let dir = log.dir().to_owned();
                flushes.push((log, Flush { table, dir, batches }));
            }
        }
        let (logs, flushes): (Vec<_>, Vec<_>) = flushes.into_iter().unzip();
        let disk = self.disk.clone();
        let written = blocking(move || {
            flushes
                .iter()
                .map(|flush| flush.write(&disk))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut committed = Committed::default();
        for (log, files) in logs.into_iter().zip(written.await?) {
            log.append(&files, key.as_ref()).await?;
            committed.add(&files);
        }
        Ok(committed)
    }
}

/// The rows of one table in a commit.
struct Flush {
    table: Table,
    dir: PathBuf,
    batches: Vec<RecordBatch>,
}

impl Flush {
    fn write(&self, disk: &Disk) -> Result<Vec<WrittenFile>, StoreError> {
        write_files(disk, self.table, &self.dir, &self.batches)
    }
}

impl Committed {
    fn add(&mut self, files: &[WrittenFile]) {
        self.files += files.len() as u64;
        self.rows += files.iter().map(|file| file.rows).sum::<u64>();
        self.bytes += files.iter().map(|file| file.size_bytes).sum::<u64>();
    }
}

/// Brings the log up to date, and the table into being.
async fn is_committed(log: &mut DeltaLog, key: Option<&CommitKey>) -> Result<bool, StoreError> {
    if !log.refresh().await? {
        log.create().await?;
        return Ok(false);
    }
    match key {
        Some(key) => log.holds(key).await,
        None => Ok(false),
    }
}

/// The batches of each table under its own schema, without empty ones.
fn conforming_rows(rows: Vec<(Table, Vec<RecordBatch>)>) -> Result<BTreeMap<Table, Vec<RecordBatch>>, StoreError> {
    let mut tables = BTreeMap::<Table, Vec<RecordBatch>>::new();
    for (table, batches) in rows {
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            let batch = conforming(table, &batch).map_err(|source| StoreError::Rows { table, source })?;
            tables.entry(table).or_default().push(batch);
        }
    }
    Ok(tables)
}

/// A batch with the columns of the table, as rows travel. Strings may come as dictionaries or not.
fn conforming(table: Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = table.row_schema();
    let names = |fields: &arrow::datatypes::Fields| fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let (expected, found) = (names(schema.fields()), names(batch.schema_ref().fields()));
    if expected != found {
        let message = format!("expected columns {}, found {}", expected.join(", "), found.join(", "));
        return Err(ArrowError::SchemaError(message));
    }
    recoded(batch, &schema)
}

/// Creates the directory durably. Returns its absolute path, and the lock as an open file.
fn create_and_lock(dir: &Path) -> Result<(PathBuf, File), StoreError> {
    let io_error = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io {
            operation,
            path,
            source,
        }
    };
    let missing = dir.ancestors().filter(|ancestor| !ancestor.exists()).count();
    std::fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let dir = dir.canonicalize().map_err(io_error("open", dir))?;
    for parent in dir.ancestors().skip(1).take(missing) {
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(io_error("sync", parent))?;
    }
    let path = dir.join(LOCK_FILE);
    let lock = File::create(&path).map_err(io_error("create", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok((dir, lock)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { dir }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => resume(error),
    }
}

fn resume<T>(error: JoinError) -> Result<T, StoreError> {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(StoreError::Shutdown),
    }
}

//! The one writer of a store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use spandrel_model::Table;
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use crate::change::{self, Change, TableChange};
use crate::delta_log::{DeltaLog, MentionedFiles};
use crate::directory_lock::create_and_lock;
use crate::disk::Disk;
use crate::log_entry::{LogEntry, LoggedFile};
use crate::parquet_file::FileWriter;
use crate::rewrite::{Rewriter, SharedFileTimes};
use crate::sweep::sweep;
use crate::vacuum::{self, vacuum};
use crate::{StoreError, StoreReader};

/// Writes tables into a directory. There is one at a time for a directory, on all of the machine.
pub struct Store {
    disk: Disk,
    reader: StoreReader,
    /// Held during a commit: commits follow each other.
    state: Mutex<State>,
    times: SharedFileTimes,
    /// The operating system drops the lock with the file, also when the process is killed.
    _lock: File,
}

struct State {
    /// In the order of [`Table::ALL`].
    logs: Vec<DeltaLog>,
    vacuumed: Instant,
}

/// Names a commit, so that a repetition of it is recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitKey {
    /// Who commits; versions are compared within one such name.
    pub app_id: String,
    /// Grows with every commit of that name.
    pub version: i64,
}

/// What a commit did, over all tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Rows added, without those that later changes of this commit replace.
    pub rows: u64,
    /// Parquet files with these rows.
    pub files: u64,
    /// Size of these files.
    pub bytes: u64,
    /// Rows removed: from files committed before, and of earlier changes of this commit.
    pub replaced_rows: u64,
    /// Files that held rows to be removed.
    pub rewritten_files: u64,
    /// Size of the files written in their place.
    pub rewritten_bytes: u64,
    /// Files that may hold rows to be removed, but cannot be read. They are left as they are and named in the log.
    pub damaged_files: u64,
}

impl Store {
    /// Opens the directory for writing, creates it if needed, and removes what a crash left there and files that were
    /// taken out of their table long ago. Must run in a tokio runtime.
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
            clean(&log, |table_dir, files| {
                vacuum(files, SystemTime::now())?;
                sweep(table_dir, files)
            })
            .await?;
            logs.push(log);
        }
        Ok(Self {
            disk,
            reader: StoreReader::open(&dir)?,
            state: Mutex::new(State {
                logs,
                vacuumed: Instant::now(),
            }),
            times: SharedFileTimes::default(),
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

    /// Adds rows to tables and removes those that they replace. All is durable and visible when this returns.
    ///
    /// What happens to one table becomes visible at once; tables follow each other in the order of [`Table::ALL`]. On
    /// an error some tables may be committed and others not; the same changes with the same `key` then complete the
    /// commit, as a table that holds the key at this or a later version is left alone. Without a key, repetition means
    /// duplicates.
    ///
    /// A file that is missing or damaged keeps no commit from succeeding: rows in it that should be removed stay, which
    /// is logged and counted.
    ///
    /// Memory: the batches, their sort keys (about 50 bytes a row), the keys of rows to remove, and one row group of one
    /// file in turn.
    pub async fn commit(&self, changes: Vec<TableChange>, key: Option<CommitKey>) -> Result<Committed, StoreError> {
        let mut changes = change::by_table(changes)?;
        let mut state = self.state.lock().await;
        state.vacuum_if_due().await;
        let (mut planned, mut committed) = (Vec::new(), Committed::default());
        for (log, table) in state.logs.iter_mut().zip(Table::ALL) {
            let Some(change) = changes.remove(&table) else {
                continue;
            };
            if !is_committed(log, key.as_ref()).await? {
                committed.replaced_rows += change.superseded_rows;
                let work = Work::plan(log, table, change);
                planned.push((log, work));
            }
        }
        let (logs, work): (Vec<_>, Vec<_>) = planned.into_iter().unzip();
        let (disk, times) = (self.disk.clone(), self.times.clone());
        let entries = blocking(move || {
            let entries = work.into_iter().map(|work| work.write(&disk, &times));
            entries.collect::<Result<Vec<_>, _>>()
        });
        for (log, entry) in logs.into_iter().zip(entries.await?) {
            let added = Committed::of(&entry);
            let rewritten = entry
                .rewritten
                .iter()
                .map(|file| file.old.path.clone())
                .collect::<Vec<_>>();
            log.commit(entry, key.as_ref()).await?;
            committed.add(&added);
            rewritten.iter().for_each(|file| self.times.lock().forget(file));
        }
        Ok(committed)
    }
}

impl State {
    /// A commit does not fail because old files cannot be removed.
    async fn vacuum_if_due(&mut self) {
        if self.vacuumed.elapsed() < vacuum::INTERVAL {
            return;
        }
        self.vacuumed = Instant::now();
        self.vacuum(SystemTime::now()).await;
    }

    async fn vacuum(&mut self, now: SystemTime) {
        for log in &mut self.logs {
            let removed = match log.refresh().await {
                Ok(_) => clean(log, move |_, files| vacuum(files, now)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(%error, "failed to remove files that were taken out of a table");
            }
        }
    }
}

/// Runs a removal of files of one table.
async fn clean(
    log: &DeltaLog,
    remove: impl FnOnce(&Path, &MentionedFiles) -> std::io::Result<usize> + Send + 'static,
) -> Result<usize, StoreError> {
    let files = log.mentioned_files().await?;
    let table_dir = log.dir().to_owned();
    blocking(move || {
        remove(&table_dir, &files).map_err(|source| StoreError::Io {
            operation: "remove old files from",
            path: table_dir,
            source,
        })
    })
    .await
}

/// What a commit has to write for one table.
struct Work {
    table: Table,
    dir: PathBuf,
    change: Change,
    /// Files that may hold rows to be removed.
    files: Vec<LoggedFile>,
}

impl Work {
    fn plan(log: &DeltaLog, table: Table, change: Change) -> Self {
        Self {
            table,
            dir: log.dir().to_owned(),
            files: log.files_of_hours(&change.keys.hours()),
            change,
        }
    }

    fn write(self, disk: &Disk, times: &SharedFileTimes) -> Result<LogEntry, StoreError> {
        let writer = FileWriter::new(disk, self.table, &self.dir)?;
        let rewriter = Rewriter {
            table: self.table,
            keys: &self.change.keys,
            writer: &writer,
            times,
        };
        let rewritten = rewriter.rewrite(self.files)?;
        Ok(LogEntry {
            damaged: rewritten.damaged,
            rewritten: rewritten.files,
            added: writer.write_hours(&self.change.rows)?,
            predicate: self.change.keys.predicate(),
        })
    }
}

impl Committed {
    fn of(entry: &LogEntry) -> Self {
        let copies = entry.rewritten.iter().filter_map(|file| file.copy.as_ref());
        Self {
            rows: entry.added.iter().map(|file| file.rows).sum(),
            files: entry.added.len() as u64,
            bytes: entry.added.iter().map(|file| file.size_bytes).sum(),
            replaced_rows: entry.rewritten.iter().map(|file| file.replaced_rows).sum(),
            rewritten_files: entry.rewritten.len() as u64,
            rewritten_bytes: copies.map(|file| file.size_bytes).sum(),
            damaged_files: entry.damaged,
        }
    }

    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.files += other.files;
        self.bytes += other.bytes;
        self.replaced_rows += other.replaced_rows;
        self.rewritten_files += other.rewritten_files;
        self.rewritten_bytes += other.rewritten_bytes;
        self.damaged_files += other.damaged_files;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::Snapshot;
    use crate::disk::rows::rows;
    use crate::parquet_file::WrittenFile;

    const TABLE: Table = Table::SpanQuality;

    /// A store with ten rows in one file.
    async fn store_of_ten(dir: &Path) -> Store {
        let store = Store::open(dir).await.unwrap();
        let ten = TableChange::add(TABLE, rows(TABLE, 10, 0, 1));
        store.commit(vec![ten], None).await.unwrap();
        store
    }

    /// Two rows in place of the first.
    fn replacement() -> TableChange {
        let key = rows(TABLE, 1, 0, 1);
        let time = key.schema().index_of(TABLE.time_column()).unwrap();
        TableChange {
            replaces: Some(key.project(&[time]).unwrap()),
            ..TableChange::add(TABLE, rows(TABLE, 2, 100, 1))
        }
    }

    fn log(state: &mut State) -> &mut DeltaLog {
        let index = Table::ALL.iter().position(|table| *table == TABLE).unwrap();
        &mut state.logs[index]
    }

    /// All of a commit but its log entry.
    async fn written(store: &Store) -> LogEntry {
        let mut changes = change::by_table(vec![replacement()]).unwrap();
        let mut state = store.state.lock().await;
        let log = log(&mut state);
        assert!(!is_committed(log, None).await.unwrap());
        let work = Work::plan(log, TABLE, changes.remove(&TABLE).unwrap());
        work.write(&store.disk, &store.times).unwrap()
    }

    /// Parquet files on the disk.
    fn files(store: &Store) -> Vec<PathBuf> {
        let partition = store.dir().join("span_quality/dt=1970-01-01/hr=00");
        let entries = fs::read_dir(partition).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    async fn snapshot(store: &Store) -> Snapshot {
        store.reader().snapshot().await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crash_before_the_log_entry_leaves_the_old_rows() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of_ten(dir.path()).await;
        let before = snapshot(&store).await;
        let mut entry = written(&store).await;
        // A killed process runs no destructor.
        entry.new_files().for_each(WrittenFile::keep);
        drop((entry, store));

        let store = Store::open(dir.path()).await.unwrap();
        assert_eq!(snapshot(&store).await.table(TABLE), before.table(TABLE));
        assert_eq!(files(&store).len(), 3, "the old file, its copy, and the new rows");
        for file in files(&store) {
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(7200))
                .unwrap();
        }
        drop(store);
        let store = Store::open(dir.path()).await.unwrap();
        assert_eq!(files(&store), [before.table(TABLE).files[0].path.clone()]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_of_a_commit_that_is_given_up_are_removed_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of_ten(dir.path()).await;
        let entry = written(&store).await;
        assert_eq!(files(&store).len(), 3);
        drop(entry);
        assert_eq!(files(&store).len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_replacement_is_refused_after_an_entry_of_another_program_and_succeeds_when_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of_ten(dir.path()).await;
        let before = snapshot(&store).await;
        let entry = written(&store).await;
        let log_dir = store.dir().join("span_quality/_delta_log");
        let other = r#"{"commitInfo":{"timestamp":0,"operation":"OPTIMIZE"}}"#;
        fs::write(log_dir.join("00000000000000000002.json"), other).unwrap();

        let refused = log(&mut *store.state.lock().await)
            .commit(entry, None)
            .await
            .unwrap_err();
        assert!(
            matches!(
                refused,
                StoreError::Delta {
                    operation: "commit to",
                    ..
                }
            ),
            "{refused}"
        );
        assert_eq!(snapshot(&store).await.table(TABLE).files, before.table(TABLE).files);
        assert_eq!(files(&store).len(), 1);

        let committed = store.commit(vec![replacement()], None).await.unwrap();
        assert_eq!((committed.rows, committed.replaced_rows), (2, 1));
        assert_eq!(files(&store).len(), 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_commit_whose_confirmation_was_lost_keeps_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of_ten(dir.path()).await;
        let mut entry = written(&store).await;
        entry.new_files().for_each(WrittenFile::keep);
        let mut state = store.state.lock().await;
        let log = log(&mut state);
        let actions = entry.actions();
        log.try_commit(&entry, actions, None).await.unwrap();
        log.remove_unless_committed(&mut entry).await;
        drop(state);
        assert_eq!(files(&store).len(), 3);
        let found = snapshot(&store).await;
        assert!(found.table(TABLE).files.iter().all(|file| file.path.exists()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_running_store_removes_replaced_files_when_they_are_due() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of_ten(dir.path()).await;
        store.commit(vec![replacement()], None).await.unwrap();
        let mut state = store.state.lock().await;
        for (hours, expected) in [(0, 3), (2, 2)] {
            state.vacuum(SystemTime::now() + hours * vacuum::GRACE).await;
            assert_eq!(files(&store).len(), expected);
        }
    }
}

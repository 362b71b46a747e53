//! The Delta log of one table: what is committed, and the commit itself.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::error::ArrowError;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, DataType, StructField, Transaction};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError, TableProperty, checkpoints};
use futures::TryStreamExt;
use spandrel_model::{PARTITION_COLUMNS, Table};
use url::Url;

use crate::disk::Disk;
use crate::durable_object_store::DurableObjectStore;
use crate::log_entry::{LogEntry, LoggedFile};
use crate::parquet_file::WrittenFile;
use crate::partition::Hour;
use crate::reader::{DataFile, TableSnapshot};
use crate::{CommitKey, StoreError, statistics, vacuum};

/// Tries to place a log entry while other programs (a compaction, say) place theirs.
const COMMIT_RETRIES: usize = 5;
/// Commits between two checkpoints, which spare readers the reading of all entries before.
const CHECKPOINT_INTERVAL: u64 = 100;

/// The log of one table, with the newest state read from it.
#[derive(Clone)]
pub(crate) struct DeltaLog {
    table: Table,
    dir: PathBuf,
    delta: DeltaTable,
}

impl DeltaLog {
    /// Touches no file. `root` is absolute.
    pub(crate) fn new(disk: &Disk, root: &Path, table: Table) -> Result<Self, StoreError> {
        let dir = root.join(table.name());
        let root_url = Url::from_directory_path(&dir).map_err(|()| StoreError::Path { path: dir.clone() })?;
        let store = Arc::new(DurableObjectStore::new(disk.clone()));
        let delta = DeltaTableBuilder::from_url(root_url.clone())
            .and_then(|builder| builder.with_storage_backend(store, root_url).build())
            .map_err(|source| StoreError::Delta {
                operation: "open",
                table,
                path: dir.clone(),
                source: Box::new(source),
            })?;
        Ok(Self { table, dir, delta })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads what was committed since the last call. Returns whether the table exists.
    pub(crate) async fn refresh(&mut self) -> Result<bool, StoreError> {
        if self.delta.state.is_none() && !self.exists().await? {
            return Ok(false);
        }
        self.delta.update_state().await.map_err(|e| self.error("read", e))?;
        self.check_columns()?;
        Ok(true)
    }

    async fn exists(&self) -> Result<bool, StoreError> {
        self.delta
            .verify_deltatable_existence()
            .await
            .map_err(|e| self.error("find", e))
    }

    /// Creates the table with no rows.
    pub(crate) async fn create(&mut self) -> Result<(), StoreError> {
        let columns = delta_columns(self.table).map_err(|e| self.error("create", e.into()))?;
        let created = CreateBuilder::new()
            .with_log_store(self.log_store())
            .with_table_name(self.table.name())
            .with_comment(self.table.doc())
            .with_columns(columns)
            .with_partition_columns(PARTITION_COLUMNS)
            .with_configuration_property(TableProperty::CheckpointInterval, Some(CHECKPOINT_INTERVAL.to_string()))
            .with_configuration_property(
                TableProperty::DeletedFileRetentionDuration,
                Some(vacuum::retention_property()),
            )
            // Readers take a column of this list without statistics for one without values, and skip its files.
            .with_configuration_property(
                TableProperty::DataSkippingStatsColumns,
                Some(statistics::columns(&self.table.schema()).join(",")),
            )
            .with_save_mode(SaveMode::Ignore)
            .await;
        self.delta = created.map_err(|e| self.error("create", e))?;
        Ok(())
    }

    /// Whether a commit with this application id and this or a later version is in the log. The table exists.
    pub(crate) async fn holds(&self, key: &CommitKey) -> Result<bool, StoreError> {
        let log_store = self.log_store();
        let version = match self.delta.snapshot() {
            Ok(state) => state.transaction_version(&log_store, &key.app_id).await,
            Err(error) => Err(error),
        };
        let version = version.map_err(|e| self.error("read", e))?;
        Ok(version.is_some_and(|version| version >= key.version))
    }

    /// Places one entry: the new files, and for each rewritten file its removal and its copy. The table exists.
    ///
    /// If that fails, the files are removed, unless the entry turns out to be in the log. An entry that removes files
    /// is placed only if nobody else placed one since [`Self::refresh`]: their entry may have moved the rows.
    pub(crate) async fn commit(&mut self, mut entry: LogEntry, key: Option<&CommitKey>) -> Result<(), StoreError> {
        let actions = entry.actions();
        if actions.is_empty() && key.is_none() {
            return Ok(());
        }
        entry.new_files().for_each(WrittenFile::keep);
        let version = match self.try_commit(&entry, actions, key).await {
            Ok(version) => version,
            Err(error) => {
                self.remove_unless_committed(&mut entry).await;
                return Err(self.error("commit to", error));
            }
        };
        if (version + 1).is_multiple_of(CHECKPOINT_INTERVAL)
            && let Err(error) = self.checkpoint().await
        {
            // The rows are committed. Readers only have more entries to read.
            tracing::warn!(table = self.table.name(), %error, "failed to write a checkpoint of the Delta log");
        }
        Ok(())
    }

    pub(crate) async fn try_commit(
        &self,
        entry: &LogEntry,
        actions: Vec<Action>,
        key: Option<&CommitKey>,
    ) -> DeltaResult<u64> {
        let is_append = entry.rewritten.is_empty();
        // Checkpoints are ours, after the commit: as hooks of the commit they would make it fail after it succeeded.
        let mut properties = CommitProperties::default()
            .with_max_retries(if is_append { COMMIT_RETRIES } else { 0 })
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(key.map(transaction).into_iter().collect());
        if !is_append {
            properties = properties.with_metadata([("operationMetrics".to_owned(), entry.merge_metrics())]);
        }
        let state = self.delta.snapshot()?;
        let post_commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state), self.log_store(), entry.operation())
            .into_prepared_commit_future()
            .await?
            .await?;
        Ok(post_commit.version)
    }

    /// A failed commit may be in the log all the same, if only the confirmation was lost.
    pub(crate) async fn remove_unless_committed(&mut self, entry: &mut LogEntry) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(table = self.table.name(), %error, "files of a failed commit stay until the store is next opened");
            return;
        }
        let committed = self.active_files();
        for file in entry.new_files().filter(|file| !committed.contains(&file.path)) {
            // What stays is swept when the store is next opened.
            let _ = std::fs::remove_file(&file.path);
        }
    }

    async fn checkpoint(&mut self) -> DeltaResult<()> {
        self.delta.update_state().await?;
        checkpoints::create_checkpoint(&self.delta, None).await?;
        checkpoints::cleanup_metadata(&self.delta, None).await?;
        Ok(())
    }

    /// The files that hold the rows of the table. Empty if the table does not exist.
    pub(crate) fn table_snapshot(&self) -> TableSnapshot {
        let Some(state) = &self.delta.state else {
            return TableSnapshot::default();
        };
        let [dt, hr] = PARTITION_COLUMNS;
        let files = state.log_data().into_iter().map(|file| {
            let mut partition = file.partition_values_map();
            let mut value = |column: &str| partition.remove(column).flatten().unwrap_or_default();
            let (rows, time_ns) = file.stats().map_or((None, None), |statistics| {
                statistics::parse(&statistics, self.table.time_column())
            });
            DataFile {
                path: self.dir.join(file.path().as_ref()),
                size_bytes: u64::try_from(file.size()).unwrap_or(0),
                modified_ms: file.modification_time(),
                rows,
                dt: value(dt),
                hr: value(hr),
                time_ns,
            }
        });
        TableSnapshot {
            version: Some(state.version()),
            files: files.collect(),
        }
    }

    /// The files with rows of these hours. The table exists.
    pub(crate) fn files_of_hours(&self, hours: &BTreeSet<Hour>) -> Vec<LoggedFile> {
        let (Some(state), false) = (&self.delta.state, hours.is_empty()) else {
            return Vec::new();
        };
        let hours = hours
            .iter()
            .map(|hour| ((hour.dt(), hour.hr()), *hour))
            .collect::<BTreeMap<_, _>>();
        let [dt, hr] = PARTITION_COLUMNS;
        let files = state.log_data().into_iter().filter_map(|view| {
            let mut partition = view.partition_values_map();
            let mut value = |column: &str| partition.remove(column).flatten().unwrap_or_default();
            let hour = *hours.get(&(value(dt), value(hr)))?;
            let path = self.dir.join(view.path().as_ref());
            Some(LoggedFile { path, hour, view })
        });
        files.collect()
    }

    /// Every file that the log mentions.
    pub(crate) async fn mentioned_files(&self) -> Result<MentionedFiles, StoreError> {
        let Some(state) = &self.delta.state else {
            return Ok(MentionedFiles::default());
        };
        let log_store = self.log_store();
        let removed = state.all_tombstones(&log_store).try_collect::<Vec<_>>().await;
        let removed = removed.map_err(|e| self.error("read", e))?;
        let removed = removed.iter().map(|file| {
            let removed_ms = file.deletion_timestamp().unwrap_or(0);
            (self.dir.join(file.path().as_ref()), removed_ms)
        });
        Ok(MentionedFiles {
            active: self.active_files(),
            removed: removed.collect(),
        })
    }

    fn active_files(&self) -> HashSet<PathBuf> {
        let files = self.delta.state.iter().flat_map(|state| state.log_data());
        files.map(|file| self.dir.join(file.path().as_ref())).collect()
    }

    fn check_columns(&self) -> Result<(), StoreError> {
        let stored = self.delta.snapshot().map_err(|e| self.error("read", e))?.schema();
        let columns = delta_columns(self.table).map_err(|e| self.error("read", e.into()))?;
        let differs =
            |column: &&StructField| stored.field(column.name()).map(StructField::data_type) != Some(column.data_type());
        match columns.iter().find(differs) {
            None => Ok(()),
            Some(column) => Err(StoreError::Columns {
                table: self.table,
                path: self.dir.clone(),
                column: column.name().clone(),
                expected: column.data_type().to_string(),
            }),
        }
    }

    fn log_store(&self) -> LogStoreRef {
        self.delta.log_store()
    }

    fn error(&self, operation: &'static str, source: DeltaTableError) -> StoreError {
        StoreError::Delta {
            operation,
            table: self.table,
            path: self.dir.clone(),
            source: Box::new(source),
        }
    }
}

/// Files that a log mentions, by absolute path.
#[derive(Debug, Default)]
pub(crate) struct MentionedFiles {
    /// They hold the rows of the table.
    pub(crate) active: HashSet<PathBuf>,
    /// Removed from the table at this time, in milliseconds since the Unix epoch: older snapshots have them.
    pub(crate) removed: BTreeMap<PathBuf, i64>,
}

/// Columns of the table and the partition columns. Fixed-size binary is plain `binary`, for Delta has no fixed size.
fn delta_columns(table: Table) -> Result<Vec<StructField>, ArrowError> {
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| {
        let column: StructField = field.as_ref().try_into_kernel()?;
        let doc = field.metadata().get("doc").map(|doc| ("comment", doc.as_str()));
        Ok(column.with_metadata(doc))
    });
    let partitions = PARTITION_COLUMNS.map(|name| Ok(StructField::not_null(name, DataType::STRING)));
    columns.chain(partitions).collect()
}

fn transaction(key: &CommitKey) -> Transaction {
    Transaction::new(&key.app_id, key.version)
}

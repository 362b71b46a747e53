//! What one commit says in the Delta log of one table.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use deltalake::kernel::{Action, Add, LogicalFileView};
use deltalake::protocol::{DeltaOperation, MergePredicate, SaveMode};
use serde_json::{Value, json};
use spandrel_model::{PARTITION_COLUMNS, Table};

use crate::parquet_file::WrittenFile;
use crate::partition::Hour;
use crate::statistics;

/// A file of the table as the log has it.
pub(crate) struct LoggedFile {
    /// Absolute path.
    pub(crate) path: PathBuf,
    pub(crate) hour: Hour,
    pub(crate) view: LogicalFileView,
}

impl LoggedFile {
    /// Least and greatest value of the time column, if the writer said.
    pub(crate) fn time_range_ns(&self, table: Table) -> Option<(i64, i64)> {
        let (_, range) = statistics::parse(&self.view.stats()?, table.time_column());
        range
    }
}

/// A file that held rows to be removed.
pub(crate) struct RewrittenFile {
    pub(crate) old: LoggedFile,
    /// The rows that stay; `None` if there are none.
    pub(crate) copy: Option<WrittenFile>,
    /// Rows removed.
    pub(crate) replaced_rows: u64,
}

/// One entry, before it is in the log.
pub(crate) struct LogEntry {
    /// Files of the rows that the commit brings.
    pub(crate) added: Vec<WrittenFile>,
    /// Files whose rows were replaced in part or all.
    pub(crate) rewritten: Vec<RewrittenFile>,
    /// How many files may hold such rows but cannot be read.
    pub(crate) damaged: u64,
    /// What decides whether a row was replaced, in SQL.
    pub(crate) predicate: String,
}

impl LogEntry {
    /// All files that the entry adds to the table.
    pub(crate) fn new_files(&mut self) -> impl Iterator<Item = &mut WrittenFile> {
        let copies = self.rewritten.iter_mut().filter_map(|file| file.copy.as_mut());
        self.added.iter_mut().chain(copies)
    }

    pub(crate) fn actions(&self) -> Vec<Action> {
        let rewritten = self.rewritten.iter().flat_map(|file| {
            let removal = Action::Remove(file.old.view.remove_action(true));
            [Some(removal), file.copy.as_ref().map(add_action)]
        });
        rewritten.flatten().chain(self.added.iter().map(add_action)).collect()
    }

    /// Replacement is what Delta calls a merge: rows that match a key are deleted, all rows of the source inserted.
    pub(crate) fn operation(&self) -> DeltaOperation {
        if self.rewritten.is_empty() {
            return DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(PARTITION_COLUMNS.map(str::to_owned).to_vec()),
                predicate: None,
            };
        }
        let step = |action_type: &str| MergePredicate {
            action_type: action_type.to_owned(),
            predicate: None,
        };
        DeltaOperation::Merge {
            predicate: None,
            merge_predicate: Some(self.predicate.clone()),
            matched_predicates: vec![step("delete")],
            not_matched_predicates: vec![step("insert")],
            not_matched_by_source_predicates: Vec::new(),
        }
    }

    /// Counts under the names that Delta gives them, for those who read the history of the table.
    pub(crate) fn merge_metrics(&self) -> Value {
        let copies = self.rewritten.iter().filter_map(|file| file.copy.as_ref());
        let added = self.added.iter().chain(copies.clone());
        json!({
            "numTargetRowsInserted": self.added.iter().map(|file| file.rows).sum::<u64>(),
            "numTargetRowsDeleted": self.rewritten.iter().map(|file| file.replaced_rows).sum::<u64>(),
            "numTargetRowsCopied": copies.map(|file| file.rows).sum::<u64>(),
            "numTargetFilesAdded": added.count(),
            "numTargetFilesRemoved": self.rewritten.len(),
        })
    }
}

fn add_action(file: &WrittenFile) -> Action {
    let [dt, hr] = PARTITION_COLUMNS;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Action::Add(Add {
        path: file.relative_path.clone(),
        partition_values: [
            (dt.to_owned(), Some(file.hour.dt())),
            (hr.to_owned(), Some(file.hour.hr())),
        ]
        .into(),
        size: i64::try_from(file.size_bytes).expect("files are shorter than 2^63 bytes"),
        modification_time: i64::try_from(now.as_millis()).expect("milliseconds of 2^63 are 292 million years"),
        data_change: true,
        stats: Some(file.statistics.clone()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

//! The latest rows of a table, for a component that starts again and must know what was written.

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{filter_record_batch, kernels::cmp::gt_eq};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use spandrel_model::{Table, UnixNanos};

use crate::stored_file::StoredFile;
use crate::{DataFile, Snapshot, StoreError};

impl Snapshot {
    /// The rows of `table` whose [`Table::time_column`] is at `from` or later, under [`Table::schema`], in no order.
    /// At most about `limit_rows`; then the files that were committed last, so that the latest are among them. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or has other columns.
    pub fn rows_from(&self, table: Table, from: UnixNanos, limit_rows: usize) -> Result<Vec<RecordBatch>, StoreError> {
        let files = &self.table(table).files;
        let mut files: Vec<&DataFile> = files
            .iter()
            .filter(|file| file.time_ns.is_none_or(|(_, last_ns)| last_ns >= from.0))
            .collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.modified_ms));
        let mut batches = Vec::new();
        let mut rows = 0;
        for file in files {
            if rows >= limit_rows {
                break;
            }
            for batch in StoredFile::open(table, &file.path)?.read(|_| true, None)? {
                let batch = later(table, &batch?, from).map_err(|source| StoreError::Rows { table, source })?;
                rows += batch.num_rows();
                batches.push(batch);
            }
        }
        batches.retain(|batch| batch.num_rows() > 0);
        Ok(batches)
    }
}

fn later(table: Table, batch: &RecordBatch, from: UnixNanos) -> Result<RecordBatch, ArrowError> {
    let times = batch.column(batch.schema_ref().index_of(table.time_column())?);
    let times = times.as_primitive_opt::<Int64Type>();
    let times = times.ok_or_else(|| ArrowError::SchemaError("times are not 64-bit integers".to_owned()))?;
    let wanted: BooleanArray = gt_eq(times, &Int64Array::new_scalar(from.0))?;
    filter_record_batch(batch, &wanted)
}

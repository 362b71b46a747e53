//! The latest rows of a table, for a writer that starts again and must know what it wrote.

use std::fs::File;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, kernels::cmp::gt_eq};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use spandrel_model::{Table, UnixNanos};

use crate::encoding::recoded;
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
            for batch in rows_of_file(table, file, from)? {
                rows += batch.num_rows();
                batches.push(batch);
            }
        }
        Ok(batches)
    }
}

fn rows_of_file(table: Table, file: &DataFile, from: UnixNanos) -> Result<Vec<RecordBatch>, StoreError> {
    let opened = File::open(&file.path).map_err(|source| StoreError::Io {
        operation: "open",
        path: file.path.clone(),
        source,
    })?;
    let unreadable = |source| StoreError::Read {
        table,
        path: file.path.clone(),
        source,
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened).and_then(ParquetRecordBatchReaderBuilder::build);
    let rows = reader.map_err(unreadable)?.map(|batch| later(table, &batch?, from));
    let rows = rows.collect::<Result<Vec<_>, ArrowError>>();
    let rows = rows.map_err(|error| unreadable(error.into()))?;
    Ok(rows.into_iter().filter(|batch| batch.num_rows() > 0).collect())
}

fn later(table: Table, batch: &RecordBatch, from: UnixNanos) -> Result<RecordBatch, ArrowError> {
    let schema = table.schema();
    let columns: Vec<usize> = (schema.fields().iter())
        .map(|field| batch.schema_ref().index_of(field.name()))
        .collect::<Result<_, _>>()?;
    let batch = recoded(&batch.project(&columns)?, &schema)?;
    let times = batch.column(schema.index_of(table.time_column())?);
    let times = times.as_primitive_opt::<Int64Type>();
    let times = times.ok_or_else(|| ArrowError::SchemaError("times are not 64-bit integers".to_owned()))?;
    let wanted: BooleanArray = gt_eq(times, &arrow::array::Int64Array::new_scalar(from.0))?;
    if wanted.true_count() == wanted.len() {
        return Ok(batch);
    }
    filter_record_batch(&batch, &wanted)
}

//! A committed Parquet file, read again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use spandrel_model::Table;

use crate::StoreError;
use crate::watched_file::WatchedFile;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8 * 1024;

/// A file of a table, whose footer has been read.
pub(crate) struct StoredFile {
    table: Table,
    path: PathBuf,
    file: WatchedFile,
    metadata: ArrowReaderMetadata,
    row_count: usize,
}

impl StoredFile {
    pub(crate) fn open(table: Table, path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|source| StoreError::Io {
            operation: "open",
            path: path.to_owned(),
            source,
        })?;
        let file = WatchedFile::new(file);
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.map_err(|source| file_error(table, path, &file, source))?;
        let rows = metadata.metadata().file_metadata().num_rows();
        let row_count = usize::try_from(rows).map_err(|_| {
            read_error(
                table,
                path,
                ParquetError::General(format!("the footer says {rows} rows")),
            )
        })?;
        Ok(Self {
            metadata,
            table,
            path: path.to_owned(),
            file,
            row_count,
        })
    }

    pub(crate) fn row_count(&self) -> usize {
        self.row_count
    }

    /// Selected rows, in file order, a few thousand at a time. Columns are those named, in the order of the table and
    /// the types of [`Table::schema`], whoever wrote the file.
    pub(crate) fn read(
        &self,
        is_read: impl Fn(&str) -> bool,
        selection: Option<RowSelection>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, StoreError>>, StoreError> {
        let error = |source| file_error(self.table, &self.path, &self.file, source);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        let stored = builder.schema().fields().iter().enumerate();
        let wanted = stored
            .filter(|(_, field)| is_read(field.name()))
            .map(|(index, _)| index);
        let columns = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let mut builder = builder.with_projection(columns).with_batch_size(BATCH_ROWS);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let fields = self.table.schema();
        let fields = fields.fields().iter().filter(|field| is_read(field.name())).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
        let batches = builder.build().map_err(error)?;
        Ok(batches.map(move |batch| {
            batch
                .and_then(|batch| of_schema(&batch, &schema))
                .map_err(|source| error(source.into()))
        }))
    }
}

/// The columns of `schema`. Other writers of a table store ids as plain binary and order columns as they like.
fn of_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        let column = batch.column(batch.schema_ref().index_of(field.name())?);
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        cast(column, field.data_type())
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

/// Why a file could not be read: what the operating system says, else what the Parquet library does.
fn file_error(table: Table, path: &Path, file: &WatchedFile, source: ParquetError) -> StoreError {
    match file.take_refusal() {
        Some(source) => StoreError::Io {
            operation: "read",
            path: path.to_owned(),
            source,
        },
        None => read_error(table, path, source),
    }
}

/// The content of a file is not what it should be.
pub(crate) fn read_error(table: Table, path: &Path, source: ParquetError) -> StoreError {
    StoreError::Parquet {
        operation: "read",
        table,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field};
    use parquet::arrow::ArrowWriter;

    use super::*;

    const TIME: &str = "start_ns";

    fn written() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new(TIME, DataType::Int64, false)]));
        let column = Arc::new(Int64Array::from_iter_values(0..1_000));
        let rows = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), schema, None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        file
    }

    fn first_error(stored: &StoredFile) -> Option<StoreError> {
        match stored.read(|name| name == TIME, None) {
            Ok(mut batches) => batches.find_map(Result::err),
            Err(error) => Some(error),
        }
    }

    #[test]
    fn pages_that_the_operating_system_refuses_to_read_are_not_damaged() {
        let file = written();
        let mut stored = StoredFile::open(Table::Spans, file.path()).unwrap();
        // Reading a file that is only open for writing is refused ("bad file descriptor"), for no fault of the file's.
        stored.file = WatchedFile::new(OpenOptions::new().write(true).open(file.path()).unwrap());
        let error = first_error(&stored).unwrap();
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
        assert!(!error.is_damaged_file(file.path()), "{error:?}");
    }

    #[test]
    fn pages_with_other_bytes_are_damaged() {
        let file = written();
        let stored = StoredFile::open(Table::Spans, file.path()).unwrap();
        let length = file.as_file().metadata().unwrap().len();
        std::fs::write(file.path(), vec![0xff; usize::try_from(length).unwrap()]).unwrap();
        let error = first_error(&stored).unwrap();
        assert!(error.is_damaged_file(file.path()), "{error:?}");
    }
}

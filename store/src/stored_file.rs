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

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8 * 1024;

/// A file of a table, whose footer has been read.
pub(crate) struct StoredFile {
    table: Table,
    path: PathBuf,
    file: File,
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
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.map_err(|source| read_error(table, path, source))?;
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
        let error = |source| read_error(self.table, &self.path, source);
        let file = self.file.try_clone().map_err(|source| error(source.into()))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
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

pub(crate) fn read_error(table: Table, path: &Path, source: ParquetError) -> StoreError {
    StoreError::Parquet {
        operation: "read",
        table,
        path: path.to_owned(),
        source,
    }
}

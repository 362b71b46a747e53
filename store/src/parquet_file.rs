//! Rows of one table as Parquet files: sorted, encoded, and durable under their final names.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, LogicalType, Type as PhysicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnDescriptor;
use spandrel_model::Table;
use uuid::Uuid;

use crate::StoreError;
use crate::disk::{Disk, IfExists};
use crate::encoding::recoded;
use crate::partition::{Hour, RowPlace, sort_into_hours};
use crate::statistics;

/// Small enough that a filter on an id or a time skips most of a file, at no cost in size.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bounds the memory of the encoder when rows are wide.
const ROW_GROUP_BYTES: usize = 128 * 1024 * 1024;
/// Rows that are copied into file order at a time.
const COPY_ROWS: usize = 8 * 1024;

/// Names of data files begin with this, so that a sweep touches no file of others.
pub(crate) const FILE_PREFIX: &str = "part-";

/// A durable file that no log entry mentions yet. Dropped before [`WrittenFile::keep`], it is removed.
#[derive(Debug)]
pub(crate) struct WrittenFile {
    pub(crate) path: PathBuf,
    /// Path below the directory of the table, with `/`.
    pub(crate) relative_path: String,
    pub(crate) hour: Hour,
    pub(crate) rows: u64,
    pub(crate) size_bytes: u64,
    /// Statistics as the Delta log holds them.
    pub(crate) statistics: String,
    kept: bool,
}

impl WrittenFile {
    /// Leaves the file on the disk, because a log entry may mention it from here on.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for WrittenFile {
    fn drop(&mut self) {
        if !self.kept {
            // What stays is swept when the store is next opened.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes the files of one table.
pub(crate) struct FileWriter<'a> {
    disk: &'a Disk,
    table: Table,
    table_dir: &'a Path,
    properties: WriterProperties,
}

impl<'a> FileWriter<'a> {
    pub(crate) fn new(disk: &'a Disk, table: Table, table_dir: &'a Path) -> Result<Self, StoreError> {
        let properties = writer_properties(table).map_err(|source| write_error(table, table_dir, source))?;
        Ok(Self {
            disk,
            table,
            table_dir,
            properties,
        })
    }

    /// Writes the rows of `batches` into one file per UTC hour. Blocks. `batches` have the [`Table::row_schema`].
    ///
    /// Beside the batches, memory holds their sort keys, two indexes per row, and the row group being encoded.
    pub(crate) fn write_hours(&self, batches: &[RecordBatch]) -> Result<Vec<WrittenFile>, StoreError> {
        let sort_error = |source| StoreError::Sort {
            table: self.table,
            source,
        };
        let schema = self.table.schema();
        let hours = sort_into_hours(self.table, batches).map_err(sort_error)?;
        let batches = batches.iter().collect::<Vec<_>>();
        let files = hours.into_iter().map(|(hour, rows)| {
            let copies = rows.chunks(COPY_ROWS).map(|places: &[RowPlace]| {
                let sorted = interleave_record_batch(&batches, places);
                sorted.and_then(|sorted| recoded(&sorted, &schema)).map_err(sort_error)
            });
            self.write(hour, copies)
        });
        files.collect()
    }

    /// Writes one file with rows in file order, in [`Table::schema`]. Blocks.
    pub(crate) fn write(
        &self,
        hour: Hour,
        batches: impl Iterator<Item = Result<RecordBatch, StoreError>>,
    ) -> Result<WrittenFile, StoreError> {
        let temporary = self.disk.create_temporary(self.table_dir);
        let (temporary, file) = temporary.map_err(|source| StoreError::Io {
            operation: "create a file in",
            path: self.table_dir.to_owned(),
            source,
        })?;
        let written = self
            .encode(&temporary, &file, batches)
            .and_then(|metadata| self.publish(&temporary, &file, hour, &metadata));
        if written.is_err() {
            // The error matters, not the leftover: it is swept when the store is next opened.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    fn encode(
        &self,
        temporary: &Path,
        file: &File,
        batches: impl Iterator<Item = Result<RecordBatch, StoreError>>,
    ) -> Result<ParquetMetaData, StoreError> {
        let error = |source| write_error(self.table, temporary, source);
        let properties = Some(self.properties.clone());
        let mut writer = ArrowWriter::try_new(file, self.table.schema(), properties).map_err(error)?;
        for batch in batches {
            writer.write(&batch?).map_err(error)?;
        }
        writer.close().map_err(error)
    }

    fn publish(
        &self,
        temporary: &Path,
        file: &File,
        hour: Hour,
        metadata: &ParquetMetaData,
    ) -> Result<WrittenFile, StoreError> {
        let relative_path = format!("{}/{FILE_PREFIX}{}.parquet", hour.directory(), Uuid::new_v4());
        let path = self.table_dir.join(&relative_path);
        let io_error = |operation| {
            let path = path.clone();
            move |source| StoreError::Io {
                operation,
                path,
                source,
            }
        };
        let size_bytes = file.metadata().map_err(io_error("measure"))?.len();
        let published = self.disk.publish(temporary, file, &path, IfExists::Replace);
        published.map_err(io_error("make durable"))?;
        Ok(WrittenFile {
            relative_path,
            hour,
            rows: u64::try_from(metadata.file_metadata().num_rows()).expect("a count of rows"),
            size_bytes,
            statistics: statistics::of_file(&self.table.schema(), metadata),
            path,
            kept: false,
        })
    }
}

fn write_error(table: Table, path: &Path, source: ParquetError) -> StoreError {
    StoreError::Parquet {
        operation: "write",
        table,
        path: path.to_owned(),
        source,
    }
}

fn writer_properties(table: Table) -> Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Page);
    let schema = ArrowSchemaConverter::new().convert(&table.schema())?;
    for column in schema.columns() {
        builder = column_properties(builder, column);
    }
    Ok(builder.build())
}

/// Neighboring times and durations differ little, which delta encoding uses and a dictionary destroys. Span ids are
/// all distinct: a dictionary would hold each of them once more.
fn column_properties(builder: WriterPropertiesBuilder, column: &ColumnDescriptor) -> WriterPropertiesBuilder {
    let path = column.path().clone();
    if is_time(column) {
        return builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    if column.name() == "span_id" {
        return builder.set_column_dictionary_enabled(path, false);
    }
    builder
}

fn is_time(column: &ColumnDescriptor) -> bool {
    let is_timestamp = matches!(column.logical_type_ref(), Some(LogicalType::Timestamp { .. }));
    column.physical_type() == PhysicalType::INT64 && (column.name().ends_with("_ns") || is_timestamp)
}

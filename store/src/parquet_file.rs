//! One flush of one table as Parquet files: sorted, encoded, and durable under their final names.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, LogicalType, Type as PhysicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnDescriptor;
use spandrel_model::{PARTITION_COLUMNS, Table};
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

/// A durable file that no log entry mentions yet.
#[derive(Debug)]
pub(crate) struct WrittenFile {
    /// Path below the directory of the table, with `/`.
    pub(crate) relative_path: String,
    pub(crate) hour: Hour,
    pub(crate) rows: u64,
    pub(crate) size_bytes: u64,
    /// Statistics as the Delta log holds them.
    pub(crate) statistics: String,
}

/// Writes the rows of `batches` into one file per UTC hour. Blocks. `batches` have the [`Table::row_schema`].
///
/// Beside the batches, memory holds their sort keys, two indexes per row, and the row group being encoded.
pub(crate) fn write_files(
    disk: &Disk,
    table: Table,
    table_dir: &Path,
    batches: &[RecordBatch],
) -> Result<Vec<WrittenFile>, StoreError> {
    let hours = sort_into_hours(table, batches).map_err(|source| StoreError::Sort { table, source })?;
    let properties = Arc::new(writer_properties(table).map_err(|source| StoreError::Parquet {
        table,
        path: table_dir.to_owned(),
        source,
    })?);
    hours
        .into_iter()
        .map(|(hour, rows)| {
            let file = HourFile {
                disk,
                table,
                table_dir,
                hour,
            };
            file.write(batches, &rows, &properties)
        })
        .collect()
}

struct HourFile<'a> {
    disk: &'a Disk,
    table: Table,
    table_dir: &'a Path,
    hour: Hour,
}

impl HourFile<'_> {
    fn write(
        &self,
        batches: &[RecordBatch],
        rows: &[RowPlace],
        properties: &Arc<WriterProperties>,
    ) -> Result<WrittenFile, StoreError> {
        let (temporary, file) = self
            .disk
            .create_temporary(self.table_dir)
            .map_err(|source| StoreError::Io {
                operation: "create a file in",
                path: self.table_dir.to_owned(),
                source,
            })?;
        let written = self
            .encode(&temporary, &file, batches, rows, properties)
            .and_then(|metadata| {
                let relative_path = self.publish(&temporary, &file)?;
                let size_bytes = file.metadata().map_err(|source| StoreError::Io {
                    operation: "measure",
                    path: self.table_dir.join(&relative_path),
                    source,
                })?;
                Ok(WrittenFile {
                    relative_path,
                    hour: self.hour,
                    rows: rows.len() as u64,
                    size_bytes: size_bytes.len(),
                    statistics: statistics::of_file(&self.table.schema(), &metadata),
                })
            });
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
        batches: &[RecordBatch],
        rows: &[RowPlace],
        properties: &Arc<WriterProperties>,
    ) -> Result<ParquetMetaData, StoreError> {
        let table = self.table;
        let parquet_error = |source: ParquetError| StoreError::Parquet {
            table,
            path: temporary.to_owned(),
            source,
        };
        let batches = batches.iter().collect::<Vec<_>>();
        let properties = WriterProperties::clone(properties);
        let mut writer = ArrowWriter::try_new(file, table.schema(), Some(properties)).map_err(parquet_error)?;
        for places in rows.chunks(COPY_ROWS) {
            let sorted = interleave_record_batch(&batches, places)
                .and_then(|sorted| recoded(&sorted, &table.schema()))
                .map_err(|source| StoreError::Sort { table, source })?;
            writer.write(&sorted).map_err(parquet_error)?;
        }
        writer.close().map_err(parquet_error)
    }

    fn publish(&self, temporary: &Path, file: &File) -> Result<String, StoreError> {
        let [dt, hr] = PARTITION_COLUMNS;
        let relative_path = format!(
            "{dt}={}/{hr}={}/{FILE_PREFIX}{}.parquet",
            self.hour.dt(),
            self.hour.hr(),
            Uuid::new_v4()
        );
        let path: PathBuf = self.table_dir.join(&relative_path);
        self.disk
            .publish(temporary, file, &path, IfExists::Replace)
            .map_err(|source| StoreError::Io {
                operation: "make durable",
                path,
                source,
            })?;
        Ok(relative_path)
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

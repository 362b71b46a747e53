//! A table of a snapshot, as DataFusion reads it.
//!
//! It plans to a plain Parquet scan over the files of the snapshot, so that other planners (a distributed one) need to
//! know nothing about it. DataFusion's own listing table does not fit: it caches directory listings for ever, and
//! shows files that no commit added.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics, exec_err};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use object_store::path::Path;
use spandrel_model::{PARTITION_COLUMNS, Table};
use spandrel_store::{DataFile, TableSnapshot};

use crate::file_pruning::files_that_may_match;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct SnapshotTable {
    table: Table,
    schema: TableSchema,
    snapshot: Arc<TableSnapshot>,
}

impl SnapshotTable {
    pub(crate) fn new(table: Table, snapshot: Arc<TableSnapshot>) -> Self {
        let partitions = PARTITION_COLUMNS.map(|name| Arc::new(Field::new(name, DataType::Utf8, false)));
        let schema = TableSchema::builder(table.schema()).with_table_partition_cols(partitions.to_vec());
        Self {
            table,
            schema: schema.build(),
            snapshot,
        }
    }

    fn source(&self, state: &dyn Session) -> Result<ParquetSource> {
        let url = ObjectStoreUrl::local_filesystem();
        let runtime = state.runtime_env();
        let metadata_cache = runtime.cache_manager.get_file_metadata_cache();
        let files = CachedParquetFileReaderFactory::new(runtime.object_store(url)?, metadata_cache);
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..Default::default()
        };
        Ok(ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(files)))
    }

    /// The number of rows, if every file says its own: then `count(*)` reads no file.
    fn statistics_of(&self, files: &[&DataFile]) -> Statistics {
        let rows = files.iter().map(|file| file.rows).sum::<Option<u64>>();
        let rows = rows.and_then(|rows| usize::try_from(rows).ok());
        Statistics::new_unknown(self.schema.table_schema())
            .with_num_rows(rows.map_or(Precision::Absent, Precision::Exact))
    }

    fn partitioned_file(&self, file: &DataFile) -> Result<PartitionedFile> {
        let Ok(location) = Path::from_absolute_path(&file.path) else {
            return exec_err!("path `{}` cannot be written as a URL", file.path.display());
        };
        let modified = Duration::from_millis(u64::try_from(file.modified_ms).unwrap_or(0));
        let meta = ObjectMeta {
            location,
            last_modified: (UNIX_EPOCH + modified).into(),
            size: file.size_bytes,
            e_tag: None,
            version: None,
        };
        let partition = [&file.dt, &file.hr].map(|value| ScalarValue::Utf8(Some(value.clone())));
        Ok(PartitionedFile::new_from_meta(meta)
            .with_partition_values(partition.to_vec())
            .with_statistics(Arc::new(
                Statistics::new_unknown(self.schema.file_schema()).with_num_rows(self.statistics_of(&[file]).num_rows),
            )))
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Every filter may skip files, row groups, pages and rows, and none is sure to leave only matching rows.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics_of(&self.snapshot.files.iter().collect::<Vec<_>>()))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema.table_schema();
        let files = files_that_may_match(state, self.table, schema, &self.snapshot.files, filters)?;
        if files.is_empty() {
            let columns = match projection {
                Some(indexes) => Arc::new(schema.project(indexes)?),
                None => schema.clone(),
            };
            return Ok(Arc::new(EmptyExec::new(columns)));
        }
        let statistics = self.statistics_of(&files);
        let files = files.into_iter().map(|file| self.partitioned_file(file));
        let groups = FileGroup::new(files.collect::<Result<_>>()?).split_files(state.config().target_partitions());
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(self.source(state)?))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

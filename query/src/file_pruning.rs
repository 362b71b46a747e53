//! Which files a query can skip, by what the log says about them: date, hour, and range of times.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use spandrel_model::{PARTITION_COLUMNS, Table};
use spandrel_store::DataFile;

/// The files in which a row may pass all filters.
pub(crate) fn files_that_may_match<'a>(
    state: &dyn Session,
    table: Table,
    schema: &SchemaRef,
    files: &'a [DataFile],
    filters: &[Expr],
) -> Result<Vec<&'a DataFile>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(files.iter().collect());
    };
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
    let predicate = PruningPredicateBuilder::new()
        .with_file_schema(schema.clone())
        .with_max_in_list_size(state.config_options().execution.parquet.max_in_list_size)
        .build(filter);
    let Some(predicate) = predicate else {
        return Ok(files.iter().collect());
    };
    let keep = predicate.prune(&LogStatistics { table, files })?;
    Ok(files
        .iter()
        .zip(keep)
        .filter_map(|(file, keep)| keep.then_some(file))
        .collect())
}

struct LogStatistics<'a> {
    table: Table,
    files: &'a [DataFile],
}

impl LogStatistics<'_> {
    /// `dt` and `hr` are the same in all rows of a file.
    fn partition_values(&self, column: &Column) -> Option<ArrayRef> {
        let [dt, hr] = PARTITION_COLUMNS;
        let values = if column.name == dt {
            StringArray::from_iter_values(self.files.iter().map(|file| &file.dt))
        } else if column.name == hr {
            StringArray::from_iter_values(self.files.iter().map(|file| &file.hr))
        } else {
            return None;
        };
        Some(Arc::new(values))
    }

    fn times(&self, column: &Column, side: fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        let times = || self.files.iter().map(|file| file.time_ns.map(side));
        (column.name == self.table.time_column()).then(|| Arc::new(Int64Array::from_iter(times())) as ArrayRef)
    }
}

impl PruningStatistics for LogStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.partition_values(column)
            .or_else(|| self.times(column, |(min, _)| min))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.partition_values(column)
            .or_else(|| self.times(column, |(_, max)| max))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter(
            self.files.iter().map(|file| file.rows),
        )))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

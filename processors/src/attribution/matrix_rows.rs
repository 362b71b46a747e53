//! A matrix as rows of the tables `operations`, `matrix`, `interference` and `running_functions`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch};
use arrow::error::ArrowError;
use spandrel_attribution::{
    Coverage, Distribution, InterferenceRow, MatrixRow, MatrixTables, OperationRow, RequestGroup, RunningFunctionRow,
};
use spandrel_model::Table;
use spandrel_pipeline::TableRows;

use super::rows::{int64, keys, strings, table, timestamps};
use super::windows::WindowRows;

/// Rows of `operations`, `matrix`, `interference` and `running_functions`, in this order. Tables without rows are left out.
///
/// # Errors
/// Arrow refuses the columns, which means that they do not fit the schema of the table.
pub fn matrix_rows(tables: &MatrixTables, emission: i32) -> Result<Vec<TableRows>, ArrowError> {
    replacing_rows(tables, emission, &[])
}

/// The rows of a window, in the place of those sent before.
pub(super) fn window_rows(window: &WindowRows) -> Result<Vec<TableRows>, ArrowError> {
    replacing_rows(&window.tables, window.emission, &window.replaced)
}

fn replacing_rows(
    tables: &MatrixTables,
    emission: i32,
    replaced: &[(RequestGroup, i32)],
) -> Result<Vec<TableRows>, ArrowError> {
    let mut tables = [
        operations(&tables.operations, emission)?,
        matrix(&tables.cells, emission)?,
        interference(&tables.interference, emission)?,
        running_functions(&tables.functions, emission)?,
    ];
    for table in &mut tables {
        table.replaces = group_keys(table.table, replaced)?;
    }
    let is_empty = |table: &TableRows| table.rows.num_rows() == 0 && table.replaces.is_none();
    Ok(tables.into_iter().filter(|table| !is_empty(table)).collect())
}

/// Keys of all rows of some operations in some emissions.
fn group_keys(table: Table, replaced: &[(RequestGroup, i32)]) -> Result<Option<RecordBatch>, ArrowError> {
    keys(
        table,
        &["window_start_ns", "emission", "service_name", "operation"],
        vec![
            int64(replaced.iter().map(|(group, _)| group.window_start.0)),
            Arc::new(Int32Array::from_iter_values(
                replaced.iter().map(|(_, emission)| *emission),
            )),
            strings(replaced.iter().map(|(group, _)| &*group.service_name)),
            strings(replaced.iter().map(|(group, _)| &*group.operation)),
        ],
    )
}

fn operations(rows: &[OperationRow], emission: i32) -> Result<TableRows, ArrowError> {
    let mut columns = group(rows, |row| &row.group, emission);
    columns.extend([
        int64(rows.iter().map(|row| row.durations.n)),
        int64(rows.iter().map(|row| row.durations.sum_ns)),
    ]);
    columns.extend(quantiles(rows, |row| &row.durations));
    for at in 0..3 {
        columns.extend([
            int64(rows.iter().map(|row| row.tails[at].n)),
            int64(rows.iter().map(|row| row.tails[at].mean_ns)),
        ]);
    }
    columns.extend(coverage(rows, |row| &row.coverage));
    columns.push(sketches(rows, |row| &row.durations));
    table(Table::Operations, columns)
}

fn matrix(rows: &[MatrixRow], emission: i32) -> Result<TableRows, ArrowError> {
    let mut columns = group(rows, |row| &row.group, emission);
    columns.extend([
        strings(rows.iter().map(|row| row.view.as_str())),
        strings(rows.iter().map(|row| row.layer.as_str())),
        strings(rows.iter().map(|row| row.state.as_str())),
        int64(rows.iter().map(|row| row.times.n)),
        int64(rows.iter().map(|row| row.n_nonzero)),
        int64(rows.iter().map(|row| row.times.sum_ns)),
    ]);
    columns.extend(quantiles(rows, |row| &row.times));
    columns.extend((0..3).map(|at| int64(rows.iter().map(move |row| row.tail_ns[at]))));
    columns.push(Arc::new(rows.iter().map(|row| row.cov_share).collect::<Float64Array>()));
    columns.extend(coverage(rows, |row| &row.coverage));
    columns.push(sketches(rows, |row| &row.times));
    table(Table::Matrix, columns)
}

fn interference(rows: &[InterferenceRow], emission: i32) -> Result<TableRows, ArrowError> {
    let mut columns = group(rows, |row| &row.group, emission);
    columns.extend([
        strings(rows.iter().map(|row| row.layer.as_str())),
        strings(rows.iter().map(|row| &*row.state)),
        strings(rows.iter().map(|row| &*row.culprit.operation)),
        strings(rows.iter().map(|row| row.culprit.layer.as_str())),
        strings(rows.iter().map(|row| row.culprit.state.as_str())),
        int64(rows.iter().map(|row| row.n)),
        int64(rows.iter().map(|row| row.ns)),
    ]);
    table(Table::Interference, columns)
}

fn running_functions(rows: &[RunningFunctionRow], emission: i32) -> Result<TableRows, ArrowError> {
    let mut columns = group(rows, |row| &row.group, emission);
    columns.extend([
        strings(rows.iter().map(|row| row.layer.as_str())),
        strings(rows.iter().map(|row| row.function_layer.as_str())),
        strings(rows.iter().map(|row| &*row.function)),
        int64(rows.iter().map(|row| row.n_samples)),
        int64(rows.iter().map(|row| row.ns)),
        int64(rows.iter().map(|row| row.lo_ns)),
        int64(rows.iter().map(|row| row.hi_ns)),
    ]);
    table(Table::RunningFunctions, columns)
}

fn group<R>(rows: &[R], of: fn(&R) -> &RequestGroup, emission: i32) -> Vec<ArrayRef> {
    let groups = || rows.iter().map(of);
    vec![
        int64(groups().map(|group| group.window_start.0)),
        timestamps(groups().map(|group| group.window_start)),
        int64(groups().map(|group| group.window_ns)),
        Arc::new(Int32Array::from_iter_values(groups().map(|_| emission))),
        strings(groups().map(|group| &*group.service_name)),
        strings(groups().map(|group| &*group.operation)),
    ]
}

/// For each percentile its value and both ends of its confidence interval.
fn quantiles<R>(rows: &[R], of: fn(&R) -> &Distribution) -> Vec<ArrayRef> {
    let columns = (0..3).flat_map(|at| -> [ArrayRef; 3] {
        let quantiles = || rows.iter().map(|row| of(row).quantiles[at]);
        let ends = || quantiles().map(|quantile| quantile.confidence_ns);
        [
            int64(quantiles().map(|quantile| quantile.ns)),
            Arc::new(ends().map(|ends| Some(ends?.0)).collect::<Int64Array>()),
            Arc::new(ends().map(|ends| Some(ends?.1)).collect::<Int64Array>()),
        ]
    });
    columns.collect()
}

fn coverage<R>(rows: &[R], of: fn(&R) -> &Coverage) -> [ArrayRef; 4] {
    let column = |ns: fn(&Coverage) -> i64| int64(rows.iter().map(|row| ns(of(row))));
    [
        column(|time| time.exact_ns),
        column(|time| time.sampled_ns),
        column(|time| time.inferred_ns),
        column(|time| time.unknown_ns),
    ]
}

fn sketches<R>(rows: &[R], of: fn(&R) -> &Distribution) -> ArrayRef {
    Arc::new(BinaryArray::from_iter_values(
        rows.iter().map(|row| of(row).sketch.to_bytes()),
    ))
}

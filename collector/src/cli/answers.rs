//! What the tables answer to the program's own questions: rows of numbers and words.

use anyhow::anyhow;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use spandrel_query::QueryResult;

/// One field of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// What is no number; an id as hexadecimal digits.
    Text(String),
    /// An integer.
    Int(i64),
    /// Nothing.
    Null,
}

/// The rows of an answer.
///
/// # Errors
/// A column has a type that is neither.
pub(super) fn rows(result: &QueryResult) -> anyhow::Result<Vec<Vec<Value>>> {
    let mut rows = Vec::new();
    for batch in &result.batches {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(plain).collect::<anyhow::Result<_>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| value(column, row)).collect());
        }
    }
    Ok(rows)
}

/// Integers as 64 bits, everything else as text.
fn plain(column: &ArrayRef) -> anyhow::Result<ArrayRef> {
    let to = if column.data_type().is_integer() {
        DataType::Int64
    } else {
        DataType::Utf8
    };
    cast(column, &to).map_err(|error| anyhow!("failed to read a result: {error}"))
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        _ => Value::Text(column.as_string::<i32>().value(row).to_owned()),
    }
}

//! Values as the tables hold them: times and counts in `i64`, absent text as null.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

/// A time or count of OTLP. Beyond `i64` it becomes `i64::MAX`; rows of such times are left out ([`super::rejected`]).
pub(super) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Nanoseconds from `start_ns` to `end_ns`; 0 if the end is the earlier one. Neither is negative.
pub(super) fn duration_ns(start_ns: i64, end_ns: i64) -> i64 {
    (end_ns - start_ns).max(0)
}

/// Protobuf does not tell an absent string from an empty one; optional columns hold null for both.
pub(super) fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `N` bytes that are not all zeros, which OpenTelemetry defines as no id.
pub(super) fn valid_id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    <[u8; N]>::try_from(bytes).ok().filter(|id| *id != [0; N])
}

/// Appends an id, or null.
pub(super) fn append_id<const N: usize>(column: &mut FixedSizeBinaryBuilder, id: Option<[u8; N]>) {
    match id {
        Some(id) => column.append_value(id).expect("the column has the width of its ids"),
        None => column.append_null(),
    }
}

/// The microsecond column beside a nanosecond column.
pub(super) fn timestamps_us(times_ns: &[i64]) -> ArrayRef {
    let times_us = times_ns.iter().map(|time_ns| time_ns.div_euclid(1000));
    Arc::new(TimestampMicrosecondArray::from_iter_values(times_us).with_timezone("UTC"))
}

/// The type of a column of one of our tables.
pub(super) fn column_type<'a>(schema: &'a Schema, column: &str) -> &'a DataType {
    schema
        .field_with_name(column)
        .expect("the column is part of the table")
        .data_type()
}

/// The type of the items of a list column of one of our tables.
pub(super) fn item_field<'a>(schema: &'a Schema, column: &str) -> &'a FieldRef {
    match column_type(schema, column) {
        DataType::List(item) => item,
        other => panic!("{column} is a list in the table schema, not {other}"),
    }
}

/// The rows of a table, from all its columns in the order of `schema`.
pub(super) fn record_batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema, columns).expect("columns have the order, types and length of the table")
}

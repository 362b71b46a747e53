//! Columns of the `spans` table that hold one attribute each, typed.

use std::sync::Arc;

use arrow::array::{ArrayBuilder, ArrayRef, Int64Builder, StringBuilder};
use arrow::datatypes::DataType;

use super::any_value::AnyValue;

/// Builds the column of one promoted attribute.
pub(super) struct PromotedColumn {
    /// Attribute that the column holds.
    pub(super) key: &'static str,
    values: Values,
}

enum Values {
    Text(StringBuilder),
    Int(Int64Builder),
}

impl PromotedColumn {
    /// From an entry of `PROMOTED_ATTRIBUTES`.
    pub(super) fn new((key, column, data_type): (&'static str, &'static str, DataType)) -> Self {
        let values = match data_type {
            DataType::Utf8 => Values::Text(StringBuilder::new()),
            DataType::Int64 => Values::Int(Int64Builder::new()),
            other => panic!("{column} is promoted as {other}, but only text and integers can be"),
        };
        Self { key, values }
    }

    /// Takes `value` for the open row `row`, if it has the type of the column and is the first that has.
    pub(super) fn offer(&mut self, row: usize, value: &AnyValue<'_>) {
        match (&mut self.values, value) {
            (Values::Text(column), AnyValue::String(value)) if column.len() == row => column.append_value(value),
            (Values::Int(column), AnyValue::Int(value)) if column.len() == row => column.append_value(*value),
            _ => {}
        }
    }

    /// Makes the column `rows` long by adding null to a row that had no such value.
    pub(super) fn fill(&mut self, rows: usize) {
        match &mut self.values {
            Values::Text(column) if column.len() < rows => column.append_null(),
            Values::Int(column) if column.len() < rows => column.append_null(),
            _ => {}
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self.values {
            Values::Text(mut column) => Arc::new(column.finish()),
            Values::Int(mut column) => Arc::new(column.finish()),
        }
    }
}

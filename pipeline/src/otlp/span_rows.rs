//! Rows of the `spans` table to model spans, for attribution.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int32Array, Int64Array, MapArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use spandrel_model::{
    Attribute, AttributeValue, Interval, PROMOTED_ATTRIBUTES, ProcessIdentity, Span, SpanId, SpanKind, Table, TraceId,
    UnixNanos,
};

/// Rows that are not of the `spans` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// A column is missing.
    #[error("no column `{column}` in these rows, expected the `spans` table")]
    Missing {
        /// The column.
        column: &'static str,
    },
    /// A column has a type that cannot be read as that of the table.
    #[error("column `{column}` has the type {found}, expected {expected}")]
    Type {
        /// The column.
        column: &'static str,
        /// Type found.
        found: String,
        /// Type in the table.
        expected: String,
    },
    /// A value is null that every span has.
    #[error("row {row}: column `{column}` is null")]
    Null {
        /// The column.
        column: &'static str,
        /// The row, from 0.
        row: usize,
    },
    /// A length of time is negative.
    #[error("row {row}: column `duration_ns` is {duration_ns}, expected 0 or more")]
    Duration {
        /// The row, from 0.
        row: usize,
        /// The value.
        duration_ns: i64,
    },
}

/// Reads spans from rows of the `spans` table, as decoded or as read back from a store; columns that spans do not have
/// may be missing. Spans of equal resources share their [`ProcessIdentity`].
///
/// Attribute values are text, as in the `attributes` column, except those that a typed column holds as an integer.
/// Attributes without a value are left out.
///
/// # Errors
/// A column is missing or does not fit.
pub fn spans_from_rows(rows: &RecordBatch) -> Result<Vec<Span>, RowsError> {
    let columns = SpanColumns::new(rows)?;
    let mut shared = Shared::default();
    (0..rows.num_rows()).map(|row| columns.span(row, &mut shared)).collect()
}

struct SpanColumns {
    trace_id: FixedSizeBinaryArray,
    span_id: FixedSizeBinaryArray,
    parent_span_id: FixedSizeBinaryArray,
    name: StringArray,
    kind: StringArray,
    scope_name: StringArray,
    flags: Int32Array,
    start_ns: Int64Array,
    duration_ns: Int64Array,
    attributes: TextMap,
    resource_attributes: TextMap,
    /// Attributes that a column of their own holds as integers, as far as these rows have it.
    integers: Vec<(&'static str, Int64Array)>,
}

/// What equal spans have in common.
#[derive(Default)]
struct Shared<'c> {
    names: HashMap<&'c str, Arc<str>>,
    processes: HashMap<ProcessIdentity, Arc<ProcessIdentity>>,
    /// Rows of one request have equal resources and lie together.
    last_process: Option<(Range<usize>, Arc<ProcessIdentity>)>,
}

impl SpanColumns {
    fn new(rows: &RecordBatch) -> Result<Self, RowsError> {
        let id = |column| Ok(required(rows, column)?.as_fixed_size_binary().clone());
        let text = |column| Ok(required(rows, column)?.as_string().clone());
        let int = |column| Ok(required(rows, column)?.as_primitive::<Int64Type>().clone());
        let mut integers = Vec::new();
        for (key, column, data_type) in PROMOTED_ATTRIBUTES {
            if data_type == DataType::Int64 && rows.column_by_name(column).is_some() {
                integers.push((key, nullable(rows, column)?.as_primitive::<Int64Type>().clone()));
            }
        }
        Ok(Self {
            trace_id: id("trace_id")?,
            span_id: id("span_id")?,
            parent_span_id: nullable(rows, "parent_span_id")?.as_fixed_size_binary().clone(),
            name: text("name")?,
            kind: text("kind")?,
            scope_name: text("scope_name")?,
            flags: required(rows, "flags")?.as_primitive::<Int32Type>().clone(),
            start_ns: int("start_ns")?,
            duration_ns: int("duration_ns")?,
            attributes: TextMap::new(required(rows, "attributes")?.as_map().clone()),
            resource_attributes: TextMap::new(required(rows, "resource_attributes")?.as_map().clone()),
            integers,
        })
    }

    fn span<'c>(&'c self, row: usize, shared: &mut Shared<'c>) -> Result<Span, RowsError> {
        let start = UnixNanos(self.start_ns.value(row));
        let duration_ns = self.duration_ns.value(row);
        let interval = Interval::new(start, start.plus(duration_ns)).ok_or(RowsError::Duration { row, duration_ns })?;
        let parent = self
            .parent_span_id
            .is_valid(row)
            .then(|| self.parent_span_id.value(row));
        Ok(Span {
            trace_id: TraceId::from_slice(self.trace_id.value(row)).expect("the column type has the width of the id"),
            span_id: SpanId::from_slice(self.span_id.value(row)).expect("the column type has the width of the id"),
            parent_span_id: parent.and_then(SpanId::from_slice),
            parent_is_remote: parent_is_remote(self.flags.value(row)),
            process: shared.process(&self.resource_attributes, row),
            name: shared.name(self.name.value(row)),
            kind: SpanKind::from_column(self.kind.value(row)),
            scope_name: shared.name(self.scope_name.value(row)),
            interval,
            attributes: self.attributes(row),
        })
    }

    fn attributes(&self, row: usize) -> Vec<Attribute> {
        let entries = self.attributes.entries(row);
        entries
            .filter_map(|(key, text)| Some((key.to_owned(), self.typed(row, key, text?))))
            .collect()
    }

    /// The integer of the typed column if that is what `text` shows, else the text.
    fn typed(&self, row: usize, key: &str, text: &str) -> AttributeValue {
        let integer = self
            .integers
            .iter()
            .find(|(name, column)| *name == key && column.is_valid(row))
            .map(|(_, column)| column.value(row))
            .filter(|integer| text.parse() == Ok(*integer));
        integer.map_or_else(|| AttributeValue::String(text.to_owned()), AttributeValue::Int)
    }
}

impl<'c> Shared<'c> {
    fn name(&mut self, name: &'c str) -> Arc<str> {
        self.names.entry(name).or_insert_with(|| name.into()).clone()
    }

    fn process(&mut self, resources: &TextMap, row: usize) -> Arc<ProcessIdentity> {
        let range = resources.range(row);
        if let Some((last, process)) = &self.last_process
            && resources.same_entries(last, &range)
        {
            return process.clone();
        }
        let identity = ProcessIdentity::from_resource(|key| {
            resources
                .entries(row)
                .find(|(name, _)| *name == key)?
                .1
                .map(str::to_owned)
        });
        let process = self
            .processes
            .entry(identity)
            .or_insert_with_key(|identity| Arc::new(identity.clone()))
            .clone();
        self.last_process = Some((range, process.clone()));
        process
    }
}

/// A map column with its keys and values as text.
struct TextMap {
    map: MapArray,
    keys: StringArray,
    values: StringArray,
}

impl TextMap {
    fn new(map: MapArray) -> Self {
        let (keys, values) = (map.keys().as_string().clone(), map.values().as_string().clone());
        Self { map, keys, values }
    }

    fn range(&self, row: usize) -> Range<usize> {
        let offsets = self.map.value_offsets();
        let index = |offset: i32| usize::try_from(offset).expect("offsets of an array are not negative");
        index(offsets[row])..index(offsets[row + 1])
    }

    fn entries(&self, row: usize) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.range(row).map(|entry| self.entry(entry))
    }

    fn entry(&self, entry: usize) -> (&str, Option<&str>) {
        (
            self.keys.value(entry),
            self.values.is_valid(entry).then(|| self.values.value(entry)),
        )
    }

    fn same_entries(&self, left: &Range<usize>, right: &Range<usize>) -> bool {
        left.len() == right.len()
            && left
                .clone()
                .zip(right.clone())
                .all(|(left, right)| self.entry(left) == self.entry(right))
    }
}

/// `HAS_IS_REMOTE` and `IS_REMOTE` of OTLP's `SpanFlags`.
fn parent_is_remote(flags: i32) -> Option<bool> {
    (flags & 0x100 != 0).then_some(flags & 0x200 != 0)
}

fn required(rows: &RecordBatch, column: &'static str) -> Result<ArrayRef, RowsError> {
    let values = nullable(rows, column)?;
    match (0..values.len()).find(|row| values.is_null(*row)) {
        Some(row) => Err(RowsError::Null { column, row }),
        None => Ok(values),
    }
}

/// The column in the type of the table. Readers of files like other string types; those are converted.
fn nullable(rows: &RecordBatch, column: &'static str) -> Result<ArrayRef, RowsError> {
    let values = rows.column_by_name(column).ok_or(RowsError::Missing { column })?;
    let schema = Table::Spans.schema();
    let expected = schema
        .field_with_name(column)
        .expect("the column is part of the table")
        .data_type();
    if values.data_type() == expected {
        return Ok(values.clone());
    }
    cast(values, expected).map_err(|_| RowsError::Type {
        column,
        found: values.data_type().to_string(),
        expected: expected.to_string(),
    })
}

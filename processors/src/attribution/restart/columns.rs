//! Typed columns of stored rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use spandrel_attribution::SpanKey;
use spandrel_model::{ProcessIdentity, SpanId, TraceId};

/// The column of a batch, as text.
pub(super) fn text<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray, ArrowError> {
    let column = column(rows, name)?;
    column.as_string_opt().ok_or_else(|| unfit(name, column.data_type()))
}

/// As integers.
pub(super) fn integers<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, ArrowError> {
    let column = column(rows, name)?;
    let integers = column.as_primitive_opt::<Int64Type>();
    integers.ok_or_else(|| unfit(name, column.data_type()))
}

/// As truth values.
pub(super) fn booleans<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray, ArrowError> {
    let column = column(rows, name)?;
    column.as_boolean_opt().ok_or_else(|| unfit(name, column.data_type()))
}

fn ids<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a FixedSizeBinaryArray, ArrowError> {
    let column = column(rows, name)?;
    let ids = column.as_fixed_size_binary_opt();
    ids.ok_or_else(|| unfit(name, column.data_type()))
}

pub(super) fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, ArrowError> {
    let column = rows.column_by_name(name).map(AsRef::as_ref);
    column.ok_or_else(|| ArrowError::SchemaError(format!("stored rows have no column `{name}`")))
}

fn unfit(name: &str, found: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("stored column `{name}` has the unexpected type {found}"))
}

/// The value of a column that may be null.
pub(super) fn optional(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

/// Which of `words` a text is.
pub(super) fn word<T: Copy>(words: &[T], as_str: fn(T) -> &'static str, text: &str) -> Result<T, ArrowError> {
    let word = words.iter().copied().find(|word| as_str(*word) == text);
    word.ok_or_else(|| ArrowError::SchemaError(format!("stored rows have the unknown word `{text}`")))
}

/// `service_name` and `process_id`.
type ProcessName = (Arc<str>, Arc<str>);

/// A span as the tables name it. Its id may occur in several processes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StoredKey {
    pub(super) span: SpanKey,
    pub(super) process: Arc<ProcessName>,
}

/// Columns that name spans.
pub(super) const KEY_COLUMNS: [&str; 4] = ["trace_id", "span_id", "service_name", "process_id"];

/// Shares what equal keys and words have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    words: HashMap<String, Arc<str>>,
    processes: HashMap<ProcessName, Arc<ProcessName>>,
}

impl Shared {
    pub(super) fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        self.words.insert(text.to_owned(), word.clone());
        word
    }

    pub(super) fn key_of(&mut self, span: SpanKey, process: &ProcessIdentity) -> StoredKey {
        let process = (process.service_name.clone(), self.word(&process.process_id()));
        let process = (self.processes.entry(process)).or_insert_with_key(|process| Arc::new(process.clone()));
        StoredKey {
            span,
            process: process.clone(),
        }
    }
}

/// The keys of the rows of a batch.
pub(super) struct Keys<'a> {
    trace_ids: &'a FixedSizeBinaryArray,
    span_ids: &'a FixedSizeBinaryArray,
    services: &'a StringArray,
    process_ids: &'a StringArray,
}

impl<'a> Keys<'a> {
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        Ok(Self {
            trace_ids: ids(rows, "trace_id")?,
            span_ids: ids(rows, "span_id")?,
            services: text(rows, "service_name")?,
            process_ids: text(rows, "process_id")?,
        })
    }

    pub(super) fn key(&self, row: usize, shared: &mut Shared) -> Result<StoredKey, ArrowError> {
        let ids = (
            TraceId::from_slice(self.trace_ids.value(row)),
            SpanId::from_slice(self.span_ids.value(row)),
        );
        let (Some(trace_id), Some(span_id)) = ids else {
            return Err(ArrowError::SchemaError(
                "stored ids have an unexpected width".to_owned(),
            ));
        };
        let process = (
            shared.word(self.services.value(row)),
            shared.word(self.process_ids.value(row)),
        );
        let process = (shared.processes.entry(process)).or_insert_with_key(|process| Arc::new(process.clone()));
        Ok(StoredKey {
            span: SpanKey { trace_id, span_id },
            process: process.clone(),
        })
    }
}

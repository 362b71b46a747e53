//! A map column of attributes: text by key, one map per row.

use arrow::array::{ArrayRef, MapArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use std::sync::Arc;

use super::any_value::AnyValue;
use super::error::DecodeError;

/// Builds a map column. Attributes belong to the row that the next [`Self::end_row`] closes.
#[derive(Debug)]
pub(super) struct AttributesBuilder {
    keys: StringBuilder,
    values: StringBuilder,
    // Invariant: begins with 0, never falls; the last entry is the end of the last closed row.
    offsets: Vec<i32>,
    scratch: String,
}

impl AttributesBuilder {
    pub(super) fn new() -> Self {
        Self {
            keys: StringBuilder::new(),
            values: StringBuilder::new(),
            offsets: vec![0],
            scratch: String::new(),
        }
    }

    /// Adds an attribute to the open row. Duplicate keys are all kept, as they were sent.
    #[inline]
    pub(super) fn append(&mut self, key: &str, value: &AnyValue<'_>) -> Result<(), DecodeError> {
        self.keys.append_value(key);
        value.append_to(&mut self.values, &mut self.scratch)
    }

    /// Closes the row.
    pub(super) fn end_row(&mut self) {
        self.offsets.push(end_offset(self.keys.offsets_slice().len() - 1));
    }

    /// Bytes of all keys and values.
    pub(super) fn text_bytes(&self) -> usize {
        self.keys.values_slice().len() + self.values.values_slice().len()
    }

    /// The column, of the map type `data_type`.
    pub(super) fn finish(mut self, data_type: &DataType) -> ArrayRef {
        let DataType::Map(entry, is_sorted) = data_type else {
            panic!("attribute columns are maps in every table schema, not {data_type}");
        };
        let DataType::Struct(key_and_value) = entry.data_type() else {
            panic!("the entries of a map are structs, not {}", entry.data_type());
        };
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), Arc::new(self.values.finish())];
        let entries = StructArray::new(key_and_value.clone(), columns, None);
        let offsets = OffsetBuffer::new(self.offsets.into());
        Arc::new(MapArray::new(entry.clone(), offsets, entries, None, *is_sorted))
    }
}

/// A count of list items as an Arrow offset.
pub(super) fn end_offset(items: usize) -> i32 {
    i32::try_from(items).expect("a request has fewer bytes than i32::MAX, and an item takes at least two")
}

//! Rows of `stacks`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use spandrel_model::{Frame, Names, Stack, Table, UnixNanos};

use super::{batch, int64};

/// Rows as columns of nested lists, which are too few to be worth more.
#[derive(Debug)]
pub(crate) struct StackColumns {
    ids: Vec<i64>,
    frames: ListBuilder<StructBuilder>,
}

impl StackColumns {
    /// # Errors
    /// The schema of the table is not the one that this module knows.
    pub(crate) fn new() -> Result<Self, ArrowError> {
        let schema = Table::Stacks.row_schema();
        let list = schema.field_with_name("frames")?.data_type();
        let misfit = || ArrowError::SchemaError(format!("`stacks.frames` is a {list}, expected a list of structs"));
        let DataType::List(item) = list else {
            return Err(misfit());
        };
        let DataType::Struct(members) = item.data_type() else {
            return Err(misfit());
        };
        let structs = StructBuilder::from_fields(members.clone(), 0);
        Ok(Self {
            ids: Vec::new(),
            frames: ListBuilder::new(structs).with_field(item.clone()),
        })
    }

    pub(crate) fn push(&mut self, row: &Stack, names: &Names) -> Result<(), ArrowError> {
        self.ids.push(row.id.as_column());
        for frame in &row.frames {
            self.push_frame(frame, names)?;
        }
        self.frames.append(true);
        Ok(())
    }

    fn push_frame(&mut self, frame: &Frame, names: &Names) -> Result<(), ArrowError> {
        let misfit = || ArrowError::SchemaError("`stacks.frames` does not hold (function, file, line)".to_owned());
        let structs = self.frames.values();
        let strings = [frame.function, frame.file].map(|name| names.resolve(name));
        for (index, text) in strings.into_iter().enumerate() {
            structs
                .field_builder::<StringBuilder>(index)
                .ok_or_else(misfit)?
                .append_value(text);
        }
        let line = i32::try_from(frame.line).unwrap_or(i32::MAX);
        structs
            .field_builder::<Int32Builder>(2)
            .ok_or_else(misfit)?
            .append_value(line);
        structs.append(true);
        Ok(())
    }

    /// `recording_start` is the start of the recording.
    pub(crate) fn finish(mut self, recording_start: UnixNanos) -> Result<RecordBatch, ArrowError> {
        let starts = vec![recording_start.0; self.ids.len()];
        let frames: ArrayRef = Arc::new(self.frames.finish());
        batch(Table::Stacks, vec![int64(self.ids), int64(starts), frames])
    }
}

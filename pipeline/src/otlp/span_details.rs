//! Events and links of spans: lists of structs, one list per span.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeBinaryBuilder, Int64Builder, ListArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Fields, Schema};
use spandrel_model::{SpanId, TraceId};

use super::any_value::read_key_value;
use super::attributes::{AttributesBuilder, end_offset};
use super::columns::{append_id, item_field, non_empty, to_i64, valid_id};
use super::error::DecodeError;
use super::wire::Reader;

/// Builds the `events` column. Events belong to the span that the next [`Self::end_row`] closes.
pub(super) struct EventsBuilder {
    time_ns: Int64Builder,
    name: StringBuilder,
    attributes: AttributesBuilder,
    offsets: Vec<i32>,
}

impl EventsBuilder {
    pub(super) fn new() -> Self {
        Self {
            time_ns: Int64Builder::new(),
            name: StringBuilder::new(),
            attributes: AttributesBuilder::new(),
            offsets: vec![0],
        }
    }

    /// Adds an `Event` to the open span. Returns its time.
    pub(super) fn append(&mut self, mut event: Reader<'_>) -> Result<u64, DecodeError> {
        let (mut time, mut name) = (0, "");
        while let Some(field) = event.next_field()? {
            match field.number {
                1 => time = field.fixed64("time_unix_nano")?,
                2 => name = field.string("name")?,
                3 => {
                    let (key, value) = read_key_value(field.message("attributes", "KeyValue")?)?;
                    self.attributes.append(key, &value)?;
                }
                _ => field.skip()?,
            }
        }
        self.time_ns.append_value(to_i64(time));
        self.name.append_value(name);
        self.attributes.end_row();
        Ok(time)
    }

    /// Closes the span.
    pub(super) fn end_row(&mut self) {
        self.offsets.push(end_offset(self.time_ns.values_slice().len()));
    }

    pub(super) fn finish(mut self, schema: &Schema) -> ArrayRef {
        list_of_structs(schema, "events", self.offsets, |members| {
            vec![
                Arc::new(self.time_ns.finish()),
                Arc::new(self.name.finish()),
                self.attributes.finish(member_type(members, "attributes")),
            ]
        })
    }
}

/// Builds the `links` column. Links belong to the span that the next [`Self::end_row`] closes.
pub(super) struct LinksBuilder {
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    trace_state: StringBuilder,
    attributes: AttributesBuilder,
    offsets: Vec<i32>,
    count: usize,
}

impl LinksBuilder {
    pub(super) fn new() -> Self {
        Self {
            trace_id: FixedSizeBinaryBuilder::new(TraceId::LEN as i32),
            span_id: FixedSizeBinaryBuilder::new(SpanId::LEN as i32),
            trace_state: StringBuilder::new(),
            attributes: AttributesBuilder::new(),
            offsets: vec![0],
            count: 0,
        }
    }

    /// Adds a `Link` to the open span. An id of a wrong length, or of zeros, leads nowhere and becomes null.
    pub(super) fn append(&mut self, mut link: Reader<'_>) -> Result<(), DecodeError> {
        let (mut trace_id, mut span_id, mut trace_state) = (&[][..], &[][..], "");
        while let Some(field) = link.next_field()? {
            match field.number {
                1 => trace_id = field.bytes("trace_id")?,
                2 => span_id = field.bytes("span_id")?,
                3 => trace_state = field.string("trace_state")?,
                4 => {
                    let (key, value) = read_key_value(field.message("attributes", "KeyValue")?)?;
                    self.attributes.append(key, &value)?;
                }
                _ => field.skip()?,
            }
        }
        append_id(&mut self.trace_id, valid_id::<{ TraceId::LEN }>(trace_id));
        append_id(&mut self.span_id, valid_id::<{ SpanId::LEN }>(span_id));
        self.trace_state.append_option(non_empty(trace_state));
        self.attributes.end_row();
        self.count += 1;
        Ok(())
    }

    /// Closes the span.
    pub(super) fn end_row(&mut self) {
        self.offsets.push(end_offset(self.count));
    }

    pub(super) fn finish(mut self, schema: &Schema) -> ArrayRef {
        list_of_structs(schema, "links", self.offsets, |members| {
            vec![
                Arc::new(self.trace_id.finish()),
                Arc::new(self.span_id.finish()),
                Arc::new(self.trace_state.finish()),
                self.attributes.finish(member_type(members, "attributes")),
            ]
        })
    }
}

fn list_of_structs(
    schema: &Schema,
    column: &str,
    offsets: Vec<i32>,
    finish: impl FnOnce(&Fields) -> Vec<Arc<dyn Array>>,
) -> ArrayRef {
    let item = item_field(schema, column);
    let DataType::Struct(members) = item.data_type() else {
        panic!(
            "{column} is a list of structs in the table schema, not of {}",
            item.data_type()
        );
    };
    let structs = StructArray::new(members.clone(), finish(members), None);
    let offsets = OffsetBuffer::new(offsets.into());
    Arc::new(ListArray::new(item.clone(), offsets, Arc::new(structs), None))
}

fn member_type<'a>(members: &'a Fields, name: &str) -> &'a DataType {
    members
        .find(name)
        .map(|(_, member)| member.data_type())
        .expect("the struct has the member")
}

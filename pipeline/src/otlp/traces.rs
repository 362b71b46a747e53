//! `ExportTraceServiceRequest` to rows of the `spans` table.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, StringBuilder};
use arrow::record_batch::RecordBatch;
use spandrel_model::{PROMOTED_ATTRIBUTES, SpanId, SpanKind, Table, TraceId};

use super::any_value::{AnyValue, read_key_value};
use super::attributes::AttributesBuilder;
use super::columns::{append_id, column_type, duration_ns, non_empty, record_batch, timestamps_us, to_i64, valid_id};
use super::envelope::Envelope;
use super::error::{DecodeError, DecodeProblem, FieldName};
use super::promoted::PromotedColumn;
use super::rejected::{Decoded, Unfit};
use super::resource::Origins;
use super::span_details::{EventsBuilder, LinksBuilder};
use super::wire::Reader;

pub(super) const ENVELOPE: Envelope = Envelope {
    request: "ExportTraceServiceRequest",
    resource_groups: ("resource_spans", "ResourceSpans"),
    scope_groups: ("scope_spans", "ScopeSpans"),
    items: ("spans", "Span"),
};

/// How much of a span name an error shows.
const MAX_NAME_CHARS: usize = 80;

/// Decodes `request`; the rows come in the order of the request.
pub(super) fn decode(request: &[u8]) -> Result<Decoded, DecodeError> {
    let mut origins = Origins::new();
    let mut spans = SpansBuilder::new();
    ENVELOPE.decode(request, &mut origins, |span, origins| {
        origins.add_row(&span, 0)?;
        spans.append(span)
    })?;
    let unfit = std::mem::take(&mut spans.unfit);
    Ok(unfit.without(spans.finish(origins)))
}

struct SpansBuilder {
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    parent_span_id: FixedSizeBinaryBuilder,
    trace_state: StringBuilder,
    flags: Int32Builder,
    name: StringBuilder,
    kind: StringBuilder,
    start_ns: Int64Builder,
    duration_ns: Int64Builder,
    status_code: StringBuilder,
    status_message: StringBuilder,
    promoted: Vec<PromotedColumn>,
    attributes: AttributesBuilder,
    events: EventsBuilder,
    links: LinksBuilder,
    dropped_attributes_count: Int64Builder,
    dropped_events_count: Int64Builder,
    dropped_links_count: Int64Builder,
    unfit: Unfit,
}

/// The fields of one span that a later part of the message may still change.
#[derive(Default)]
struct SpanFields<'a> {
    trace_id: Id<'a>,
    span_id: Id<'a>,
    parent_span_id: Id<'a>,
    trace_state: &'a str,
    flags: u32,
    name: &'a str,
    kind: i32,
    start: u64,
    end: u64,
    last_event: u64,
    status_code: i32,
    status_message: &'a str,
    dropped_attributes: u32,
    dropped_events: u32,
    dropped_links: u32,
}

/// An id as reported, with its position for errors.
#[derive(Clone, Copy, Default)]
struct Id<'a> {
    bytes: &'a [u8],
    offset: Option<usize>,
}

impl SpansBuilder {
    fn new() -> Self {
        let trace_ids = || FixedSizeBinaryBuilder::new(TraceId::LEN as i32);
        let span_ids = || FixedSizeBinaryBuilder::new(SpanId::LEN as i32);
        Self {
            trace_id: trace_ids(),
            span_id: span_ids(),
            parent_span_id: span_ids(),
            trace_state: StringBuilder::new(),
            flags: Int32Builder::new(),
            name: StringBuilder::new(),
            kind: StringBuilder::new(),
            start_ns: Int64Builder::new(),
            duration_ns: Int64Builder::new(),
            status_code: StringBuilder::new(),
            status_message: StringBuilder::new(),
            promoted: PROMOTED_ATTRIBUTES.into_iter().map(PromotedColumn::new).collect(),
            attributes: AttributesBuilder::new(),
            events: EventsBuilder::new(),
            links: LinksBuilder::new(),
            dropped_attributes_count: Int64Builder::new(),
            dropped_events_count: Int64Builder::new(),
            dropped_links_count: Int64Builder::new(),
            unfit: Unfit::default(),
        }
    }

    fn append(&mut self, span: Reader<'_>) -> Result<(), DecodeError> {
        let fields = self.read(span)?;
        let id_error = |id: Id<'_>, field: &'static str, expected: usize| {
            let span_name = fields.name.chars().take(MAX_NAME_CHARS).collect();
            let problem = DecodeProblem::IdLength {
                len: id.bytes.len(),
                expected,
                span: span_name,
            };
            let error = span.error(FieldName::Name(field), problem);
            DecodeError {
                offset: id.offset.unwrap_or(error.offset),
                ..error
            }
        };
        let trace_id = TraceId::from_slice(fields.trace_id.bytes)
            .ok_or_else(|| id_error(fields.trace_id, "trace_id", TraceId::LEN))?;
        let span_id =
            SpanId::from_slice(fields.span_id.bytes).ok_or_else(|| id_error(fields.span_id, "span_id", SpanId::LEN))?;
        let parent = fields.parent_span_id;
        if !parent.bytes.is_empty() && parent.bytes.len() != SpanId::LEN {
            return Err(id_error(parent, "parent_span_id", SpanId::LEN));
        }
        append_id(&mut self.trace_id, Some(*trace_id.as_bytes()));
        append_id(&mut self.span_id, Some(*span_id.as_bytes()));
        append_id(&mut self.parent_span_id, valid_id::<{ SpanId::LEN }>(parent.bytes));
        self.end_row(&fields);
        Ok(())
    }

    /// Reads the fields of a span. What repeats (attributes, events, links) goes straight into the open row.
    fn read<'a>(&mut self, mut span: Reader<'a>) -> Result<SpanFields<'a>, DecodeError> {
        let mut fields = SpanFields::default();
        while let Some(field) = span.next_field()? {
            match field.number {
                1 => {
                    fields.trace_id = Id {
                        offset: Some(field.offset()),
                        bytes: field.bytes("trace_id")?,
                    }
                }
                2 => {
                    fields.span_id = Id {
                        offset: Some(field.offset()),
                        bytes: field.bytes("span_id")?,
                    }
                }
                3 => fields.trace_state = field.string("trace_state")?,
                4 => {
                    fields.parent_span_id = Id {
                        offset: Some(field.offset()),
                        bytes: field.bytes("parent_span_id")?,
                    };
                }
                5 => fields.name = field.string("name")?,
                6 => fields.kind = field.int32("kind")?,
                7 => fields.start = field.fixed64("start_time_unix_nano")?,
                8 => fields.end = field.fixed64("end_time_unix_nano")?,
                9 => {
                    let (key, value) = read_key_value(field.message("attributes", "KeyValue")?)?;
                    self.promote(key, &value);
                    self.attributes.append(key, &value)?;
                }
                10 => fields.dropped_attributes = field.uint32("dropped_attributes_count")?,
                11 => {
                    let time = self.events.append(field.message("events", "Event")?)?;
                    fields.last_event = fields.last_event.max(time);
                }
                12 => fields.dropped_events = field.uint32("dropped_events_count")?,
                13 => self.links.append(field.message("links", "Link")?)?,
                14 => fields.dropped_links = field.uint32("dropped_links_count")?,
                15 => fields.read_status(field.message("status", "Status")?)?,
                16 => fields.flags = field.fixed32("flags")?,
                _ => field.skip()?,
            }
        }
        Ok(fields)
    }

    #[inline]
    fn promote(&mut self, key: &str, value: &AnyValue<'_>) {
        let row = self.name.offsets_slice().len() - 1;
        if let Some(column) = self.promoted.iter_mut().find(|column| column.key == key) {
            column.offer(row, value);
        }
    }

    fn end_row(&mut self, fields: &SpanFields<'_>) {
        let times = [
            ("Span.start_time_unix_nano", fields.start),
            ("Span.end_time_unix_nano", fields.end),
            ("Event.time_unix_nano", fields.last_event),
        ];
        let row = self.start_ns.values_slice().len();
        self.unfit.check_times(row, ("span", fields.name), &times);
        let start_ns = to_i64(fields.start);
        self.trace_state.append_option(non_empty(fields.trace_state));
        self.flags.append_value(fields.flags.cast_signed());
        self.name.append_value(fields.name);
        self.kind.append_value(SpanKind::from_otlp(fields.kind).as_str());
        self.start_ns.append_value(start_ns);
        self.duration_ns.append_value(duration_ns(start_ns, to_i64(fields.end)));
        self.status_code.append_value(status_word(fields.status_code));
        self.status_message.append_option(non_empty(fields.status_message));
        let rows = self.name.offsets_slice().len() - 1;
        self.promoted.iter_mut().for_each(|column| column.fill(rows));
        self.attributes.end_row();
        self.events.end_row();
        self.links.end_row();
        self.dropped_attributes_count
            .append_value(fields.dropped_attributes.into());
        self.dropped_events_count.append_value(fields.dropped_events.into());
        self.dropped_links_count.append_value(fields.dropped_links.into());
    }

    fn finish(mut self, origins: Origins) -> RecordBatch {
        let schema = Table::Spans.schema();
        let origins = origins.finish(&schema);
        let start_time = timestamps_us(self.start_ns.values_slice());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.parent_span_id.finish()),
            Arc::new(self.trace_state.finish()),
            Arc::new(self.flags.finish()),
            origins.service_name,
            origins.process_id,
            origins.scope_name,
            origins.scope_version,
            Arc::new(self.name.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.start_ns.finish()),
            start_time,
            Arc::new(self.duration_ns.finish()),
            Arc::new(self.status_code.finish()),
            Arc::new(self.status_message.finish()),
        ];
        columns.extend(self.promoted.into_iter().map(PromotedColumn::finish));
        columns.extend([
            self.attributes.finish(column_type(&schema, "attributes")),
            origins.resource_attributes,
            self.events.finish(&schema),
            self.links.finish(&schema),
            Arc::new(self.dropped_attributes_count.finish()),
            Arc::new(self.dropped_events_count.finish()),
            Arc::new(self.dropped_links_count.finish()),
        ]);
        record_batch(schema, columns)
    }
}

impl<'a> SpanFields<'a> {
    fn read_status(&mut self, mut status: Reader<'a>) -> Result<(), DecodeError> {
        while let Some(field) = status.next_field()? {
            match field.number {
                2 => self.status_message = field.string("message")?,
                3 => self.status_code = field.int32("code")?,
                _ => field.skip()?,
            }
        }
        Ok(())
    }
}

fn status_word(code: i32) -> &'static str {
    match code {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}

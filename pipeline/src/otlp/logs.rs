//! `ExportLogsServiceRequest` to rows of the `logs` table.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, StringBuilder};
use arrow::record_batch::RecordBatch;
use spandrel_model::{SpanId, Table, TraceId};

use super::any_value::{AnyValue, read_key_value};
use super::attributes::AttributesBuilder;
use super::columns::{append_id, column_type, non_empty, record_batch, timestamps_us, to_i64, valid_id};
use super::envelope::Envelope;
use super::error::DecodeError;
use super::rejected::{Decoded, Unfit};
use super::resource::Origins;
use super::wire::Reader;

pub(super) const ENVELOPE: Envelope = Envelope {
    request: "ExportLogsServiceRequest",
    resource_groups: ("resource_logs", "ResourceLogs"),
    scope_groups: ("scope_logs", "ScopeLogs"),
    items: ("log_records", "LogRecord"),
};

/// Decodes `request`; the rows come in the order of the request.
pub(super) fn decode(request: &[u8]) -> Result<Decoded, DecodeError> {
    let mut origins = Origins::new();
    let mut logs = LogsBuilder::new();
    ENVELOPE.decode(request, &mut origins, |record, origins| {
        origins.add_row(&record, 0)?;
        let fields = logs.read(record)?;
        logs.end_row(&fields)
    })?;
    let unfit = std::mem::take(&mut logs.unfit);
    Ok(unfit.without(logs.finish(origins)))
}

struct LogsBuilder {
    time_ns: Int64Builder,
    observed_time_ns: Int64Builder,
    severity_number: Int32Builder,
    severity_text: StringBuilder,
    event_name: StringBuilder,
    body: StringBuilder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    flags: Int32Builder,
    attributes: AttributesBuilder,
    dropped_attributes_count: Int64Builder,
    scratch: String,
    unfit: Unfit,
}

/// The fields of one log record that a later part of the message may still change.
#[derive(Default)]
struct LogFields<'a> {
    time: u64,
    observed_time: u64,
    severity_number: i32,
    severity_text: &'a str,
    event_name: &'a str,
    body: AnyValue<'a>,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    flags: u32,
    dropped_attributes: u32,
}

impl LogsBuilder {
    fn new() -> Self {
        Self {
            time_ns: Int64Builder::new(),
            observed_time_ns: Int64Builder::new(),
            severity_number: Int32Builder::new(),
            severity_text: StringBuilder::new(),
            event_name: StringBuilder::new(),
            body: StringBuilder::new(),
            trace_id: FixedSizeBinaryBuilder::new(TraceId::LEN as i32),
            span_id: FixedSizeBinaryBuilder::new(SpanId::LEN as i32),
            flags: Int32Builder::new(),
            attributes: AttributesBuilder::new(),
            dropped_attributes_count: Int64Builder::new(),
            scratch: String::new(),
            unfit: Unfit::default(),
        }
    }

    /// Reads the fields of a log record. Attributes go straight into the open row.
    fn read<'a>(&mut self, mut record: Reader<'a>) -> Result<LogFields<'a>, DecodeError> {
        let mut fields = LogFields::default();
        while let Some(field) = record.next_field()? {
            match field.number {
                1 => fields.time = field.fixed64("time_unix_nano")?,
                2 => fields.severity_number = field.int32("severity_number")?,
                3 => fields.severity_text = field.string("severity_text")?,
                5 => fields.body.merge(field.message("body", "AnyValue")?)?,
                6 => {
                    let (key, value) = read_key_value(field.message("attributes", "KeyValue")?)?;
                    self.attributes.append(key, &value)?;
                }
                7 => fields.dropped_attributes = field.uint32("dropped_attributes_count")?,
                8 => fields.flags = field.fixed32("flags")?,
                9 => fields.trace_id = field.bytes("trace_id")?,
                10 => fields.span_id = field.bytes("span_id")?,
                11 => fields.observed_time = field.fixed64("observed_time_unix_nano")?,
                12 => fields.event_name = field.string("event_name")?,
                _ => field.skip()?,
            }
        }
        Ok(fields)
    }

    fn end_row(&mut self, fields: &LogFields<'_>) -> Result<(), DecodeError> {
        let time = if fields.time == 0 {
            fields.observed_time
        } else {
            fields.time
        };
        let times = [
            ("LogRecord.time_unix_nano", fields.time),
            ("LogRecord.observed_time_unix_nano", fields.observed_time),
        ];
        let row = self.time_ns.values_slice().len();
        self.unfit.check_times(row, ("log record", fields.event_name), &times);
        self.time_ns.append_value(to_i64(time));
        self.observed_time_ns.append_value(to_i64(fields.observed_time));
        self.severity_number.append_value(fields.severity_number);
        self.severity_text.append_option(non_empty(fields.severity_text));
        self.event_name.append_option(non_empty(fields.event_name));
        fields.body.append_to(&mut self.body, &mut self.scratch)?;
        // A receiver takes a record with an invalid id for one outside of any trace (`logs.proto`).
        append_id(&mut self.trace_id, valid_id::<{ TraceId::LEN }>(fields.trace_id));
        append_id(&mut self.span_id, valid_id::<{ SpanId::LEN }>(fields.span_id));
        self.flags.append_value(fields.flags.cast_signed());
        self.attributes.end_row();
        self.dropped_attributes_count
            .append_value(fields.dropped_attributes.into());
        Ok(())
    }

    fn finish(mut self, origins: Origins) -> RecordBatch {
        let schema = Table::Logs.schema();
        let origins = origins.finish(&schema);
        let time = timestamps_us(self.time_ns.values_slice());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time_ns.finish()),
            time,
            Arc::new(self.observed_time_ns.finish()),
            origins.service_name,
            origins.process_id,
            origins.scope_name,
            Arc::new(self.severity_number.finish()),
            Arc::new(self.severity_text.finish()),
            Arc::new(self.event_name.finish()),
            Arc::new(self.body.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.flags.finish()),
            self.attributes.finish(column_type(&schema, "attributes")),
            origins.resource_attributes,
            Arc::new(self.dropped_attributes_count.finish()),
        ];
        record_batch(schema, columns)
    }
}

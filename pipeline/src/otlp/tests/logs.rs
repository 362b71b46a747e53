//! Decoded log records are what the protobuf types say.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;
use prost::Message;
use serde_json::json;
use spandrel_model::Table;

use super::generate::Dice;
use super::rows::{Row, assert_rows, attributes, is_a_time, items, optional_id, optional_text, origin, text, time};
use crate::Signal;
use crate::otlp::{count_items, decode_logs};

pub(super) fn expected_rows(request: &ExportLogsServiceRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in &request.resource_logs {
        for scope_group in &group.scope_logs {
            let fits = |record: &&LogRecord| {
                [record.time_unix_nano, record.observed_time_unix_nano]
                    .into_iter()
                    .all(is_a_time)
            };
            for record in scope_group.log_records.iter().filter(fits) {
                let mut row = origin(group.resource.as_ref(), scope_group.scope.as_ref());
                row.extend(expected_row(record));
                rows.push(row);
            }
        }
    }
    rows
}

fn expected_row(record: &LogRecord) -> Row {
    let reported = [record.time_unix_nano, record.observed_time_unix_nano];
    let time_ns = time(reported.into_iter().find(|time| *time != 0).unwrap_or(0));
    let row = json!({
        "time_ns": time_ns,
        "time": time_ns / 1000,
        "observed_time_ns": time(record.observed_time_unix_nano),
        "severity_number": record.severity_number,
        "severity_text": optional_text(&record.severity_text),
        "event_name": optional_text(&record.event_name),
        "body": text(record.body.as_ref()),
        "trace_id": optional_id(&record.trace_id, 16),
        "span_id": optional_id(&record.span_id, 8),
        "flags": record.flags as i32,
        "attributes": attributes(&record.attributes),
        "dropped_attributes_count": record.dropped_attributes_count,
    });
    row.as_object().unwrap().clone()
}

proptest! {
    #[test]
    fn every_column_is_what_the_protobuf_types_say(seed: u64) {
        let request = Dice::new(seed).logs();
        let bytes = request.encode_to_vec();
        let decoded = decode_logs(&bytes).unwrap();
        let batch = &decoded.rows;
        prop_assert_eq!(batch.schema(), Table::Logs.schema());
        assert_rows(batch, &expected_rows(&request));
        prop_assert_eq!(count_items(Signal::Logs, &bytes), Ok(items(&decoded)));
    }
}

#[test]
fn an_empty_request_has_no_rows() {
    let batch = decode_logs(&[]).unwrap().rows;
    assert_eq!((batch.num_rows(), batch.schema()), (0, Table::Logs.schema()));
}

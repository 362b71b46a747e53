//! Decoded spans are what the protobuf types say.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use spandrel_model::{PROMOTED_ATTRIBUTES, Table};

use super::generate::Dice;
use super::rows::{
    Row, assert_rows, attributes, hex, is_a_time, items, optional_id, optional_text, origin, rows_of, text, time,
};
use crate::Signal;
use crate::otlp::{DecodeProblem, count_items, decode_traces};

pub(super) fn expected_rows(request: &ExportTraceServiceRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in &request.resource_spans {
        for scope_group in &group.scope_spans {
            for span in scope_group.spans.iter().filter(|span| fits(span)) {
                let scope = scope_group.scope.as_ref();
                let mut row = origin(group.resource.as_ref(), scope);
                row.insert(
                    "scope_version".into(),
                    optional_text(scope.map_or("", |scope| &scope.version)),
                );
                row.extend(expected_row(span));
                rows.push(row);
            }
        }
    }
    rows
}

/// Whether `i64` nanoseconds hold all of its times.
pub(super) fn fits(span: &Span) -> bool {
    let events = span.events.iter().map(|event| event.time_unix_nano);
    let own = [span.start_time_unix_nano, span.end_time_unix_nano];
    own.into_iter().chain(events).all(is_a_time)
}

fn expected_row(span: &Span) -> Row {
    let start_ns = time(span.start_time_unix_nano);
    let status = span.status.clone().unwrap_or_default();
    let kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    let codes = ["unset", "ok", "error"];
    // Numbers that are not defined yet read as the default.
    let word = |words: &[&'static str], number: i32| *words.get(number as usize).unwrap_or(&words[0]);
    let event = |event: &Event| {
        let time_ns = time(event.time_unix_nano);
        json!({"time_ns": time_ns, "name": event.name, "attributes": attributes(&event.attributes)})
    };
    let link = |link: &Link| {
        json!({
            "trace_id": optional_id(&link.trace_id, 16),
            "span_id": optional_id(&link.span_id, 8),
            "trace_state": optional_text(&link.trace_state),
            "attributes": attributes(&link.attributes),
        })
    };
    let mut row = json!({
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent_span_id": optional_id(&span.parent_span_id, 8),
        "trace_state": optional_text(&span.trace_state),
        "flags": span.flags as i32,
        "name": span.name,
        "kind": word(&kinds, span.kind),
        "start_ns": start_ns,
        "start_time": start_ns / 1000,
        "duration_ns": (time(span.end_time_unix_nano) - start_ns).max(0),
        "status_code": word(&codes, status.code),
        "status_message": optional_text(&status.message),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Value>(),
        "links": span.links.iter().map(link).collect::<Value>(),
        "dropped_attributes_count": span.dropped_attributes_count,
        "dropped_events_count": span.dropped_events_count,
        "dropped_links_count": span.dropped_links_count,
    });
    for (key, column, data_type) in PROMOTED_ATTRIBUTES {
        let kinds = span.attributes.iter().filter(|pair| pair.key == key);
        let mut kinds = kinds.filter_map(|pair| pair.value.as_ref()?.value.as_ref());
        row[column] = kinds
            .find_map(|kind| match (kind, data_type.is_integer()) {
                (AnyKind::StringValue(text), false) => Some(Value::from(text.clone())),
                (AnyKind::IntValue(value), true) => Some(Value::from(*value)),
                _ => None,
            })
            .unwrap_or(Value::Null);
    }
    row.as_object().unwrap().clone()
}

fn request_of(span: Span) -> Vec<u8> {
    request_of_all(vec![span])
}

fn request_of_all(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn valid_span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /cart".to_owned(),
        ..Span::default()
    }
}

proptest! {
    #[test]
    fn every_column_is_what_the_protobuf_types_say(seed: u64) {
        let request = Dice::new(seed).traces();
        let bytes = request.encode_to_vec();
        let decoded = decode_traces(&bytes).unwrap();
        let batch = &decoded.rows;
        prop_assert_eq!(batch.schema(), Table::Spans.schema());
        assert_rows(batch, &expected_rows(&request));
        prop_assert_eq!(count_items(Signal::Traces, &bytes), Ok(items(&decoded)));
    }
}

#[test]
fn an_empty_request_has_no_rows() {
    let batch = decode_traces(&[]).unwrap().rows;
    assert_eq!((batch.num_rows(), batch.schema()), (0, Table::Spans.schema()));
    assert_eq!(count_items(Signal::Traces, &[]), Ok(0));
}

#[test]
fn a_span_that_ends_before_it_starts_has_no_duration() {
    let span = Span {
        start_time_unix_nano: 10,
        end_time_unix_nano: 9,
        ..valid_span()
    };
    let rows = rows_of(&decode_traces(&request_of(span)).unwrap().rows);
    assert_eq!((&rows[0]["start_ns"], &rows[0]["duration_ns"]), (&json!(10), &json!(0)));
}

#[test]
fn a_span_with_a_time_after_2262_is_left_out_and_named_and_the_others_are_not() {
    let last = i64::MAX as u64;
    let times = |start, end| Span {
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..valid_span()
    };
    let with_event = Span {
        events: vec![Event {
            time_unix_nano: u64::MAX,
            ..Event::default()
        }],
        ..times(5, 6)
    };
    let spans = vec![
        times(1, 2),
        times(3, last + 1),
        times(u64::MAX, u64::MAX),
        times(4, last),
        with_event,
    ];
    let decoded = decode_traces(&request_of_all(spans)).unwrap();
    let starts: Vec<Value> = rows_of(&decoded.rows)
        .iter()
        .map(|row| row["start_ns"].clone())
        .collect();
    assert_eq!(starts, [1, 4]);
    assert_eq!(rows_of(&decoded.rows)[1]["duration_ns"], i64::MAX - 4);
    let rejected = decoded.rejected.unwrap();
    assert_eq!(rejected.items, 3);
    assert_eq!(
        rejected.to_string(),
        "3 not taken, the first because `Span.end_time_unix_nano` of the span `GET /cart` is 9223372036854775808, after the \
         year 2262, where nanoseconds since 1970 end that fit a signed 64-bit integer"
    );
}

#[test]
fn a_wrong_id_is_refused_with_the_name_of_the_span_and_the_place() {
    let wrong = [
        (
            Span {
                trace_id: vec![7; 15],
                ..valid_span()
            },
            "trace_id",
            15,
            16,
        ),
        (
            Span {
                span_id: Vec::new(),
                ..valid_span()
            },
            "span_id",
            0,
            8,
        ),
        (
            Span {
                parent_span_id: vec![7; 16],
                ..valid_span()
            },
            "parent_span_id",
            16,
            8,
        ),
    ];
    for (span, field, len, expected) in wrong {
        let error = decode_traces(&request_of(span)).unwrap_err();
        let problem = DecodeProblem::IdLength {
            len,
            expected,
            span: "GET /cart".to_owned(),
        };
        assert_eq!(error.problem, problem);
        assert_eq!(error.field.to_string(), format!("`Span.{field}`"));
    }
    let span = Span {
        trace_id: vec![7; 15],
        ..valid_span()
    };
    let message = decode_traces(&request_of(span)).unwrap_err().to_string();
    assert_eq!(
        message,
        "byte 7: `Span.trace_id`: id of 15 bytes in the span `GET /cart`, expected 16"
    );
}

#[test]
fn a_promoted_attribute_of_another_type_stays_in_the_map_only() {
    let value = Some(AnyValue {
        value: Some(AnyKind::StringValue("200".to_owned())),
    });
    let attribute = KeyValue {
        key: "http.response.status_code".to_owned(),
        value,
        key_strindex: 0,
    };
    let span = Span {
        attributes: vec![attribute.clone()],
        status: Some(Status::default()),
        ..valid_span()
    };
    let row = &rows_of(&decode_traces(&request_of(span)).unwrap().rows)[0];
    assert_eq!(row["attr_http_response_status_code"], Value::Null);
    assert_eq!(row["attributes"][0]["value"], text(attribute.value.as_ref()));
}

//! Rows become the spans that the request reported.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use spandrel_model::{AttributeValue, Span, SpanId, SpanKind, TaskId};

use super::generate::Dice;
use super::rows::text;
use super::traces::fits;
use crate::Signal;
use crate::otlp::{RowsError, decode_traces, json_to_protobuf, spans_from_rows};

const TWO_PROCESSES: &str = r#"{"resourceSpans":[
    {"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"shop"}},
        {"key":"service.instance.id","value":{"stringValue":"i-1"}},
        {"key":"host.name","value":{"stringValue":"h"}},
        {"key":"process.pid","value":{"intValue":"42"}},
        {"key":"process.creation.time","value":{"stringValue":"2026-11-21T09:00:00Z"}}]},
     "scopeSpans":[{"scope":{"name":"otelhttp"},"spans":[
        {"traceId":"01010101010101010101010101010101","spanId":"0000000000000001","name":"GET /cart","kind":2,
         "startTimeUnixNano":"1000","endTimeUnixNano":"1500","attributes":[
            {"key":"http.response.status_code","value":{"intValue":200}},
            {"key":"go.goroutine.id","value":{"intValue":"17"}},
            {"key":"http.route","value":{"stringValue":"/cart"}},
            {"key":"absent","value":{}},
            {"key":"other","value":{"intValue":5}}]},
        {"traceId":"01010101010101010101010101010101","spanId":"0000000000000002",
         "parentSpanId":"0000000000000001","name":"GET /cart","startTimeUnixNano":"1200","endTimeUnixNano":"1100"}]}]},
    {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},
     "scopeSpans":[{"spans":[
        {"traceId":"01010101010101010101010101010101","spanId":"0000000000000003"}]}]},
    {"resource":{"attributes":[
        {"key":"process.creation.time","value":{"stringValue":"2026-11-21T09:00:00Z"}},
        {"key":"host.name","value":{"stringValue":"h"}},
        {"key":"process.pid","value":{"intValue":"42"}},
        {"key":"service.instance.id","value":{"stringValue":"i-1"}},
        {"key":"service.name","value":{"stringValue":"shop"}}]},
     "scopeSpans":[{"spans":[
        {"traceId":"01010101010101010101010101010101","spanId":"0000000000000004"}]}]}]}"#;

fn rows() -> RecordBatch {
    let request = json_to_protobuf(Signal::Traces, TWO_PROCESSES.as_bytes()).unwrap();
    decode_traces(&request).unwrap().rows
}

fn replace(rows: &RecordBatch, column: &str, values: ArrayRef) -> RecordBatch {
    let (mut fields, mut columns) = (rows.schema().fields().to_vec(), rows.columns().to_vec());
    let index = rows.schema().index_of(column).unwrap();
    fields[index] = Arc::new(Field::new(column, values.data_type().clone(), true));
    columns[index] = values;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn a_span_has_what_was_reported() {
    let spans = spans_from_rows(&rows()).unwrap();
    let first = &spans[0];
    assert_eq!(
        (&*first.name, first.kind, &*first.scope_name),
        ("GET /cart", SpanKind::Server, "otelhttp")
    );
    assert_eq!((first.interval.start().0, first.interval.end().0), (1000, 1500));
    assert_eq!(first.parent_span_id, None);
    assert_eq!(spans[1].parent_span_id, SpanId::from_hex("0000000000000001"));
    assert_eq!(
        (spans[1].interval.start().0, spans[1].interval.duration_ns()),
        (1200, 0)
    );
    assert_eq!(first.process.service_instance_id.as_deref(), Some("i-1"));
    assert_eq!(first.process.host_name.as_deref(), Some("h"));
    assert_eq!(first.process.pid, Some(42));
    assert_eq!(first.process.creation_time.as_deref(), Some("2026-11-21T09:00:00Z"));
}

#[test]
fn promoted_integers_are_integers_and_the_rest_is_text() {
    let spans = spans_from_rows(&rows()).unwrap();
    let span: &Span = &spans[0];
    assert_eq!(
        span.attribute("http.response.status_code"),
        Some(&AttributeValue::Int(200))
    );
    assert_eq!(span.reported_task(), Some(TaskId(17)));
    assert_eq!(
        span.attribute("http.route"),
        Some(&AttributeValue::String("/cart".to_owned()))
    );
    assert_eq!(span.attribute("other"), Some(&AttributeValue::String("5".to_owned())));
    assert_eq!(span.attribute("absent"), None);
}

#[test]
fn spans_of_one_process_share_its_identity() {
    let spans = spans_from_rows(&rows()).unwrap();
    assert!(Arc::ptr_eq(&spans[0].process, &spans[1].process));
    assert!(
        Arc::ptr_eq(&spans[0].process, &spans[3].process),
        "equal identity from another resource"
    );
    assert_eq!(&*spans[2].process.service_name, "cart");
    assert!(Arc::ptr_eq(&spans[0].name, &spans[1].name));
}

#[test]
fn other_string_types_and_missing_columns_that_spans_lack_are_fine() {
    let rows = rows();
    let expected = spans_from_rows(&rows).unwrap();
    for data_type in [DataType::Utf8View, DataType::LargeUtf8] {
        let names = cast(rows.column_by_name("name").unwrap(), &data_type).unwrap();
        assert_eq!(spans_from_rows(&replace(&rows, "name", names)).unwrap(), expected);
    }
    let needed = [
        "trace_id",
        "span_id",
        "parent_span_id",
        "flags",
        "name",
        "kind",
        "scope_name",
        "start_ns",
        "duration_ns",
        "attributes",
        "resource_attributes",
        "attr_http_response_status_code",
        "attr_go_goroutine_id",
    ];
    let indices: Vec<usize> = needed
        .iter()
        .map(|column| rows.schema().index_of(column).unwrap())
        .collect();
    assert_eq!(spans_from_rows(&rows.project(&indices).unwrap()).unwrap(), expected);
}

#[test]
fn a_slice_of_rows_gives_a_slice_of_spans() {
    let rows = rows();
    assert_eq!(
        spans_from_rows(&rows.slice(1, 2)).unwrap(),
        spans_from_rows(&rows).unwrap()[1..3]
    );
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let rows = rows();
    let error = spans_from_rows(&rows.project(&[0, 1, 2]).unwrap()).unwrap_err();
    assert!(matches!(error, RowsError::Missing { .. }), "{error}");

    let none = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        Vec::new(),
        &RecordBatchOptions::new().with_row_count(Some(1)),
    );
    assert!(matches!(
        spans_from_rows(&none.unwrap()),
        Err(RowsError::Missing { .. })
    ));

    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let error = spans_from_rows(&replace(&rows, "attributes", numbers)).unwrap_err();
    assert!(
        matches!(
            error,
            RowsError::Type {
                column: "attributes",
                ..
            }
        ),
        "{error}"
    );

    let negative: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, -3, 4]));
    let error = spans_from_rows(&replace(&rows, "duration_ns", negative)).unwrap_err();
    assert_eq!(
        error,
        RowsError::Duration {
            row: 2,
            duration_ns: -3
        }
    );

    let gap: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]));
    let error = spans_from_rows(&replace(&rows, "start_ns", gap)).unwrap_err();
    assert_eq!(
        error,
        RowsError::Null {
            column: "start_ns",
            row: 1
        }
    );
}

proptest! {
    #[test]
    fn spans_are_what_the_protobuf_types_say(seed: u64) {
        let request: ExportTraceServiceRequest = Dice::new(seed).traces();
        let spans = spans_from_rows(&decode_traces(&request.encode_to_vec()).unwrap().rows).unwrap();
        let scopes = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
        let reported: Vec<_> = scopes.flat_map(|group| &group.spans).filter(|span| fits(span)).collect();
        prop_assert_eq!(spans.len(), reported.len());
        for (span, reported) in spans.iter().zip(reported) {
            prop_assert_eq!(&span.trace_id.as_bytes()[..], &reported.trace_id);
            prop_assert_eq!(&*span.name, &reported.name);
            let expected: Vec<(String, String)> = reported
                .attributes
                .iter()
                .filter_map(|pair| Some((pair.key.clone(), text(pair.value.as_ref()).as_str()?.to_owned())))
                .collect();
            let actual: Vec<(String, String)> =
                span.attributes.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
            prop_assert_eq!(actual, expected);
        }
    }
}

//! OTLP/JSON becomes the protobuf request that it stands for.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;

use super::generate::Dice;
use crate::Signal;
use crate::otlp::{JsonError, decode_traces, json_to_protobuf};

fn read<Request: Message + Default>(signal: Signal, json: &str) -> Request {
    Request::decode(json_to_protobuf(signal, json.as_bytes()).unwrap()).unwrap()
}

fn read_span(span: &str) -> Span {
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
    let mut request: ExportTraceServiceRequest = read(Signal::Traces, &json);
    request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
}

fn read_body(any_value: &str) -> Option<Value> {
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{any_value}}}]}}]}}]}}"#);
    let mut request: ExportLogsServiceRequest = read(Signal::Logs, &json);
    request
        .resource_logs
        .remove(0)
        .scope_logs
        .remove(0)
        .log_records
        .remove(0)
        .body
        .unwrap()
        .value
}

fn read_metric(data: &str) -> Data {
    let json = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{data}}}]}}]}}]}}"#);
    let mut request: ExportMetricsServiceRequest = read(Signal::Metrics, &json);
    request
        .resource_metrics
        .remove(0)
        .scope_metrics
        .remove(0)
        .metrics
        .remove(0)
        .data
        .unwrap()
}

fn problem(json: &str) -> String {
    json_to_protobuf(Signal::Traces, json.as_bytes())
        .unwrap_err()
        .to_string()
}

proptest! {
    #[test]
    fn reads_what_the_reference_types_write(seed: u64) {
        let mut dice = Dice::new(seed);
        // The reference types write `null` for infinities.
        dice.all_doubles = false;
        let traces = dice.traces();
        let json = serde_json::to_string_pretty(&traces).unwrap();
        prop_assert_eq!(read::<ExportTraceServiceRequest>(Signal::Traces, &json), traces);
        let metrics = dice.metrics();
        let json = serde_json::to_string(&metrics).unwrap();
        prop_assert_eq!(read::<ExportMetricsServiceRequest>(Signal::Metrics, &json), metrics);
        let logs = dice.logs();
        let json = serde_json::to_string(&logs).unwrap();
        prop_assert_eq!(read::<ExportLogsServiceRequest>(Signal::Logs, &json), logs);
    }

    #[test]
    fn damaged_text_gives_an_error_or_a_valid_request(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut text = serde_json::to_vec(&dice.metrics()).unwrap();
        for _ in 0..=dice.below(4) {
            let at = dice.below(text.len());
            text[at] = if dice.chance(2) { b"{}[]\",:0n-e."[dice.below(12)] } else { dice.bits() as u8 };
        }
        if let Ok(bytes) = json_to_protobuf(Signal::Metrics, &text) {
            prop_assert!(ExportMetricsServiceRequest::decode(bytes).is_ok());
        }
    }
}

#[test]
fn an_empty_object_is_an_empty_request() {
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        assert!(json_to_protobuf(signal, b" {} ").unwrap().is_empty());
    }
}

#[test]
fn ids_are_hexadecimal_in_either_case() {
    let span = read_span(r#"{"traceId":"5B8EFFF798038103d269b633813fc60c","spanId":"EEE19B7EC3C1B174"}"#);
    assert_eq!(span.trace_id[..4], [0x5b, 0x8e, 0xff, 0xf7]);
    assert_eq!(span.span_id, [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74]);
}

#[test]
fn long_integers_are_strings_or_numbers() {
    let as_string = read_span(r#"{"startTimeUnixNano":"1760000000000000001","droppedLinksCount":"3"}"#);
    let as_number = read_span(r#"{"startTimeUnixNano":1760000000000000001,"droppedLinksCount":3.0}"#);
    assert_eq!(as_string, as_number);
    assert_eq!(as_string.start_time_unix_nano, 1_760_000_000_000_000_001);
    assert_eq!(
        read_body(r#"{"intValue":"-9223372036854775808"}"#),
        Some(Value::IntValue(i64::MIN))
    );
    assert_eq!(read_body(r#"{"intValue":-5}"#), Some(Value::IntValue(-5)));
    assert_eq!(
        read_span(r#"{"startTimeUnixNano":1.76e18}"#).start_time_unix_nano,
        1_760_000_000_000_000_000
    );
}

#[test]
fn unknown_keys_are_ignored_wherever_they_stand() {
    let span = read_span(r#"{"name":"a","fromTheFuture":{"deep":[1,{"x":null}]},"start_time_unix_nano":"1"}"#);
    assert_eq!(
        span,
        Span {
            name: "a".to_owned(),
            ..Span::default()
        }
    );
    let body = read_body(r#"{"decimalValue":{"digits":[1,2]},"stringValue":"a","otherValue":1}"#);
    assert_eq!(body, Some(Value::StringValue("a".to_owned())));
}

#[test]
fn null_is_the_same_as_no_key() {
    let span = read_span(
        r#"{"traceId":null,"name":null,"kind":null,"startTimeUnixNano":null,"attributes":null,"status":null,
            "events":[{"name":null,"attributes":null}]}"#,
    );
    assert_eq!(span, read_span(r#"{"events":[{}]}"#));
    assert_eq!(read_body(r#"{"stringValue":null}"#), None);
}

#[test]
fn an_empty_list_value_may_lack_its_values() {
    assert_eq!(
        read_body(r#"{"arrayValue":{}}"#),
        Some(Value::ArrayValue(ArrayValue::default()))
    );
    assert_eq!(
        read_body(r#"{"kvlistValue":{}}"#),
        Some(Value::KvlistValue(KeyValueList::default()))
    );
    assert_eq!(
        read_body(r#"{"arrayValue":{"values":[{},{"boolValue":true}]}}"#),
        Some(Value::ArrayValue(ArrayValue {
            values: vec![
                AnyValue { value: None },
                AnyValue {
                    value: Some(Value::BoolValue(true))
                }
            ]
        }))
    );
}

#[test]
fn bytes_are_base64_of_either_alphabet_with_or_without_padding() {
    for text in ["+/8=", "-_8=", "+/8", "-_8"] {
        let body = read_body(&format!(r#"{{"bytesValue":"{text}"}}"#));
        assert_eq!(body, Some(Value::BytesValue(vec![0xfb, 0xff])), "{text}");
    }
}

#[test]
fn doubles_may_be_integers_or_words() {
    assert_eq!(
        read_body(r#"{"doubleValue":"Infinity"}"#),
        Some(Value::DoubleValue(f64::INFINITY))
    );
    assert_eq!(
        read_body(r#"{"doubleValue":"-1.5e3"}"#),
        Some(Value::DoubleValue(-1500.0))
    );
    let data = read_metric(r#""gauge":{"dataPoints":[{"asDouble":3},{"asInt":"4"},{"asDouble":"-Infinity"}]}"#);
    let Data::Gauge(gauge) = data else { panic!("{data:?}") };
    let values: Vec<_> = gauge
        .data_points
        .iter()
        .map(|point: &NumberDataPoint| point.value.unwrap())
        .collect();
    assert_eq!(values[0], number_data_point::Value::AsDouble(3.0));
    assert_eq!(values[1], number_data_point::Value::AsInt(4));
    assert_eq!(values[2], number_data_point::Value::AsDouble(f64::NEG_INFINITY));
}

#[test]
fn a_sum_of_zero_is_reported_and_not_absent() {
    let data = read_metric(r#""histogram":{"dataPoints":[{"sum":0,"bucketCounts":["1",2],"explicitBounds":[0.5]}]}"#);
    let Data::Histogram(histogram) = data else {
        panic!("{data:?}")
    };
    let expected = HistogramDataPoint {
        sum: Some(0.0),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..HistogramDataPoint::default()
    };
    assert_eq!(histogram.data_points, [expected]);
}

#[test]
fn errors_name_line_column_and_field() {
    let cases = [
        (
            "{\"resourceSpans\": [\n  {\"scopeSpans\": [{\"spans\": [{\"kind\": \"SPAN_KIND_SERVER\"}]}]}]}",
            "line 2, column 56: invalid value: string \"SPAN_KIND_SERVER\", expected a 32-bit integer for `Span.kind`",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8"}]}]}]}"#,
            "line 1, column 59: invalid value: string \"5b8\", expected hexadecimal digits, two for each byte, for \
             `Span.traceId`",
        ),
        (
            r#"{"resourceSpans":{}}"#,
            "line 1, column 19: invalid type: map, expected an array for `ExportTraceServiceRequest.resourceSpans`",
        ),
        (
            r#"{"resourceSpans":[null]}"#,
            "line 1, column 22: invalid value: null in an array, expected an object for \
             `ExportTraceServiceRequest.resourceSpans`",
        ),
        (
            "[]",
            "line 1, column 0: invalid type: sequence, expected an object for `ExportTraceServiceRequest`",
        ),
        ("", "line 1, column 0: EOF while parsing a value"),
        ("{} x", "line 1, column 4: trailing characters"),
    ];
    for (json, expected) in cases {
        assert_eq!(problem(json), expected);
    }
}

#[test]
fn numbers_outside_the_range_of_the_field_are_refused() {
    for field in [
        r#""startTimeUnixNano":-1"#,
        r#""startTimeUnixNano":"18446744073709551616""#,
        r#""startTimeUnixNano":1.5"#,
        r#""startTimeUnixNano":"inf""#,
        r#""startTimeUnixNano":"""#,
        r#""droppedLinksCount":4294967296"#,
        r#""flags":true"#,
        r#""name":5"#,
    ] {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{field}}}]}}]}}]}}"#);
        assert!(problem(&json).contains("expected"), "{field}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let nest = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let body = |depth: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(depth);
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"value":{open}{}}}]}}}}]}}"#,
            "]}}".repeat(depth)
        )
    };
    assert!(
        json_to_protobuf(Signal::Traces, nest(100_000).as_bytes()).is_ok(),
        "skipping needs no stack"
    );
    assert!(json_to_protobuf(Signal::Traces, body(30).as_bytes()).is_ok());
    assert!(problem(&body(100_000)).contains("recursion limit exceeded"));
}

#[test]
fn what_json_says_arrives_in_the_rows() {
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"name":"a","traceId":"000102030405060708090A0B0C0D0E0F","spanId":"0001020304050607","kind":2}]}],
        "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}}]}"#;
    let rows = super::rows::rows_of(
        &decode_traces(&json_to_protobuf(Signal::Traces, json.as_bytes()).unwrap())
            .unwrap()
            .rows,
    );
    assert_eq!(rows[0]["service_name"], "shop");
    assert_eq!(rows[0]["kind"], "server");
    assert_eq!(rows[0]["trace_id"], "000102030405060708090a0b0c0d0e0f");
}

#[test]
fn other_signals_have_no_requests() {
    let signal = Signal::Profiles;
    assert_eq!(json_to_protobuf(signal, b"{}"), Err(JsonError::NotOtlp { signal }));
}

//! Input made to hurt: what is small on the wire must not become large, deep or slow.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::Signal;
use crate::otlp::{DecodeProblem, MAX_REQUEST_BYTES, MAX_ROWS_BYTES, count_items, decode_logs, decode_traces};

fn attribute(key: String, text: String) -> KeyValue {
    KeyValue {
        key,
        value: Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }),
        key_strindex: 0,
    }
}

/// A request with these resources, each with so many log records that say nothing.
fn request(resources: Vec<(Vec<KeyValue>, usize)>) -> Vec<u8> {
    let mut request = Vec::new();
    for (attributes, records) in resources {
        let resource = Resource {
            attributes,
            ..Resource::default()
        };
        let group = [
            message(1, resource.encode_to_vec()),
            message(2, [0x12, 0].repeat(records)),
        ]
        .concat();
        request.extend(message(1, group));
    }
    request
}

fn message(number: u8, content: Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

/// A log record whose body is an array in an array in an array ...
fn nested_body(depth: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for level in 0..depth {
        // ArrayValue.values inside AnyValue.array_value; the innermost array is empty.
        let array = if level == 0 { Vec::new() } else { message(1, value) };
        value = message(5, array);
    }
    message(1, message(2, message(2, message(5, value))))
}

#[test]
fn a_large_resource_repeated_in_many_rows_is_refused() {
    let large = vec![attribute("key".to_owned(), "x".repeat(1 << 20))];
    let bytes = request(vec![(large, 1000)]);
    assert!(bytes.len() < 2 << 20);
    let error = decode_logs(&bytes).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::RowsTooLarge { limit: MAX_ROWS_BYTES });
    assert_eq!(count_items(Signal::Logs, &bytes), Ok(1000));
}

#[test]
fn millions_of_empty_items_are_refused() {
    let bytes = request(vec![(Vec::new(), 3 << 20)]);
    let error = decode_logs(&bytes).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::RowsTooLarge { limit: MAX_ROWS_BYTES });
}

/// Reserving the mean size of a resource for every row would take tens of gigabytes here.
#[test]
fn a_large_resource_with_one_row_costs_the_rows_of_another_nothing() {
    let many = (0..100_000)
        .map(|index| attribute(index.to_string(), String::new()))
        .collect();
    let batch = decode_logs(&request(vec![(many, 1), (Vec::new(), 200_000)]))
        .unwrap()
        .rows;
    assert_eq!(batch.num_rows(), 200_001);
}

#[test]
fn values_nest_to_the_limit_and_no_deeper() {
    let batch = decode_logs(&nested_body(100)).unwrap().rows;
    let body = batch.column_by_name("body").unwrap();
    let body: &arrow::array::StringArray = body.as_any().downcast_ref().unwrap();
    assert_eq!(body.value(0), format!("{}{}", "[".repeat(100), "]".repeat(100)));
    for depth in [101, 5_000] {
        let error = decode_logs(&nested_body(depth)).unwrap_err();
        assert_eq!(error.problem, DecodeProblem::TooDeep { limit: 100 });
    }
}

#[test]
fn a_request_beyond_the_size_limit_is_refused_unread() {
    let bytes = vec![0; MAX_REQUEST_BYTES + 1];
    let problem = DecodeProblem::RequestTooLarge {
        len: bytes.len(),
        limit: MAX_REQUEST_BYTES,
    };
    assert_eq!(decode_traces(&bytes).unwrap_err().problem, problem);
    assert_eq!(count_items(Signal::Traces, &bytes).unwrap_err().problem, problem);
}

#[test]
fn other_signals_have_no_requests() {
    for signal in [Signal::Profiles, Signal::Tables] {
        assert_eq!(
            count_items(signal, &[]).unwrap_err().problem,
            DecodeProblem::NotOtlp { signal }
        );
    }
}

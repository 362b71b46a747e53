//! CPU profiles as a profiler writes them, as far as tests need them: messages of pprof's profile.proto.

use std::ops::Range;

/// A profile.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

/// A profile of the time `window`, Unix nanoseconds: each of these spans ran `main.work` in one sample of 10 ms.
pub(super) fn profile(window: Range<u64>, span_ids: &[String]) -> Profile {
    let words = ["", "cpu", "nanoseconds", "samples", "count", "span_id", "main.work"];
    let samples = (words.len()..).zip(span_ids).map(|(id, _)| Sample {
        location_id: vec![1],
        value: vec![1, 10_000_000],
        label: vec![Label {
            key: 5,
            str: i64::try_from(id).unwrap(),
        }],
    });
    Profile {
        sample_type: vec![ValueType { r#type: 3, unit: 4 }, ValueType { r#type: 1, unit: 2 }],
        sample: samples.collect(),
        location: vec![Location {
            id: 1,
            line: vec![Line { function_id: 1 }],
        }],
        function: vec![Function { id: 1, name: 6 }],
        string_table: (words.map(str::to_owned).into_iter())
            .chain(span_ids.iter().cloned())
            .collect(),
        time_nanos: i64::try_from(window.start).unwrap(),
        duration_nanos: i64::try_from(window.end - window.start).unwrap(),
    }
}

//! Rows as JSON values, from Arrow and from the protobuf types, so that both can be compared column by column.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Map, Value, json};

use crate::otlp::Decoded;

pub(super) type Row = Map<String, Value>;

/// Every column of every row.
pub(super) fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let row = |row| {
        let cells = schema.fields().iter().zip(batch.columns());
        cells
            .map(|(field, column)| (field.name().clone(), cell(column, row)))
            .collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Compares every column of every row, and shows the first that differs.
#[track_caller]
pub(super) fn assert_rows(batch: &RecordBatch, expected: &[Row]) {
    let actual = rows_of(batch);
    assert_eq!(actual.len(), expected.len(), "number of rows");
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(
            Vec::from_iter(actual.keys()),
            Vec::from_iter(expected.keys()),
            "columns"
        );
        for (column, value) in actual {
            assert_eq!(Some(value), expected.get(column), "row {index}, column {column}");
        }
    }
}

fn cell(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row).into()
        }
        DataType::FixedSizeBinary(_) => hex(column.as_fixed_size_binary().value(row)),
        DataType::List(_) => cells(&column.as_list::<i32>().value(row)),
        DataType::Map(..) => cells(&(std::sync::Arc::new(column.as_map().value(row)) as ArrayRef)),
        DataType::Struct(fields) => {
            let members = fields.iter().zip(column.as_struct().columns());
            members
                .map(|(field, column)| (field.name().clone(), cell(column, row)))
                .collect()
        }
        other => panic!("no table has a column of type {other}"),
    }
}

fn cells(column: &ArrayRef) -> Value {
    (0..column.len()).map(|row| cell(column, row)).collect()
}

/// JSON has no infinities, and `NaN` equals nothing; the debug text tells all doubles apart.
pub(super) fn double(value: f64) -> Value {
    format!("{value:?}").into()
}

pub(super) fn hex(bytes: &[u8]) -> Value {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into()
}

/// `null` unless `bytes` are an id that is not all zeros.
pub(super) fn optional_id(bytes: &[u8], len: usize) -> Value {
    if bytes.len() != len || bytes.iter().all(|byte| *byte == 0) {
        Value::Null
    } else {
        hex(bytes)
    }
}

/// Whether the tables can hold it.
pub(super) fn is_a_time(time_unix_nano: u64) -> bool {
    i64::try_from(time_unix_nano).is_ok()
}

/// Rows, and items without one.
pub(super) fn items(decoded: &Decoded) -> usize {
    decoded.rows.num_rows() + decoded.rejected.as_ref().map_or(0, |rejected| rejected.items)
}

/// A time, or a count, of which the largest stands for all that are larger.
pub(super) fn time(time_unix_nano: u64) -> i64 {
    time_unix_nano.min(i64::MAX as u64) as i64
}

pub(super) fn optional_text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

pub(super) fn attributes(attributes: &[KeyValue]) -> Value {
    attributes
        .iter()
        .map(|pair| json!({"key": pair.key, "value": text(pair.value.as_ref())}))
        .collect()
}

/// The columns that come from above the item.
pub(super) fn origin(resource: Option<&Resource>, scope: Option<&InstrumentationScope>) -> Row {
    let pairs = resource.map_or(&[][..], |resource| &resource.attributes);
    let find = |key: &str| {
        let pair = pairs.iter().find(|pair| pair.key == key)?;
        text(pair.value.as_ref())
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let pid = find("process.pid")
        .and_then(|pid| pid.parse::<i64>().ok())
        .map(|pid| pid.to_string());
    let process_id = find("service.instance.id").unwrap_or_else(|| {
        [find("host.name"), pid]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(":")
    });
    Row::from_iter([
        (
            "service_name".to_owned(),
            find("service.name").unwrap_or_default().into(),
        ),
        ("process_id".to_owned(), process_id.into()),
        ("scope_name".to_owned(), scope.map_or("", |scope| &scope.name).into()),
        ("resource_attributes".to_owned(), attributes(pairs)),
    ])
}

/// The text of a value in the tables.
pub(super) fn text(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => Value::Null,
        Some(AnyKind::StringValue(text)) => text.clone().into(),
        Some(AnyKind::DoubleValue(value)) => double_text(*value).into(),
        Some(AnyKind::BytesValue(bytes)) => STANDARD.encode(bytes).into(),
        Some(_) => json_text(value).into(),
    }
}

fn json_text(value: Option<&AnyValue>) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(AnyKind::StringValueStrindex(_)) => "null".to_owned(),
        Some(AnyKind::StringValue(text)) => quoted(text),
        Some(AnyKind::BoolValue(value)) => value.to_string(),
        Some(AnyKind::IntValue(value)) => value.to_string(),
        Some(AnyKind::DoubleValue(value)) if value.is_finite() => double_text(*value),
        Some(AnyKind::DoubleValue(value)) => quoted(&double_text(*value)),
        Some(AnyKind::BytesValue(bytes)) => quoted(&STANDARD.encode(bytes)),
        Some(AnyKind::ArrayValue(array)) => {
            let items: Vec<String> = array.values.iter().map(|value| json_text(Some(value))).collect();
            format!("[{}]", items.join(","))
        }
        Some(AnyKind::KvlistValue(list)) => {
            let member = |pair: &KeyValue| format!("{}:{}", quoted(&pair.key), json_text(pair.value.as_ref()));
            let members: Vec<String> = list.values.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn double_text(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ if value == 0.0 || (value.abs() >= 1e-6 && value.abs() < 1e21) => value.to_string(),
        _ => format!("{value:e}"),
    }
}

//! Rows for any table: every column filled by its type, deterministic, a quarter of nullable values null.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use spandrel_model::Table;

/// `count` rows whose times are `start_ns`, `start_ns + step_ns`, ...
pub(crate) fn rows(table: Table, count: usize, start_ns: i64, step_ns: i64) -> RecordBatch {
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let times = (0..count as i64).map(|i| start_ns + i * step_ns);
        match field.data_type() {
            DataType::Int64 if field.name() == table.time_column() => Arc::new(Int64Array::from_iter_values(times)),
            DataType::Timestamp(..) => {
                let micros = TimestampMicrosecondArray::from_iter_values(times.map(|ns| ns.div_euclid(1000)));
                Arc::new(micros.with_timezone("UTC"))
            }
            _ => values(field, count),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn values(field: &Field, count: usize) -> ArrayRef {
    let is_null = |i: usize| field.is_nullable() && i % 4 == 3;
    let indexes = || (0..count).map(|i| (!is_null(i)).then_some(i));
    match field.data_type() {
        DataType::Int64 => Arc::new(Int64Array::from_iter(indexes().map(|i| i.map(|i| i as i64)))),
        DataType::Int32 => Arc::new(Int32Array::from_iter(indexes().map(|i| i.map(|i| i as i32)))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(indexes().map(|i| i.map(|i| i as f64 / 2.0)))),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(indexes().map(|i| i.map(|i| i % 2 == 0)))),
        DataType::Utf8 => {
            let texts = indexes().map(|i| i.map(|i| format!("{}-{}", field.name(), i % 7)));
            Arc::new(StringArray::from_iter(texts))
        }
        DataType::Binary => {
            let bytes = indexes().map(|i| i.map(|i| id(i, i % 9)));
            Arc::new(BinaryArray::from_iter(bytes))
        }
        DataType::FixedSizeBinary(len) => {
            let ids = indexes().map(|i| i.map(|i| id(i, *len as usize)));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, *len).unwrap())
        }
        DataType::List(item) => list(item, count, &is_null),
        DataType::Map(entries, sorted) => map(entries, *sorted, count),
        DataType::Struct(members) => structs(members, count),
        other => panic!("no rows for type {other}"),
    }
}

/// Bytes that look random: multiplication by an odd number permutes the 64-bit numbers.
pub(crate) fn id(i: usize, len: usize) -> Vec<u8> {
    let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    mixed.into_iter().cycle().take(len).collect()
}

fn list(item: &FieldRef, count: usize, is_null: &dyn Fn(usize) -> bool) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths((0..count).map(|i| if is_null(i) { 0 } else { i % 3 }));
    let nulls = NullBuffer::from_iter((0..count).map(|i| !is_null(i)));
    let items = values(item, *offsets.last().unwrap() as usize);
    Arc::new(ListArray::new(item.clone(), offsets, items, Some(nulls)))
}

/// `{"http.route": "/route/0", "index": "0"}`, with five routes.
fn map(entries: &FieldRef, sorted: bool, count: usize) -> ArrayRef {
    let DataType::Struct(fields) = entries.data_type() else {
        panic!("map entries are {}", entries.data_type());
    };
    let keys = StringArray::from_iter_values((0..count).flat_map(|_| ["http.route", "index"]));
    let texts = (0..count).flat_map(|i| [format!("/route/{}", i % 5), i.to_string()]);
    let texts = StringArray::from_iter_values(texts);
    let offsets = OffsetBuffer::from_repeated_length(2, count);
    let structs = StructArray::new(fields.clone(), vec![Arc::new(keys), Arc::new(texts)], None);
    Arc::new(MapArray::new(entries.clone(), offsets, structs, None, sorted))
}

fn structs(members: &Fields, count: usize) -> ArrayRef {
    let columns = members.iter().map(|member| values(member, count)).collect();
    Arc::new(StructArray::new(members.clone(), columns, None))
}

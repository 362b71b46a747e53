//! One value of a result, as JSON and as text.

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value, json};

use crate::functions::to_hex;

/// The value as text: `None` for null, ids as hexadecimal digits, lists and maps as JSON.
pub(crate) fn text(array: &dyn Array, row: usize) -> Result<Option<String>, ArrowError> {
    Ok(match json(array, row)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

/// The value as JSON: integers as numbers of full precision, binary values as hexadecimal digits, times as ISO 8601,
/// maps and structs as objects. Numbers that JSON lacks, such as `NaN`, are text.
pub(crate) fn json(array: &dyn Array, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => json!(array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => json!(array.as_string::<i64>().value(row)),
        DataType::Utf8View => json!(array.as_string_view().value(row)),
        DataType::Binary => json!(to_hex(array.as_binary::<i32>().value(row))),
        DataType::LargeBinary => json!(to_hex(array.as_binary::<i64>().value(row))),
        DataType::BinaryView => json!(to_hex(array.as_binary_view().value(row))),
        DataType::FixedSizeBinary(_) => json!(to_hex(array.as_fixed_size_binary().value(row))),
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(_) => object(array.as_struct(), row)?,
        DataType::Map(..) => map(&array.as_map().value(row))?,
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            json(dictionary.values(), dictionary.normalized_keys()[row])?
        }
        _ => {
            let options = FormatOptions::default();
            json!(ArrayFormatter::try_new(array, &options)?.value(row).to_string())
        }
    })
}

fn float(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(value.to_string())
    }
}

fn list(items: &dyn Array) -> Result<Value, ArrowError> {
    (0..items.len()).map(|index| json(items, index)).collect()
}

fn object(members: &StructArray, row: usize) -> Result<Value, ArrowError> {
    let names = members.column_names();
    let members = names.iter().zip(members.columns());
    members
        .map(|(name, column)| Ok(((*name).to_owned(), json(column, row)?)))
        .collect::<Result<Map<_, _>, ArrowError>>()
        .map(Value::Object)
}

fn map(entries: &StructArray) -> Result<Value, ArrowError> {
    let (keys, values) = (entries.column(0), entries.column(1));
    let entry = |index| {
        let key = match json(keys, index)? {
            Value::String(key) => key,
            other => other.to_string(),
        };
        Ok((key, json(values, index)?))
    };
    (0..entries.len())
        .map(entry)
        .collect::<Result<Map<_, _>, ArrowError>>()
        .map(Value::Object)
}

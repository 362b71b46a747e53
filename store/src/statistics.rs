//! Statistics of a file, in the JSON form of the Delta log (protocol specification, "Per-file Statistics").
//!
//! ```json
//! {"numRecords": 2, "minValues": {"start_ns": 5}, "maxValues": {"start_ns": 9}, "nullCount": {"start_ns": 0}}
//! ```
//!
//! Only integer and timestamp columns are listed: their values are exact, and they are what files are skipped by.

use arrow::datatypes::{DataType, Schema};
use jiff::Timestamp;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

/// The columns that have statistics.
pub(crate) fn columns(schema: &Schema) -> Vec<&str> {
    let listed = schema.fields().iter().filter(|field| has_statistics(field.data_type()));
    listed.map(|field| field.name().as_str()).collect()
}

fn has_statistics(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int32 | DataType::Int64 | DataType::Timestamp(..))
}

/// Statistics of the file with this footer, written with this schema.
pub(crate) fn of_file(schema: &Schema, metadata: &ParquetMetaData) -> String {
    let (mut min_values, mut max_values, mut null_counts) = (Map::new(), Map::new(), Map::new());
    let leaves = metadata.file_metadata().schema_descr().columns().iter().enumerate();
    for (index, leaf) in leaves.filter(|(_, leaf)| leaf.path().parts().len() == 1) {
        let name = leaf.name();
        let Ok(field) = schema.field_with_name(name) else {
            continue;
        };
        let Some(column) = ColumnRange::of(metadata, index) else {
            continue;
        };
        if !has_statistics(field.data_type()) {
            continue;
        }
        null_counts.insert(name.to_owned(), json!(column.nulls));
        if let Some((min, max)) = column.range {
            min_values.insert(name.to_owned(), json_value(field.data_type(), min));
            max_values.insert(name.to_owned(), json_value(field.data_type(), max));
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": min_values,
        "maxValues": max_values,
        "nullCount": null_counts,
    })
    .to_string()
}

/// Rows, and least and greatest value of an integer column, from statistics that this or another writer made.
pub(crate) fn parse(statistics: &str, column: &str) -> (Option<u64>, Option<(i64, i64)>) {
    let Ok(statistics) = serde_json::from_str::<Value>(statistics) else {
        return (None, None);
    };
    let value = |side: &str| statistics[side][column].as_i64();
    (
        statistics["numRecords"].as_u64(),
        value("minValues").zip(value("maxValues")),
    )
}

struct ColumnRange {
    range: Option<(i64, i64)>,
    nulls: u64,
}

impl ColumnRange {
    /// `None` if a row group lacks statistics.
    fn of(metadata: &ParquetMetaData, leaf: usize) -> Option<Self> {
        let mut all = Self { range: None, nulls: 0 };
        for row_group in metadata.row_groups() {
            let statistics = row_group.column(leaf).statistics()?;
            all.nulls += statistics.null_count_opt()?;
            let range = match statistics {
                Statistics::Int64(values) => values.min_opt().copied().zip(values.max_opt().copied()),
                Statistics::Int32(values) => values
                    .min_opt()
                    .map(|min| i64::from(*min))
                    .zip(values.max_opt().map(|max| i64::from(*max))),
                _ => return None,
            };
            all.range = match (all.range, range) {
                (Some((min, max)), Some((other_min, other_max))) => Some((min.min(other_min), max.max(other_max))),
                (known, None) => known,
                (None, other) => other,
            };
        }
        Some(all)
    }
}

fn json_value(data_type: &DataType, value: i64) -> Value {
    if !matches!(data_type, DataType::Timestamp(..)) {
        return json!(value);
    }
    Timestamp::from_microsecond(value).map_or(Value::Null, |time| json!(time.to_string()))
}

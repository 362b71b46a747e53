//! Which rows go into which file, in which order: one file per UTC hour, sorted by [`Table::sort_columns`].

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use jiff::Timestamp;
use spandrel_model::{PARTITION_COLUMNS, Table};

const NS_PER_MINUTE: i64 = 60_000_000_000;
const NS_PER_HOUR: i64 = 60 * NS_PER_MINUTE;
const SECONDS_PER_HOUR: i64 = 3600;

/// A UTC hour, as hours since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hour(i64);

impl Hour {
    pub(crate) fn of(time_ns: i64) -> Self {
        Self(time_ns.div_euclid(NS_PER_HOUR))
    }

    /// Value of the partition column `dt`: `2026-11-21`.
    pub(crate) fn dt(self) -> String {
        self.start().strftime("%Y-%m-%d").to_string()
    }

    /// Value of the partition column `hr`: `09`.
    pub(crate) fn hr(self) -> String {
        self.start().strftime("%H").to_string()
    }

    /// Directory below that of the table: `dt=2026-11-21/hr=09`.
    pub(crate) fn directory(self) -> String {
        let [dt, hr] = PARTITION_COLUMNS;
        format!("{dt}={}/{hr}={}", self.dt(), self.hr())
    }

    fn start(self) -> Timestamp {
        Timestamp::from_second(self.0 * SECONDS_PER_HOUR)
            .expect("64-bit nanoseconds span the years 1677 to 2262, a timestamp those from -9999 to 9999")
    }
}

/// Place of a row in a list of batches: (index of the batch, index of the row in it).
pub(crate) type RowPlace = (usize, usize);

/// The rows of each hour, in file order. Rows with equal keys keep their order.
pub(crate) fn sort_into_hours(
    table: Table,
    batches: &[RecordBatch],
) -> Result<BTreeMap<Hour, Vec<RowPlace>>, ArrowError> {
    let mut hours = BTreeMap::<Hour, Vec<RowPlace>>::new();
    for (batch_index, batch) in batches.iter().enumerate() {
        for (row_index, time_ns) in int64_column(batch, table.time_column())?.values().iter().enumerate() {
            hours
                .entry(Hour::of(*time_ns))
                .or_default()
                .push((batch_index, row_index));
        }
    }
    let keys = sort_keys(table, batches)?;
    let compare = |a: &RowPlace, b: &RowPlace| -> Ordering { keys[a.0].row(a.1).cmp(&keys[b.0].row(b.1)) };
    for rows in hours.values_mut() {
        rows.sort_by(compare);
    }
    Ok(hours)
}

/// The keys of the rows of each batch, as byte strings that compare like the columns.
fn sort_keys(table: Table, batches: &[RecordBatch]) -> Result<Vec<Rows>, ArrowError> {
    let columns = batches
        .iter()
        .map(|batch| key_columns(table, batch))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(first) = columns.first() else {
        return Ok(Vec::new());
    };
    let fields = first.iter().map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    columns
        .iter()
        .map(|columns| converter.convert_columns(columns))
        .collect()
}

/// Spans are sorted by the minute of their start first. The spans of a trace stay together, which halves the size of
/// the ids and makes a trace quick to find, and a few minutes of a file can still be read alone.
fn key_columns(table: Table, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    let mut columns = Vec::<ArrayRef>::new();
    if table == Table::Spans {
        let minutes = int64_column(batch, "start_ns")?.unary::<_, Int64Type>(|ns| ns.div_euclid(NS_PER_MINUTE));
        columns.push(Arc::new(minutes));
    }
    let schema = batch.schema_ref();
    for name in table.sort_columns() {
        columns.push(batch.column(schema.index_of(name)?).clone());
    }
    Ok(columns)
}

pub(crate) fn int64_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, ArrowError> {
    let column = batch.column(batch.schema_ref().index_of(name)?);
    column
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| ArrowError::SchemaError(format!("column `{name}` is {}, not Int64", column.data_type())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_utc_and_floor_before_the_epoch() {
        let hour = Hour::of(1_795_251_600_000_000_000 + 59 * NS_PER_MINUTE);
        assert_eq!((hour.dt().as_str(), hour.hr().as_str()), ("2026-11-21", "09"));
        let before = Hour::of(-1);
        assert_eq!((before.dt().as_str(), before.hr().as_str()), ("1969-12-31", "23"));
    }

    #[test]
    fn every_nanosecond_has_an_hour() {
        for time_ns in [i64::MIN, 0, i64::MAX] {
            assert_eq!(Hour::of(time_ns).dt().len(), "2026-11-21".len());
        }
    }
}

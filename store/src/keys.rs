//! Keys of rows to be removed, and the search for such rows.
//!
//! Keys always have the time column, which tells the partitions that may hold such rows and is compared first: the other
//! columns of a key are looked at only for rows whose time is that of a key.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use spandrel_model::Table;

use crate::encoding::recoded_column;
use crate::partition::{Hour, int64_column};

/// Number of the change that rows committed before belong to: lower than that of any change of a commit.
pub(crate) const COMMITTED: usize = 0;

/// Keys of one table.
pub(crate) struct Keys {
    table: Table,
    /// One for each choice of columns.
    sets: Vec<KeySet>,
    times_ns: BTreeSet<i64>,
}

/// Keys that have the same columns.
struct KeySet {
    /// Names, in the order of the table.
    columns: Vec<String>,
    converter: RowConverter,
    /// Key in the row format of `converter` -> number of the last change that has it.
    last_change: HashMap<Box<[u8]>, usize>,
}

impl Keys {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            sets: Vec::new(),
            times_ns: BTreeSet::new(),
        }
    }

    /// Whether [`Self::add`] takes keys, and its error if not.
    pub(crate) fn check(table: Table, keys: &RecordBatch) -> Result<(), ArrowError> {
        let columns = key_columns(table, keys)?;
        plain_columns(table, keys, &columns)?;
        key_times(table, keys).map(drop)
    }

    /// Adds the keys of change `number`, which is greater than those before.
    ///
    /// # Errors
    /// A column is not one of the table, or has another type; the time column is missing or has nulls.
    pub(crate) fn add(&mut self, number: usize, keys: &RecordBatch) -> Result<(), ArrowError> {
        let columns = key_columns(self.table, keys)?;
        let values = plain_columns(self.table, keys, &columns)?;
        self.times_ns.extend(key_times(self.table, keys)?.values());
        let set = match self.sets.iter_mut().position(|set| set.columns == columns) {
            Some(index) => &mut self.sets[index],
            None => {
                self.sets.push(KeySet::new(columns, &values)?);
                self.sets.last_mut().expect("a set was pushed")
            }
        };
        for key in &set.converter.convert_columns(&values)? {
            set.last_change.insert(key.as_ref().into(), number);
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Names of all columns that some key has.
    pub(crate) fn columns(&self) -> BTreeSet<&str> {
        let columns = self.sets.iter().flat_map(|set| &set.columns);
        columns.map(String::as_str).collect()
    }

    /// What decides whether a row is replaced, in SQL with the names that Delta gives the two sides.
    pub(crate) fn predicate(&self) -> String {
        let of_set = |set: &KeySet| {
            let equal = set
                .columns
                .iter()
                .map(|name| format!("target.{name} <=> source.{name}"));
            equal.collect::<Vec<_>>().join(" AND ")
        };
        self.sets.iter().map(of_set).collect::<Vec<_>>().join(" OR ")
    }

    /// Hours that the keys fall into.
    pub(crate) fn hours(&self) -> BTreeSet<Hour> {
        self.times_ns.iter().map(|time_ns| Hour::of(*time_ns)).collect()
    }

    /// Whether a key has this time.
    pub(crate) fn has_time(&self, time_ns: i64) -> bool {
        self.times_ns.contains(&time_ns)
    }

    /// Whether a key has a time in `min_ns..=max_ns`.
    pub(crate) fn has_time_between(&self, min_ns: i64, max_ns: i64) -> bool {
        min_ns <= max_ns && self.times_ns.range(min_ns..=max_ns).next().is_some()
    }

    /// Whether a key has one of these times, which are sorted.
    pub(crate) fn has_time_among(&self, times_ns: &[i64]) -> bool {
        let (Some(min_ns), Some(max_ns)) = (times_ns.first(), times_ns.last()) else {
            return false;
        };
        let mut keys = self.times_ns.range(min_ns..=max_ns);
        keys.any(|time_ns| times_ns.binary_search(time_ns).is_ok())
    }

    /// The rows of `batch`, which came with change `number`, that a later change replaces; ascending.
    ///
    /// `batch` has the key columns at least, in the types of [`Table::schema`] or [`Table::row_schema`].
    pub(crate) fn replaced_rows(&self, batch: &RecordBatch, number: usize) -> Result<Vec<usize>, ArrowError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let times = int64_column(batch, self.table.time_column())?;
        let times = times.values().iter().zip(0..);
        let candidates = times
            .filter(|(time_ns, _)| self.has_time(**time_ns))
            .map(|(_, row)| row);
        let candidates = UInt64Array::from_iter_values(candidates);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let mut replaced = BTreeSet::new();
        for set in &self.sets {
            for index in set.rows_replaced_after(number, self.table, batch, &candidates)? {
                replaced.insert(usize::try_from(candidates.value(index)).expect("it was the index of a row"));
            }
        }
        Ok(replaced.into_iter().collect())
    }
}

/// The names of the columns of `keys`, in the order of the table.
fn key_columns(table: Table, keys: &RecordBatch) -> Result<Vec<String>, ArrowError> {
    let schema = table.schema();
    let named = schema.fields().iter().map(|field| field.name());
    let columns = named.filter(|name| keys.column_by_name(name).is_some()).cloned();
    let columns = columns.collect::<Vec<_>>();
    if columns.len() == keys.num_columns() {
        return Ok(columns);
    }
    let found = keys.schema_ref().fields().iter().map(|field| field.name().as_str());
    let found = found.collect::<Vec<_>>().join(", ");
    let message = format!("expected keys of distinct columns of the table, found {found}");
    Err(ArrowError::SchemaError(message))
}

/// The times of `keys`.
fn key_times(table: Table, keys: &RecordBatch) -> Result<&Int64Array, ArrowError> {
    let times = int64_column(keys, table.time_column())?;
    if times.null_count() > 0 {
        let message = format!("key column `{}` has nulls", table.time_column());
        return Err(ArrowError::InvalidArgumentError(message));
    }
    Ok(times)
}

impl KeySet {
    fn new(columns: Vec<String>, values: &[ArrayRef]) -> Result<Self, ArrowError> {
        let fields = values.iter().map(|column| SortField::new(column.data_type().clone()));
        Ok(Self {
            columns,
            converter: RowConverter::new(fields.collect())?,
            last_change: HashMap::new(),
        })
    }

    /// Which of `candidates` are replaced.
    fn rows_replaced_after(
        &self,
        number: usize,
        table: Table,
        batch: &RecordBatch,
        candidates: &UInt64Array,
    ) -> Result<Vec<usize>, ArrowError> {
        let values = plain_columns(table, batch, &self.columns)?;
        let values = values.iter().map(|column| take(column, candidates, None));
        let rows = self
            .converter
            .convert_columns(&values.collect::<Result<Vec<_>, _>>()?)?;
        let is_replaced = |key: &[u8]| self.last_change.get(key).is_some_and(|last| *last > number);
        let rows = rows.iter().enumerate();
        Ok(rows
            .filter(|(_, row)| is_replaced(row.as_ref()))
            .map(|(index, _)| index)
            .collect())
    }
}

/// Columns of `batch` in the types of [`Table::schema`].
fn plain_columns(table: Table, batch: &RecordBatch, names: &[String]) -> Result<Vec<ArrayRef>, ArrowError> {
    let schema = table.schema();
    let plain = names.iter().map(|name| {
        let expected = schema.field_with_name(name)?.data_type();
        let column = batch.column(batch.schema_ref().index_of(name)?);
        let column = recoded_column(column, expected)?;
        if column.data_type() == expected {
            return Ok(column);
        }
        let message = format!("key column `{name}` is {}, expected {expected}", column.data_type());
        Err(ArrowError::SchemaError(message))
    });
    plain.collect()
}

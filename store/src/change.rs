//! What a commit is asked to do: rows to add, and keys of the rows that they replace.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Fields;
use arrow::error::ArrowError;
use spandrel_model::Table;

use crate::StoreError;
use crate::encoding::recoded;
use crate::keys::Keys;

/// One change of one table. A commit takes a list of them, in the order in which they came.
#[derive(Clone, Debug)]
pub struct TableChange {
    /// The table.
    pub table: Table,
    /// Rows to add, with the columns of [`Table::row_schema`] or [`Table::schema`]. May be empty.
    pub rows: RecordBatch,
    /// Keys of rows to remove: a batch with some columns of the table, [`Table::time_column`] among them.
    ///
    /// A row is removed if it equals a key in all columns of the key, where null equals null, and if it was committed
    /// before or belongs to an earlier change of the same commit. The `rows` of this change stay.
    pub replaces: Option<RecordBatch>,
}

impl TableChange {
    /// A change that removes nothing.
    pub fn add(table: Table, rows: RecordBatch) -> Self {
        Self {
            table,
            rows,
            replaces: None,
        }
    }

    /// Whether rows and keys fit their table. A commit that holds a change that does not can never succeed.
    ///
    /// # Errors
    /// [`StoreError::Rows`]: what differs.
    pub fn check(&self) -> Result<(), StoreError> {
        let table = self.table;
        let checked = || -> Result<(), ArrowError> {
            if let Some(keys) = &self.replaces {
                Keys::check(table, keys)?;
            }
            if self.rows.num_rows() > 0 {
                conforming(table, &self.rows)?;
            }
            Ok(())
        };
        if !self.says_something() {
            return Ok(());
        }
        checked().map_err(|source| StoreError::Rows { table, source })
    }

    fn says_something(&self) -> bool {
        let has_rows = |batch: &RecordBatch| batch.num_rows() > 0;
        has_rows(&self.rows) || self.replaces.as_ref().is_some_and(has_rows)
    }
}

/// All that a commit does to one table.
pub(crate) struct Change {
    /// Rows that no later change of the same commit replaces, in [`Table::row_schema`]. No batch is empty.
    pub(crate) rows: Vec<RecordBatch>,
    /// How many rows a later change of the same commit replaces.
    pub(crate) superseded_rows: u64,
    /// What to remove of the rows committed before.
    pub(crate) keys: Keys,
}

/// The changes by table, without those that say nothing.
pub(crate) fn by_table(changes: Vec<TableChange>) -> Result<BTreeMap<Table, Change>, StoreError> {
    let mut tables = BTreeMap::<Table, Vec<TableChange>>::new();
    for change in changes {
        if change.says_something() {
            tables.entry(change.table).or_default().push(change);
        }
    }
    let merged = tables.into_iter().map(|(table, changes)| {
        let change = merged(table, changes).map_err(|source| StoreError::Rows { table, source })?;
        Ok((table, change))
    });
    merged.collect()
}

/// Changes are numbered from 1: their keys remove rows of those with a lower number.
fn merged(table: Table, changes: Vec<TableChange>) -> Result<Change, ArrowError> {
    let mut keys = Keys::new(table);
    let mut numbered = Vec::new();
    for (change, number) in changes.into_iter().zip(1..) {
        if let Some(replaced) = &change.replaces {
            keys.add(number, replaced)?;
        }
        if change.rows.num_rows() > 0 {
            numbered.push((number, conforming(table, &change.rows)?));
        }
    }
    let (mut rows, mut superseded_rows) = (Vec::new(), 0);
    for (number, batch) in numbered {
        let left = without(&batch, &keys, number)?;
        superseded_rows += (batch.num_rows() - left.num_rows()) as u64;
        rows.extend((left.num_rows() > 0).then_some(left));
    }
    Ok(Change {
        rows,
        superseded_rows,
        keys,
    })
}

/// The rows of change `number` that no later one replaces.
fn without(batch: &RecordBatch, keys: &Keys, number: usize) -> Result<RecordBatch, ArrowError> {
    let replaced = keys.replaced_rows(batch, number)?;
    if replaced.is_empty() {
        return Ok(batch.clone());
    }
    let mut stays = vec![true; batch.num_rows()];
    for row in replaced {
        stays[row] = false;
    }
    filter_record_batch(batch, &BooleanArray::from(stays))
}

/// A batch with the columns of the table, as rows travel. Strings may come as dictionaries or not.
fn conforming(table: Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = table.row_schema();
    let names = |fields: &Fields| fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let (expected, found) = (names(schema.fields()), names(batch.schema_ref().fields()));
    if expected != found {
        let message = format!("expected columns {}, found {}", expected.join(", "), found.join(", "));
        return Err(ArrowError::SchemaError(message));
    }
    recoded(batch, &schema)
}

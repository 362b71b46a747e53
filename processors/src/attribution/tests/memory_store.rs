//! A store in memory: rows wait for a commit, which goes table by table and can be cut off by a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ops::ControlFlow;
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use spandrel_model::{Span, Table, UnixNanos};
use spandrel_pipeline::{StoredRows, TableRows, TakeRows, WantedRows, otlp};

use super::otlp::request;
use super::stream::{Row, text};

/// Committed rows, and rows that a crash would lose.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryStore {
    committed: BTreeMap<Table, Vec<(UnixNanos, RecordBatch)>>,
    waiting: Vec<TableRows>,
}

/// The committed rows at one moment.
pub(super) struct MemoryRows {
    rows: BTreeMap<Table, Vec<(UnixNanos, RecordBatch)>>,
    now: UnixNanos,
}

impl MemoryStore {
    pub(super) fn add(&mut self, rows: TableRows) {
        self.waiting.push(rows);
    }

    pub(super) fn add_spans(&mut self, spans: &[Span]) {
        self.waiting.push(TableRows {
            table: Table::Spans,
            rows: otlp::decode_traces(&request(spans)).unwrap().rows,
            replaces: None,
        });
    }

    /// Makes rows durable, in so many tables; then loses all others that wait, as a crash does.
    pub(super) fn commit(&mut self, tables: usize, at: Duration) {
        let waiting = std::mem::take(&mut self.waiting);
        for table in Table::ALL.into_iter().take(tables) {
            for change in waiting.iter().filter(|change| change.table == table) {
                let committed = self.committed.entry(table).or_default();
                if let Some(keys) = &change.replaces {
                    remove(table, committed, keys);
                }
                if change.rows.num_rows() > 0 {
                    committed.push((time(at), change.rows.clone()));
                }
            }
        }
    }

    pub(super) fn committed(&mut self, now: Duration) -> MemoryRows {
        self.waiting.clear();
        MemoryRows {
            rows: self.committed.clone(),
            now: time(now),
        }
    }
}

impl MemoryRows {
    /// Rows as text, without the spans.
    pub(super) fn into_text(self) -> BTreeMap<Table, Vec<Row>> {
        let tables = self.rows.into_iter().filter(|(table, _)| *table != Table::Spans);
        let rows = |batches: Vec<(UnixNanos, RecordBatch)>| batches.iter().flat_map(|(_, batch)| text(batch)).collect();
        tables.map(|(table, batches)| (table, rows(batches))).collect()
    }
}

impl StoredRows for MemoryRows {
    fn last_commit(&self) -> UnixNanos {
        self.now
    }

    fn read(
        &self,
        table: Table,
        columns: &[&str],
        wanted: &WantedRows,
        take: &mut TakeRows<'_>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for (at, batch) in self.rows.get(&table).into_iter().flatten().rev() {
            if !wanted.may_hold(*at, Some(time_range(table, batch))) {
                continue;
            }
            let indices: Vec<usize> = (columns.iter())
                .map(|column| batch.schema_ref().index_of(column))
                .collect::<Result<_, _>>()?;
            if let ControlFlow::Break(()) = take(*at, &batch.project(&indices)?)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn time(at: Duration) -> UnixNanos {
    UnixNanos(i64::try_from(at.as_nanos()).unwrap())
}

fn time_range(table: Table, batch: &RecordBatch) -> (UnixNanos, UnixNanos) {
    let times = batch
        .column_by_name(table.time_column())
        .unwrap()
        .as_primitive::<Int64Type>();
    let times = || times.values().iter().copied();
    (UnixNanos(times().min().unwrap()), UnixNanos(times().max().unwrap()))
}

fn remove(table: Table, committed: &mut Vec<(UnixNanos, RecordBatch)>, keys: &RecordBatch) {
    let time = table.time_column();
    let times = |batch: &RecordBatch| -> BTreeSet<i64> {
        let times = batch.column_by_name(time).unwrap().as_primitive::<Int64Type>();
        times.values().iter().copied().collect()
    };
    let key_times = times(keys);
    let keys: BTreeSet<Row> = text(keys).into_iter().collect();
    let names: Vec<String> = keys.first().unwrap().keys().cloned().collect();
    for (_, batch) in committed.iter_mut() {
        if times(batch).is_disjoint(&key_times) {
            continue;
        }
        let stays = text(batch).into_iter().map(|row| {
            let key: Row = names.iter().map(|name| (name.clone(), row[name].clone())).collect();
            !keys.contains(&key)
        });
        let stays: BooleanArray = stays.map(Some).collect();
        *batch = filter_record_batch(batch, &stays).unwrap();
    }
    committed.retain(|(_, batch)| batch.num_rows() > 0);
}

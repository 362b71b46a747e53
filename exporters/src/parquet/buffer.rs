//! Rows that are accepted and not yet durable.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use spandrel_model::Table;

/// Bounded rows in memory, by table.
#[derive(Debug)]
pub(super) struct Buffer {
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<Table, Vec<RecordBatch>>,
    waiting_bytes: u64,
    flushing_bytes: u64,
}

/// Rows taken out of the buffer, which still count against its limit until [`Buffer::flushed`].
#[derive(Clone, Debug)]
pub(super) struct Flush {
    pub(super) rows: Vec<(Table, Vec<RecordBatch>)>,
    pub(super) bytes: u64,
}

impl Flush {
    /// Number of rows.
    pub(super) fn row_count(&self) -> usize {
        self.rows
            .iter()
            .flat_map(|(_, batches)| batches)
            .map(RecordBatch::num_rows)
            .sum()
    }
}

/// The buffer holds `held_bytes` of `limit_bytes` and has no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) held_bytes: u64,
    pub(super) limit_bytes: u64,
}

impl Buffer {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            state: Mutex::default(),
        }
    }

    /// Takes all of `rows` or none. Returns the bytes that wait for the next flush.
    ///
    /// An empty buffer takes any one batch: its size was limited at the door, and it could never be taken otherwise.
    pub(super) fn push(&self, rows: Vec<(Table, RecordBatch)>) -> Result<u64, Full> {
        let bytes: u64 = rows.iter().map(|(_, batch)| batch.get_array_memory_size() as u64).sum();
        let mut state = self.lock();
        let held_bytes = state.waiting_bytes + state.flushing_bytes;
        if held_bytes > 0 && held_bytes + bytes > self.limit_bytes {
            return Err(Full {
                held_bytes,
                limit_bytes: self.limit_bytes,
            });
        }
        for (table, batch) in rows {
            if batch.num_rows() > 0 {
                state.waiting.entry(table).or_default().push(batch);
            }
        }
        state.waiting_bytes += bytes;
        Ok(state.waiting_bytes)
    }

    /// Everything that waits; `None` if nothing does.
    pub(super) fn take(&self) -> Option<Flush> {
        let mut state = self.lock();
        let rows: Vec<_> = std::mem::take(&mut state.waiting).into_iter().collect();
        let bytes = std::mem::take(&mut state.waiting_bytes);
        if rows.is_empty() {
            return None;
        }
        state.flushing_bytes += bytes;
        Some(Flush { rows, bytes })
    }

    /// Frees the room of a flush that has become durable.
    pub(super) fn flushed(&self, flush: &Flush) {
        let mut state = self.lock();
        state.flushing_bytes = state.flushing_bytes.saturating_sub(flush.bytes);
    }

    /// Bytes held, waiting and flushing.
    pub(super) fn held_bytes(&self) -> u64 {
        let state = self.lock();
        state.waiting_bytes + state.flushing_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Rows that are accepted and not yet durable.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use spandrel_store::TableChange;

/// Bounded rows in memory, and the keys of rows that they replace, in the order in which they came.
///
/// Rows that are replaced while they wait are dropped by the commit; until then they take memory and count.
#[derive(Debug)]
pub(super) struct Buffer {
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<TableChange>,
    waiting_bytes: u64,
    flushing_bytes: u64,
}

/// What was taken out of the buffer, and still counts against its limit until [`Buffer::flushed`].
#[derive(Clone, Debug)]
pub(super) struct Flush {
    pub(super) changes: Vec<TableChange>,
    pub(super) bytes: u64,
}

impl Flush {
    /// Number of rows.
    pub(super) fn row_count(&self) -> usize {
        self.changes.iter().map(|change| change.rows.num_rows()).sum()
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

    /// Takes all of `changes` or none. Returns the bytes that wait for the next flush.
    ///
    /// An empty buffer takes any one batch: its size was limited at the door, and it could never be taken otherwise.
    pub(super) fn push(&self, changes: Vec<TableChange>) -> Result<u64, Full> {
        let bytes: u64 = changes.iter().map(bytes_of).sum();
        let mut state = self.lock();
        let held_bytes = state.waiting_bytes + state.flushing_bytes;
        if held_bytes > 0 && held_bytes + bytes > self.limit_bytes {
            return Err(Full {
                held_bytes,
                limit_bytes: self.limit_bytes,
            });
        }
        state.waiting.extend(changes);
        state.waiting_bytes += bytes;
        Ok(state.waiting_bytes)
    }

    /// Everything that waits; `None` if nothing does.
    pub(super) fn take(&self) -> Option<Flush> {
        let mut state = self.lock();
        let changes = std::mem::take(&mut state.waiting);
        let bytes = std::mem::take(&mut state.waiting_bytes);
        if changes.is_empty() {
            return None;
        }
        state.flushing_bytes += bytes;
        Some(Flush { changes, bytes })
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

fn bytes_of(change: &TableChange) -> u64 {
    let keys = change.replaces.as_ref().map_or(0, RecordBatch::get_array_memory_size);
    (change.rows.get_array_memory_size() + keys) as u64
}

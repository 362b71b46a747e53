//! Requests that are accepted and not yet delivered.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use spandrel_pipeline::Signal;
use tokio::sync::Notify;

/// What a request takes beside its bytes. About.
const OVERHEAD_BYTES: u64 = 200;

/// A request as it came. Rows that others in the pipeline have made of it are not kept.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) signal: Signal,
    pub(super) bytes: Bytes,
}

impl Queued {
    fn size_bytes(&self) -> u64 {
        OVERHEAD_BYTES + self.bytes.len() as u64
    }
}

/// Bounded requests in memory, handed out in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue {
    limit_bytes: u64,
    state: Mutex<State>,
    /// Told for each request that comes, and when the queue closes.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Queued>,
    /// Of requests that wait or are under way.
    held_bytes: u64,
    /// Number of them.
    held_count: usize,
    is_closed: bool,
}

/// The queue did not take a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It holds `held_bytes`, and this one would exceed the limit.
    Full { held_bytes: u64 },
    /// It takes no more.
    Closed,
}

impl Queue {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// An empty queue takes any one request: its size was limited at the door, and it could never be taken otherwise.
    pub(super) fn push(&self, request: Queued) -> Result<(), NotTaken> {
        let bytes = request.size_bytes();
        let mut state = self.lock();
        if state.is_closed {
            return Err(NotTaken::Closed);
        }
        let held_bytes = state.held_bytes;
        if held_bytes > 0 && held_bytes + bytes > self.limit_bytes {
            return Err(NotTaken::Full { held_bytes });
        }
        state.held_bytes += bytes;
        state.held_count += 1;
        state.waiting.push_back(request);
        self.changed.notify_one();
        Ok(())
    }

    /// The next request, when there is one; `None` when the queue is closed and empty. It counts against the limit until
    /// [`Queue::done`].
    pub(super) async fn pop(&self) -> Option<Queued> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if let Some(request) = state.waiting.pop_front() {
                    // Of two that came at once, the second may have woken nobody.
                    if !state.waiting.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(request);
                }
                if state.is_closed {
                    // Another one may sleep that has not seen it.
                    self.changed.notify_one();
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Frees the room of a request.
    pub(super) fn done(&self, request: &Queued) {
        let mut state = self.lock();
        state.held_bytes -= request.size_bytes();
        state.held_count -= 1;
    }

    /// Takes no more requests, and cuts pauses short.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Bytes of requests that are not done.
    pub(super) fn held_bytes(&self) -> u64 {
        self.lock().held_bytes
    }

    /// Requests that are not done.
    pub(super) fn held_count(&self) -> usize {
        self.lock().held_count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: usize) -> Queued {
        Queued {
            signal: Signal::Logs,
            bytes: Bytes::from(vec![0; bytes]),
        }
    }

    #[tokio::test]
    async fn a_request_takes_room_until_it_is_done() {
        let queue = Queue::new(10);
        let held_bytes = OVERHEAD_BYTES + 11;
        assert_eq!(queue.push(request(11)), Ok(()), "an empty queue takes any one");
        assert_eq!(queue.push(request(1)), Err(NotTaken::Full { held_bytes }));
        let first = queue.pop().await.unwrap();
        assert_eq!(queue.push(request(1)), Err(NotTaken::Full { held_bytes }));
        queue.done(&first);
        assert_eq!(queue.push(request(1)), Ok(()));
        assert_eq!((queue.held_bytes(), queue.held_count()), (OVERHEAD_BYTES + 1, 1));
    }

    #[tokio::test]
    async fn a_closed_queue_hands_out_the_rest_and_then_nothing_to_everybody() {
        let queue = Queue::new(10);
        queue.push(request(1)).unwrap();
        queue.close();
        assert_eq!(queue.push(request(1)), Err(NotTaken::Closed));
        assert!(queue.pop().await.is_some());
        let (one, other) = tokio::join!(queue.pop(), queue.pop());
        assert!(one.is_none() && other.is_none());
    }
}

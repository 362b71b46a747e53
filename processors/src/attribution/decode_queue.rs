//! Whose turn it is to be decoded. A profile takes many times its size in memory once it is decoded, and room for that is
//! made only then: so few are decoded at the same time, some more wait, and others are refused.

use std::sync::Arc;

use spandrel_pipeline::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Profiles that are decoded, or have been and wait for room.
const TURNS: usize = 2;
/// Profiles that wait for a turn, with those that have one.
const PLACES: usize = 18;

/// A queue with room for [`PLACES`].
#[derive(Debug)]
pub(super) struct DecodeQueue {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// The right to decode one profile and to hold what comes out, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Default for DecodeQueue {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES)),
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }
}

impl DecodeQueue {
    /// Waits for a turn.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn, Refusal> {
        let full = || Refusal::Refused {
            reason: format!("{PLACES} profiles wait to be decoded"),
            retry_after: None,
        };
        let place = self.places.clone().try_acquire_owned().map_err(|_| full())?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| full())?;
        Ok(Turn {
            _turn: turn,
            _place: place,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn beyond_the_turns_profiles_wait_and_beyond_the_places_they_are_refused() {
        let queue = Arc::new(DecodeQueue::default());
        let first = queue.turn().await.unwrap();
        let second = queue.turn().await.unwrap();
        let waits = timeout(Duration::from_millis(1), queue.turn()).await;
        assert!(waits.is_err(), "the third waits");
        let waiting: Vec<_> = (TURNS..PLACES)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.turn().await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        let refused = queue.turn().await.unwrap_err();
        assert!(matches!(refused, Refusal::Refused { .. }), "{refused}");
        drop((first, second));
        for turn in waiting {
            turn.await.unwrap().expect("its turn comes");
        }
        queue.turn().await.expect("all places are free again");
    }
}

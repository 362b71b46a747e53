//! Giving way to others between the steps of a long work that needs a lock for each.
//!
//! Who unlocks a mutex and locks it again at once is faster than those who wait for it, so that they would wait for all
//! steps and not for one.

use std::time::{Duration, Instant};

/// How long steps may follow each other.
const LONGEST_TURN: Duration = Duration::from_millis(20);
/// Long enough for others to wake up and take the lock.
const PAUSE: Duration = Duration::from_millis(1);

/// When the steps began that followed each other without a pause.
#[derive(Debug)]
pub(super) struct LockTurns(Instant);

impl Default for LockTurns {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl LockTurns {
    /// To be called between two steps, without the lock. Pauses if it is time to.
    pub(super) async fn give_way(&mut self) {
        if self.0.elapsed() >= LONGEST_TURN {
            tokio::time::sleep(PAUSE).await;
            self.0 = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_that_was_long_ends_with_a_pause_and_a_short_one_goes_on() {
        let long_ago = Instant::now().checked_sub(LONGEST_TURN).unwrap();
        let (mut turns, asked_at) = (LockTurns(long_ago), Instant::now());
        turns.give_way().await;
        assert!(asked_at.elapsed() >= PAUSE);
        assert!(turns.0 >= asked_at + PAUSE, "the next turn begins after the pause");
        let mut turns = LockTurns(Instant::now() + LONGEST_TURN);
        let began = turns.0;
        turns.give_way().await;
        assert_eq!(turns.0, began);
    }
}

//! The signal to stop.

use tokio_util::sync::CancellationToken;

/// Tells a component when to stop. Clones tell of the same event.
#[derive(Clone, Debug)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Waits for the request to stop; returns at once when it has been made.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Whether the request has been made.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// Gives the signal.
#[derive(Debug, Default)]
pub struct StopSource(CancellationToken);

impl StopSource {
    /// A source that has not given the signal.
    pub fn new() -> Self {
        Self::default()
    }

    /// The receiving side.
    pub fn stop(&self) -> Stop {
        Stop(self.0.clone())
    }

    /// Asks everybody who holds a [`Stop`] of this source to stop.
    pub fn request(&self) {
        self.0.cancel();
    }
}

//! The start of a connector: what an earlier run left is taken up before anything is received.

use std::sync::Arc;
use std::time::Instant;

use spandrel_pipeline::{Outputs, Signal, StoredRows};

use super::connector::{AttributionConnector, off_executor, run_number};
use super::restart::Recalled;
use super::windows::Windows;

impl AttributionConnector {
    /// Asks the consumer of the rows what it has of earlier runs, and takes that up. Where that is not possible the
    /// connector begins without, and says so.
    pub(super) async fn take_up(&self, outputs: &Outputs) {
        // The recordings first: whether spans can be corrected depends on them.
        self.take_up_recordings().await;
        let Some(consumer) = outputs.get(Signal::Tables).filter(|_| self.config.restore) else {
            return;
        };
        match consumer.recall().await {
            Ok(Some(rows)) => self.take_up_rows(rows).await,
            Ok(None) => tracing::info!(
                connector = %self.id,
                "attribution begins afresh: where its rows go, no earlier run has left any"
            ),
            Err(refusal) => tracing::error!(
                connector = %self.id,
                "attribution cannot take up what an earlier run left, and what is sent again may count twice: {refusal}"
            ),
        }
    }

    async fn take_up_rows(&self, rows: Arc<dyn StoredRows>) {
        let config = self.config.clone();
        self.lock().stored_until = Some(rows.last_commit());
        let recalled = match off_executor(move || Recalled::read(&*rows, &config)).await {
            Ok(Ok(recalled)) => recalled,
            Ok(Err(error)) => {
                tracing::error!(
                    connector = %self.id,
                    "attribution cannot take up what an earlier run left, and what is sent again may count twice: {error}"
                );
                return;
            }
            Err(panic) => {
                tracing::error!(
                    connector = %self.id,
                    "attribution cannot take up what an earlier run left, and what is sent again may count twice: {panic}"
                );
                return;
            }
        };
        let now = Instant::now();
        let mut windows = Windows::new(self.config.window_rules(run_number()));
        windows.restore(&recalled.requests, &recalled.sent, now);
        let restored = {
            let mut state = self.lock();
            state.windows = Some(windows);
            state.pending.restore(recalled.spans, now)
        };
        self.metrics.count_restored(&restored);
        tracing::info!(
            connector = %self.id,
            waiting = restored.waiting,
            correctable = restored.correctable,
            sealed = restored.sealed,
            requests = recalled.requests.len(),
            "attribution takes up spans and windows of an earlier run"
        );
    }
}

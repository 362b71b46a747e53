//! Where results go: each is offered until it is accepted, or until a stop has waited for that too long.

use std::sync::Arc;
use std::time::Duration;

use spandrel_pipeline::{Batch, Outputs, Payload, Refusal, RequestContext, RunError, Signal, Stop, TableRows};
use tokio::time::{Instant, sleep};

/// Wait before something is offered again to a consumer that was busy and named no time.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The pipelines that take what the connector finds.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    /// The connector.
    pub(super) id: &'a Arc<str>,
    pub(super) outputs: &'a Outputs,
    pub(super) stop: &'a Stop,
    /// How long a connector that is to stop goes on offering to a busy consumer.
    pub(super) patience: Duration,
}

impl Output<'_> {
    /// Whether a pipeline takes this signal.
    pub(super) fn takes(&self, signal: Signal) -> bool {
        self.outputs.get(signal).is_some()
    }

    /// Sends rows, as one batch.
    pub(super) async fn send(&self, rows: Vec<TableRows>) -> Result<(), RunError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.offer(Payload::Tables(rows.into())).await
    }

    /// Offers a payload, if a pipeline takes its signal, until it is accepted; when stopping, for its patience.
    pub(super) async fn offer(&self, payload: Payload) -> Result<(), RunError> {
        let context = Arc::new(RequestContext {
            receiver: self.id.clone(),
            transport: "",
        });
        let batch = Batch { payload, context };
        let Some(consumer) = self.outputs.get(batch.signal()) else {
            return Ok(());
        };
        let mut stopping_since = None;
        loop {
            let (reason, retry_after) = match consumer.consume(batch.clone()).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Refused { reason, retry_after }) => (reason, retry_after.unwrap_or(RETRY_AFTER)),
                Err(refusal) => {
                    return Err(RunError::caused_by(
                        "what attribution found was not accepted and is lost",
                        refusal,
                    ));
                }
            };
            if self.stop.is_requested() && stopping_since.get_or_insert_with(Instant::now).elapsed() > self.patience {
                return Err(RunError::new(format!("what attribution found is lost: {reason}")));
            }
            self.pause(retry_after).await;
        }
    }

    /// Ends early when a stop is requested, so that its patience begins.
    async fn pause(&self, retry_after: Duration) {
        if self.stop.is_requested() {
            return sleep(retry_after.min(self.patience)).await;
        }
        tokio::select! {
            () = self.stop.requested() => {}
            () = sleep(retry_after) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use spandrel_pipeline::{Consumer, StopSource};
    use tokio::time::timeout;

    use super::*;

    /// Always busy.
    struct Busy;

    #[async_trait]
    impl Consumer for Busy {
        async fn consume(&self, _: Batch) -> Result<(), Refusal> {
            Err(Refusal::Refused {
                reason: "busy".into(),
                retry_after: Some(Duration::from_secs(3600)),
            })
        }
    }

    #[tokio::test]
    async fn a_busy_consumer_is_waited_for_until_a_stop_has_lost_its_patience() {
        let outputs = Outputs::new([(Signal::Tables, Arc::new(Busy) as Arc<dyn Consumer>)]);
        let (source, id) = (StopSource::new(), "attribution".into());
        let output = Output {
            id: &id,
            outputs: &outputs,
            stop: &source.stop(),
            patience: Duration::from_millis(10),
        };
        let mut offered = Box::pin(output.offer(Payload::Tables(Arc::new([]))));
        assert!(
            timeout(Duration::from_millis(50), &mut offered).await.is_err(),
            "it waits"
        );
        source.request();
        let error = timeout(Duration::from_secs(60), offered)
            .await
            .expect("it ends")
            .unwrap_err();
        assert!(error.to_string().contains("busy"), "{error}");
    }
}

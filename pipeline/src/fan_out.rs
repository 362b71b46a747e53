//! One batch to several consumers.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Batch, Consumer, Refusal, StoredRows};

/// Offers every batch to each of several consumers in turn and acknowledges it when all have accepted.
///
/// It stops at the first that is busy, because the sender will offer the batch to all again. Those that had accepted
/// before then get it twice; loss would be worse. One that will never accept does not keep it from the others.
pub struct FanOut(Vec<Arc<dyn Consumer>>);

impl FanOut {
    /// The one consumer itself, or all of them in a [`FanOut`].
    pub fn over(mut consumers: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
        match consumers.len() {
            1 => consumers.swap_remove(0),
            _ => Arc::new(Self(consumers)),
        }
    }
}

#[async_trait]
impl Consumer for FanOut {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let mut refusal: Option<Refusal> = None;
        for consumer in &self.0 {
            match consumer.consume(batch.clone()).await {
                Ok(()) => {}
                Err(never @ Refusal::Permanent { .. }) => refusal = refusal.or(Some(never)),
                Err(busy) => return Err(busy),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// What the first has that has anything: the others have got the same.
    async fn recall(&self) -> Result<Option<Arc<dyn StoredRows>>, Refusal> {
        for consumer in &self.0 {
            if let Some(rows) = consumer.recall().await? {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{OtlpRequest, Payload, RequestContext};

    struct Fixed {
        answer: Result<(), Refusal>,
        offered: Mutex<usize>,
    }

    #[async_trait]
    impl Consumer for Fixed {
        async fn consume(&self, _: Batch) -> Result<(), Refusal> {
            *self.offered.lock().unwrap() += 1;
            self.answer.clone()
        }
    }

    fn fixed(answer: Result<(), Refusal>) -> Arc<Fixed> {
        Arc::new(Fixed {
            answer,
            offered: Mutex::new(0),
        })
    }

    fn batch() -> Batch {
        let payload = Payload::Otlp(Arc::new(OtlpRequest::traces(bytes::Bytes::new())));
        Batch {
            payload,
            context: Arc::new(RequestContext::default()),
        }
    }

    fn busy() -> Refusal {
        Refusal::Refused {
            reason: "full".into(),
            retry_after: None,
        }
    }

    #[tokio::test]
    async fn acknowledges_when_all_accept() {
        assert_eq!(
            FanOut::over(vec![fixed(Ok(())), fixed(Ok(()))]).consume(batch()).await,
            Ok(())
        );
    }

    #[tokio::test]
    async fn a_busy_consumer_keeps_the_batch_from_those_behind_it() {
        let second = fixed(Ok(()));
        let fan_out = FanOut::over(vec![fixed(Err(busy())), second.clone()]);
        assert_eq!(fan_out.consume(batch()).await, Err(busy()));
        assert_eq!(
            *second.offered.lock().unwrap(),
            0,
            "it will get the batch when the sender tries again"
        );
    }

    #[tokio::test]
    async fn a_consumer_that_never_accepts_does_not_keep_the_batch_from_the_others() {
        let second = fixed(Ok(()));
        let fan_out = FanOut::over(vec![fixed(Err(Refusal::permanent("no"))), second.clone()]);
        assert_eq!(fan_out.consume(batch()).await, Err(Refusal::permanent("no")));
        assert_eq!(*second.offered.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn asks_for_a_retry_when_anybody_may_still_accept() {
        for order in [[Refusal::permanent("no"), busy()], [busy(), Refusal::permanent("no")]] {
            let consumers = order.map(|answer| fixed(Err(answer)) as Arc<dyn Consumer>).to_vec();
            assert_eq!(FanOut::over(consumers).consume(batch()).await, Err(busy()));
        }
    }
}

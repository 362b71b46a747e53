//! The worker of one target: pulls on an interval and hands each trace to the pipeline.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;
use reqwest::{Client, Url};
use spandrel_model::ProcessIdentity;
use spandrel_pipeline::{
    Batch, Consumer, Payload, ProfileFormat, Refusal, RequestContext, RuntimeProfile, Signal, Stop,
};
use tokio::time::MissedTickBehavior;

use super::TRANSPORT;
use super::pull::{Limits, Pulled, pull};
use crate::receivers::log_limit::LogLimit;
use crate::receivers::metrics::ReceiverMetrics;

/// The pause before a target that did not answer is asked again, and before a refused trace is offered again, unless the
/// pipeline names one; it doubles each time.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(1);

/// A pause asked for by the pipeline is cut to this, too.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How often a trace is offered before it is dropped.
const MAX_OFFERS: u32 = 6;

/// How often a target that keeps failing is mentioned.
pub(super) const LOG_PERIOD: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    /// The target in messages and metrics: its URL without credentials and parameters.
    pub(super) target: Arc<str>,
    /// With the `seconds` parameter.
    pub(super) url: Url,
    pub(super) process: ProcessIdentity,
    pub(super) interval: Duration,
    pub(super) limits: Limits,
    pub(super) client: Client,
    pub(super) consumer: Arc<dyn Consumer>,
    pub(super) context: Arc<RequestContext>,
    pub(super) metrics: ReceiverMetrics,
    /// By `target` and `kind`.
    pub(super) errors: IntCounterVec,
    pub(super) log: LogLimit,
    pub(super) first_retry: Duration,
}

impl Worker {
    /// Pulls now and then once per interval, until `stop`. A pull in progress is then given up: a trace that was cut
    /// short has no end. A target that does not answer is asked again soon, after pauses that double up to the interval.
    pub(super) async fn run(self, stop: Stop) {
        let mut ticks = tokio::time::interval(self.interval);
        // A pull takes a little longer than the recording, so back-to-back pulls are always late.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_answered = false;
        let mut failures = 0;
        loop {
            let pulled = tokio::select! {
                biased;
                () = stop.requested() => return,
                pulled = async {
                    ticks.tick().await;
                    pull(&self.client, self.url.clone(), self.limits).await
                } => pulled,
            };
            match pulled {
                Ok(pulled) => {
                    if !has_answered {
                        let bytes = pulled.bytes.len();
                        tracing::info!(target_url = %self.target, bytes, "the first execution trace is there");
                    } else if failures > 0 {
                        tracing::info!(target_url = %self.target, "the target answers again");
                    }
                    has_answered = true;
                    failures = 0;
                    self.deliver(pulled, &stop).await;
                }
                Err(error) => {
                    let pause = self.first_retry.saturating_mul(2_u32.saturating_pow(failures));
                    if error.came_before_recording() && pause < self.interval {
                        ticks.reset_after(pause);
                    }
                    failures = failures.saturating_add(1);
                    self.failed(error.kind(), "no execution trace", &error);
                }
            }
        }
    }

    /// Offers a trace until the pipeline takes it, refuses it for good, or has refused it often enough.
    async fn deliver(&self, pulled: Pulled, stop: &Stop) {
        let profile = RuntimeProfile {
            format: ProfileFormat::GoExecutionTrace,
            bytes: pulled.bytes,
            process: self.process.clone(),
            source: Arc::clone(&self.target),
            fetched: pulled.fetched,
            warnings: OnceLock::new(),
        };
        let batch = Batch {
            payload: Payload::Profile(Arc::new(profile)),
            context: Arc::clone(&self.context),
        };
        let account = self.metrics.offer(Signal::Profiles, TRANSPORT, 1);
        match self.offer(batch, stop).await {
            Ok(()) => account.accepted(),
            Err(refusal) => self.failed("refused", "an execution trace is lost", &refusal),
        }
    }

    async fn offer(&self, batch: Batch, stop: &Stop) -> Result<(), Refusal> {
        let mut pause = self.first_retry;
        for _ in 1..MAX_OFFERS {
            let asked = match self.consumer.consume(batch.clone()).await {
                Err(Refusal::Refused { retry_after, .. }) => retry_after,
                answer => return answer,
            };
            tokio::select! {
                biased;
                () = stop.requested() => break,
                () = tokio::time::sleep(asked.unwrap_or(pause).min(LONGEST_RETRY)) => {}
            }
            pause *= 2;
        }
        self.consumer.consume(batch).await
    }

    fn failed(&self, kind: &str, what: &str, error: &dyn std::error::Error) {
        self.errors.with_label_values(&[&self.target, kind]).inc();
        if let Some(suppressed) = self.log.admit(Instant::now()) {
            tracing::warn!(target_url = %self.target, kind, suppressed, "{what}: {error}");
        }
    }
}

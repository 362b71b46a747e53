//! Accepting requests, and the senders that deliver them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use spandrel_pipeline::{Batch, BuildContext, BuildError, Consumer, Exporter, Payload, Refusal, RunError, Stop};
use tokio::time::{Instant, sleep};

use super::config::{OtlpHttpConfig, RetryRules};
use super::endpoint::{Answer, Endpoint};
use super::metrics::Metrics;
use super::queue::{NotTaken, Queue, Queued};

/// How many requests are under way at once.
const SENDERS: usize = 10;
/// How long a refused sender should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a stopping exporter goes on delivering what it holds.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// The longest pause of a stopping exporter.
const STOP_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that an endpoint can ask for.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Delivers requests to an OTLP endpoint.
pub struct OtlpHttpExporter {
    id: Arc<str>,
    endpoint: Endpoint,
    retry: RetryRules,
    queue: Queue,
    queue_limit_bytes: u64,
    metrics: Metrics,
}

impl OtlpHttpExporter {
    /// An exporter with an empty queue. It connects when there is something to deliver.
    ///
    /// # Errors
    /// Its metrics are registered already, or there is no TLS.
    pub fn new(config: OtlpHttpConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let OtlpHttpConfig {
            traces,
            metrics,
            logs,
            headers,
            compresses,
            timeout,
            retry,
            queue_limit_bytes,
        } = config;
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("spandrel/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::caused_by("cannot set up HTTP", error))?;
        Ok(Self {
            id: context.id.clone(),
            endpoint: Endpoint {
                client,
                traces,
                metrics,
                logs,
                headers,
                compresses,
            },
            retry,
            queue: Queue::new(queue_limit_bytes),
            queue_limit_bytes,
            metrics: Metrics::register(&context.id, &context.registry)?,
        })
    }

    /// Delivers one request after the other until the queue is closed and empty.
    async fn send_all(&self, stop: &Stop) {
        while let Some(request) = self.queue.pop().await {
            self.deliver(&request, stop).await;
            self.queue.done(&request);
            self.observe_queue();
        }
    }

    /// Delivers a request, however often that takes, or gives it up and says so.
    async fn deliver(&self, request: &Queued, stop: &Stop) {
        let (endpoint, bytes) = (self.endpoint.clone(), request.bytes.clone());
        let body = match tokio::task::spawn_blocking(move || endpoint.body(&bytes)).await {
            Ok(body) => body,
            Err(panic) => return self.give_up(request, &format!("internal error: {panic}")),
        };
        let started = Instant::now();
        let mut pause = self.retry.initial_interval;
        loop {
            let (why, wait) = match self.endpoint.post(request.signal, body.clone()).await {
                Answer::Taken => return self.metrics.sent(request.signal),
                Answer::TakenInPart { rejected_items, why } => {
                    self.metrics.sent(request.signal);
                    self.metrics.rejected(request.signal, rejected_items);
                    tracing::warn!(
                        exporter = %self.id,
                        url = %self.endpoint.shown(request.signal),
                        "the endpoint rejected {rejected_items} items: {why}"
                    );
                    return;
                }
                Answer::Never { why } => return self.give_up(request, &why),
                Answer::Busy { why, retry_after } => {
                    let asked = retry_after.unwrap_or_default().min(ASKED_PAUSE_MAX);
                    (why, asked.max(jittered(pause)))
                }
            };
            let elapsed = started.elapsed();
            if self
                .retry
                .max_elapsed
                .is_some_and(|max| elapsed.saturating_add(wait) > max)
            {
                return self.give_up(request, &format!("{why}, for {elapsed:.0?}"));
            }
            self.metrics.failed_attempts.inc();
            let url = self.endpoint.shown(request.signal);
            if stop.is_requested() {
                tracing::debug!(exporter = %self.id, %url, "{why}; stopping, trying again");
            } else {
                tracing::warn!(exporter = %self.id, %url, "{why}; trying again in {wait:.1?}");
            }
            rest(wait, stop).await;
            pause = pause.saturating_add(pause / 2).min(self.retry.max_interval);
        }
    }

    fn give_up(&self, request: &Queued, why: &str) {
        let signal = request.signal;
        self.metrics.failed(signal);
        tracing::error!(
            exporter = %self.id,
            url = %self.endpoint.shown(signal),
            "{} bytes are lost: {why}",
            request.bytes.len()
        );
    }

    fn observe_queue(&self) {
        let held_bytes = i64::try_from(self.queue.held_bytes()).unwrap_or(i64::MAX);
        self.metrics.queued_bytes.set(held_bytes);
    }
}

/// Between half and one and a half of `pause`, so that collectors do not all come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let [byte, ..] = random.to_ne_bytes();
    (pause / 2).saturating_add(pause / 255 * u32::from(byte))
}

/// A pause, cut short when a stop is requested: another attempt is made at once, and then after short pauses.
async fn rest(pause: Duration, stop: &Stop) {
    if stop.is_requested() {
        return sleep(pause.min(STOP_PAUSE)).await;
    }
    tokio::select! {
        () = stop.requested() => {}
        () = sleep(pause) => {}
    }
}

#[async_trait]
impl Consumer for OtlpHttpExporter {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let signal = batch.signal();
        let Payload::Otlp(request) = batch.payload else {
            return Err(Refusal::permanent(
                "the otlp_http exporter takes traces, metrics and logs only",
            ));
        };
        let pushed = self.queue.push(Queued {
            signal,
            bytes: request.bytes().clone(),
        });
        self.observe_queue();
        pushed.map_err(|not_taken| match not_taken {
            NotTaken::Closed => Refusal::Shutdown,
            NotTaken::Full { held_bytes } => {
                self.metrics.refused(signal);
                Refusal::Refused {
                    reason: format!(
                        "the queue of exporter `{}` is full ({held_bytes} of {} bytes)",
                        self.id, self.queue_limit_bytes
                    ),
                    retry_after: Some(RETRY_AFTER),
                }
            }
        })
    }
}

#[async_trait]
impl Exporter for OtlpHttpExporter {
    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), RunError> {
        let senders = join_all((0..SENDERS).map(|_| self.send_all(&stop)));
        let closing = async {
            stop.requested().await;
            self.queue.close();
            sleep(STOP_PATIENCE).await;
        };
        tokio::select! {
            _ = senders => Ok(()),
            () = closing => Err(RunError::new(format!(
                "{} requests with {} bytes could not be delivered within {STOP_PATIENCE:?}",
                self.queue.held_count(),
                self.queue.held_bytes()
            ))),
        }
    }
}

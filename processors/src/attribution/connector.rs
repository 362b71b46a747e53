//! Accepting spans and profiles, and the worker that joins them.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arrow::error::ArrowError;
use async_trait::async_trait;
use spandrel_attribution::{Attributed, NotAnchored, ProcessSpans, Rules, attribute, binding_word};
use spandrel_model::{TaskRecording, UnixNanos};
use spandrel_pipeline::{
    Batch, BuildContext, BuildError, Connector, Consumer, OtlpRequest, Outputs, Payload, ProfileFormat, Refusal,
    RequestContext, RunError, RuntimeProfile, Signal, Stop, TableRows, otlp,
};
use spandrel_profiles::columns;
use spandrel_profiles::go_execution_trace::{self, Decoded, StateRules};

use super::AttributionConfig;
use super::matrix_rows::matrix_rows;
use super::metrics::Metrics;
use super::pending::{Join, Pending};
use super::rows::attribution_rows;
use super::unanchored::{Placed, Placing};
use super::windows::{Closed, Windows};

/// How often due spans are looked for.
const JOIN_INTERVAL: Duration = Duration::from_millis(500);
/// After the spans were asked in vain when a recording was made, they are left in peace for so many times as long as that
/// took.
const PLACING_PAUSE: u32 = 4;
/// Wait before rows are offered again to a consumer that was busy and named no time.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long a stopping connector goes on offering rows to a busy consumer.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Joins spans with runtime profiles.
pub struct AttributionConnector {
    config: AttributionConfig,
    id: Arc<str>,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pending: Pending,
    stopped: bool,
}

impl AttributionConnector {
    /// A connector that holds nothing.
    ///
    /// # Errors
    /// Its metrics are registered already.
    pub fn new(config: AttributionConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let metrics = Metrics::register(&context.id, &context.registry)?;
        Ok(Self {
            config,
            id: context.id.clone(),
            metrics,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn consume_spans(&self, request: Arc<OtlpRequest>) -> Result<(), Refusal> {
        let decode = move || -> Result<_, Refusal> {
            let rows = request.rows().map_err(Refusal::permanent)?;
            otlp::spans_from_rows(rows).map_err(Refusal::permanent)
        };
        let spans = off_executor(decode).await??;
        let mut state = self.lock();
        if state.stopped {
            return Err(Refusal::Shutdown);
        }
        if !state.pending.make_room(spans.len(), self.config.span_limit) {
            self.metrics.refused_batches.inc();
            return Err(Refusal::Refused {
                reason: format!(
                    "{} spans wait to be joined, the limit is {}",
                    state.pending.waiting_count(),
                    self.config.span_limit
                ),
                retry_after: Some(self.config.join_delay),
            });
        }
        let added = state.pending.add_spans(spans, Instant::now());
        self.metrics.accepted_spans.inc_by(added.accepted);
        self.metrics.duplicate_spans.inc_by(added.duplicates);
        self.metrics
            .pending_spans
            .add(i64::try_from(added.accepted).unwrap_or(i64::MAX));
        Ok(())
    }

    async fn consume_profile(&self, profile: Arc<RuntimeProfile>) -> Result<(), Refusal> {
        let digest = digest(&profile);
        if !self.lock().pending.is_new_profile(digest, Instant::now()) {
            self.metrics.duplicate_recordings.inc();
            return Ok(());
        }
        let accepted = self.accept_profile(profile, digest).await;
        if accepted.is_err() {
            self.lock().pending.forget_profile(digest);
        }
        accepted
    }

    async fn accept_profile(&self, profile: Arc<RuntimeProfile>, digest: u64) -> Result<(), Refusal> {
        let rules = self.config.state_rules.clone();
        let decoded = off_executor(move || decode_profile(&profile, &rules)).await?;
        let decoded = decoded.inspect_err(|_| self.metrics.rejected_recordings.inc())?;
        let (process, warnings) = match &decoded {
            Decoded::Anchored(recording) => (&recording.process, recording.warnings.as_slice()),
            Decoded::Unanchored(recording) => (recording.process(), recording.warnings()),
        };
        for warning in warnings {
            tracing::warn!(%process, "{warning}");
        }
        let mut state = self.lock();
        if state.stopped {
            return Err(Refusal::Shutdown);
        }
        let limit_bytes = self.config.recording_limit_bytes;
        let (pending, now) = (&mut state.pending, Instant::now());
        let added = match decoded {
            Decoded::Anchored(recording) => pending.add_recording(recording, now, limit_bytes),
            Decoded::Unanchored(recording) => pending.add_unanchored(recording, digest, now, limit_bytes),
        };
        let Some(evicted) = added else {
            self.metrics.refused_batches.inc();
            return Err(Refusal::Refused {
                reason: format!("recordings that wait to be joined fill recording_limit ({limit_bytes} bytes)"),
                retry_after: Some(self.config.join_delay),
            });
        };
        self.metrics.accepted_recordings.inc();
        self.metrics.evicted_recordings.inc_by(evicted);
        Ok(())
    }

    /// Joins the spans that are due, or all of them, and returns their rows.
    async fn join(&self, windows: &mut Windows, everything: bool) -> Result<Joined, RunError> {
        let now = Instant::now();
        let due = if everything {
            Some(now)
        } else {
            now.checked_sub(self.config.join_delay)
        };
        let (joins, settled) = match due {
            Some(due) => {
                self.place_recordings(due).await?;
                let mut state = self.lock();
                let joins = state.pending.take_due(due, now, &self.config.rules);
                let settled = state.pending.take_settled(due, &self.config.rules);
                state.pending.forget(now, self.config.retention);
                (joins, settled)
            }
            None => Default::default(),
        };
        let mut joined = Joined::default();
        for recording in settled {
            let rows = off_executor(move || recording_rows(&recording)).await;
            let rows = rows.map_err(|refusal| RunError::caused_by("a recording has no rows", refusal))?;
            joined.recordings.push(rows.map_err(unfit_rows)?);
        }
        for join in joins {
            let rules = self.config.rules.clone();
            let spans = join.due.len();
            let attributed = off_executor(move || run_join(&join, &rules))
                .await
                .map_err(|refusal| RunError::caused_by("the join ended early", refusal))?;
            self.count(&attributed);
            for span in &attributed.spans {
                windows.add(span, now);
            }
            joined.spans += spans;
            joined
                .rows
                .extend(attribution_rows(&attributed.spans).map_err(unfit_rows)?);
        }
        Ok(joined)
    }

    /// Asks the spans when the recordings without a wall clock were made, before those that arrived at or before `due` are
    /// joined.
    async fn place_recordings(&self, due: Instant) -> Result<(), RunError> {
        let placings = self.lock().pending.placings(due, Instant::now());
        for placing in placings {
            let asked_at = Instant::now();
            let (placing, answer) = off_executor(move || {
                let answer = placing.answer();
                (placing, answer)
            })
            .await
            .map_err(|refusal| RunError::caused_by("the search for a clock offset ended early", refusal))?;
            self.report(&placing, &answer);
            let again_at = Instant::now() + asked_at.elapsed() * PLACING_PAUSE;
            self.lock().pending.place(placing, answer, again_at);
        }
        Ok(())
    }

    fn report(&self, placing: &Placing, answer: &Result<Placed, NotAnchored>) {
        let source = placing.recording.source();
        match answer {
            Ok(Placed { process, estimate }) => {
                self.metrics.anchored_recordings.inc();
                tracing::info!(
                    %source,
                    %process,
                    "a runtime profile without a wall clock (Go before 1.25) is placed by spans: {estimate}"
                );
            }
            Err(why) if placing.is_last => {
                self.metrics.unanchored_recordings.inc();
                tracing::warn!(
                    %source,
                    process = %placing.recording.process(),
                    "a runtime profile without a wall clock (Go before 1.25) is dropped: {why}"
                );
            }
            Err(why) => tracing::debug!(%source, "a runtime profile without a wall clock waits for spans: {why}"),
        }
    }

    fn count(&self, attributed: &Attributed) {
        for span in &attributed.spans {
            self.metrics
                .joined_spans
                .with_label_values(&[binding_word(span.binding)])
                .inc();
        }
        self.metrics.walks.add(&attributed.walks);
        for violation in &attributed.violations {
            self.metrics.conservation_violations.inc();
            tracing::error!("{violation}");
        }
    }

    /// One round of work: rows of recordings, joined spans and closed windows, sent on.
    async fn round(&self, windows: &mut Windows, outputs: &Outputs, last: bool) -> Result<(), RunError> {
        let joined = self.join(windows, last).await?;
        for rows in joined.recordings {
            self.send(rows, outputs, last).await?;
        }
        self.send(joined.rows, outputs, last).await?;
        self.metrics
            .pending_spans
            .sub(i64::try_from(joined.spans).unwrap_or(i64::MAX));
        let closed = if last {
            windows.close_all()
        } else {
            windows.close_due(Instant::now(), wall_clock())
        };
        for Closed { tables, emission } in closed {
            let rows = matrix_rows(&tables, emission).map_err(unfit_rows)?;
            self.send(rows, outputs, last).await?;
        }
        self.metrics
            .open_windows
            .set(i64::try_from(windows.open_count()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Offers rows until they are accepted; when stopping, for [`STOP_PATIENCE`].
    async fn send(&self, rows: Vec<TableRows>, outputs: &Outputs, last: bool) -> Result<(), RunError> {
        let Some(consumer) = outputs.get(Signal::Tables) else {
            return Ok(());
        };
        if rows.is_empty() {
            return Ok(());
        }
        let context = Arc::new(RequestContext {
            receiver: self.id.clone(),
            transport: "",
        });
        let batch = Batch {
            payload: Payload::Tables(rows.into()),
            context,
        };
        let started = Instant::now();
        loop {
            let (reason, retry_after) = match consumer.consume(batch.clone()).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Refused { reason, retry_after }) => (reason, retry_after.unwrap_or(RETRY_AFTER)),
                Err(refusal) => {
                    return Err(RunError::caused_by(
                        "attribution rows were not accepted and are lost",
                        refusal,
                    ));
                }
            };
            if last && started.elapsed() > STOP_PATIENCE {
                return Err(RunError::new(format!("attribution rows are lost: {reason}")));
            }
            tokio::time::sleep(retry_after).await;
        }
    }
}

#[derive(Default)]
struct Joined {
    /// Rows of recordings, one entry for each.
    recordings: Vec<Vec<TableRows>>,
    rows: Vec<TableRows>,
    spans: usize,
}

fn run_join(join: &Join, rules: &Rules) -> Attributed {
    let spans = ProcessSpans {
        process: join.process.clone(),
        spans: join.due.iter().map(AsRef::as_ref).collect(),
        context: join.context.iter().map(AsRef::as_ref).collect(),
    };
    let recordings: Vec<&TaskRecording> = join.recordings.iter().map(AsRef::as_ref).collect();
    attribute(&spans, &recordings, rules)
}

fn decode_profile(profile: &RuntimeProfile, rules: &StateRules) -> Result<Decoded, Refusal> {
    let process = Arc::new(profile.process.clone());
    match profile.format {
        ProfileFormat::GoExecutionTrace => {
            go_execution_trace::decode(&profile.bytes, process, profile.source.clone(), rules).map_err(permanent_chain)
        }
    }
}

/// Tells a profile that is sent again from one that is not.
fn digest(profile: &RuntimeProfile) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&profile.bytes);
    hasher.finish()
}

fn recording_rows(recording: &TaskRecording) -> Result<Vec<TableRows>, ArrowError> {
    let tables = columns::tables(recording)?;
    Ok(tables
        .into_iter()
        .map(|(table, rows)| TableRows {
            table,
            rows,
            replaces: None,
        })
        .collect())
}

/// A refusal whose reason is the error with all its causes, because the sender sees nothing else.
fn permanent_chain(error: impl std::error::Error) -> Refusal {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Refusal::Permanent { reason }
}

/// Runs work that takes long beside the async executor.
async fn off_executor<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| Refusal::Permanent {
            reason: format!("internal error: {panic}"),
        })
}

fn unfit_rows(error: ArrowError) -> RunError {
    RunError::caused_by("rows do not fit their table", error)
}

fn wall_clock() -> UnixNanos {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixNanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

#[async_trait]
impl Consumer for AttributionConnector {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        match batch.payload {
            Payload::Otlp(request) if request.signal() == Signal::Traces => self.consume_spans(request).await,
            Payload::Profile(profile) => self.consume_profile(profile).await,
            Payload::Otlp(_) | Payload::Tables(_) => Err(Refusal::permanent(
                "the attribution connector takes traces and profiles only",
            )),
        }
    }
}

#[async_trait]
impl Connector for AttributionConnector {
    async fn run(self: Arc<Self>, outputs: Outputs, stop: Stop) -> Result<(), RunError> {
        let mut windows = Windows::new(self.config.window_ns, self.config.join_delay);
        let mut ticks = tokio::time::interval(JOIN_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_requested() {
            tokio::select! {
                () = stop.requested() => break,
                _ = ticks.tick() => self.round(&mut windows, &outputs, false).await?,
            }
        }
        self.lock().stopped = true;
        self.round(&mut windows, &outputs, true).await
    }
}

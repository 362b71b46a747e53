//! Accepting spans and profiles, and the worker that joins them.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arrow::error::ArrowError;
use async_trait::async_trait;
use prost::Message;
use spandrel_attribution::NotAnchored;
use spandrel_model::UnixNanos;
use spandrel_pipeline::{
    Batch, BuildContext, BuildError, Connector, Consumer, OtlpRequest, Outputs, Payload, ProfileFormat, Refusal,
    RunError, RuntimeProfile, Signal, Stop, TableRows, otlp,
};
use spandrel_profiles::go_execution_trace::{self, Decoded, StateRules};

use super::AttributionConfig;
use super::cpu_profiles;
use super::decode_queue::{DecodeQueue, Turn};
use super::emitted::{Changes, Emitted};
use super::join::run_join;
use super::lock_turns::LockTurns;
use super::matrix_metrics::window_metrics;
use super::matrix_rows::window_rows;
use super::metrics::Metrics;
use super::output::Output;
use super::pending::{Pending, Room};
use super::recording_rows::recording_rows;
use super::recording_source::RecordingSource;
use super::recordings::RecordingId;
use super::relatives::Place;
use super::slots::Round;
use super::spill::Spill;
use super::unanchored::{Placed, Placing};
use super::windows::{SharedWindows, Windows};

/// How often due spans are looked for.
const JOIN_INTERVAL: Duration = Duration::from_millis(500);
/// After the spans were asked in vain when a recording was made or of which process it is, they are left in peace for so
/// many times as long as that took.
const ASKING_PAUSE: u32 = 4;
/// How often room is made on disk for one recording, while others come and take it.
const SPILL_ATTEMPTS: u32 = 8;
/// How long a stopping connector goes on offering rows to a busy consumer.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// How many spans' rows are sent as one batch, and compared with earlier ones while senders wait. Some megabytes.
const SPANS_PER_BATCH: usize = 2_000;

/// Joins spans with runtime profiles.
pub struct AttributionConnector {
    pub(super) config: Arc<AttributionConfig>,
    pub(super) id: Arc<str>,
    pub(super) metrics: Metrics,
    state: Mutex<State>,
    spill: Arc<Spill>,
    decode_queue: DecodeQueue,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) pending: Pending,
    /// Windows of an earlier run, until this one takes them over.
    pub(super) windows: Option<Windows>,
    /// When an earlier run last stored rows.
    pub(super) stored_until: Option<UnixNanos>,
    stopped: bool,
}

impl AttributionConnector {
    /// A connector that holds nothing.
    ///
    /// # Errors
    /// Its metrics are registered already.
    pub fn new(config: AttributionConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let metrics = Metrics::register(&context.id, &context.registry)?;
        let spill_directory = config.spill_directory.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Self {
            spill: Arc::new(Spill::new(spill_directory, config.spill_limit_bytes)),
            config: Arc::new(config),
            id: context.id.clone(),
            metrics,
            state: Mutex::default(),
            decode_queue: DecodeQueue::default(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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
        let Some(released) = state.pending.make_room(spans.len(), self.config.span_limit) else {
            self.metrics.refused_batches.inc();
            return Err(Refusal::Refused {
                reason: format!(
                    "{} spans wait to be joined, the limit is {}",
                    state.pending.waiting_count(),
                    self.config.span_limit
                ),
                retry_after: Some(self.config.join_delay),
            });
        };
        self.metrics.count_released(&released);
        self.metrics
            .count_added(&state.pending.add_spans(spans, Instant::now()));
        Ok(())
    }

    async fn consume_profile(&self, profile: Arc<RuntimeProfile>) -> Result<(), Refusal> {
        let turn = self.decode_queue.turn().await;
        let turn = turn.inspect_err(|_| self.metrics.refused_batches.inc())?;
        let digest = digest(&profile);
        if self.lock().pending.knows_profile(digest) {
            self.metrics.duplicate_recordings.inc();
            return Ok(());
        }
        match profile.format {
            ProfileFormat::GoExecutionTrace => self.accept_profile(profile, digest, turn).await,
            ProfileFormat::CpuProfile => self.accept_cpu_profile(profile, digest, turn).await,
        }
    }

    /// As [`Self::accept_profile`].
    async fn accept_cpu_profile(&self, profile: Arc<RuntimeProfile>, digest: u64, turn: Turn) -> Result<(), Refusal> {
        let limit_bytes = self.config.recording_limit_bytes;
        let (decoded, _turn) = off_executor(move || (cpu_profiles::decode(&profile, limit_bytes), turn)).await?;
        let decoded = decoded.map_err(permanent_chain);
        let decoded = decoded.inspect_err(|_| self.metrics.rejected_recordings.inc())?;
        let mut state = self.lock();
        if state.stopped {
            return Err(Refusal::Shutdown);
        }
        if !state.pending.is_new_profile(digest) {
            self.metrics.duplicate_recordings.inc();
            return Ok(());
        }
        self.metrics.count_cpu_profile(decoded.samples);
        let (lateness, evicted) = (state.pending).add_cpu_profile(decoded, limit_bytes, Instant::now());
        self.metrics.count_recording(lateness);
        self.metrics.count_evicted(&evicted);
        Ok(())
    }

    /// The sender may go away at any `await`. So the profile is known as one that has arrived when it is held, not before;
    /// and the turn goes with the decoding, which ends all the same.
    async fn accept_profile(&self, profile: Arc<RuntimeProfile>, digest: u64, turn: Turn) -> Result<(), Refusal> {
        let (rules, raw) = (self.config.state_rules.clone(), profile.clone());
        let (decoded, _turn) = off_executor(move || (decode_profile(&raw, &rules), turn)).await?;
        let decoded = decoded.inspect_err(|_| self.metrics.rejected_recordings.inc())?;
        let (process, warnings) = match &decoded {
            Decoded::Anchored(recording) => (&recording.process, recording.warnings.as_slice()),
            Decoded::Unanchored(recording) => (recording.process(), recording.warnings()),
        };
        for warning in warnings {
            tracing::warn!(%process, "{warning}");
        }
        let bytes = size_bytes(&decoded) + profile.bytes.len() as u64;
        let mut state = self.room_for_recording(bytes).await?;
        if !state.pending.is_new_profile(digest) {
            self.metrics.duplicate_recordings.inc();
            return Ok(());
        }
        match decoded {
            Decoded::Anchored(recording) => state.pending.add_recording(recording, profile, Instant::now()),
            Decoded::Unanchored(recording) => {
                let pending = &mut state.pending;
                pending.add_unanchored(recording, profile, digest, Instant::now());
            }
        }
        self.metrics.accepted_recordings.inc();
        Ok(())
    }

    /// Waits until `bytes` of memory are free for a recording, others having been written to disk or let go if need be.
    async fn room_for_recording(&self, bytes: u64) -> Result<MutexGuard<'_, State>, Refusal> {
        let limit_bytes = self.config.recording_limit_bytes;
        let mut attempts = SPILL_ATTEMPTS;
        loop {
            let to_spill = {
                let mut state = self.lock();
                if state.stopped {
                    return Err(Refusal::Shutdown);
                }
                match state.pending.make_room_for_recording(bytes, limit_bytes, attempts > 0) {
                    Room::Free(evicted) => {
                        self.metrics.count_evicted(&evicted);
                        return Ok(state);
                    }
                    Room::AfterSpilling(recordings) => recordings,
                    Room::None => break,
                }
            };
            attempts = match self.spill(to_spill).await {
                Ok(()) => attempts - 1,
                Err(error) => {
                    tracing::warn!("a recording stays in memory: {error}");
                    0
                }
            };
        }
        self.metrics.refused_batches.inc();
        Err(Refusal::Refused {
            reason: format!("recordings that wait to be joined fill recording_limit ({limit_bytes} bytes)"),
            retry_after: Some(self.config.join_delay),
        })
    }

    async fn spill(&self, recordings: Vec<(RecordingId, Arc<RuntimeProfile>)>) -> Result<(), Refusal> {
        for (id, profile) in recordings {
            let spill = self.spill.clone();
            let file = off_executor(move || spill.store(&profile.bytes)).await?;
            let file = file.map_err(permanent_chain)?;
            self.lock().pending.spilled(id, file);
            self.metrics.spilled_recordings.inc();
        }
        Ok(())
    }

    /// Sends the rows of the recordings whose time has come.
    async fn send_recordings(&self, round: &Round, output: Output<'_>) -> Result<(), RunError> {
        let settled = self.lock().pending.take_settled(round);
        for recording in settled {
            if let Some(rows) = self.rows_of(recording).await? {
                output.send(rows).await?;
            }
        }
        Ok(())
    }

    /// Joins the slots that are due, and sends what there is to say in batches of [`SPANS_PER_BATCH`].
    async fn join(&self, windows: &SharedWindows, round: &Round, output: Output<'_>) -> Result<(), RunError> {
        let due = self.lock().pending.due(round);
        let mut changes = Changes::default();
        for place in due {
            self.join_slot(place, round, &mut changes).await?;
            while changes.len() >= SPANS_PER_BATCH {
                let batch = changes.take(SPANS_PER_BATCH);
                self.send_changes(batch, windows, output).await?;
            }
        }
        self.send_changes(changes, windows, output).await
    }

    async fn join_slot(&self, place: Place, round: &Round, changes: &mut Changes) -> Result<(), RunError> {
        let Some(mut gathering) = self.lock().pending.begin_join(place, round) else {
            return Ok(());
        };
        let mut turns = LockTurns::default();
        while self.lock().pending.gather(&mut gathering) {
            turns.give_way().await;
        }
        let (config, started) = (self.config.clone(), Instant::now());
        let (join, (left_out, uncorrected), mut result, emitted) = off_executor(move || {
            let mut join = gathering.into_join();
            let opened = join.open_recordings(&config.state_rules, config.recording_limit_bytes);
            let result = run_join(&join, &opened, &config.rules);
            let emitted: Vec<Emitted> = result.spans.iter().map(Emitted::of).collect();
            (join, (opened.left_out, opened.uncorrected), result, emitted)
        })
        .await
        .map_err(|refusal| RunError::caused_by("the join ended early", refusal))?;
        self.metrics.left_out_recordings.inc_by(left_out);
        self.metrics.uncorrected_spans.inc_by(uncorrected);
        self.metrics.walks.add(&result.walks);
        self.metrics.calls.add(&result.calls);
        for violation in &result.violations {
            self.metrics.conservation_violations.inc();
            tracing::error!("{violation}");
        }
        let mut spans = std::mem::take(&mut result.spans).into_iter().zip(emitted).peekable();
        while spans.peek().is_some() {
            // So that senders never wait for long.
            let some = spans.by_ref().take(SPANS_PER_BATCH).collect();
            self.lock().pending.compare(&join.place, some, changes);
            turns.give_way().await;
        }
        // A consumer may have been busy since the round began.
        let ended = self.config.round(Instant::now(), round.is_last);
        let sealed = self.lock().pending.end_join(&join, &ended, started.elapsed());
        self.metrics.sealed_early_spans.inc_by(sealed);
        changes.joined_count += join.due;
        Ok(())
    }

    /// Counts spans in their windows and sends their rows.
    async fn send_changes(
        &self,
        changes: Changes,
        windows: &SharedWindows,
        output: Output<'_>,
    ) -> Result<(), RunError> {
        self.metrics.count_changes(&changes);
        let joined_count = i64::try_from(changes.joined_count).unwrap_or(i64::MAX);
        let windows = windows.clone();
        let (rows, too_late) = off_executor(move || {
            let too_late = changes.count(&mut windows.lock(), Instant::now());
            (changes.into_rows(), too_late)
        })
        .await
        .map_err(|refusal| RunError::caused_by("joined spans have no rows", refusal))?;
        self.metrics.count_late_requests(too_late);
        output.send(rows.map_err(unfit_rows)?).await?;
        self.metrics.pending_spans.sub(joined_count);
        Ok(())
    }

    /// Sends the rows of windows that have closed or changed.
    async fn send_windows(&self, windows: &SharedWindows, round: &Round, output: Output<'_>) -> Result<(), RunError> {
        let open = self.lock().pending.open_times();
        let (shared, round) = (windows.clone(), *round);
        let due = off_executor(move || match round.is_last {
            true => shared.lock().take_all(),
            false => shared.lock().take_due(round.now, wall_clock(), &open),
        });
        let due = due.await.map_err(no_window_rows)?;
        let takes_metrics = output.takes(Signal::Metrics);
        for window in due {
            let rows = off_executor(move || {
                let metrics = takes_metrics.then(|| window_metrics(&window));
                (window_rows(&window), metrics.unwrap_or_default())
            });
            let (rows, metrics) = rows.await.map_err(no_window_rows)?;
            output.send(rows.map_err(unfit_rows)?).await?;
            for request in metrics {
                let request = OtlpRequest::metrics(request.encode_to_vec().into());
                output.offer(Payload::Otlp(Arc::new(request))).await?;
            }
        }
        let open = i64::try_from(windows.lock().open_count()).unwrap_or(i64::MAX);
        self.metrics.open_windows.set(open);
        Ok(())
    }

    /// The rows of a recording; `None` if it is on disk and cannot be read.
    async fn rows_of(&self, recording: RecordingSource) -> Result<Option<Vec<TableRows>>, RunError> {
        let (source, config) = (recording.name().clone(), self.config.clone());
        let stored_until = self.lock().stored_until;
        let rows = off_executor(move || {
            let opened = recording.open(&config.state_rules);
            opened.map(|recording| recording_rows(&recording, stored_until))
        });
        let rows = rows
            .await
            .map_err(|refusal| RunError::caused_by("a recording has no rows", refusal))?;
        match rows {
            Ok(rows) => Ok(Some(rows.map_err(unfit_rows)?)),
            Err(error) => {
                self.metrics.left_out_recordings.inc();
                tracing::error!(%source, "the rows of a runtime profile are lost: {error}");
                Ok(None)
            }
        }
    }

    /// Asks the spans when the recordings without a wall clock were made.
    async fn place_recordings(&self, round: &Round) -> Result<(), RunError> {
        let placings = self.lock().pending.placings(round);
        for mut placing in placings {
            for (process, spans) in &mut placing.candidates {
                *spans = self.lock().pending.spans_of(process, None);
            }
            let asked_at = Instant::now();
            let (placing, answer) = off_executor(move || {
                let answer = placing.answer();
                (placing, answer)
            })
            .await
            .map_err(|refusal| RunError::caused_by("the search for a clock offset ended early", refusal))?;
            self.report(&placing, &answer);
            let again_at = Instant::now() + asked_at.elapsed() * ASKING_PAUSE;
            let lateness = self.lock().pending.place(placing, answer, round.now, again_at);
            self.metrics.count_recording(lateness);
        }
        Ok(())
    }

    /// Asks the spans of which process recordings are.
    async fn choose_processes(&self, round: &Round) -> Result<(), RunError> {
        let choosings = self.lock().pending.choosings(round);
        for mut choosing in choosings {
            for (process, spans) in &mut choosing.candidates {
                *spans = self.lock().pending.spans_of(process, Some(choosing.window));
            }
            let (asked_at, config) = (Instant::now(), self.config.clone());
            let (choosing, answer) = off_executor(move || {
                let answer = choosing.answer(&config.rules, &config.state_rules);
                (choosing, answer)
            })
            .await
            .map_err(|refusal| RunError::caused_by("the search for the recorded process ended early", refusal))?;
            if let Err(why) = &answer
                && choosing.is_last
            {
                let source = choosing.source.name();
                match choosing.candidates.is_empty() && choosing.is_known {
                    true => tracing::debug!(%source, "no spans of the process of this runtime profile are held"),
                    false => tracing::warn!(%source, "a runtime profile is joined with no spans so far: {why}"),
                }
            }
            let again_at = Instant::now() + asked_at.elapsed() * ASKING_PAUSE;
            let lateness = (self.lock().pending).assign(choosing, answer.ok(), round.now, again_at);
            self.metrics.count_recording(lateness);
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

    /// Lets go of what is older than the retention, a little at a time.
    async fn forget(&self, round: &Round) {
        let mut turns = LockTurns::default();
        while self.lock().pending.forget(round, SPANS_PER_BATCH) {
            turns.give_way().await;
        }
        let forget_some = || (self.lock().pending).forget_some(SPANS_PER_BATCH, self.config.span_limit);
        while let Some(forgotten) = forget_some() {
            self.metrics.forgotten_spans.inc_by(forgotten);
            turns.give_way().await;
        }
    }

    /// One round of work: rows of recordings, joined and corrected spans, windows, sent on.
    async fn round(&self, windows: &SharedWindows, output: Output<'_>, is_last: bool) -> Result<(), RunError> {
        let round = self.config.round(Instant::now(), is_last);
        self.place_recordings(&round).await?;
        self.choose_processes(&round).await?;
        self.send_recordings(&round, output).await?;
        self.join(windows, &round, output).await?;
        self.forget(&round).await;
        let spilled_bytes = i64::try_from(self.spill.used_bytes()).unwrap_or(i64::MAX);
        self.metrics.spilled_bytes.set(spilled_bytes);
        self.send_windows(windows, &round, output).await
    }
}

fn decode_profile(profile: &RuntimeProfile, rules: &StateRules) -> Result<Decoded, Refusal> {
    let process = Arc::new(profile.process.clone());
    go_execution_trace::decode(&profile.bytes, process, profile.source.clone(), rules).map_err(permanent_chain)
}

fn size_bytes(decoded: &Decoded) -> u64 {
    match decoded {
        Decoded::Anchored(recording) => recording.size_bytes(),
        Decoded::Unanchored(recording) => recording.size_bytes(),
    }
}

/// Tells a profile that is sent again from one that is not.
fn digest(profile: &RuntimeProfile) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&profile.bytes);
    hasher.finish()
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
pub(super) async fn off_executor<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| Refusal::Permanent {
            reason: format!("internal error: {panic}"),
        })
}

fn unfit_rows(error: ArrowError) -> RunError {
    RunError::caused_by("rows do not fit their table", error)
}

fn no_window_rows(refusal: Refusal) -> RunError {
    RunError::caused_by("a window has no rows", refusal)
}

/// A number that other runs and other collectors hardly have.
pub(super) fn run_number() -> i32 {
    let random = RandomState::new().build_hasher().finish();
    i32::try_from(random >> 34).expect("30 bits fit")
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
    async fn restore(&self, outputs: &Outputs) {
        self.take_up(outputs).await;
    }

    async fn run(self: Arc<Self>, outputs: Outputs, stop: Stop) -> Result<(), RunError> {
        let windows = self.lock().windows.take();
        let windows = windows.unwrap_or_else(|| Windows::new(self.config.window_rules(run_number())));
        let windows = SharedWindows::new(windows);
        let output = Output {
            id: &self.id,
            outputs: &outputs,
            stop: &stop,
            patience: STOP_PATIENCE,
        };
        let mut ticks = tokio::time::interval(JOIN_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_requested() {
            tokio::select! {
                () = stop.requested() => break,
                _ = ticks.tick() => self.round(&windows, output, false).await?,
            }
        }
        self.lock().stopped = true;
        self.round(&windows, output, true).await
    }
}

//! The worker that joins what has been accepted, and sends on what comes out.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arrow::error::ArrowError;
use async_trait::async_trait;
use prost::Message;
use spandrel_attribution::NotAnchored;
use spandrel_model::UnixNanos;
use spandrel_pipeline::{
    BuildContext, BuildError, Connector, OtlpRequest, Outputs, Payload, Refusal, RunError, Signal, Stop,
};

use super::AttributionConfig;
use super::decode_queue::DecodeQueue;
use super::emitted::{Changes, Emitted};
use super::guarded::{at_work, guarded};
use super::join::{Join, run_join};
use super::lock_turns::LockTurns;
use super::matrix_metrics::window_metrics;
use super::matrix_rows::window_rows;
use super::metrics::Metrics;
use super::output::Output;
use super::pending::Pending;
use super::recordings_directory::{RecordingsDirectory, StoredProfile};
use super::relatives::Place;
use super::restored_recordings::open_directory;
use super::safe_join::{Joined, join_safely, without};
use super::slots::Round;
use super::unanchored::{Placed, Placing};
use super::windows::{SharedWindows, Windows};

/// How often due spans are looked for.
const JOIN_INTERVAL: Duration = Duration::from_millis(500);
/// After the spans were asked in vain when a recording was made or of which process it is, they are left in peace for so
/// many times as long as that took.
const ASKING_PAUSE: u32 = 4;
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
    /// Where profiles are kept, if that is wanted.
    pub(super) directory: Option<Arc<RecordingsDirectory>>,
    pub(super) decode_queue: DecodeQueue,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) pending: Pending,
    /// Windows of an earlier run, until this one takes them over.
    pub(super) windows: Option<Windows>,
    /// When an earlier run last stored rows.
    pub(super) stored_until: Option<UnixNanos>,
    /// Profiles that an earlier run left, until this one takes them up.
    pub(super) earlier_profiles: Vec<StoredProfile>,
    /// Whether a decision could not be written, and the log says so.
    pub(super) decisions_fail: bool,
    pub(super) stopped: bool,
}

impl AttributionConnector {
    /// A connector that holds nothing yet. Does I/O.
    ///
    /// # Errors
    /// Its metrics are registered already, or its directory for recordings cannot be used.
    pub fn new(config: AttributionConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let (directory, earlier) = open_directory(&config)?;
        let metrics = Metrics::register(&context.id, &context.registry)?;
        metrics.set_aside_profiles.inc_by(earlier.fatal.len() as u64);
        Ok(Self {
            directory,
            config: Arc::new(config),
            id: context.id.clone(),
            metrics,
            state: Mutex::new(State {
                earlier_profiles: earlier.profiles,
                ..State::default()
            }),
            decode_queue: DecodeQueue::default(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (join, joined, left_out, emitted) = off_executor(move || {
            let mut join = gathering.into_join();
            let profiles = join.profiles();
            let _at_work = at_work(&profiles);
            let opened = join.open_recordings(&config.state_rules, config.recording_limit_bytes);
            let attribute = |join: &Join, profiles: &[_]| run_join(join, &opened, profiles, &config.rules);
            let mut joined = join_safely(&mut join, without(&profiles, &opened.culprits), attribute);
            joined.uncorrected += opened.uncorrected;
            joined.culprits.extend(opened.culprits);
            let emitted: Vec<Emitted> = joined.result.spans.iter().map(Emitted::of).collect();
            (join, joined, opened.left_out, emitted)
        })
        .await
        .map_err(|refusal| RunError::caused_by("the join ended early", refusal))?;
        let Joined {
            mut result,
            uncorrected,
            lost,
            culprits,
        } = joined;
        for culprit in culprits {
            self.set_aside(culprit).await;
        }
        self.metrics.left_out_recordings.inc_by(left_out);
        self.metrics.uncorrected_spans.inc_by(uncorrected);
        self.metrics.lost_spans.inc_by(lost);
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

    /// Asks the spans when the recordings without a wall clock were made.
    async fn place_recordings(&self, round: &Round) -> Result<(), RunError> {
        let placings = self.lock().pending.placings(round);
        for mut placing in placings {
            for (process, spans) in &mut placing.candidates {
                *spans = self.lock().pending.spans_of(process, None);
            }
            let asked_at = Instant::now();
            let (placing, answer) = off_executor(move || {
                let answer = guarded(slice::from_ref(&placing.profile), || placing.answer());
                (placing, answer)
            })
            .await
            .map_err(|refusal| RunError::caused_by("the search for a clock offset ended early", refusal))?;
            let answer = match answer {
                Ok(answer) => answer,
                Err(panicked) => {
                    self.set_aside_after(placing.profile, &panicked).await;
                    continue;
                }
            };
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
                let answer = guarded(slice::from_ref(&choosing.profile), || {
                    choosing.answer(&config.rules, &config.state_rules)
                });
                (choosing, answer)
            })
            .await
            .map_err(|refusal| RunError::caused_by("the search for the recorded process ended early", refusal))?;
            let answer = match answer {
                Ok(answer) => answer,
                Err(panicked) => {
                    self.set_aside_after(choosing.profile, &panicked).await;
                    continue;
                }
            };
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
        self.tidy_directory().await?;
        self.send_windows(windows, &round, output).await
    }
}

/// Runs work that takes long beside the async executor.
pub(super) async fn off_executor<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| Refusal::Permanent {
            reason: format!("internal error: {panic}"),
        })
}

pub(super) fn unfit_rows(error: ArrowError) -> RunError {
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

    fn give_up(&self) {
        if let Some(directory) = &self.directory {
            directory.close_journal();
        }
    }
}

//! What is accepted: spans, runtime profiles, and how senders are made to wait.
//!
//! A profile is decoded, then written to `recordings_directory` if there is one, then held, then acknowledged. The sender may
//! go away at any `await`. So a profile is known as one that has arrived when it is held, not before; and until then its file
//! goes with whatever work it belongs to.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use async_trait::async_trait;
use spandrel_pipeline::{Batch, Consumer, OtlpRequest, Payload, ProfileFormat, Refusal, RuntimeProfile, Signal, otlp};
use spandrel_profiles::go_execution_trace::Decoded;

use super::connector::{AttributionConnector, State, off_executor};
use super::cpu_profiles::{self, CpuProfileError, CpuProfileLimits};
use super::decode_queue::Turn;
use super::recording_source::decode;
use super::recordings_directory::{DirectoryError, StoredProfile};

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

impl AttributionConnector {
    async fn consume_spans(&self, request: Arc<OtlpRequest>) -> Result<(), Refusal> {
        let decode = move || -> Result<_, Refusal> {
            let rows = request.rows().map_err(Refusal::permanent)?;
            otlp::spans_from_rows(rows).map_err(Refusal::permanent)
        };
        let spans = off_executor(decode).await??;
        let mut state = self.lock_running()?;
        let Some(released) = state.pending.make_room(spans.len(), self.config.span_limit) else {
            let (waiting, limit) = (state.pending.waiting_count(), self.config.span_limit);
            return Err(self.refuse(format!("{waiting} spans wait to be joined, the limit is {limit}")));
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
            ProfileFormat::GoExecutionTrace => self.accept_recording(profile, digest, turn).await,
            ProfileFormat::CpuProfile => self.accept_cpu_profile(profile, digest, turn).await,
        }
    }

    async fn accept_cpu_profile(&self, profile: Arc<RuntimeProfile>, digest: u64, turn: Turn) -> Result<(), Refusal> {
        let (limits, raw) = (CpuProfileLimits::of(&self.config), profile.clone());
        let decode = move || {
            let decoded = cpu_profiles::decode(&raw, limits)?;
            // What says nothing of spans is not stored.
            if decoded.is_useful() {
                limits.check_file(&raw)?;
            }
            Ok(decoded)
        };
        let (decoded, _turn) = off_executor(move || (decode(), turn)).await?;
        let decoded = decoded.map_err(permanent_chain::<CpuProfileError>);
        let decoded = decoded.inspect_err(|_| self.metrics.rejected_recordings.inc())?;
        let stored = match decoded.is_useful() && !self.lock().pending.knows_profile(digest) {
            true => self.store(profile).await?,
            false => None,
        };
        let mut state = self.lock_running()?;
        if !state.pending.is_new_profile(digest) {
            self.metrics.duplicate_recordings.inc();
            return Ok(());
        }
        self.metrics.count_cpu_profile(decoded.samples);
        let (lateness, evicted) = (state.pending).add_cpu_profile(decoded, stored, limits, Instant::now());
        self.metrics.count_recording(lateness);
        self.metrics.count_evicted(&evicted);
        Ok(())
    }

    /// The turn goes with the decoding, which ends even if the sender goes away.
    async fn accept_recording(&self, profile: Arc<RuntimeProfile>, digest: u64, turn: Turn) -> Result<(), Refusal> {
        let (config, raw) = (self.config.clone(), profile.clone());
        let decode = move || {
            let process = Arc::new(raw.process.clone());
            (decode(&raw, process, None, &config.state_rules), turn)
        };
        let (decoded, _turn) = off_executor(decode).await?;
        let decoded = decoded.map_err(permanent_chain);
        let decoded = decoded.inspect_err(|_| self.metrics.rejected_recordings.inc())?;
        let (process, warnings) = match &decoded {
            Decoded::Anchored(recording) => (&recording.process, recording.warnings.as_slice()),
            Decoded::Unanchored(recording) => (recording.process(), recording.warnings()),
        };
        for warning in warnings {
            tracing::warn!(%process, "{warning}");
        }
        if !warnings.is_empty() {
            // Offered again after a refusal, it has the same ones already.
            let _ = profile.warnings.set(warnings.to_vec());
        }
        // Before it is written, which takes long; and once more, because others may have come in the meantime.
        if !self.has_place_for(&decoded, digest)? {
            return Ok(());
        }
        let stored = self.store(profile).await?;
        let mut state = self.lock_running()?;
        self.make_room_for(&decoded, &mut state)?;
        if !state.pending.is_new_profile(digest) {
            self.metrics.duplicate_recordings.inc();
            return Ok(());
        }
        let (pending, now) = (&mut state.pending, Instant::now());
        match decoded {
            Decoded::Anchored(recording) => pending.add_recording(recording, stored, now),
            Decoded::Unanchored(recording) => pending.add_unanchored(recording, stored, digest, now),
        }
        self.metrics.accepted_recordings.inc();
        Ok(())
    }

    /// Makes room in memory for a recording, unless it has arrived in the meantime, by the digest of its profile; then
    /// returns `false`.
    fn has_place_for(&self, decoded: &Decoded, digest: u64) -> Result<bool, Refusal> {
        let mut state = self.lock_running()?;
        if state.pending.knows_profile(digest) {
            self.metrics.duplicate_recordings.inc();
            return Ok(false);
        }
        self.make_room_for(decoded, &mut state)?;
        Ok(true)
    }

    /// Makes room in memory for a recording.
    ///
    /// # Errors
    /// Too many recordings wait.
    pub(super) fn make_room_for(&self, decoded: &Decoded, state: &mut State) -> Result<(), Refusal> {
        let bytes = match decoded {
            Decoded::Anchored(recording) => recording.size_bytes(),
            Decoded::Unanchored(recording) => recording.size_bytes(),
        };
        let limit_bytes = self.config.recording_limit_bytes;
        let Some(evicted) = state.pending.make_room_for_recording(bytes, limit_bytes) else {
            return Err(self.refuse(format!(
                "recordings that wait to be joined fill recording_limit ({limit_bytes} bytes)"
            )));
        };
        self.metrics.count_evicted(&evicted);
        Ok(())
    }

    /// Writes a profile to the directory, if there is one; the oldest go if it is full.
    async fn store(&self, profile: Arc<RuntimeProfile>) -> Result<Option<StoredProfile>, Refusal> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let (format, limits) = (profile.format, CpuProfileLimits::of(&self.config));
        loop {
            let (directory, profile) = (directory.clone(), profile.clone());
            match off_executor(move || directory.store(&profile)).await? {
                Ok(stored) => return Ok(Some(stored)),
                Err(error @ DirectoryError::TooLarge { .. }) => {
                    self.metrics.rejected_recordings.inc();
                    return Err(permanent_chain(error));
                }
                Err(
                    error @ DirectoryError::Full {
                        bytes, missing_bytes, ..
                    },
                ) => {
                    let evicted = (self.lock().pending).evict_from_disk(format, bytes, missing_bytes, limits);
                    match evicted {
                        Some(evicted) => self.metrics.count_evicted(&evicted),
                        None => return Err(self.refuse(format!("recordings wait to be joined, and {error}"))),
                    }
                }
                Err(error) => return Err(self.refuse(error.to_string())),
            }
        }
    }

    fn lock_running(&self) -> Result<MutexGuard<'_, State>, Refusal> {
        let state = self.lock();
        match state.stopped {
            false => Ok(state),
            true => Err(Refusal::Shutdown),
        }
    }

    /// A refusal of what may be accepted later.
    fn refuse(&self, reason: String) -> Refusal {
        self.metrics.refused_batches.inc();
        Refusal::Refused {
            reason,
            retry_after: Some(self.config.join_delay),
        }
    }
}

/// Tells a profile that is sent again from one that is not.
pub(super) fn digest(profile: &RuntimeProfile) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&profile.bytes);
    hasher.finish()
}

/// A refusal whose reason is the error with all its causes, because the sender sees nothing else.
fn permanent_chain<E: std::error::Error>(error: E) -> Refusal {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Refusal::Permanent { reason }
}

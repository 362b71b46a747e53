//! The CPU profiles of all processes: how long they are needed, and how much memory they take.
//!
//! Labels name spans by their ids. So a profile belongs to every process that its sender can have meant, and only the
//! right one has the spans; nothing needs to be found out first, as for recordings.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use spandrel_model::{CpuProfile, Interval, ProcessIdentity, SampleCounts};
use spandrel_pipeline::RuntimeProfile;
use spandrel_profiles::pprof::{self, PprofError};
use thiserror::Error;

use super::held_spans::{HeldSpans, Lateness};
use super::pending::Evicted;
use super::recordings_directory::StoredProfile;
use super::slots::{Round, touches};

/// CPU profiles may take one part in so many of the memory for recordings, beside those: they are short.
const PART_OF_RECORDING_LIMIT: u64 = 8;

/// Every CPU profile that spans may still need.
#[derive(Debug, Default)]
pub(super) struct CpuProfiles {
    /// In the order of arrival.
    held: VecDeque<HeldCpuProfile>,
    bytes: u64,
}

#[derive(Debug)]
struct HeldCpuProfile {
    at: Instant,
    profile: Arc<CpuProfile>,
    bytes: u64,
    /// What it was decoded from, if there is a directory for it.
    stored: Option<Arc<StoredProfile>>,
}

/// A profile that was decoded, without the samples that name no span.
#[derive(Debug)]
pub(super) struct DecodedCpuProfile {
    profile: CpuProfile,
    /// Of all samples.
    pub(super) samples: SampleCounts,
}

/// Why a CPU profile is not taken.
#[derive(Debug, Error)]
pub(super) enum CpuProfileError {
    /// It is none.
    #[error(transparent)]
    Pprof(#[from] PprofError),
    /// It would take the room of all others.
    #[error(
        "CPU profile `{from}` takes {bytes} bytes, expected at most {limit_bytes}, a part of `recording_limit`; \
         raise that or take shorter profiles"
    )]
    TooLarge {
        /// Its source.
        from: Arc<str>,
        /// Memory that it takes.
        bytes: u64,
        /// Memory for all.
        limit_bytes: u64,
    },
}

/// Decodes a profile. Takes long. Says so in the log if no sample names a span, because then it changes nothing.
pub(super) fn decode(
    profile: &RuntimeProfile,
    recording_limit_bytes: u64,
) -> Result<DecodedCpuProfile, CpuProfileError> {
    let decoded = pprof::decode(
        &profile.bytes,
        Arc::new(profile.process.clone()),
        profile.source.clone(),
    )?;
    let decoded = DecodedCpuProfile::new(decoded, recording_limit_bytes)?;
    let (source, process, samples) = (&profile.source, &profile.process, decoded.samples);
    if samples.labeled == 0 {
        tracing::warn!(
            %source,
            %process,
            "a CPU profile says nothing of spans: none of its {} samples has a label with the id of a span, such as `span_id`",
            samples.unlabeled
        );
    }
    Ok(decoded)
}

impl DecodedCpuProfile {
    /// # Errors
    /// It takes more memory than there is for all.
    pub(super) fn new(profile: CpuProfile, recording_limit_bytes: u64) -> Result<Self, CpuProfileError> {
        let decoded = Self {
            samples: profile.sample_counts(),
            profile: profile.labeled(),
        };
        let (bytes, limit_bytes) = (decoded.held_bytes(), recording_limit_bytes / PART_OF_RECORDING_LIMIT);
        if bytes > limit_bytes {
            let from = decoded.profile.source;
            return Err(CpuProfileError::TooLarge {
                from,
                bytes,
                limit_bytes,
            });
        }
        Ok(decoded)
    }

    /// Whether it says anything of spans. If not, it is not held.
    pub(super) fn is_useful(&self) -> bool {
        !self.profile.samples.is_empty()
    }

    /// Memory that it takes while it is held: none if it says nothing of spans.
    fn held_bytes(&self) -> u64 {
        match self.is_useful() {
            false => 0,
            true => size_of::<HeldCpuProfile>() as u64 + self.profile.size_bytes(),
        }
    }
}

impl CpuProfiles {
    /// Adds a profile, and makes the joined slots due again that it covers. Where profiles take more than their part of
    /// `recording_limit_bytes`, the oldest go, and what depends on them becomes final.
    pub(super) fn add(
        &mut self,
        decoded: DecodedCpuProfile,
        stored: Option<Arc<StoredProfile>>,
        spans: &mut HeldSpans,
        recording_limit_bytes: u64,
        now: Instant,
    ) -> (Lateness, Evicted) {
        if !decoded.is_useful() {
            stored.iter().for_each(|stored| stored.let_go());
            return (Lateness::default(), Evicted::default());
        }
        let (bytes, profile, mut evicted) = (decoded.held_bytes(), decoded.profile, Evicted::default());
        let limit_bytes = recording_limit_bytes / PART_OF_RECORDING_LIMIT;
        while self.bytes + bytes > limit_bytes
            && let Some(held) = self.held.pop_front()
        {
            self.bytes -= held.bytes;
            held.let_go();
            evicted.recordings += 1;
            for process in held.processes(spans) {
                spans.close(&process, held.profile.window);
                evicted.sealed_spans += spans.seal_touching(&process, held.profile.window);
            }
        }
        let held = HeldCpuProfile {
            at: now,
            profile: Arc::new(profile),
            bytes,
            stored,
        };
        let mut lateness = Lateness::default();
        for process in held.processes(spans) {
            let of_process = spans.change(&process, held.profile.window, now);
            lateness.is_late |= of_process.is_late;
            lateness.is_too_late |= of_process.is_too_late;
        }
        self.bytes += bytes;
        self.held.push_back(held);
        (lateness, evicted)
    }

    /// The profiles that may be of a process and touch any of `hulls`.
    pub(super) fn touching(&self, process: &ProcessIdentity, hulls: &[Interval]) -> Vec<Arc<CpuProfile>> {
        let touching = self.held.iter().filter(|held| {
            let is_near = |hull: &Interval| touches(held.profile.window, *hull);
            held.profile.process.is_compatible_with(process) && hulls.iter().any(is_near)
        });
        touching.map(|held| held.profile.clone()).collect()
    }

    /// Lets go of profiles that are older than the retention and that no span needs which may still be corrected.
    pub(super) fn forget(&mut self, spans: &mut HeldSpans, round: &Round) {
        let bytes = &mut self.bytes;
        self.held.retain(|held| {
            if !round.is_over(held.at) {
                return true;
            }
            let (window, processes) = (held.profile.window, held.processes(spans));
            if processes.iter().any(|process| spans.is_needed(process, window)) {
                return true;
            }
            processes.iter().for_each(|process| spans.close(process, window));
            held.let_go();
            *bytes -= held.bytes;
            false
        });
    }
}

impl HeldCpuProfile {
    /// Those that it may be of.
    fn processes(&self, spans: &HeldSpans) -> Vec<Arc<ProcessIdentity>> {
        let compatible = (spans.known_processes()).filter(|process| self.profile.process.is_compatible_with(process));
        compatible.cloned().collect()
    }

    fn let_go(&self) {
        if let Some(stored) = &self.stored {
            stored.let_go();
        }
    }
}

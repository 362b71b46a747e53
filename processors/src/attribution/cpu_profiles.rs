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

use super::AttributionConfig;
use super::held_profile::{HeldProfile, Lent, ProfileId};
use super::held_spans::{HeldSpans, Lateness};
use super::pending::Evicted;
use super::recordings_directory::file_bytes;
use super::slots::{Round, touches};

/// CPU profiles may take one part in so many of the memory for recordings, beside those: they are short.
const PART_OF_RECORDING_LIMIT: u64 = 8;
/// And one part in so many of the disk, so that they do not drive out many recordings.
const PART_OF_DIRECTORY_LIMIT: u64 = 4;

/// What all CPU profiles may take together.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuProfileLimits {
    memory_bytes: u64,
    /// In `recordings_directory`, if there is one.
    disk_bytes: u64,
}

/// Every CPU profile that spans may still need.
#[derive(Debug, Default)]
pub(super) struct CpuProfiles {
    /// In the order of arrival.
    held: VecDeque<HeldCpuProfile>,
    bytes: u64,
    disk_bytes: u64,
}

#[derive(Debug)]
struct HeldCpuProfile {
    profile: HeldProfile,
    at: Instant,
    decoded: Arc<CpuProfile>,
    bytes: u64,
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
    /// It would take the room of all others on disk.
    #[error(
        "CPU profile `{from}` has {bytes} bytes, expected at most {limit_bytes}, a part of \
         `recordings_directory_limit`; raise that or take shorter profiles"
    )]
    TooLargeForDisk {
        /// Its source.
        from: Arc<str>,
        /// Of its file.
        bytes: u64,
        /// Disk for all.
        limit_bytes: u64,
    },
}

impl CpuProfileLimits {
    pub(super) fn of(config: &AttributionConfig) -> Self {
        let on_disk = config.recordings_directory.as_ref();
        Self {
            memory_bytes: config.recording_limit_bytes / PART_OF_RECORDING_LIMIT,
            disk_bytes: on_disk.map_or(u64::MAX, |_| {
                config.recordings_directory_limit_bytes / PART_OF_DIRECTORY_LIMIT
            }),
        }
    }

    /// Checks that a profile that is to be stored has room there.
    ///
    /// # Errors
    /// Its file takes more than there is for all.
    pub(super) fn check_file(&self, profile: &RuntimeProfile) -> Result<(), CpuProfileError> {
        let (bytes, limit_bytes) = (file_bytes(profile), self.disk_bytes);
        if bytes <= limit_bytes {
            return Ok(());
        }
        Err(CpuProfileError::TooLargeForDisk {
            from: profile.source.clone(),
            bytes,
            limit_bytes,
        })
    }
}

/// Decodes a profile. Takes long. Says so in the log if no sample names a span, because then it changes nothing.
pub(super) fn decode(profile: &RuntimeProfile, limits: CpuProfileLimits) -> Result<DecodedCpuProfile, CpuProfileError> {
    let decoded = pprof::decode(
        &profile.bytes,
        Arc::new(profile.process.clone()),
        profile.source.clone(),
    )?;
    let decoded = DecodedCpuProfile::new(decoded, limits)?;
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
    pub(super) fn new(profile: CpuProfile, limits: CpuProfileLimits) -> Result<Self, CpuProfileError> {
        let decoded = Self {
            samples: profile.sample_counts(),
            profile: profile.labeled(),
        };
        let (bytes, limit_bytes) = (decoded.held_bytes(), limits.memory_bytes);
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

    /// Where it came from.
    pub(super) fn source(&self) -> &Arc<str> {
        &self.profile.source
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
    /// Adds a profile, and makes the joined slots due again that it covers. Where profiles take more than `limits`, the
    /// oldest go, and what depends on them becomes final.
    pub(super) fn add(
        &mut self,
        decoded: DecodedCpuProfile,
        profile: HeldProfile,
        spans: &mut HeldSpans,
        limits: CpuProfileLimits,
        now: Instant,
    ) -> (Lateness, Evicted) {
        if !decoded.is_useful() {
            profile.let_go();
            return (Lateness::default(), Evicted::default());
        }
        let (bytes, disk_bytes, mut evicted) = (decoded.held_bytes(), profile.disk_bytes(), Evicted::default());
        while (self.bytes + bytes > limits.memory_bytes || self.exceeds_share(disk_bytes, limits))
            && let Some(sealed_spans) = self.evict(spans)
        {
            evicted.recordings += 1;
            evicted.sealed_spans += sealed_spans;
        }
        let held = HeldCpuProfile {
            profile,
            at: now,
            decoded: Arc::new(decoded.profile),
            bytes,
        };
        let mut lateness = Lateness::default();
        for process in held.processes(spans) {
            let of_process = spans.change(&process, held.decoded.window, now);
            lateness.is_late |= of_process.is_late;
            lateness.is_too_late |= of_process.is_too_late;
        }
        self.bytes += bytes;
        self.disk_bytes += disk_bytes;
        self.held.push_back(held);
        (lateness, evicted)
    }

    /// Size of their files.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Whether their files, with one of `more_bytes`, take more of the disk than they may.
    pub(super) fn exceeds_share(&self, more_bytes: u64, limits: CpuProfileLimits) -> bool {
        self.disk_bytes + more_bytes > limits.disk_bytes
    }

    /// Lets the oldest profile go, and makes final what depends on it. `None` if there is none, else of how many spans.
    pub(super) fn evict(&mut self, spans: &mut HeldSpans) -> Option<u64> {
        let held = self.held.pop_front()?;
        held.profile.let_go();
        Some(self.removed(&held, spans))
    }

    /// The profiles that may be of a process and touch any of `hulls`.
    pub(super) fn touching(&self, process: &ProcessIdentity, hulls: &[Interval]) -> Vec<Lent<Arc<CpuProfile>>> {
        let touching = self.held.iter().filter(|held| {
            let is_near = |hull: &Interval| touches(held.decoded.window, *hull);
            held.decoded.process.is_compatible_with(process) && hulls.iter().any(is_near)
        });
        let lent = touching.map(|held| Lent {
            profile: held.profile.clone(),
            decoded: held.decoded.clone(),
        });
        lent.collect()
    }

    /// Takes a profile out that cannot be used, and makes final what depends on it. `None` if it is not held, else of how
    /// many spans.
    pub(super) fn set_aside(&mut self, id: ProfileId, spans: &mut HeldSpans) -> Option<u64> {
        let index = self.held.iter().position(|held| held.profile.id == id)?;
        let held = self.held.remove(index)?;
        Some(self.removed(&held, spans))
    }

    /// Frees the room of a profile, and makes final what depends on it. Returns of how many spans.
    fn removed(&mut self, held: &HeldCpuProfile, spans: &mut HeldSpans) -> u64 {
        self.bytes -= held.bytes;
        self.disk_bytes -= held.profile.disk_bytes();
        let mut sealed = 0;
        for process in held.processes(spans) {
            spans.close(&process, held.decoded.window);
            sealed += spans.seal_touching(&process, held.decoded.window);
        }
        sealed
    }

    /// Lets go of profiles that are older than the retention and that no span needs which may still be corrected.
    pub(super) fn forget(&mut self, spans: &mut HeldSpans, round: &Round) {
        let (bytes, disk_bytes) = (&mut self.bytes, &mut self.disk_bytes);
        self.held.retain(|held| {
            if !round.is_over(held.at) {
                return true;
            }
            let (window, processes) = (held.decoded.window, held.processes(spans));
            if processes.iter().any(|process| spans.is_needed(process, window)) {
                return true;
            }
            processes.iter().for_each(|process| spans.close(process, window));
            held.profile.let_go();
            *bytes -= held.bytes;
            *disk_bytes -= held.profile.disk_bytes();
            false
        });
    }
}

impl HeldCpuProfile {
    /// Those that it may be of.
    fn processes(&self, spans: &HeldSpans) -> Vec<Arc<ProcessIdentity>> {
        let compatible = (spans.known_processes()).filter(|process| self.decoded.process.is_compatible_with(process));
        compatible.cloned().collect()
    }
}

//! The start of a connector: the profiles in its directory are taken up.
//!
//! They come again in the order in which they came, as if they had just arrived: what fits into `recording_limit` is held in
//! memory, the rest on disk. What was decided of a recording is not decided anew.

use std::sync::Arc;
use std::time::Instant;

use spandrel_pipeline::{BuildError, ProfileFormat, Refusal};
use spandrel_profiles::go_execution_trace::{DecodeError, Decoded};
use thiserror::Error;

use super::AttributionConfig;
use super::accepting::digest;
use super::connector::{AttributionConnector, off_executor};
use super::cpu_profiles::{self, CpuProfileError, CpuProfileLimits, DecodedCpuProfile};
use super::guarded::{Panicked, catching};
use super::recording_source::decode;
use super::recordings_directory::{AtWork, Decision, DirectoryError, Earlier, RecordingsDirectory, StoredProfile};
use super::setting_aside::report_left_alone;

/// Why a profile of an earlier run is not taken up.
#[derive(Debug, Error)]
pub(super) enum NotTakenUp {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("a stored profile cannot be decoded: {0}")]
    Recording(#[from] DecodeError),
    #[error("a stored profile cannot be used: {0}")]
    CpuProfile(#[from] CpuProfileError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// A profile of an earlier run.
pub(super) enum Restored {
    Recording(Decoded, Decision),
    CpuProfile(DecodedCpuProfile),
}

/// The directory for recordings, if there is to be one, and what is there. Says what cannot be taken up.
///
/// # Errors
/// The directory cannot be used.
pub(super) fn open_directory(
    config: &AttributionConfig,
) -> Result<(Option<Arc<RecordingsDirectory>>, Earlier), BuildError> {
    let Some(path) = &config.recordings_directory else {
        return Ok((None, Earlier::default()));
    };
    let opened = RecordingsDirectory::open(path, config.recordings_directory_limit_bytes);
    let (directory, earlier) = opened.map_err(|error| BuildError::caused_by("recordings cannot be kept", error))?;
    report_left_alone(&earlier);
    Ok((Some(directory), earlier))
}

impl AttributionConnector {
    /// Takes up the profiles of earlier runs. A file that cannot be used is left alone.
    pub(super) async fn take_up_recordings(&self) {
        let profiles = std::mem::take(&mut self.lock().earlier_profiles);
        if profiles.is_empty() {
            return;
        }
        let (mut count, found) = (0_u64, profiles.len());
        for stored in profiles {
            let path = stored.profile_path();
            match self.take_up_profile(stored, Restored::read).await {
                Ok(()) => count += 1,
                // It is set aside, and the log says so.
                Err(NotTakenUp::Panicked(_)) => {}
                Err(error) => tracing::warn!(
                    path = %path.display(),
                    "a file of recordings_directory is left alone, where it takes room, and spans are joined without it; \
                     remove it, or send the profile again: {error}"
                ),
            }
        }
        self.metrics.restored_recordings.inc_by(count);
        tracing::info!(connector = %self.id, count, found, "attribution takes up recordings of an earlier run");
    }

    /// Takes up a profile that is read like this.
    pub(super) async fn take_up_profile(
        &self,
        stored: StoredProfile,
        read: impl FnOnce(&StoredProfile, &AttributionConfig) -> Result<(u64, Restored), NotTakenUp> + Send + 'static,
    ) -> Result<(), NotTakenUp> {
        let config = self.config.clone();
        let (stored, restored) = off_executor(move || {
            let at_work = AtWork::begin(std::iter::once(&stored));
            let restored = catching(|| read(&stored, &config));
            drop(at_work);
            (stored, restored)
        })
        .await?;
        match restored {
            Ok(restored) => {
                let (digest, restored) = restored?;
                self.hold_restored(stored, digest, restored)
            }
            Err(panicked) => {
                let source = stored.profile_path().display().to_string();
                tracing::error!(%source, "{panicked}");
                self.set_file_aside(&source, Some(Arc::new(stored))).await;
                Err(panicked.into())
            }
        }
    }

    /// Holds what was read, with the digest of its profile.
    fn hold_restored(&self, stored: StoredProfile, digest: u64, restored: Restored) -> Result<(), NotTakenUp> {
        let (mut state, now) = (self.lock(), Instant::now());
        if let Restored::Recording(decoded, _) = &restored {
            self.make_room_for(decoded, &mut state)?;
        }
        let pending = &mut state.pending;
        if !pending.is_new_profile(digest) {
            stored.let_go();
            return Ok(());
        }
        match restored {
            Restored::Recording(Decoded::Anchored(recording), decision) => {
                pending.take_up_recording(recording, stored, decision, now);
            }
            Restored::Recording(Decoded::Unanchored(recording), _) => {
                pending.add_unanchored(recording, Some(stored), digest, now);
            }
            Restored::CpuProfile(decoded) => {
                let limits = CpuProfileLimits::of(&self.config);
                pending.add_cpu_profile(decoded, Some(stored), limits, now);
            }
        }
        Ok(())
    }
}

impl Restored {
    /// Reads and decodes a profile. Returns its digest, too.
    fn read(stored: &StoredProfile, config: &AttributionConfig) -> Result<(u64, Self), NotTakenUp> {
        let profile = stored.read()?;
        let restored = match profile.format {
            ProfileFormat::CpuProfile => {
                let decoded = cpu_profiles::decode(&profile, CpuProfileLimits::of(config))?;
                Self::CpuProfile(decoded)
            }
            ProfileFormat::GoExecutionTrace => {
                let decision = decision_of(stored);
                let decoded = decode(
                    &profile,
                    Arc::new(profile.process.clone()),
                    decision.placed,
                    &config.state_rules,
                )?;
                Self::Recording(decoded, decision)
            }
        };
        Ok((digest(&profile), restored))
    }
}

/// What was decided; nothing if that cannot be read any more.
fn decision_of(stored: &StoredProfile) -> Decision {
    let decision = stored.read_decision().unwrap_or_else(|error| {
        tracing::warn!("what was found out about a runtime profile is found out anew, remove the file: {error}");
        None
    });
    decision.unwrap_or_default()
}

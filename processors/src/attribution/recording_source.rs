//! A recording that is held: in memory, or on disk to be decoded again.

use std::sync::Arc;

use spandrel_model::{OffsetEstimate, ProcessIdentity, TaskRecording};
use spandrel_pipeline::{ProfileFormat, RuntimeProfile};
use spandrel_profiles::go_execution_trace::{self, DecodeError, Decoded, StateRules};
use thiserror::Error;

use super::recordings_directory::{DirectoryError, StoredProfile};

/// Where a recording is. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) enum RecordingSource {
    /// In memory.
    Decoded(Arc<TaskRecording>),
    /// On disk only.
    OnDisk(Arc<RecordingOnDisk>),
}

/// A recording on disk, with what was found out about it.
#[derive(Clone, Debug)]
pub(super) struct RecordingOnDisk {
    stored: Arc<StoredProfile>,
    source: Arc<str>,
    /// Process that it is under: its owner, or the one that its sender named.
    pub(super) process: Arc<ProcessIdentity>,
    /// Offset of its clock, if spans have placed it.
    placed: Option<OffsetEstimate>,
    /// About the memory that it takes once it is decoded.
    decoded_bytes: u64,
}

/// Why a recording on disk cannot be used.
#[derive(Debug, Error)]
pub(super) enum UnreadableRecording {
    /// The file cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It could be decoded when it came.
    #[error("a stored profile cannot be decoded again")]
    Decode(#[from] DecodeError),
    /// It had a wall clock, or was placed, when it came.
    #[error("a stored profile of `{0}` has lost its place in time")]
    Unplaced(Arc<str>),
    /// It was a recording when it came.
    #[error("a stored profile of `{0}` is a CPU profile, expected a recording")]
    NoRecording(Arc<str>),
}

impl RecordingSource {
    /// The recording. May read and decode it, which takes long.
    pub(super) fn open(&self, rules: &StateRules) -> Result<Arc<TaskRecording>, UnreadableRecording> {
        match self {
            Self::Decoded(recording) => Ok(recording.clone()),
            Self::OnDisk(on_disk) => on_disk.load(rules).map(Arc::new),
        }
    }

    /// Memory that opening it takes.
    pub(super) fn loaded_bytes(&self) -> u64 {
        match self {
            Self::Decoded(_) => 0,
            Self::OnDisk(on_disk) => on_disk.decoded_bytes,
        }
    }

    /// Where it came from, for messages.
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Self::Decoded(recording) => &recording.source,
            Self::OnDisk(on_disk) => &on_disk.source,
        }
    }
}

impl RecordingOnDisk {
    /// What is on disk, and is `recording` in memory.
    pub(super) fn new(stored: Arc<StoredProfile>, recording: &TaskRecording) -> Self {
        Self {
            stored,
            source: recording.source.clone(),
            process: recording.process.clone(),
            placed: recording.clock.estimate(),
            decoded_bytes: recording.size_bytes(),
        }
    }

    fn load(&self, rules: &StateRules) -> Result<TaskRecording, UnreadableRecording> {
        let profile = self.stored.read()?;
        if profile.format == ProfileFormat::CpuProfile {
            return Err(UnreadableRecording::NoRecording(profile.source));
        }
        match decode(&profile, self.process.clone(), self.placed, rules)? {
            Decoded::Anchored(recording) => Ok(recording),
            Decoded::Unanchored(_) => Err(UnreadableRecording::Unplaced(profile.source)),
        }
    }
}

/// Decodes a Go execution trace, and puts it where spans have placed it, if they have. Takes long.
///
/// # Errors
/// It is none.
pub(super) fn decode(
    profile: &RuntimeProfile,
    process: Arc<ProcessIdentity>,
    placed: Option<OffsetEstimate>,
    rules: &StateRules,
) -> Result<Decoded, DecodeError> {
    let decoded = go_execution_trace::decode(&profile.bytes, process, profile.source.clone(), rules)?;
    Ok(match (decoded, placed) {
        (Decoded::Unanchored(recording), Some(estimate)) => Decoded::Anchored(recording.anchored(estimate)),
        (decoded, _) => decoded,
    })
}

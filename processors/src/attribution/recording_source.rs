//! A recording that is held: in memory, or on disk to be decoded again.

use std::sync::Arc;

use spandrel_model::{OffsetEstimate, ProcessIdentity, TaskRecording};
use spandrel_pipeline::{ProfileFormat, RuntimeProfile};
use spandrel_profiles::go_execution_trace::{self, DecodeError, Decoded, StateRules};
use thiserror::Error;

use super::spill::{SpillError, SpillFile};

/// Where a recording is. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) enum RecordingSource {
    /// In memory.
    Decoded(Arc<TaskRecording>),
    /// On disk.
    Spilled(Arc<SpilledRecording>),
}

/// A recording on disk, with what was found out about it.
#[derive(Clone, Debug)]
pub(super) struct SpilledRecording {
    pub(super) file: Arc<SpillFile>,
    pub(super) format: ProfileFormat,
    pub(super) source: Arc<str>,
    /// Process that it is under: its owner, or the one that its sender named.
    pub(super) process: Arc<ProcessIdentity>,
    /// Offset of its clock, if spans have placed it.
    pub(super) placed: Option<OffsetEstimate>,
    /// About the memory that it takes once it is decoded.
    pub(super) decoded_bytes: u64,
}

/// Why a recording on disk cannot be used.
#[derive(Debug, Error)]
pub(super) enum RestoreError {
    /// The file cannot be read.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// It could be decoded when it came.
    #[error("a spilled profile cannot be decoded again")]
    Decode(#[from] DecodeError),
    /// It had a wall clock, or was placed, when it came.
    #[error("a spilled profile of `{0}` has lost its place in time")]
    Unplaced(Arc<str>),
    /// It was a recording when it came.
    #[error("a spilled profile of `{0}` is a CPU profile, expected a recording")]
    NoRecording(Arc<str>),
}

impl RecordingSource {
    /// The recording. May read and decode it, which takes long.
    pub(super) fn open(&self, rules: &StateRules) -> Result<Arc<TaskRecording>, RestoreError> {
        match self {
            Self::Decoded(recording) => Ok(recording.clone()),
            Self::Spilled(spilled) => spilled.restore(rules).map(Arc::new),
        }
    }

    /// Memory that opening it takes.
    pub(super) fn restored_bytes(&self) -> u64 {
        match self {
            Self::Decoded(_) => 0,
            Self::Spilled(spilled) => spilled.decoded_bytes,
        }
    }

    /// Where it came from, for messages.
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Self::Decoded(recording) => &recording.source,
            Self::Spilled(spilled) => &spilled.source,
        }
    }
}

impl SpilledRecording {
    /// What is on disk now, and was `recording` in memory.
    pub(super) fn new(file: SpillFile, profile: &RuntimeProfile, recording: &TaskRecording) -> Self {
        Self {
            file: Arc::new(file),
            format: profile.format,
            source: profile.source.clone(),
            process: recording.process.clone(),
            placed: recording.clock.estimate(),
            decoded_bytes: recording.size_bytes(),
        }
    }

    fn restore(&self, rules: &StateRules) -> Result<TaskRecording, RestoreError> {
        let bytes = self.file.read()?;
        let decoded = match self.format {
            ProfileFormat::GoExecutionTrace => {
                go_execution_trace::decode(&bytes, self.process.clone(), self.source.clone(), rules)?
            }
            ProfileFormat::CpuProfile => return Err(RestoreError::NoRecording(self.source.clone())),
        };
        match (decoded, self.placed) {
            (Decoded::Anchored(recording), _) => Ok(recording),
            (Decoded::Unanchored(recording), Some(estimate)) => Ok(recording.anchored(estimate)),
            (Decoded::Unanchored(_), None) => Err(RestoreError::Unplaced(self.source.clone())),
        }
    }
}

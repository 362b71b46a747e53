//! One profile of the directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_pipeline::RuntimeProfile;

use super::format::{self, Decision};
use super::{ASIDE, DECISION, DirectoryError, PROFILE, RecordingsDirectory, io_error, sync};

/// A profile on disk. The file outlives this unless the profile was never accepted, or has been let go; if it does, its
/// room stays taken.
#[derive(Debug)]
pub(in crate::attribution) struct StoredProfile {
    pub(super) directory: Arc<RecordingsDirectory>,
    pub(super) number: u64,
    bytes: u64,
    /// Whether the file stays when this is dropped.
    is_kept: AtomicBool,
    /// Whether its bytes count as used.
    is_counted: AtomicBool,
}

impl StoredProfile {
    /// One to be written, for which there is room.
    pub(super) fn reserved(directory: &Arc<RecordingsDirectory>, number: u64, bytes: u64) -> Self {
        Self {
            directory: directory.clone(),
            number,
            bytes,
            is_kept: AtomicBool::new(false),
            is_counted: AtomicBool::new(true),
        }
    }

    /// One that an earlier run has left.
    pub(super) fn found(directory: &Arc<RecordingsDirectory>, number: u64, bytes: u64) -> Self {
        let found = Self::reserved(directory, number, bytes);
        found.keep();
        found
    }

    /// Its file, for messages.
    pub(in crate::attribution) fn profile_path(&self) -> PathBuf {
        self.directory.file(self.number, PROFILE)
    }

    /// Size of the profile's file.
    pub(in crate::attribution) fn size_bytes(&self) -> u64 {
        self.bytes
    }

    fn decision_path(&self) -> PathBuf {
        self.directory.file(self.number, DECISION)
    }

    /// The profile. Does I/O.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub(in crate::attribution) fn read(&self) -> Result<RuntimeProfile, DirectoryError> {
        let path = self.profile_path();
        let content = std::fs::read(&path).map_err(io_error(&path))?;
        format::profile(content).map_err(|source| DirectoryError::Damaged { path, source })
    }

    /// What was decided of it, if anything was. Does I/O.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(in crate::attribution) fn read_decision(&self) -> Result<Option<Decision>, DirectoryError> {
        let path = self.decision_path();
        match std::fs::read(&path) {
            Ok(content) => {
                (Decision::parse(&content).map(Some)).map_err(|source| DirectoryError::Damaged { path, source })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Writes what was decided of it, in the place of what was before. Does I/O.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub(in crate::attribution) fn write_decision(&self, decision: &Decision) -> Result<(), DirectoryError> {
        let text = decision.to_text();
        self.directory.write(&self.decision_path(), &[&text])
    }

    /// Takes note that the profile is accepted.
    pub(in crate::attribution) fn keep(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    /// Takes note that it is needed no more. Its room is free at once; the file is
    /// [removed](RecordingsDirectory::remove_unneeded) when nobody reads it any more.
    pub(in crate::attribution) fn let_go(&self) {
        self.is_kept.store(false, Ordering::Release);
        if self.is_counted.swap(false, Ordering::AcqRel) {
            self.directory.lock().used_bytes -= self.bytes;
        }
    }

    /// Gives its file a name under which no start takes it up, and returns that, or `None` if it has been let go, with its
    /// file. What was decided of it stays, in case that the file gets its old name again. Does I/O.
    ///
    /// # Errors
    /// The disk fails.
    pub(in crate::attribution) fn set_aside(&self) -> Result<Option<PathBuf>, DirectoryError> {
        if !self.is_kept.load(Ordering::Acquire) {
            return Ok(None);
        }
        let path = self.directory.file(self.number, ASIDE);
        std::fs::rename(self.profile_path(), &path).map_err(io_error(&path))?;
        if self.is_counted.swap(false, Ordering::AcqRel) {
            let state = &mut *self.directory.lock();
            // One of the same number, of which it is a copy, is replaced.
            if let Some(index) = state.aside.iter().position(|(number, _)| *number == self.number)
                && let Some((_, bytes)) = state.aside.remove(index)
            {
                state.used_bytes -= bytes;
            }
            state.aside.push_back((self.number, self.bytes));
        }
        sync(&self.directory.path).map_err(io_error(&path))?;
        Ok(Some(path))
    }
}

impl Drop for StoredProfile {
    /// Quick, because locks may be held that others wait for: files are removed later.
    fn drop(&mut self) {
        let mut state = self.directory.lock();
        match (*self.is_kept.get_mut(), *self.is_counted.get_mut()) {
            (true, true) => state.left_alone_bytes += self.bytes,
            (true, false) => {}
            (false, is_counted) => {
                state.used_bytes -= if is_counted { self.bytes } else { 0 };
                state.unneeded.push((self.number, PROFILE));
            }
        }
    }
}

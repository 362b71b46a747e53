//! Profiles on disk, for recordings that do not fit into memory.
//!
//! ```text
//! spill_directory/spandrel-spill-<pid>-<n>/lock     locked for as long as the collector lives
//!                                         /1, 2 ..  one profile each, as it came
//! ```
//!
//! The directory is made when it is first needed and removed with the connector. One that a crash has left behind is
//! known by its lock, which nobody holds, and removed by the next start. Nothing in it outlives the collector.

use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

const PREFIX: &str = "spandrel-spill-";
const LOCK: &str = "lock";
/// More directories of one process id than this hint at something else.
const MOST_DIRECTORIES: u32 = 1_000;

/// Why a profile was not written or cannot be read.
#[derive(Debug, Error)]
pub(super) enum SpillError {
    /// `spill_limit` is reached.
    #[error("spill_limit is reached ({used_bytes} of {limit_bytes} bytes)")]
    Full {
        /// Bytes on disk.
        used_bytes: u64,
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// The disk is full or fails.
    #[error("cannot use `{}`, check spill_directory: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Files with profiles, bounded in size.
#[derive(Debug)]
pub(super) struct Spill {
    parent: PathBuf,
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    directory: Option<Directory>,
    used_bytes: u64,
    last_file: u64,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Held open, and so locked.
    _lock: File,
}

/// One profile on disk, removed when it is dropped.
#[derive(Debug)]
pub(super) struct SpillFile {
    path: PathBuf,
    bytes: u64,
    spill: Arc<Spill>,
}

impl Spill {
    /// No files yet. Removes from `parent` what crashed collectors have left there.
    pub(super) fn new(parent: PathBuf, limit_bytes: u64) -> Self {
        remove_abandoned(&parent);
        Self {
            parent,
            limit_bytes,
            state: Mutex::default(),
        }
    }

    /// Writes a profile. Does I/O.
    pub(super) fn store(self: &Arc<Self>, bytes: &[u8]) -> Result<SpillFile, SpillError> {
        let file = self.reserve(bytes.len() as u64)?;
        // On an error `file` is dropped, which frees its room.
        std::fs::write(&file.path, bytes).map_err(|source| SpillError::Io {
            path: file.path.clone(),
            source,
        })?;
        Ok(file)
    }

    fn reserve(self: &Arc<Self>, bytes: u64) -> Result<SpillFile, SpillError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > self.limit_bytes.saturating_sub(state.used_bytes) {
            return Err(SpillError::Full {
                used_bytes: state.used_bytes,
                limit_bytes: self.limit_bytes,
            });
        }
        let directory = match state.directory.take() {
            Some(directory) => directory,
            None => Directory::create(&self.parent)?,
        };
        state.last_file += 1;
        state.used_bytes += bytes;
        let path = directory.path.join(state.last_file.to_string());
        state.directory = Some(directory);
        Ok(SpillFile {
            path,
            bytes,
            spill: self.clone(),
        })
    }

    /// Bytes on disk.
    pub(super) fn used_bytes(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).used_bytes
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = state.directory.take()
            && let Err(error) = std::fs::remove_dir_all(&directory.path)
        {
            tracing::warn!(directory = %directory.path.display(), "a spill directory is left behind: {error}");
        }
    }
}

impl SpillFile {
    /// The profile. Does I/O.
    pub(super) fn read(&self) -> Result<Vec<u8>, SpillError> {
        std::fs::read(&self.path).map_err(|source| SpillError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // It may be missing if it could not be written; and the directory goes with the connector in any case.
        let _ = std::fs::remove_file(&self.path);
        let mut state = self.spill.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used_bytes -= self.bytes;
    }
}

impl Directory {
    fn create(parent: &Path) -> Result<Self, SpillError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| SpillError::Io { path, source }
        };
        std::fs::create_dir_all(parent).map_err(fail(parent))?;
        let path = make_directory(parent).map_err(fail(parent))?;
        // The lock appears under its name only when it is locked, so that nobody takes it for abandoned.
        let (unlocked, locked) = (path.join("unlocked"), path.join(LOCK));
        let lock = File::create_new(&unlocked).map_err(fail(&unlocked))?;
        lock.lock().map_err(fail(&unlocked))?;
        std::fs::rename(&unlocked, &locked).map_err(fail(&locked))?;
        Ok(Self { path, _lock: lock })
    }
}

fn make_directory(parent: &Path) -> io::Result<PathBuf> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    for number in 0..MOST_DIRECTORIES {
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match builder.create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes directories whose lock nobody holds. Those of other users cannot be opened.
fn remove_abandoned(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        let lock = File::options().read(true).write(true).open(path.join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(directory = %path.display(), "removed a spill directory that a crash had left")
                }
                Err(error) => tracing::warn!(directory = %path.display(), "cannot remove a spill directory: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(parent: &Path) -> usize {
        std::fs::read_dir(parent).unwrap().count()
    }

    #[test]
    fn what_is_stored_can_be_read_until_it_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let spill = Arc::new(Spill::new(parent.path().to_owned(), 10));
        assert_eq!(entries(parent.path()), 0, "nothing is made before it is needed");
        let file = spill.store(b"seven..").unwrap();
        assert_eq!(file.read().unwrap(), b"seven..");
        let full = spill.store(b"four").unwrap_err();
        assert_eq!(full.to_string(), "spill_limit is reached (7 of 10 bytes)");
        drop(file);
        let file = spill.store(b"four").unwrap();
        assert_eq!((file.read().unwrap().len(), spill.used_bytes()), (4, 4));
        drop((file, spill));
        assert_eq!(entries(parent.path()), 0, "nothing is left");
    }

    #[test]
    fn a_start_removes_what_a_crash_has_left_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let living = Arc::new(Spill::new(parent.path().to_owned(), 10));
        let file = living.store(b"x").unwrap();
        let (abandoned, foreign) = (parent.path().join("spandrel-spill-0-0"), parent.path().join("other"));
        for directory in [&abandoned, &foreign] {
            std::fs::create_dir(directory).unwrap();
            std::fs::write(directory.join(LOCK), "").unwrap();
        }
        drop(Spill::new(parent.path().to_owned(), 10));
        assert!(!abandoned.exists());
        assert!(foreign.exists());
        assert_eq!(file.read().unwrap(), b"x");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
        let parent = tempfile::NamedTempFile::new().unwrap();
        let spill = Arc::new(Spill::new(parent.path().join("below"), 10));
        let error = spill.store(b"x").unwrap_err().to_string();
        assert!(error.contains("below") && error.contains("spill_directory"), "{error}");
        assert_eq!(spill.used_bytes(), 0);
    }
}

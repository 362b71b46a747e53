//! Profiles on disk, so that neither a full memory nor a restart loses recordings.
//!
//! ```text
//! recordings_directory/.lock               locked while a connector uses the directory
//!                     /<number>.profile    a line about a profile, then the profile as it came
//!                     /<number>.decision   what was found out about it, as far as rows depend on that
//!                     /<number>.aside      a profile that cannot be worked on: we panic, or the process dies
//!                     /.at-work            which profiles are being worked on
//!                     /.<name>.tmp         one of the profiles and decisions while it is written
//! ```
//!
//! A profile or decision is complete or absent, also after power loss: it is written under another name and synced, then
//! renamed, then the directory is synced. Numbers count up in the order of arrival. What is no file of ours, or damaged, is
//! left alone. A profile that is set aside stays for those who look for the reason, until its room is needed.

mod at_work;
mod format;
mod listing;
mod stored_profile;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spandrel_pipeline::RuntimeProfile;
use thiserror::Error;

pub(super) use self::at_work::AtWork;
use self::at_work::Journal;
pub(super) use self::format::{Decision, FormatError};
use self::listing::Listing;
pub(super) use self::stored_profile::StoredProfile;

const LOCK: &str = ".lock";
const PROFILE: &str = "profile";
const DECISION: &str = "decision";
const ASIDE: &str = "aside";
const AT_WORK: &str = ".at-work";

/// Why the directory cannot be used, or a profile not be stored in it or read again.
#[derive(Debug, Error)]
pub(super) enum DirectoryError {
    /// Another connector has it.
    #[error(
        "recordings_directory `{}` is in use by another connector or collector; give each one its own",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// There is no room, but there may be later.
    #[error(
        "recordings_directory_limit is reached ({used_bytes} of {limit_bytes} bytes, {left_alone_bytes} of them in \
         files that the start could not use and left alone)"
    )]
    Full {
        /// Bytes on disk.
        used_bytes: u64,
        /// Those of them in files that are left alone.
        left_alone_bytes: u64,
        /// Bytes allowed.
        limit_bytes: u64,
        /// Bytes of the profile.
        bytes: u64,
        /// Those of them that do not fit.
        missing_bytes: u64,
    },
    /// There will never be room.
    #[error("a profile of {bytes} bytes exceeds recordings_directory_limit ({limit_bytes} bytes); raise that")]
    TooLarge {
        /// Of the profile.
        bytes: u64,
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// The disk is full or fails.
    #[error("cannot use `{}`, check recordings_directory: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The content is not what was written.
    #[error("`{}` is damaged: {source}", path.display())]
    Damaged {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
}

/// A directory with profiles, bounded in size. It belongs to one connector.
#[derive(Debug)]
pub(super) struct RecordingsDirectory {
    path: PathBuf,
    limit_bytes: u64,
    state: Mutex<State>,
    journal: Mutex<Journal>,
    /// Held during work on profiles: one work at a time.
    work_turn: Mutex<()>,
    /// Held open, and so locked.
    _lock: File,
}

#[derive(Debug)]
struct State {
    used_bytes: u64,
    /// Of files that stay and that nobody holds.
    left_alone_bytes: u64,
    next_number: u64,
    /// Numbers and sizes of profiles that are set aside, the oldest first.
    aside: VecDeque<(u64, u64)>,
    /// Numbers and extensions of profiles whose files are still to be removed.
    unneeded: Vec<(u64, &'static str)>,
}

/// What the directory held when it was opened.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// Profiles, in the order of their arrival.
    pub(super) profiles: Vec<StoredProfile>,
    /// Those among them that are set aside now, because the process has died of work on them, more than once.
    pub(super) fatal: Vec<PathBuf>,
    /// Those that were set aside before.
    pub(super) aside: Vec<PathBuf>,
    /// What does not belong there.
    pub(super) foreign: Vec<PathBuf>,
}

impl RecordingsDirectory {
    /// Makes the directory if need be, and locks it. What a crash left half written is removed.
    ///
    /// # Errors
    /// The directory is in use, or the disk fails.
    pub(super) fn open(path: &Path, limit_bytes: u64) -> Result<(Arc<Self>, Earlier), DirectoryError> {
        let (path, lock) = create_and_lock(path)?;
        let listing = Listing::read(&path).map_err(io_error(&path))?;
        let journal_path = path.join(AT_WORK);
        let numbers = listing.profiles.iter().map(|(number, _)| *number).collect();
        let journal = Journal::open(&journal_path, &numbers).map_err(io_error(&journal_path))?;
        let fatal = journal.fatal();
        let directory = Arc::new(Self {
            limit_bytes,
            state: Mutex::new(State {
                used_bytes: listing.used_bytes(),
                left_alone_bytes: 0,
                next_number: listing.last_number() + 1,
                aside: listing.aside.iter().copied().collect(),
                unneeded: Vec::new(),
            }),
            journal: Mutex::new(journal),
            work_turn: Mutex::default(),
            path,
            _lock: lock,
        });
        let (earlier, set_aside) = directory.found(listing, &fatal);
        // After the files have their names: who was not set aside stays accused.
        let forgotten = at_work::lock(&directory.journal).forget(&set_aside);
        forgotten.map_err(io_error(&journal_path))?;
        Ok((directory, earlier))
    }

    /// What was there, without the profiles of which the process has died, which are set aside; and the numbers of those.
    fn found(self: &Arc<Self>, listing: Listing, fatal: &BTreeSet<u64>) -> (Earlier, BTreeSet<u64>) {
        let mut earlier = Earlier {
            aside: (listing.aside.iter())
                .map(|(number, _)| self.file(*number, ASIDE))
                .collect(),
            foreign: listing.foreign,
            ..Earlier::default()
        };
        let mut set_aside = BTreeSet::new();
        for (number, bytes) in listing.profiles {
            let profile = StoredProfile::found(self, number, bytes);
            if !fatal.contains(&number) {
                earlier.profiles.push(profile);
                continue;
            }
            match profile.set_aside() {
                Ok(path) => {
                    set_aside.insert(number);
                    earlier.fatal.extend(path);
                }
                Err(error) => tracing::error!(
                    path = %profile.profile_path().display(),
                    "the collector was killed or has aborted more than once while it worked on this runtime profile, which \
                     is left out and cannot be set aside; remove it: {error}"
                ),
            }
        }
        (earlier, set_aside)
    }

    /// Takes note that the process ends in order, though work may be going on that ends with it. Waits for nothing.
    pub(super) fn close_journal(&self) {
        at_work::lock(&self.journal).close();
    }

    /// Writes a profile. It is durable when this returns, and removed again unless it is [kept](StoredProfile::keep).
    /// Profiles that were set aside make room for it. Does I/O.
    ///
    /// # Errors
    /// There is no room, or the disk fails.
    pub(super) fn store(self: &Arc<Self>, profile: &RuntimeProfile) -> Result<StoredProfile, DirectoryError> {
        let header = format::header(profile);
        let stored = self.reserve((header.len() + profile.bytes.len()) as u64)?;
        self.remove_unneeded();
        // On an error `stored` is dropped, which frees its room.
        self.write(&stored.profile_path(), &[&header, &profile.bytes])?;
        Ok(stored)
    }

    fn reserve(self: &Arc<Self>, bytes: u64) -> Result<StoredProfile, DirectoryError> {
        let limit_bytes = self.limit_bytes;
        if bytes > limit_bytes {
            return Err(DirectoryError::TooLarge { bytes, limit_bytes });
        }
        let mut state = self.lock();
        let aside_bytes: u64 = state.aside.iter().map(|(_, bytes)| bytes).sum();
        let missing_bytes = (state.used_bytes - aside_bytes + bytes).saturating_sub(limit_bytes);
        if missing_bytes > 0 {
            return Err(DirectoryError::Full {
                used_bytes: state.used_bytes,
                left_alone_bytes: state.left_alone_bytes,
                limit_bytes,
                bytes,
                missing_bytes,
            });
        }
        while bytes > limit_bytes.saturating_sub(state.used_bytes)
            && let Some((number, bytes)) = state.aside.pop_front()
        {
            state.used_bytes -= bytes;
            state.unneeded.push((number, ASIDE));
        }
        state.used_bytes += bytes;
        state.next_number += 1;
        Ok(StoredProfile::reserved(self, state.next_number - 1, bytes))
    }

    /// Writes a file that is complete or absent. It replaces an earlier one.
    fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), DirectoryError> {
        use std::io::Write;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = self.path.join(format!(".{name}.tmp"));
        let written = File::create(&temporary)
            .and_then(|mut file| {
                parts.iter().try_for_each(|part| file.write_all(part))?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&temporary, path));
        if let Err(source) = written {
            // The error matters; what is left over is removed by the next start.
            let _ = std::fs::remove_file(&temporary);
            return Err(io_error(path)(source));
        }
        sync(&self.path).map_err(io_error(&self.path))
    }

    fn file(&self, number: u64, extension: &str) -> PathBuf {
        self.path.join(format!("{number:020}.{extension}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes on disk.
    pub(super) fn used_bytes(&self) -> u64 {
        self.lock().used_bytes
    }

    /// Whether files are still to be removed.
    pub(super) fn has_unneeded(&self) -> bool {
        !self.lock().unneeded.is_empty()
    }

    /// Removes the files of profiles that nobody needs. Does I/O.
    pub(super) fn remove_unneeded(&self) {
        let unneeded = std::mem::take(&mut self.lock().unneeded);
        for (number, extension) in unneeded {
            // The profile first: without its decision it would be decided anew.
            remove(&self.file(number, extension));
            // Who copies one that is set aside back has two with one number, and one decision.
            if ![PROFILE, ASIDE].iter().any(|other| self.file(number, other).exists()) {
                remove(&self.file(number, DECISION));
            }
        }
    }
}

/// Size of the file that a profile has.
pub(super) fn file_bytes(profile: &RuntimeProfile) -> u64 {
    (format::header(profile).len() + profile.bytes.len()) as u64
}

impl Drop for RecordingsDirectory {
    fn drop(&mut self) {
        self.remove_unneeded();
    }
}

/// The directory, durable with those above it that were missing, and its lock as an open file.
fn create_and_lock(path: &Path) -> Result<(PathBuf, File), DirectoryError> {
    let missing = missing_count(path);
    if let Some(parent) = path.parent().filter(|_| missing > 0) {
        std::fs::create_dir_all(parent).map_err(io_error(parent))?;
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path).map_err(io_error(path))?;
    }
    let path = path.canonicalize().map_err(io_error(path))?;
    for parent in path.ancestors().skip(1).take(missing) {
        sync(parent).map_err(io_error(parent))?;
    }
    let lock_path = path.join(LOCK);
    let lock = File::create(&lock_path).map_err(io_error(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(io_error(&lock_path)(source)),
    }
}

/// Removes a file, which may never have been written.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), "a file of recordings_directory is left behind: {error}");
    }
}

/// How many directories are to be made.
fn missing_count(path: &Path) -> usize {
    // The last ancestor of a relative path is empty, and stands for a directory that exists.
    let named = path.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty());
    named.take_while(|ancestor| !ancestor.exists()).count()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Io { path, source }
}

#[cfg(test)]
mod tests;

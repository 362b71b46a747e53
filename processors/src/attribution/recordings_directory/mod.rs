//! Profiles on disk, so that neither a full memory nor a restart loses recordings.
//!
//! ```text
//! recordings_directory/.lock               locked while a connector uses the directory
//!                     /<number>.profile    a line about a profile, then the profile as it came
//!                     /<number>.decision   what was found out about it, as far as rows depend on that
//!                     /.<name>.tmp         one of these while it is written
//! ```
//!
//! A file is complete or absent, also after power loss: it is written under another name and synced, then renamed, then the
//! directory is synced. Numbers count up in the order of arrival. What is no file of ours, or damaged, is left alone.

mod format;
mod stored_profile;

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use spandrel_pipeline::RuntimeProfile;
use thiserror::Error;

pub(super) use self::format::{Decision, FormatError};
pub(super) use self::stored_profile::StoredProfile;

const LOCK: &str = ".lock";
const PROFILE: &str = "profile";
const DECISION: &str = "decision";

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
    #[error("recordings_directory_limit is reached ({used_bytes} of {limit_bytes} bytes)")]
    Full {
        /// Bytes on disk.
        used_bytes: u64,
        /// Bytes allowed.
        limit_bytes: u64,
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
    /// Held open, and so locked.
    _lock: File,
}

#[derive(Debug)]
struct State {
    used_bytes: u64,
    next_number: u64,
}

/// What the directory held when it was opened.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// Profiles, in the order of their arrival.
    pub(super) profiles: Vec<StoredProfile>,
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
        let directory = Arc::new(Self {
            limit_bytes,
            state: Mutex::new(State {
                used_bytes: listing.profiles.iter().map(|(_, bytes)| bytes).sum(),
                next_number: listing.last_number + 1,
            }),
            path,
            _lock: lock,
        });
        let profiles = (listing.profiles.into_iter())
            .map(|(number, bytes)| StoredProfile::found(&directory, number, bytes))
            .collect();
        let foreign = listing.foreign;
        Ok((directory, Earlier { profiles, foreign }))
    }

    /// Writes a profile. It is durable when this returns, and removed again unless it is [kept](StoredProfile::keep).
    /// Does I/O.
    ///
    /// # Errors
    /// There is no room, or the disk fails.
    pub(super) fn store(self: &Arc<Self>, profile: &RuntimeProfile) -> Result<StoredProfile, DirectoryError> {
        let header = format::header(profile);
        let stored = self.reserve((header.len() + profile.bytes.len()) as u64)?;
        // On an error `stored` is dropped, which frees its room.
        self.write(&stored.profile_path(), &[&header, &profile.bytes])?;
        Ok(stored)
    }

    fn reserve(self: &Arc<Self>, bytes: u64) -> Result<StoredProfile, DirectoryError> {
        let limit_bytes = self.limit_bytes;
        if bytes > limit_bytes {
            return Err(DirectoryError::TooLarge { bytes, limit_bytes });
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let used_bytes = state.used_bytes;
        if bytes > limit_bytes.saturating_sub(used_bytes) {
            return Err(DirectoryError::Full {
                used_bytes,
                limit_bytes,
            });
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

    fn free(&self, bytes: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).used_bytes -= bytes;
    }

    /// Bytes on disk.
    pub(super) fn used_bytes(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).used_bytes
    }
}

/// The names in a directory.
#[derive(Debug, Default)]
struct Listing {
    /// Numbers and sizes, in bytes.
    profiles: Vec<(u64, u64)>,
    last_number: u64,
    foreign: Vec<PathBuf>,
}

impl Listing {
    /// Removes what is half written, and decisions without their profile.
    fn read(directory: &Path) -> io::Result<Self> {
        let (mut listing, mut decisions) = (Self::default(), Vec::new());
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let (path, metadata) = (entry.path(), entry.metadata()?);
            let name = entry.file_name().into_string().unwrap_or_default();
            match Name::of(&name).filter(|_| metadata.is_file()) {
                Some(Name::Profile(number)) => listing.profiles.push((number, metadata.len())),
                Some(Name::Decision(number)) => decisions.push((number, path)),
                Some(Name::Temporary) => std::fs::remove_file(path)?,
                Some(Name::Lock) => {}
                None => listing.foreign.push(path),
            }
        }
        listing.profiles.sort_unstable();
        listing.foreign.sort_unstable();
        let numbers = listing.profiles.iter().map(|(number, _)| *number);
        listing.last_number = numbers.max().unwrap_or(0);
        for (number, path) in decisions {
            if listing
                .profiles
                .binary_search_by_key(&number, |(number, _)| *number)
                .is_err()
            {
                std::fs::remove_file(path)?;
            }
        }
        Ok(listing)
    }
}

/// What a file of ours is by its name.
enum Name {
    Profile(u64),
    Decision(u64),
    Temporary,
    Lock,
}

impl Name {
    fn of(name: &str) -> Option<Self> {
        if name == LOCK {
            return Some(Self::Lock);
        }
        let half_written = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
        let (stem, extension) = half_written.unwrap_or(name).split_once('.')?;
        let is_number = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
        // So that the next one fits, too.
        let number = stem.parse().ok().filter(|number| is_number && *number < u64::MAX - 1)?;
        match (extension, half_written) {
            (PROFILE | DECISION, Some(_)) => Some(Self::Temporary),
            (PROFILE, None) => Some(Self::Profile(number)),
            (DECISION, None) => Some(Self::Decision(number)),
            _ => None,
        }
    }
}

/// The directory, durable with those above it that were missing, and its lock as an open file.
fn create_and_lock(path: &Path) -> Result<(PathBuf, File), DirectoryError> {
    let missing: Vec<PathBuf> = (path.ancestors().take_while(|ancestor| !ancestor.exists()))
        .map(Path::to_owned)
        .collect();
    if let Some(parent) = path.parent().filter(|_| !missing.is_empty()) {
        std::fs::create_dir_all(parent).map_err(io_error(parent))?;
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path).map_err(io_error(path))?;
    }
    let path = path.canonicalize().map_err(io_error(path))?;
    for parent in path.ancestors().skip(1).take(missing.len()) {
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

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Io { path, source }
}

#[cfg(test)]
mod tests;

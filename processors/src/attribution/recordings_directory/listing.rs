//! What the directory holds, by the names of its files.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{ASIDE, AT_WORK, DECISION, LOCK, PROFILE};

/// The names in a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Numbers and sizes, in bytes.
    pub(super) profiles: Vec<(u64, u64)>,
    /// The same of those that are set aside.
    pub(super) aside: Vec<(u64, u64)>,
    pub(super) foreign: Vec<PathBuf>,
}

impl Listing {
    /// Removes what is half written, and decisions without their profile.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let (mut listing, mut decisions) = (Self::default(), Vec::new());
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let (path, metadata) = (entry.path(), entry.metadata()?);
            let name = entry.file_name().into_string().unwrap_or_default();
            match Name::of(&name).filter(|_| metadata.is_file()) {
                Some(Name::Profile(number)) => listing.profiles.push((number, metadata.len())),
                Some(Name::Aside(number)) => listing.aside.push((number, metadata.len())),
                Some(Name::Decision(number)) => decisions.push((number, path)),
                Some(Name::Temporary) => std::fs::remove_file(path)?,
                Some(Name::OfDirectory) => {}
                None => listing.foreign.push(path),
            }
        }
        listing.profiles.sort_unstable();
        listing.aside.sort_unstable();
        listing.foreign.sort_unstable();
        let profiles: BTreeSet<u64> = listing.files().map(|(number, _)| *number).collect();
        for (number, path) in decisions {
            if !profiles.contains(&number) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(listing)
    }

    fn files(&self) -> impl Iterator<Item = &(u64, u64)> {
        self.profiles.iter().chain(&self.aside)
    }

    /// Bytes of all files that count.
    pub(super) fn used_bytes(&self) -> u64 {
        self.files().map(|(_, bytes)| bytes).sum()
    }

    /// The highest number; 0 if there is none.
    pub(super) fn last_number(&self) -> u64 {
        self.files().map(|(number, _)| *number).max().unwrap_or(0)
    }
}

/// What a file of ours is by its name.
enum Name {
    Profile(u64),
    Aside(u64),
    Decision(u64),
    Temporary,
    OfDirectory,
}

impl Name {
    fn of(name: &str) -> Option<Self> {
        if [LOCK, AT_WORK].contains(&name) {
            return Some(Self::OfDirectory);
        }
        let half_written = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
        let (stem, extension) = half_written.unwrap_or(name).split_once('.')?;
        let is_number = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
        // So that the next one fits, too.
        let number = stem.parse().ok().filter(|number| is_number && *number < u64::MAX - 1)?;
        match (extension, half_written) {
            (PROFILE | DECISION, Some(_)) => Some(Self::Temporary),
            (PROFILE, None) => Some(Self::Profile(number)),
            (ASIDE, None) => Some(Self::Aside(number)),
            (DECISION, None) => Some(Self::Decision(number)),
            _ => None,
        }
    }
}

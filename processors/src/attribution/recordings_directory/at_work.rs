//! What the process died of: which profiles it was working on then.
//!
//! ```text
//! .at-work   3 4       the process died while it worked on the profiles 3 and 4,
//!            4         then while it worked on 4;
//!            5 6       it works on 5 and 6, or died of that
//! ```
//!
//! A line is added before work on profiles and taken away after it. So it is there after work only if the process was
//! killed, such as for want of memory, or has aborted. Nothing is synced, which keeps this cheap: what a process wrote
//! outlives it, and a machine that loses its power does not do so because of a profile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use super::StoredProfile;

/// A profile is not worked on any more after so many deaths. One may have had other reasons.
const DEATHS_MAX: u32 = 2;

/// The file, open.
#[derive(Debug)]
pub(super) struct Journal {
    /// Written at its end only.
    file: File,
    /// Length of the lines of earlier runs.
    earlier_bytes: u64,
    /// Whether writing has failed, and the log says so.
    is_failing: bool,
}

/// Work on profiles, which lasts until this is dropped.
#[must_use = "the work is over when it is dropped"]
pub(in crate::attribution) struct AtWork<'a>(MutexGuard<'a, Journal>);

impl Journal {
    /// Opens the file or makes it, and keeps of it what is about `profiles`. Returns those among them of which the process
    /// has died [`DEATHS_MAX`] times: they are no longer in the file.
    pub(super) fn open(path: &Path, profiles: &BTreeSet<u64>) -> io::Result<(Self, BTreeSet<u64>)> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut deaths: Vec<BTreeSet<u64>> = (text.split_inclusive('\n'))
            .filter_map(|line| line.strip_suffix('\n'))
            .map(|line| line.split(' ').filter_map(|number| number.parse().ok()).collect())
            .collect();
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for number in deaths.iter().flatten().filter(|number| profiles.contains(number)) {
            *counts.entry(*number).or_default() += 1;
        }
        let fatal: BTreeSet<u64> = (counts.iter())
            .filter(|(_, count)| **count >= DEATHS_MAX)
            .map(|(number, _)| *number)
            .collect();
        for death in &mut deaths {
            death.retain(|number| profiles.contains(number) && !fatal.contains(number));
        }
        let earlier: String = deaths.iter().filter(|death| !death.is_empty()).map(line).collect();
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(0)?;
        file.write_all(earlier.as_bytes())?;
        let journal = Self {
            file,
            earlier_bytes: earlier.len() as u64,
            is_failing: false,
        };
        Ok((journal, fatal))
    }

    fn begin(&mut self, profiles: &BTreeSet<u64>) {
        let written = self.file.write_all(line(profiles).as_bytes());
        self.check(written);
    }

    fn end(&mut self) {
        let shortened = self.file.set_len(self.earlier_bytes);
        self.check(shortened);
    }

    /// The work goes on without protection. One message is enough.
    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.is_failing, true)
        {
            tracing::warn!("`.at-work` in recordings_directory cannot be written, check the disk: {error}");
        }
    }
}

impl<'a> AtWork<'a> {
    /// Work on these profiles begins, which are of one directory. Waits for other such work. `None` if there are none.
    pub(in crate::attribution) fn begin(profiles: impl Iterator<Item = &'a StoredProfile>) -> Option<Self> {
        let profiles: Vec<&StoredProfile> = profiles.collect();
        let directory = &profiles.first()?.directory;
        let mut journal = directory.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.begin(&profiles.iter().map(|profile| profile.number).collect());
        Some(Self(journal))
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn line(profiles: &BTreeSet<u64>) -> String {
    let numbers: Vec<String> = profiles.iter().map(u64::to_string).collect();
    numbers.join(" ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_there_at_two_deaths_is_to_blame_and_work_that_ended_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let text = || std::fs::read_to_string(&path).unwrap();
        let there = BTreeSet::from([1, 2, 3, 4]);
        let open = || Journal::open(&path, &there).unwrap();

        let (mut journal, fatal) = open();
        assert!(fatal.is_empty());
        journal.begin(&BTreeSet::from([1]));
        journal.end();
        journal.begin(&BTreeSet::from([2, 3, 99]));
        let (mut journal, fatal) = open();
        assert!(fatal.is_empty(), "one death may have another reason");
        assert_eq!(text(), "2 3\n", "99 is not there");
        journal.begin(&BTreeSet::from([4]));
        journal.end();
        assert_eq!(text(), "2 3\n");
        journal.begin(&BTreeSet::from([1, 3]));
        let (_journal, fatal) = open();
        assert_eq!(fatal, BTreeSet::from([3]));
        assert_eq!(text(), "2\n1\n");
    }

    #[test]
    fn what_is_no_line_of_ours_accuses_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        std::fs::write(&path, b"\xff x 1\n\n-2 1 1\n2\n2").unwrap();
        let (_journal, fatal) = Journal::open(&path, &BTreeSet::from([1, 2])).unwrap();
        assert_eq!(fatal, BTreeSet::from([1]), "the last line is cut off");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    }
}

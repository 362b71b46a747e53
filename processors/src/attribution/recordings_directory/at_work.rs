//! What the process died of: which profiles it was working on then.
//!
//! ```text
//! .at-work   3 4       the process died while it worked on the profiles 3 and 4,
//!            4         then while it worked on 4;
//!            5 6       it works on 5 and 6, or died of that
//! ```
//!
//! A line is added before work on profiles and taken away after it, or when the process ends in order and cuts the work
//! short. So it is there after the process only if that was killed, such as for want of memory, or has aborted. Nothing is
//! synced, which keeps this cheap: what a process wrote outlives it, and a machine that loses its power does not do so
//! because of a profile.
//!
//! A profile is acquitted of earlier deaths when a run that worked on it ends in order. Not sooner: what is deadly to join is
//! decoded well at every start, and joined well with other spans.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoredProfile;

/// A profile is not worked on any more after so many deaths. One may have had other reasons.
const DEATHS_MAX: u32 = 2;

/// The file, open.
#[derive(Debug)]
pub(super) struct Journal {
    /// Written at its end only.
    file: File,
    /// Which profiles were worked on when earlier runs died: the lines that the file begins with.
    deaths: Vec<BTreeSet<u64>>,
    /// Length of those lines.
    earlier_bytes: u64,
    /// Profiles among them on which work has ended in this run.
    survived: BTreeSet<u64>,
    /// Whether the process ends, so that work is no longer noted.
    is_closed: bool,
    /// Whether writing has failed, and the log says so.
    is_failing: bool,
}

/// Work on profiles, which lasts until this is dropped.
#[must_use = "the work is over when it is dropped"]
pub(in crate::attribution) struct AtWork<'a> {
    journal: &'a Mutex<Journal>,
    profiles: BTreeSet<u64>,
    _turn: MutexGuard<'a, ()>,
}

impl Journal {
    /// Opens the file or makes it. Of what it says only that about `profiles` counts. It changes with [`Self::forget`], which
    /// comes before any work.
    pub(super) fn open(path: &Path, profiles: &BTreeSet<u64>) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let numbers = |line: &str| -> BTreeSet<u64> {
            let numbers = line.split(' ').filter_map(|number| number.parse().ok());
            numbers.filter(|number| profiles.contains(number)).collect()
        };
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Ok(Self {
            deaths: lines.map(numbers).collect(),
            file: OpenOptions::new().create(true).append(true).open(path)?,
            earlier_bytes: text.len() as u64,
            survived: BTreeSet::new(),
            is_closed: false,
            is_failing: false,
        })
    }

    /// The profiles of which the process has died [`DEATHS_MAX`] times.
    pub(super) fn fatal(&self) -> BTreeSet<u64> {
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for number in self.deaths.iter().flatten() {
            *counts.entry(*number).or_default() += 1;
        }
        let fatal = counts.into_iter().filter(|(_, count)| *count >= DEATHS_MAX);
        fatal.map(|(number, _)| number).collect()
    }

    /// Writes the file anew: what earlier runs died of, without these profiles.
    pub(super) fn forget(&mut self, profiles: &BTreeSet<u64>) -> io::Result<()> {
        for death in &mut self.deaths {
            death.retain(|number| !profiles.contains(number));
        }
        self.deaths.retain(|death| !death.is_empty());
        let earlier: String = self.deaths.iter().map(line).collect();
        self.file.set_len(0)?;
        self.file.write_all(earlier.as_bytes())?;
        self.earlier_bytes = earlier.len() as u64;
        Ok(())
    }

    /// Takes note that the process ends in order: what it is working on is not to blame, and what it has worked on is
    /// acquitted.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        let survived = std::mem::take(&mut self.survived);
        let written = self.forget(&survived);
        self.check(written);
    }

    fn begin(&mut self, profiles: &BTreeSet<u64>) {
        if self.is_closed {
            return;
        }
        let written = self.file.write_all(line(profiles).as_bytes());
        self.check(written);
    }

    fn end(&mut self, profiles: &BTreeSet<u64>) {
        let accused = self.deaths.iter().flatten().filter(|number| profiles.contains(number));
        self.survived.extend(accused);
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
        // Not the lock of the journal, which the end of the process needs at once.
        let turn = directory.work_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let profiles = profiles.iter().map(|profile| profile.number).collect();
        lock(&directory.journal).begin(&profiles);
        Some(Self {
            journal: &directory.journal,
            profiles,
            _turn: turn,
        })
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        lock(self.journal).end(&self.profiles);
    }
}

/// The journal, for a moment.
pub(super) fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(profiles: &BTreeSet<u64>) -> String {
    let numbers: Vec<String> = profiles.iter().map(u64::to_string).collect();
    numbers.join(" ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal as a start opens it, and who is to blame.
    fn open(path: &Path, there: &BTreeSet<u64>) -> (Journal, BTreeSet<u64>) {
        let mut journal = Journal::open(path, there).unwrap();
        let fatal = journal.fatal();
        journal.forget(&fatal).unwrap();
        (journal, fatal)
    }

    #[test]
    fn who_was_there_at_two_deaths_is_to_blame_and_work_that_ended_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let text = || std::fs::read_to_string(&path).unwrap();
        let open = || open(&path, &BTreeSet::from([1, 2, 3, 4]));

        let (mut journal, fatal) = open();
        assert!(fatal.is_empty());
        journal.begin(&BTreeSet::from([1]));
        journal.end(&BTreeSet::from([1]));
        journal.begin(&BTreeSet::from([2, 3, 99]));
        let (mut journal, fatal) = open();
        assert!(fatal.is_empty(), "one death may have another reason");
        assert_eq!(text(), "2 3\n", "99 is not there");
        journal.begin(&BTreeSet::from([4]));
        journal.end(&BTreeSet::from([4]));
        assert_eq!(text(), "2 3\n");
        journal.begin(&BTreeSet::from([1, 3]));
        let (_journal, fatal) = open();
        assert_eq!(fatal, BTreeSet::from([3]));
        assert_eq!(text(), "2\n1\n");
    }

    #[test]
    fn an_end_in_order_blames_nobody_and_acquits_who_was_worked_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let text = || std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, "1 2 3\n").unwrap();
        let (mut journal, _) = open(&path, &BTreeSet::from([1, 2, 3]));
        journal.begin(&BTreeSet::from([1]));
        journal.end(&BTreeSet::from([1]));
        assert_eq!(text(), "1 2 3\n", "it may die of other work");
        journal.begin(&BTreeSet::from([2]));
        assert_eq!(text(), "1 2 3\n2\n");
        journal.close();
        assert_eq!(text(), "2 3\n", "what was cut short shows nothing");
        journal.end(&BTreeSet::from([2]));
        journal.begin(&BTreeSet::from([3]));
        assert_eq!(text(), "2 3\n");
    }

    #[test]
    fn what_is_no_line_of_ours_accuses_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        std::fs::write(&path, b"\xff x 1\n\n-2 1 1\n2\n2").unwrap();
        let (_journal, fatal) = open(&path, &BTreeSet::from([1, 2]));
        assert_eq!(fatal, BTreeSet::from([1]), "the last line is cut off");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    }
}

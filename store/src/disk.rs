//! Steps that make a file survive power loss: its bytes, its name, and the names of the directories above it.
//!
//! A file is complete or absent, also after power loss:
//!
//! ```text
//! write a temporary file -> fsync it -> rename or link it to its name -> fsync its directory and those above
//! ```
//!
//! All functions block; async code calls them through `spawn_blocking`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

/// Ending of temporary files. Their names begin with a dot, which table readers of the Hadoop family skip.
pub(crate) const TEMPORARY_EXTENSION: &str = "tmp";

/// What to do if the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfExists {
    /// Replace the file atomically.
    Replace,
    /// Fail with [`io::ErrorKind::AlreadyExists`].
    Fail,
}

/// The disk below one root directory.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    root: Arc<Path>,
    #[cfg(test)]
    pub(crate) journal: Arc<std::sync::Mutex<Vec<Step>>>,
}

/// A step that the tests replay to tell what would survive power loss.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    SyncFile(PathBuf),
    Name { from: PathBuf, to: PathBuf },
    SyncDir(PathBuf),
}

impl Disk {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.into(),
            #[cfg(test)]
            journal: Arc::default(),
        }
    }

    /// Creates a temporary file in `dir`, and `dir` itself if needed.
    pub(crate) fn create_temporary(&self, dir: &Path) -> io::Result<(PathBuf, File)> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!(".{}.{TEMPORARY_EXTENSION}", Uuid::new_v4()));
        let file = File::create_new(&path)?;
        Ok((path, file))
    }

    /// Gives the temporary file its final name. When this returns, bytes and name are durable.
    pub(crate) fn publish(&self, temporary: &Path, file: &File, to: &Path, if_exists: IfExists) -> io::Result<()> {
        let dir = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(dir)?;
        file.sync_all()?;
        #[cfg(test)]
        self.note(Step::SyncFile(temporary.to_owned()));
        match if_exists {
            IfExists::Replace => fs::rename(temporary, to)?,
            IfExists::Fail => {
                // Unlike rename, link fails if the name is taken.
                fs::hard_link(temporary, to)?;
                // The file has its name; the other one is swept when the store is next opened.
                let _ = fs::remove_file(temporary);
            }
        }
        #[cfg(test)]
        self.note(Step::Name {
            from: temporary.to_owned(),
            to: to.to_owned(),
        });
        self.sync_dirs(dir)
    }

    /// Makes the entries of `dir` and of the directories above it durable, up to the root. Those above are included
    /// because an earlier run may have created them and crashed before it could sync; a clean directory costs no write.
    fn sync_dirs(&self, dir: &Path) -> io::Result<()> {
        for dir in dir.ancestors().take_while(|dir| dir.starts_with(&self.root)) {
            File::open(dir)?.sync_all()?;
            #[cfg(test)]
            self.note(Step::SyncDir(dir.to_owned()));
        }
        Ok(())
    }

    #[cfg(test)]
    fn note(&self, step: Step) {
        self.journal.lock().unwrap().push(step);
    }
}

#[cfg(test)]
#[path = "../tests/rows/mod.rs"]
pub(crate) mod rows;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, TableChange};
    use spandrel_model::Table;

    /// Files below `dir`, recursively.
    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let found = entries.map(|path| if path.is_dir() { files(&path) } else { vec![path] });
        found.collect::<Vec<_>>().concat()
    }

    /// Whether a file that has this name survives power loss after these steps: its bytes were synced before it got
    /// the name, and every directory from its own up to the root after.
    fn survives(journal: &[Step], root: &Path, path: &Path) -> bool {
        let named = journal
            .iter()
            .rposition(|step| matches!(step, Step::Name { to, .. } if to == path));
        let Some((index, Step::Name { from, .. })) = named.map(|index| (index, &journal[index])) else {
            return false;
        };
        let dirs = path.ancestors().skip(1).take_while(|dir| dir.starts_with(root));
        journal[..index].contains(&Step::SyncFile(from.clone()))
            && dirs
                .into_iter()
                .all(|dir| journal[index..].contains(&Step::SyncDir(dir.to_owned())))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_file_of_a_commit_survives_power_loss() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let flush = [Table::Spans, Table::Attribution, Table::Matrix]
            .map(|table| TableChange::add(table, rows::rows(table, 10, 1_795_251_600_000_000_000, 600_000_000_000)));
        store.commit(flush.to_vec(), None).await.unwrap();

        let journal = store.disk().journal.lock().unwrap().clone();
        let mut files = files(store.dir());
        files.retain(|path| !path.ends_with(".lock"));
        let parquet = files
            .iter()
            .filter(|path| path.extension().unwrap() == "parquet")
            .count();
        let entries = files.iter().filter(|path| path.extension().unwrap() == "json").count();
        assert_eq!(
            (parquet, entries, files.len()),
            (6, 6, 12),
            "2 hours and 2 log entries a table: {files:#?}"
        );
        for path in files {
            assert!(survives(&journal, store.dir(), &path), "{}", path.display());
        }
    }

    #[test]
    fn a_taken_name_is_refused_and_its_file_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path());
        let name = dir.path().join("0.json");
        fs::write(&name, "first").unwrap();
        let (temporary, file) = disk.create_temporary(dir.path()).unwrap();
        let refused = disk.publish(&temporary, &file, &name, IfExists::Fail).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"first");
    }
}

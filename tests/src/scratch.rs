//! Directories that several tests of one process share.

use std::fs;
use std::path::{Path, PathBuf};

/// An empty directory below `parent` for this process. Nothing can delete it when the tests end, because tests share it
/// for as long as the process lives; so those of processes that have ended are deleted here.
///
/// # Panics
/// It cannot be created.
pub fn shared(parent: &Path, name: &str) -> PathBuf {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let owner = file_name
            .to_str()
            .and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
        if owner.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another process may be deleting it, too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let dir = parent.join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    dir
}

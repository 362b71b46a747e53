//! Removal of what a crash left: files that no log entry mentions.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use spandrel_model::PARTITION_COLUMNS;

use crate::delta_log::MentionedFiles;
use crate::disk::TEMPORARY_EXTENSION;
use crate::parquet_file::FILE_PREFIX;

/// Younger leftovers stay: a program that only copies or reads the directory may hold them.
pub(crate) const GRACE: Duration = Duration::from_secs(3600);

/// Removes files of this writer that `mentioned` lacks and that are older than [`GRACE`]. Blocks. Returns how many.
///
/// It goes only where the writer writes: the table, its log and its partitions. Files with other names stay.
pub(crate) fn sweep(table_dir: &Path, mentioned: &MentionedFiles) -> io::Result<usize> {
    let [dt, hr] = PARTITION_COLUMNS;
    let days = subdirectories(table_dir, dt)?;
    let mut dirs = vec![table_dir.to_owned(), table_dir.join("_delta_log")];
    for day in &days {
        dirs.extend(subdirectories(day, hr)?);
    }
    let is_mentioned = |path: &PathBuf| mentioned.active.contains(path) || mentioned.removed.contains_key(path);
    let mut removed = 0;
    for dir in dirs {
        for entry in entries(&dir)? {
            let path = entry.path();
            if is_ours(&path) && !is_mentioned(&path) && is_older_than_grace(&entry)? {
                fs::remove_file(&path)?;
                tracing::info!(path = %path.display(), "removed a file that the Delta log does not mention");
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn subdirectories(dir: &Path, partition_column: &str) -> io::Result<Vec<PathBuf>> {
    let prefix = format!("{partition_column}=");
    let is_partition = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with(&prefix)) && path.is_dir()
    };
    Ok(entries(dir)?.iter().map(DirEntry::path).filter(is_partition).collect())
}

/// Entries of a directory; none if it does not exist.
fn entries(dir: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    (name.starts_with('.') && extension == TEMPORARY_EXTENSION)
        || (name.starts_with(FILE_PREFIX) && extension == "parquet")
}

/// A file from the future, after the clock was set back, counts as young.
fn is_older_than_grace(entry: &DirEntry) -> io::Result<bool> {
    let modified = entry.metadata()?.modified()?;
    Ok(SystemTime::now().duration_since(modified).is_ok_and(|age| age > GRACE))
}

//! Removal of files that replacement has taken out of a table.
//!
//! Snapshots taken before may still be read, so a file stays for a [`GRACE`] after the entry that removed it.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::delta_log::MentionedFiles;

/// How long a removed file stays on the disk: far longer than a query may run, and short enough that the copies of one
/// hour's corrections bound what is kept twice.
pub(crate) const GRACE: Duration = Duration::from_secs(3600);
/// Time between two runs of a writer.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3600);
/// How long checkpoints of the log mention a removed file, so that a run between sees it. Without a limit each
/// checkpoint would list every file that was ever removed.
const MENTIONED_HOURS: u32 = 4;
const _: () = assert!(MENTIONED_HOURS as u64 * 3600 > GRACE.as_secs() + INTERVAL.as_secs());

/// Value of the table property that tells other programs the same.
pub(crate) fn retention_property() -> String {
    format!("interval {MENTIONED_HOURS} hours")
}

/// Removes the files that the log mentions as removed more than [`GRACE`] before `now`. Blocks. Returns how many.
///
/// A file that the table has again, after a restore of an older version, is not touched.
pub(crate) fn vacuum(files: &MentionedFiles, now: SystemTime) -> io::Result<usize> {
    let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let is_due = |removed_ms: i64| {
        let removed_ms = u128::try_from(removed_ms).unwrap_or(0);
        now_ms > removed_ms + GRACE.as_millis()
    };
    let mut count = 0;
    for (path, removed_ms) in &files.removed {
        if files.active.contains(path) || !is_due(*removed_ms) {
            continue;
        }
        match std::fs::remove_file(path) {
            Ok(()) => count += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_are_removed_for_long_and_not_in_the_table_go() {
        let dir = tempfile::tempdir().unwrap();
        let [young, old, restored, missing] = ["young", "old", "restored", "missing"].map(|name| dir.path().join(name));
        for path in [&young, &old, &restored] {
            std::fs::write(path, "rows").unwrap();
        }
        let now = UNIX_EPOCH + 3 * GRACE;
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap();
        let mut files = MentionedFiles::default();
        files.active.insert(restored.clone());
        files.removed.insert(young.clone(), ms(2 * GRACE));
        for path in [&old, &restored, &missing] {
            files.removed.insert(path.clone(), ms(2 * GRACE) - 1);
        }
        assert_eq!(vacuum(&files, now).unwrap(), 1);
        assert_eq!([&young, &old, &restored].map(|path| path.exists()), [true, false, true]);
    }
}

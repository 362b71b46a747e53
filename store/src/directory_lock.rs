//! The directory of a store, and the lock that makes its writer the only one.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::StoreError;

const LOCK_FILE: &str = ".lock";

/// Creates the directory durably. Returns its absolute path, and the lock as an open file.
pub(crate) fn create_and_lock(dir: &Path) -> Result<(PathBuf, File), StoreError> {
    let io_error = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io {
            operation,
            path,
            source,
        }
    };
    let missing = dir.ancestors().filter(|ancestor| !ancestor.exists()).count();
    std::fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let dir = dir.canonicalize().map_err(io_error("open", dir))?;
    for parent in dir.ancestors().skip(1).take(missing) {
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(io_error("sync", parent))?;
    }
    let path = dir.join(LOCK_FILE);
    let lock = File::create(&path).map_err(io_error("create", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok((dir, lock)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { dir }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

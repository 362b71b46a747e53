//! Durable tables: sorted Parquet files committed to Delta logs, one Delta table per [`spandrel_model::Table`].
//!
//! [`Store`] is the one writer of a directory: [`Store::commit`] writes the rows of a flush, takes out those that they
//! replace, and returns when that is on the disk. [`StoreReader`] reads the logs, in any process and without a lock, and yields a [`Snapshot`]: the files
//! that hold the rows committed so far. What is in a directory, and what is durable when: `docs/storage.md`.
//!
//! ```text
//! <dir>/.lock                                     held by the writer
//!       spans/_delta_log/00000000000000000000.json   one entry per commit
//!       spans/dt=2026-11-21/hr=09/part-<uuid>.parquet  rows of that UTC hour
//!       spans/.<uuid>.tmp                         a file being written, or left by a crash
//! ```
//!
//! Not here: acknowledgment, a write-ahead log, compaction, queries (`spandrel-query` does those). A component that starts
//! again asks [`Snapshot::read_files`] for the latest rows.

mod change;
mod delta_log;
mod directory_lock;
mod disk;
mod durable_object_store;
mod encoding;
mod error;
mod file_times;
mod keys;
mod log_entry;
mod parquet_file;
mod partition;
mod reader;
mod recent;
mod rewrite;
mod statistics;
mod stored_file;
mod sweep;
mod vacuum;
mod watched_file;
mod writer;

pub use change::TableChange;
pub use error::StoreError;
pub use reader::{DataFile, Snapshot, StoreReader, TableSnapshot};
pub use writer::{CommitKey, Committed, Store};

//! What replacement of rows costs, printed, not judged: `make bench-replacement`.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be set up fails")]

#[path = "../tests/rows/mod.rs"]
mod rows;

use std::ops::Range;
use std::time::Instant;

use rows::rows;
use spandrel_model::Table;
use spandrel_store::{Store, TableChange};

/// 2026-11-21 09:00 UTC.
const NINE: i64 = 1_795_251_600_000_000_000;
/// As many rows as a flush of two thousand spans brings.
const ROWS_PER_FILE: usize = 20_000;
const FLUSH_NS: i64 = 5_000_000_000;
const STEP_NS: i64 = FLUSH_NS / ROWS_PER_FILE as i64;
const CORRECTIONS: usize = 100;

/// A flush of `attribution` every five seconds.
async fn fill(store: &Store, files: Range<i64>) {
    for file in files {
        let flush = rows(Table::Attribution, ROWS_PER_FILE, NINE + file * FLUSH_NS, STEP_NS);
        let change = TableChange::add(Table::Attribution, flush);
        store.commit(vec![change], None).await.unwrap();
    }
}

/// Corrections of rows evenly spread over some files. No two rounds correct the same rows.
async fn correct(store: &Store, round: i64, files: Range<i64>, what: &str) {
    let count = files.end - files.start;
    let step_ns = count * FLUSH_NS / CORRECTIONS as i64 / STEP_NS * STEP_NS;
    let corrected = rows(
        Table::Attribution,
        CORRECTIONS,
        NINE + files.start * FLUSH_NS + round * STEP_NS,
        step_ns,
    );
    let time = corrected.schema().index_of("start_ns").unwrap();
    let change = TableChange {
        replaces: Some(corrected.project(&[time]).unwrap()),
        ..TableChange::add(Table::Attribution, corrected)
    };
    let begun = Instant::now();
    let committed = store.commit(vec![change], None).await.unwrap();
    println!("{what}: {:?}, {committed:?}", begun.elapsed());
    assert_eq!(committed.replaced_rows, CORRECTIONS as u64);
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    fill(&store, 0..12).await;
    let begun = Instant::now();
    fill(&store, 12..13).await;
    println!("a flush without corrections: {:?}", begun.elapsed());
    correct(&store, 0, 0..12, "12 files, all hit, first time").await;
    correct(&store, 1, 0..12, "12 files, all hit, again").await;
    correct(&store, 2, 0..1, "12 files, one hit").await;
    drop(store);

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    fill(&store, 0..720).await;
    drop(store);
    let begun = Instant::now();
    let store = Store::open(dir.path()).await.unwrap();
    println!("open: {:?}", begun.elapsed());
    correct(&store, 0, 708..720, "720 files, the last 12 hit, after a restart").await;
    correct(&store, 1, 708..720, "720 files, the last 12 hit, again").await;
    correct(&store, 2, 0..720, "720 files, 100 hit").await;
}

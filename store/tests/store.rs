//! What a caller of the store can rely on.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod rows;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rows::rows;
use spandrel_model::{Table, UnixNanos};
use spandrel_store::{CommitKey, Snapshot, Store, StoreError, StoreReader, TableChange};

/// 2026-11-21 09:00 UTC.
const NINE: i64 = 1_795_251_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

fn key(version: i64) -> Option<CommitKey> {
    Some(CommitKey {
        app_id: "test".to_owned(),
        version,
    })
}

fn row_count(snapshot: &Snapshot, table: Table) -> u64 {
    let files = &snapshot.table(table).files;
    files.iter().map(|file| file.rows.unwrap()).sum()
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

fn int64s(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let column = batch.column_by_name(column).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_sees_the_commits_before_it_and_never_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    let empty = reader.snapshot().await.unwrap();

    let first = store
        .commit(
            vec![TableChange::add(Table::Logs, rows(Table::Logs, 10, NINE, SECOND))],
            None,
        )
        .await
        .unwrap();
    let one = reader.snapshot().await.unwrap();
    store
        .commit(
            vec![TableChange::add(Table::Logs, rows(Table::Logs, 5, NINE, SECOND))],
            None,
        )
        .await
        .unwrap();
    let two = reader.snapshot().await.unwrap();

    assert_eq!((first.rows, first.files), (10, 1));
    assert_eq!(empty.table(Table::Logs).version, None);
    assert_eq!(
        [&empty, &one, &two].map(|snapshot| row_count(snapshot, Table::Logs)),
        [0, 10, 15]
    );
    assert!(two.table(Table::Spans).files.is_empty(), "no commit had spans");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_rows_of_any_table_can_be_had_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.reader().snapshot().await.unwrap().last_commit(), None);
    for table in Table::ALL {
        for start in [NINE - HOUR, NINE] {
            let change = TableChange::add(table, rows(table, 10, start, SECOND));
            store.commit(vec![change], None).await.unwrap();
        }
    }
    let snapshot = store.reader().snapshot().await.unwrap();
    let last_commit = snapshot.last_commit().unwrap();
    for table in Table::ALL {
        let time = table.time_column();
        let mut commits = Vec::new();
        let mut times_of = |is_wanted: fn(UnixNanos, Option<(UnixNanos, UnixNanos)>) -> bool| {
            let mut times = Vec::new();
            let read = snapshot.read_files(table, &[time], is_wanted, |at, batch| {
                assert_eq!(batch.num_columns(), 1, "{}", table.name());
                commits.push(at);
                times.extend(int64s(batch, time));
                Ok::<_, StoreError>(ControlFlow::Continue(()))
            });
            read.unwrap();
            times.sort_unstable();
            times
        };
        assert_eq!(times_of(|_, _| true).len(), 20, "{}", table.name());
        let late = times_of(|_, range| range.is_some_and(|(first, _)| first.0 >= NINE));
        let expected: Vec<i64> = (0..10).map(|second| NINE + second * SECOND).collect();
        assert_eq!(late, expected, "{}", table.name());
        assert_eq!(times_of(|_, _| false), [0; 0], "{}", table.name());
        assert!(commits.iter().all(|at| *at <= last_commit), "{}", table.name());
        assert!(commits[0] >= commits[1], "what was committed last comes first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_split_by_utc_hour_and_described() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("a directory/with a space")).await.unwrap();
    let batch = rows(Table::RuntimeEvents, 4, NINE + HOUR - 2 * SECOND, SECOND);
    store
        .commit(vec![TableChange::add(Table::RuntimeEvents, batch)], None)
        .await
        .unwrap();

    let snapshot = store.reader().snapshot().await.unwrap();
    let mut files = snapshot.table(Table::RuntimeEvents).files.clone();
    files.sort_by(|a, b| a.hr.cmp(&b.hr));
    let described = files.iter().map(|file| {
        assert_eq!(fs::metadata(&file.path).unwrap().len(), file.size_bytes);
        assert!(
            file.path
                .parent()
                .unwrap()
                .ends_with(format!("dt={}/hr={}", file.dt, file.hr))
        );
        (file.dt.as_str(), file.hr.as_str(), file.rows, file.time_ns)
    });
    let ten = NINE + HOUR;
    assert_eq!(
        described.collect::<Vec<_>>(),
        [
            ("2026-11-21", "09", Some(2), Some((ten - 2 * SECOND, ten - SECOND))),
            ("2026-11-21", "10", Some(2), Some((ten, ten + SECOND))),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_sorted_by_minute_then_trace_then_start_across_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let batches = [NINE + 30 * SECOND, NINE].map(|start_ns| rows(Table::Spans, 100, start_ns, SECOND));
    let changes = batches.map(|batch| TableChange::add(Table::Spans, batch));
    store.commit(changes.to_vec(), None).await.unwrap();

    let snapshot = store.reader().snapshot().await.unwrap();
    let batches = read(&snapshot.table(Table::Spans).files[0].path);
    let mut keys = Vec::new();
    for batch in &batches {
        let traces = batch.column_by_name("trace_id").unwrap().as_fixed_size_binary();
        let starts = int64s(batch, "start_ns");
        keys.extend(starts.iter().enumerate().map(|(row, start)| {
            let minute = start / (60 * SECOND);
            (minute, traces.value(row).to_vec(), *start)
        }));
    }
    assert_eq!(keys.len(), 200);
    assert!(keys.is_sorted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_adds_no_rows_and_completes_missing_tables() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let logs = TableChange::add(Table::Logs, rows(Table::Logs, 10, NINE, SECOND));
    let spans = TableChange::add(Table::Spans, rows(Table::Spans, 20, NINE, SECOND));

    store.commit(vec![logs.clone()], key(7)).await.unwrap();
    let again = store.commit(vec![logs.clone(), spans], key(7)).await.unwrap();
    assert_eq!(again.rows, 20, "logs were there, spans were not");
    drop(store);

    let store = Store::open(dir.path()).await.unwrap();
    let older = store.commit(vec![logs.clone()], key(6)).await.unwrap();
    let newer = store.commit(vec![logs], key(8)).await.unwrap();
    assert_eq!((older.rows, newer.rows), (0, 10));
    let snapshot = store.reader().snapshot().await.unwrap();
    assert_eq!(row_count(&snapshot, Table::Logs), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_second_writer_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path()).await.unwrap();
    let refused = Store::open(dir.path()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("in use by another writer"), "{refused}");
    drop(first);
    Store::open(dir.path()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_rows_of_another_schema_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let good = TableChange::add(Table::Logs, rows(Table::Logs, 1, NINE, SECOND));
    let bad = TableChange::add(Table::Spans, rows(Table::Logs, 1, NINE, SECOND));
    let refused = store.commit(vec![good, bad], None).await.unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::Rows {
                table: Table::Spans,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(
        store.reader().snapshot().await.unwrap().table(Table::Logs).version,
        None
    );
}

/// A file as a crash before the commit leaves it, that old.
fn leave(path: PathBuf, age: Duration) -> PathBuf {
    fs::write(&path, "PAR1").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_invisible_and_swept_when_old() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store
        .commit(
            vec![TableChange::add(Table::Logs, rows(Table::Logs, 10, NINE, SECOND))],
            None,
        )
        .await
        .unwrap();
    let committed = store.reader().snapshot().await.unwrap().table(Table::Logs).files[0]
        .path
        .clone();
    drop(store);
    let (old, young) = (Duration::from_secs(2 * 3600), Duration::from_secs(60));
    let (table, partition) = (dir.path().join("logs"), committed.parent().unwrap());
    fs::File::options()
        .write(true)
        .open(&committed)
        .unwrap()
        .set_modified(SystemTime::now() - old)
        .unwrap();
    let gone = [
        leave(table.join(".crashed.tmp"), old),
        leave(table.join("_delta_log/.crashed.tmp"), old),
        leave(partition.join("part-crashed.parquet"), old),
    ];
    let kept = [
        leave(table.join(".writing.tmp"), young),
        leave(partition.join("part-young.parquet"), young),
        leave(partition.join("notes.txt"), old),
        committed,
    ];

    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(row_count(&store.reader().snapshot().await.unwrap(), Table::Logs), 10);
    assert!(gone.iter().all(|path| !path.exists()));
    assert!(kept.iter().all(|path| path.exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_keys_work_past_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let early = store.reader();
    for version in 0..105 {
        let batch = rows(Table::Stacks, 1, NINE + version, 1);
        store
            .commit(vec![TableChange::add(Table::Stacks, batch)], key(version))
            .await
            .unwrap();
        if version == 50 {
            early.snapshot().await.unwrap();
        }
    }
    let log = dir.path().join("stacks/_delta_log");
    assert!(log.join("00000000000000000099.checkpoint.parquet").exists());

    let fresh = StoreReader::open(dir.path()).unwrap();
    for reader in [early, fresh] {
        let snapshot = reader.snapshot().await.unwrap();
        let mut times = snapshot
            .table(Table::Stacks)
            .files
            .iter()
            .map(|file| file.time_ns)
            .collect::<Vec<_>>();
        times.sort_unstable();
        let expected = (0..105).map(|version| Some((NINE + version, NINE + version)));
        assert_eq!(times, expected.collect::<Vec<_>>());
    }
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    let batch = rows(Table::Stacks, 1, NINE, 1);
    let repeated = store
        .commit(vec![TableChange::add(Table::Stacks, batch)], key(40))
        .await
        .unwrap();
    assert_eq!(repeated.rows, 0);
}

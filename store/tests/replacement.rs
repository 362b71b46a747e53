//! Rows that replace earlier ones: what readers see, and what stays on the disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod rows;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use rows::rows;
use spandrel_model::Table;
use spandrel_store::{CommitKey, Committed, Snapshot, Store, StoreError, StoreReader, TableChange};

/// 2026-11-21 09:00 UTC.
const NINE: i64 = 1_795_251_600_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// What the tests tell rows of `attribution` by. `trace` and `start` are the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    trace: u8,
    /// Nanoseconds after nine.
    start: i64,
    ns: i64,
}

const fn row(trace: u8, start: i64, ns: i64) -> Row {
    Row { trace, start, ns }
}

fn trace_ids(rows: &[Row]) -> ArrayRef {
    let ids = rows.iter().map(|row| Some([row.trace; 16]));
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 16).unwrap())
}

fn starts(rows: &[Row]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| NINE + row.start)))
}

/// Rows of `attribution`, all other columns filled.
fn attribution(of: &[Row]) -> RecordBatch {
    let filled = rows(Table::Attribution, of.len(), NINE, 1);
    let columns = filled
        .schema()
        .fields()
        .iter()
        .zip(filled.columns())
        .map(|(field, column)| -> ArrayRef {
            match field.name().as_str() {
                "trace_id" => trace_ids(of),
                "start_ns" => starts(of),
                "ns" => Arc::new(Int64Array::from_iter_values(of.iter().map(|row| row.ns))),
                _ => column.clone(),
            }
        })
        .collect();
    RecordBatch::try_new(filled.schema(), columns).unwrap()
}

/// Keys with the columns `start_ns` and `trace_id`, in an order that is not the table's.
fn keys(of: &[Row]) -> RecordBatch {
    let schema = Table::Attribution.schema();
    let fields = ["start_ns", "trace_id"].map(|name| schema.field_with_name(name).unwrap().clone());
    let schema = arrow::datatypes::Schema::new(fields.to_vec());
    RecordBatch::try_new(Arc::new(schema), vec![starts(of), trace_ids(of)]).unwrap()
}

fn add(rows: &[Row]) -> TableChange {
    TableChange::add(Table::Attribution, attribution(rows))
}

fn replace(replaced: &[Row], rows: &[Row]) -> TableChange {
    TableChange {
        replaces: Some(keys(replaced)),
        ..add(rows)
    }
}

fn key(version: i64) -> Option<CommitKey> {
    Some(CommitKey {
        app_id: "test".to_owned(),
        version,
    })
}

async fn commit(store: &Store, change: TableChange) -> Committed {
    store.commit(vec![change], None).await.unwrap()
}

fn files(snapshot: &Snapshot) -> Vec<PathBuf> {
    let files = &snapshot.table(Table::Attribution).files;
    files.iter().map(|file| file.path.clone()).collect()
}

/// The rows of a snapshot, sorted. The log's count of rows and range of times must be those of the file.
fn rows_of(snapshot: &Snapshot) -> Vec<Row> {
    let mut found = Vec::new();
    for file in &snapshot.table(Table::Attribution).files {
        let of_file = rows_of_file(&file.path);
        let times = of_file.iter().map(|row| NINE + row.start);
        assert_eq!(file.rows, Some(of_file.len() as u64));
        assert_eq!(file.time_ns, Some((times.clone().min().unwrap(), times.max().unwrap())));
        found.extend(of_file);
    }
    found.sort_unstable();
    found
}

fn rows_of_file(path: &Path) -> Vec<Row> {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut found = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        assert_eq!(batch.schema().fields(), Table::Attribution.schema().fields());
        let int64s = |name: &str| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        };
        let traces = batch.column_by_name("trace_id").unwrap().as_fixed_size_binary();
        let values = traces.iter().zip(int64s("start_ns")).zip(int64s("ns"));
        found.extend(values.map(|((trace, start), ns)| row(trace.unwrap()[0], start - NINE, ns)));
    }
    found
}

async fn current(store: &Store) -> Vec<Row> {
    rows_of(&store.reader().snapshot().await.unwrap())
}

async fn open(dir: &Path) -> Store {
    Store::open(dir).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_rows_go_from_all_files_and_hours_and_other_files_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    commit(
        &store,
        add(&[row(1, 0, 10), row(2, 0, 20), row(1, HOUR, 30), row(2, HOUR, 40)]),
    )
    .await;
    commit(&store, add(&[row(1, 0, 11), row(1, 0, 12), row(3, 5, 50)])).await;
    commit(&store, add(&[row(4, 5, 60), row(1, 2 * HOUR, 70)])).await;
    let before = files(&store.reader().snapshot().await.unwrap());

    let nothing = row(9, HOUR, 0);
    let committed = commit(
        &store,
        replace(&[row(1, 0, 0), row(2, HOUR, 0), nothing], &[row(1, 0, 13)]),
    )
    .await;
    let after = store.reader().snapshot().await.unwrap();
    assert_eq!(
        rows_of(&after),
        [
            row(1, 0, 13),
            row(1, HOUR, 30),
            row(1, 2 * HOUR, 70),
            row(2, 0, 20),
            row(3, 5, 50),
            row(4, 5, 60)
        ]
    );
    assert_eq!((committed.rows, committed.files), (1, 1));
    assert_eq!((committed.replaced_rows, committed.rewritten_files), (4, 3));
    assert!(committed.rewritten_bytes > 0);
    let kept = files(&after).into_iter().filter(|file| before.contains(file)).count();
    assert_eq!(kept, 2, "those with the row at hour two and with trace 4");
    assert!(
        before.iter().all(|file| file.exists()),
        "for readers of older snapshots"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replacements_of_a_key_the_later_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    commit(&store, add(&[row(1, 0, 10), row(2, 0, 20)])).await;
    for ns in [11, 12] {
        commit(&store, replace(&[row(1, 0, 0)], &[row(1, 0, ns)])).await;
        assert_eq!(current(&store).await, [row(1, 0, ns), row(2, 0, 20)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_remove_earlier_rows_of_the_same_commit_and_not_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let changes = vec![
        add(&[row(1, 0, 10), row(2, 0, 20)]),
        replace(&[row(1, 0, 0)], &[row(1, 0, 11), row(1, 0, 12)]),
        add(&[row(2, 0, 21)]),
        replace(&[row(2, 0, 0), row(3, 0, 0)], &[]),
        add(&[row(2, 0, 22), row(3, 0, 30)]),
    ];
    let committed = store.commit(changes, None).await.unwrap();
    let expected = [row(1, 0, 11), row(1, 0, 12), row(2, 0, 22), row(3, 0, 30)];
    assert_eq!(current(&store).await, expected);
    assert_eq!(
        (committed.rows, committed.replaced_rows, committed.rewritten_files),
        (4, 3, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_rows_left_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    commit(&store, add(&[row(1, 0, 10), row(2, 0, 20)])).await;
    let committed = commit(&store, replace(&[row(1, 0, 0), row(2, 0, 0)], &[])).await;
    assert_eq!((committed.replaced_rows, committed.rewritten_files), (2, 1));
    assert_eq!((committed.rewritten_bytes, committed.rows), (0, 0));
    assert!(files(&store.reader().snapshot().await.unwrap()).is_empty());
    commit(&store, add(&[row(1, 0, 11)])).await;
    assert_eq!(current(&store).await, [row(1, 0, 11)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_one_commit_are_replaced_each_by_its_own_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let tables = [Table::TaskSpans, Table::Attribution, Table::SpanQuality];
    let all = tables.map(|table| TableChange::add(table, rows(table, 10, NINE, 1)));
    store.commit(all.to_vec(), None).await.unwrap();
    let changes = tables.iter().zip(1..).map(|(table, count)| {
        let replaced = rows(*table, count, NINE, 1);
        let names = ["trace_id", "span_id", "start_ns"].map(|name| replaced.schema().index_of(name).unwrap());
        TableChange {
            table: *table,
            rows: replaced.slice(0, 0),
            replaces: Some(replaced.project(&names).unwrap()),
        }
    });
    let committed = store.commit(changes.collect(), None).await.unwrap();
    assert_eq!(committed.replaced_rows, 1 + 2 + 3);
    let snapshot = store.reader().snapshot().await.unwrap();
    let left = tables.map(|table| {
        snapshot
            .table(table)
            .files
            .iter()
            .map(|file| file.rows.unwrap())
            .sum::<u64>()
    });
    assert_eq!(left, [9, 8, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_commit_with_the_same_key_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store
        .commit(vec![add(&[row(1, 0, 10), row(2, 0, 20)])], key(1))
        .await
        .unwrap();
    let change = replace(&[row(1, 0, 0)], &[row(1, 0, 11)]);
    let deletion = replace(&[row(3, 0, 0)], &[]);
    store.commit(vec![change.clone()], key(2)).await.unwrap();
    store.commit(vec![deletion.clone()], key(3)).await.unwrap();
    store.commit(vec![add(&[row(3, 0, 30)])], None).await.unwrap();
    let expected = store.reader().snapshot().await.unwrap();
    drop(store);

    let store = open(dir.path()).await;
    for (change, version) in [(change, 2), (deletion, 3)] {
        let again = store.commit(vec![change], key(version)).await.unwrap();
        assert_eq!(again, Committed::default(), "version {version}");
    }
    let found = store.reader().snapshot().await.unwrap();
    assert_eq!(found.table(Table::Attribution), expected.table(Table::Attribution));
    assert_eq!(rows_of(&found), [row(1, 0, 11), row(2, 0, 20), row(3, 0, 30)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_is_read_as_it_was_and_a_waiting_reader_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let reader = StoreReader::open(dir.path()).unwrap();
    let first = vec![row(1, 0, 10), row(2, 0, 20)];
    commit(&store, add(&first)).await;
    let old = reader.snapshot().await.unwrap();
    commit(&store, replace(&[row(1, 0, 0)], &[row(1, 0, 11)])).await;
    assert_eq!(rows_of(&old), first);
    assert_eq!(
        rows_of(&reader.snapshot().await.unwrap()),
        [row(1, 0, 11), row(2, 0, 20)]
    );
    drop(store);
    let _store = open(dir.path()).await;
    assert_eq!(rows_of(&old), first, "a restart removes nothing that was in use lately");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_fit_the_table_are_refused_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    commit(&store, add(&[row(1, 0, 10)])).await;
    let good = keys(&[row(1, 0, 0)]);
    let other_table = rows(Table::Matrix, 1, NINE, 1);
    let trace_only = good.project(&[1]).unwrap();
    let twice = good.project(&[0, 0]).unwrap();
    for (bad, complaint) in [
        (other_table, "columns of the table"),
        (trace_only, "start_ns"),
        (twice, "distinct"),
    ] {
        let change = TableChange {
            replaces: Some(bad),
            ..add(&[row(2, 0, 20)])
        };
        let refused = store.commit(vec![change], None).await.unwrap_err();
        let StoreError::Rows {
            table: Table::Attribution,
            source,
        } = refused
        else {
            panic!("{refused}");
        };
        assert!(source.to_string().contains(complaint), "{source}");
    }
    assert_eq!(current(&store).await, [row(1, 0, 10)]);
}

/// Rewrites the newest log entry as if its removals had happened that long ago.
fn age_removals(dir: &Path, age: Duration) {
    let log = dir.join("attribution/_delta_log");
    let mut entries = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    entries.sort();
    let newest = entries.pop().unwrap();
    let text = fs::read_to_string(&newest).unwrap();
    let (head, tail) = text.split_once("\"deletionTimestamp\":").unwrap();
    let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap();
    let removed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() - age;
    let aged = format!("{head}\"deletionTimestamp\":{}{}", removed.as_millis(), &tail[digits..]);
    fs::write(newest, aged).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_the_store_removes_what_was_replaced_over_an_hour_ago() {
    let dir = tempfile::tempdir().unwrap();
    for (age_minutes, stays) in [(50, true), (70, false)] {
        let store = open(dir.path()).await;
        commit(&store, add(&[row(1, 0, 10), row(2, 0, 20)])).await;
        let replaced = files(&store.reader().snapshot().await.unwrap()).pop().unwrap();
        commit(&store, replace(&[row(1, 0, 0)], &[row(1, 0, 11)])).await;
        let expected = current(&store).await;
        drop(store);
        age_removals(dir.path(), Duration::from_secs(60 * age_minutes));
        // Its own age must not matter.
        let long_ago = SystemTime::now() - Duration::from_secs(24 * 3600);
        fs::File::options()
            .write(true)
            .open(&replaced)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();

        let store = open(dir.path()).await;
        assert_eq!(replaced.exists(), stays, "{age_minutes} minutes");
        assert_eq!(current(&store).await, expected);
        commit(&store, replace(&[row(1, 0, 0), row(2, 0, 0)], &[])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replacement_works_past_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let early = store.reader();
    let keep = row(2, 0, 20);
    commit(&store, add(&[row(1, 0, -1), keep])).await;
    let first = files(&early.snapshot().await.unwrap()).pop().unwrap();
    for ns in 0..102 {
        commit(&store, replace(&[row(1, 0, 0)], &[row(1, 0, ns)])).await;
    }
    assert!(
        dir.path()
            .join("attribution/_delta_log/00000000000000000099.checkpoint.parquet")
            .exists()
    );
    let fresh = StoreReader::open(dir.path()).unwrap();
    for reader in [early, fresh] {
        assert_eq!(rows_of(&reader.snapshot().await.unwrap()), [row(1, 0, 101), keep]);
    }
    drop(store);
    let long_ago = SystemTime::now() - Duration::from_secs(24 * 3600);
    fs::File::options()
        .write(true)
        .open(&first)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let store = open(dir.path()).await;
    assert!(
        first.exists(),
        "the checkpoint mentions it, so it is no leftover of a crash"
    );
    commit(&store, replace(&[row(1, 0, 0)], &[])).await;
    assert_eq!(current(&store).await, [keep]);
}

#[derive(Clone, Debug)]
enum Step {
    /// Changes of one commit: keys, then rows.
    Commit(Vec<(Vec<Row>, Vec<Row>)>),
    Reopen,
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let starts = prop_oneof![Just(-1), Just(0), Just(1), Just(HOUR - 1), Just(HOUR)];
    prop::collection::vec(
        (0..4_u8, starts, 0..1000_i64).prop_map(|(trace, start, ns)| row(trace, start, ns)),
        0..6,
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = prop::collection::vec((some_rows(), some_rows()), 1..4);
    let step = prop_oneof![6 => changes.prop_map(Step::Commit), 1 => Just(Step::Reopen)];
    prop::collection::vec(step, 1..8)
}

/// What the rows should be after a commit.
fn apply(rows: &mut Vec<Row>, changes: &[(Vec<Row>, Vec<Row>)]) {
    for (replaced, added) in changes {
        rows.retain(|row| {
            !replaced
                .iter()
                .any(|key| (key.trace, key.start) == (row.trace, row.start))
        });
        rows.extend(added);
    }
    rows.sort_unstable();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_changes_leaves_the_rows_of_the_model(steps in steps()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(dir.path()).await;
            let reader = store.reader();
            let mut expected = Vec::new();
            for step in steps {
                let Step::Commit(changes) = step else {
                    drop(store);
                    store = open(dir.path()).await;
                    continue;
                };
                apply(&mut expected, &changes);
                let changes = changes.iter().map(|(replaced, added)| replace(replaced, added));
                store.commit(changes.collect(), None).await.unwrap();
                assert_eq!(rows_of(&reader.snapshot().await.unwrap()), expected);
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_left_as_it_is_and_everything_else_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut victims = Vec::new();
    // Each file holds the time of a key.
    for trace in [1, 2, 3, 4] {
        let before = files(&store.reader().snapshot().await.unwrap());
        commit(&store, add(&[row(trace, 0, 10)])).await;
        let after = files(&store.reader().snapshot().await.unwrap());
        victims.extend(after.into_iter().filter(|file| !before.contains(file)));
    }
    drop(store);
    fs::write(&victims[0], "no Parquet").unwrap();
    fs::remove_file(&victims[1]).unwrap();
    let mut bytes = fs::read(&victims[2]).unwrap();
    let footer = bytes.len() / 2;
    bytes[4..footer].fill(0xff);
    fs::write(&victims[2], bytes).unwrap();

    let store = open(dir.path()).await;
    let replaced = [1, 2, 3, 4].map(|trace| row(trace, 0, 10));
    let change = replace(&replaced, &[row(5, 0, 11)]);
    let other = TableChange::add(Table::SpanQuality, rows(Table::SpanQuality, 7, NINE, 1));
    let committed = store.commit(vec![change, other], None).await.unwrap();
    assert_eq!((committed.rows, committed.replaced_rows), (1 + 7, 1));
    assert_eq!(committed.damaged_files, 3);
    let left = files(&store.reader().snapshot().await.unwrap());
    assert!(
        victims[..3].iter().all(|victim| left.contains(victim)),
        "they stay in the table"
    );
    assert!(!left.contains(&victims[3]));
    assert_eq!(left.len(), 3 + 1);
}

//! Engines that are not ours read the tables: DuckDB, pyarrow and the `deltalake` wheel.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod rows;

use std::path::Path;
use std::process::Command;

use rows::rows;
use serde_json::{Value, json};
use spandrel_model::Table;
use spandrel_store::{Store, TableChange};

/// 2026-11-21 09:00 UTC.
const NINE: i64 = 1_795_251_600_000_000_000;
const STEP_NS: i64 = 60_000_000_000;
const ROWS: i64 = 90;

/// The tables whose rows are corrected in a collector.
const REPLACED: [Table; 3] = [Table::TaskSpans, Table::Attribution, Table::SpanQuality];

/// Takes out the first `count` rows of the tables, which all flushes have.
fn removal(count: i64) -> Vec<TableChange> {
    let removal = |table: Table| {
        let replaced = rows(table, count as usize, NINE, STEP_NS);
        let names = ["trace_id", "span_id", "start_ns"].map(|name| replaced.schema().index_of(name).unwrap());
        TableChange {
            table,
            rows: replaced.slice(0, 0),
            replaces: Some(replaced.project(&names).unwrap()),
        }
    };
    REPLACED.map(removal).to_vec()
}

/// What is expected of a table of two flushes, whose first `removed` rows are gone if it is one of [`REPLACED`].
fn expected(table: Table, removed: i64) -> Value {
    let replaced = removed > 0 && REPLACED.contains(&table);
    let removed = if replaced { removed } else { 0 };
    json!({
        "table": table.name(),
        "time_column": table.time_column(),
        "time_origin": NINE,
        "rows": 2 * (ROWS - removed),
        "rows_of_nine": 2 * (60 - removed),
        "time_sum": 2 * STEP_NS * (ROWS * (ROWS - 1) / 2 - removed * (removed - 1) / 2),
        "replaced": replaced,
        "columns": table.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_read_the_same_rows_before_and_after_replacement() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: python3 is not installed");
        return;
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    run(&mut Command::new(repository.join("scripts/python-env.sh")));
    let dir = tempfile::tempdir().unwrap();
    let read = |tables: &[Table], removed: i64, options: &[&str]| {
        let expected = tables.iter().map(|table| expected(*table, removed)).collect::<Vec<_>>();
        run(Command::new(repository.join(".tools/venv/bin/python"))
            .arg(repository.join("store/tests/external_readers.py"))
            .args(options)
            .arg(dir.path())
            .arg(json!(expected).to_string()));
    };

    let store = Store::open(dir.path()).await.unwrap();
    for _ in 0..2 {
        let flush = Table::ALL.map(|table| TableChange::add(table, rows(table, ROWS as usize, NINE, STEP_NS)));
        store.commit(flush.to_vec(), None).await.unwrap();
    }
    read(&Table::ALL, 0, &[]);
    store.commit(removal(10), None).await.unwrap();
    read(&Table::ALL, 10, &[]);
    // Rows of files that another program wrote are replaced as well.
    read(&REPLACED, 10, &["--compact"]);
    let committed = store.commit(removal(20), None).await.unwrap();
    assert_eq!(committed.replaced_rows, 3 * 2 * 10);
    read(&REPLACED, 20, &[]);
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

//! Engines that are not ours read the tables: DuckDB, pyarrow and the `deltalake` wheel.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod rows;

use std::path::Path;
use std::process::Command;

use rows::rows;
use serde_json::json;
use spandrel_model::Table;
use spandrel_store::{Store, TableChange};

/// 2026-11-21 09:00 UTC.
const NINE: i64 = 1_795_251_600_000_000_000;
const STEP_NS: i64 = 60_000_000_000;
const ROWS: i64 = 90;

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_read_the_same_rows() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: python3 is not installed");
        return;
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    run(&mut Command::new(repository.join("scripts/python-env.sh")));

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for _ in 0..2 {
        let flush = Table::ALL.map(|table| TableChange::add(table, rows(table, ROWS as usize, NINE, STEP_NS)));
        store.commit(flush.to_vec(), None).await.unwrap();
    }
    let expected = Table::ALL.map(|table| {
        json!({
            "table": table.name(),
            "time_column": table.time_column(),
            "time_origin": NINE,
            "rows": 2 * ROWS,
            "rows_of_nine": 2 * 60,
            "time_sum": 2 * STEP_NS * (ROWS * (ROWS - 1) / 2),
            "columns": table.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(),
        })
    });
    run(Command::new(repository.join(".tools/venv/bin/python"))
        .arg(repository.join("store/tests/external_readers.py"))
        .arg(dir.path())
        .arg(json!(expected).to_string()));
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

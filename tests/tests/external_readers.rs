//! Other engines read the tables from outside, while the collector runs, and find what `spandrel sql` finds.

use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use spandrel_model::Table;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::{process, repository};

const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const READ_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn duckdb_and_pyarrow_agree_with_sql_while_the_collector_runs() {
    process::run(
        &mut Command::new(repository::root().join("scripts/python-env.sh")),
        INSTALL_LIMIT,
    )
    .success();
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), &[], &QUICK);
    collector.replay();

    // The bundled recording holds no CPU samples.
    let with_rows = Table::ALL.into_iter().filter(|table| *table != Table::RunningFunctions);
    let mut python = Command::new(repository::root().join(".tools/venv/bin/python"));
    python.arg(repository::root().join("tests/tests/external_readers.py"));
    python
        .arg(collector.tables().dir())
        .args(with_rows.clone().map(Table::name));
    let found: Map<String, Value> = serde_json::from_str(&process::run(&mut python, READ_LIMIT).success()).unwrap();

    let tables = collector.tables();
    let count = |table: Table| tables.number(&format!("SELECT count(*) FROM {}", table.name()));
    let rows: Map<String, Value> = with_rows
        .map(|table| (table.name().to_owned(), json!(count(table))))
        .collect();
    assert!(rows.values().all(|count| count.as_i64() > Some(0)), "{rows:?}");
    let attributed = tables.number("SELECT sum(ns) FROM attribution WHERE view = 'self'");
    let expected = json!({"rows": rows, "attributed_ns": attributed});
    assert_eq!(found.len(), 2);
    for (engine, found) in found {
        assert_eq!(found, expected, "{engine}");
    }
    collector.stop();
}

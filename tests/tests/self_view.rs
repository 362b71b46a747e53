//! The self view, computed a second time from the stored tables, by another engine and from its definition alone.
//!
//! `stack_layers.sql` and `self_view.sql` are that definition; no line of ours takes part. DuckDB runs them over the files
//! that the collector wrote.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::{process, recording, repository};

const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const COMPUTE_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn duckdb_computes_the_same_cells_of_every_span_to_the_nanosecond() {
    process::run(
        &mut Command::new(repository::root().join("scripts/python-env.sh")),
        INSTALL_LIMIT,
    )
    .success();
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), &[], &QUICK);
    collector.replay();
    let tables = collector.stop();

    let mut python = Command::new(repository::root().join(".tools/venv/bin/python"));
    python.arg(repository::root().join("tests/tests/self_view.py"));
    python.arg(tables.dir());
    python.arg(repository::root().join("tests/tests/self_view.sql"));
    let found: Value = serde_json::from_str(&process::run(&mut python, COMPUTE_LIMIT).success()).unwrap();

    println!("{found}");
    for side in ["only_stored", "only_computed"] {
        assert_eq!(found[side], json!([]), "{found}");
    }
    let (stored, computed) = (&found["stored"], &found["computed"]);
    assert_eq!(stored, computed);
    // A span without length has no cells; the recording has none of those.
    assert_eq!(computed["spans"], json!(recording::span_count()));
    assert!(found["states_in_libraries"].as_i64() > Some(0), "{found}");
    for number in ["rows", "rows_bound", "spans_of_several_layers", "ns"] {
        assert!(computed[number].as_i64() > Some(0), "no {number}: {found}");
    }
}

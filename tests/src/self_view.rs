//! The self view, computed a second time from the stored tables, by another engine and from its definition alone.
//!
//! `stack_layers.sql` and `self_view.sql` in `tests/tests` are that definition; no line of ours takes part. DuckDB runs
//! them over the files that the collector wrote.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sql::Tables;
use crate::{process, repository};

const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const COMPUTE_LIMIT: Duration = Duration::from_secs(120);

/// DuckDB computes the same cells, to the nanosecond, of every bound span that no two recordings cover. Returns what
/// `self_view.py` has counted.
///
/// # Panics
/// A cell differs, there is none, or the Python packages cannot be installed.
pub fn duckdb_computes_the_same(tables: &Tables) -> Value {
    let root = repository::root();
    process::run(&mut Command::new(root.join("scripts/python-env.sh")), INSTALL_LIMIT).success();
    let mut python = Command::new(root.join(".tools/venv/bin/python"));
    python.arg(root.join("tests/tests/self_view.py"));
    python.arg(tables.dir());
    python.arg(root.join("tests/tests/self_view.sql"));
    let printed = process::run(&mut python, COMPUTE_LIMIT).success();
    let found: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"));

    println!("{found}");
    for side in ["only_stored", "only_computed"] {
        assert_eq!(found[side], json!([]), "{found}");
    }
    let computed = &found["computed"];
    assert_eq!(&found["stored"], computed);
    for number in ["rows", "ns"] {
        assert!(computed[number].as_i64() > Some(0), "no {number}: {found}");
    }
    found
}

//! `spandrel sql` on the end of a pipe: statements, and the words that its prompt takes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, File};
use std::path::Path;

use spandrel_tests::binary;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::process::Ended;

/// What `spandrel sql` answers to a script on its standard input.
fn piped(dir: &Path, script: &str) -> Ended {
    let file = dir.join("script.sql");
    fs::write(&file, script).unwrap();
    let data = dir.join("data");
    let mut command = binary::command(&["sql", "--format", "csv", "--data", data.to_str().unwrap()]);
    let output = command.stdin(File::open(&file).unwrap()).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_script_ends_where_a_prompt_would() {
    let dir = tempfile::tempdir().unwrap();
    Collector::start(dir.path(), &[], &QUICK).stop();
    for end in ["\\q", "quit", "exit;"] {
        let script = format!("SELECT 1 AS one;\n{end}\nSELECT 2 AS two;\n");
        assert_eq!(piped(dir.path(), &script).success(), "one\n1\n", "{end}");
    }
    let tables = piped(dir.path(), "\\d\nSELECT 1 AS one;").success();
    assert!(
        tables.contains("span_quality") && tables.ends_with("one\n1\n"),
        "{tables}"
    );
    let told = piped(dir.path(), "SELECT 1 AS one;\n\\dt\nSELECT 2;");
    assert_eq!(told.stdout, "one\n1\n");
    let message = told.failure();
    assert!(
        message.contains("`\\dt` is no SQL") && message.lines().count() == 1,
        "{message}"
    );
}

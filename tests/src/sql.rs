//! The tables of a collector, read with `spandrel sql`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::binary;

/// A row: values by column.
pub type Row = Map<String, Value>;

/// A directory of tables.
#[derive(Clone, Debug)]
pub struct Tables {
    dir: PathBuf,
}

impl Tables {
    /// The tables in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Their directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The rows of a statement's result.
    ///
    /// # Panics
    /// The statement fails, or its result is no JSON array of objects.
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        let dir = self.dir.to_str().expect("our paths are ASCII");
        let output = binary::run(&[
            "sql",
            "--data",
            dir,
            "--format",
            "json",
            "--max-rows",
            "1000000",
            "-c",
            sql,
        ]);
        let json = output.success();
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in the result of {sql}\n{json}"))
    }

    /// The one row of a result.
    ///
    /// # Panics
    /// There are none or several.
    pub fn row(&self, sql: &str) -> Row {
        let mut rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows.remove(0)
    }

    /// The one number that a statement yields.
    ///
    /// # Panics
    /// It yields something else.
    pub fn number(&self, sql: &str) -> i64 {
        let row = self.row(sql);
        let mut values = row.values();
        match (values.next().and_then(Value::as_i64), values.next()) {
            (Some(number), None) => number,
            _ => panic!("expected one integer from {sql}, found {row:?}"),
        }
    }
}

/// An integer of a row.
///
/// # Panics
/// There is none of this name.
pub fn integer(row: &Row, column: &str) -> i64 {
    row.get(column)
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("no integer `{column}` in {row:?}"))
}

/// A text of a row.
///
/// # Panics
/// There is none of this name.
pub fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text `{column}` in {row:?}"))
}

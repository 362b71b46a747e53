//! Results for people and programs: an aligned table, JSON, CSV.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use comfy_table::presets::ASCII_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::QueryResult;
use crate::value;

/// How a result is written. In all of them ids are lower-case hexadecimal digits and times ISO 8601.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table with borders, numbers to the right, null empty, and the number of rows below.
    #[default]
    Table,
    /// One array with an object per row, a row per line; null is `null`. Of columns with the same name, the second is
    /// called `name_2`, and so on.
    Json,
    /// A header and a line per row (RFC 4180, line feeds); null is empty, an empty text `""`.
    Csv,
}

impl Format {
    /// Writes the result. A result that was cut looks complete except as a table: see [`QueryResult::truncated`].
    pub fn write(self, result: &QueryResult, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Table => write_table(result, out),
            Self::Json => write_json(result, out),
            Self::Csv => write_csv(result, out),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
        })
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Table, Self::Json, Self::Csv]
            .into_iter()
            .find(|format| format.to_string() == text)
            .ok_or_else(|| format!("unknown format `{text}`, expected `table`, `json` or `csv`"))
    }
}

fn rows(result: &QueryResult) -> impl Iterator<Item = (&RecordBatch, usize)> {
    let batches = result.batches.iter();
    batches.flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
}

fn write_table(result: &QueryResult, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(ASCII_FULL_CONDENSED);
    table.set_header(result.schema.fields().iter().map(|field| field.name()));
    for (batch, row) in rows(result) {
        table.add_row(texts(batch, row)?.into_iter().map(Option::unwrap_or_default));
    }
    for (column, field) in table.column_iter_mut().zip(result.schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{table}")?;
    match (result.row_count(), result.truncated) {
        (1, true) => writeln!(out, "first row; there are more"),
        (count, true) => writeln!(out, "first {count} rows; there are more"),
        (1, false) => writeln!(out, "1 row"),
        (count, false) => writeln!(out, "{count} rows"),
    }
}

fn write_json(result: &QueryResult, out: &mut dyn Write) -> io::Result<()> {
    let names = distinct_names(&result.schema);
    let mut separator = "[\n";
    for (batch, row) in rows(result) {
        out.write_all(separator.as_bytes())?;
        separator = ",\n";
        write!(out, "{{")?;
        for (index, name) in names.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let value = value::json(batch.column(index), row).map_err(io::Error::other)?;
            write!(out, "{comma}{}:{value}", serde_json::Value::from(name.as_str()))?;
        }
        write!(out, "}}")?;
    }
    match result.row_count() {
        0 => writeln!(out, "[]"),
        _ => writeln!(out, "\n]"),
    }
}

/// Object keys must differ, column names need not.
fn distinct_names(schema: &Schema) -> Vec<String> {
    let mut names = Vec::<String>::new();
    for field in schema.fields() {
        let candidates = (2..).map(|number| format!("{}_{number}", field.name()));
        let name = std::iter::once(field.name().clone())
            .chain(candidates)
            .find(|name| !names.contains(name))
            .expect("one of more candidates than columns is free");
        names.push(name);
    }
    names
}

fn write_csv(result: &QueryResult, out: &mut dyn Write) -> io::Result<()> {
    let header = result.schema.fields().iter().map(|field| csv_text(field.name()));
    writeln!(out, "{}", header.collect::<Vec<_>>().join(","))?;
    for (batch, row) in rows(result) {
        let texts = texts(batch, row)?;
        let line = texts
            .iter()
            .map(|text| text.as_deref().map(csv_text).unwrap_or_default());
        writeln!(out, "{}", line.collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}

fn csv_text(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// The values of a row as text, `None` for null.
fn texts(batch: &RecordBatch, row: usize) -> io::Result<Vec<Option<String>>> {
    let columns = batch.columns().iter();
    columns
        .map(|column| value::text(column, row).map_err(io::Error::other))
        .collect()
}

//! `docs/tables.md`, generated from the schemas that the writers use.

use std::fmt::Write;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use spandrel_model::{Evidence, Relation, State, Table, UnknownReason};

/// The command that makes the page again.
pub const REMEDY: &str = "cargo run -p spandrel-tests --example tables-doc > docs/tables.md";

const INTRODUCTION: &str = "\
# Tables

All that Spandrel knows is in these tables. Each is a Delta table in a directory of the store that has the table's name,
so any engine that reads Delta or Parquet reads them without Spandrel. A change of a schema is additive: columns are
added, and none is renamed, retyped or removed.

This page is generated from the code by `cargo run -p spandrel-tests --example tables-doc`, and a test compares the two.

## Conventions

* **Names** are `snake_case`; the unit stands last (`_ns`, `_bytes`).
* **Times** (`_ns`) are nanoseconds since the Unix epoch, UTC, as signed 64-bit integers. Where an engine without
  nanoseconds must filter by time, the same time stands beside it as a `timestamp`, truncated to microseconds.
* **Lengths** (`duration_ns` and other `_ns` columns that are not a start or an end) are nanoseconds. Intervals are
  half-open: the start belongs to them, the end does not.
* **Ids** are binary, 16 bytes for a trace and 8 for a span, exactly as OTLP carries them. SQL: `encode(trace_id, 'hex')`.
* **Process**: `service_name` and `process_id` together name a process. Task ids are unique within a process.
* **Attributes** are maps from text to text; numbers and booleans are written as decimal text and `true` or `false`,
  lists and nested values as JSON. Those that queries ask for most have a typed column of their own beside the map.
* **Null** means that a value was not reported. Text that is part of a key is never null but empty.
";

/// The page as Markdown.
pub fn render() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(&partitions());
    page.push_str(&words());
    for table in Table::ALL {
        page.push_str(&section(table));
    }
    page
}

fn partitions() -> String {
    format!(
        "* **Partitions**: the files of every table are partitioned by `{}`, the UTC date and hour of the table's time \
         column.\n  They are columns to every engine, though no file contains them: `WHERE dt = '2026-11-21'` skips \
         files.\n",
        spandrel_model::PARTITION_COLUMNS.join("` and `")
    )
}

fn words() -> String {
    let mut text = "\n## Words\n\n| column | words |\n|---|---|\n".to_owned();
    let rows = [
        ("`state`", State::ALL.map(State::as_str).to_vec()),
        (
            "`sub_state` and `binding` of what is unknown",
            UnknownReason::ALL.map(UnknownReason::as_str).to_vec(),
        ),
        (
            "`relation`",
            [
                Relation::Same,
                Relation::Helper,
                Relation::Interference,
                Relation::Runtime,
                Relation::Remote,
            ]
            .map(Relation::as_str)
            .to_vec(),
        ),
        (
            "`evidence`",
            [Evidence::Exact, Evidence::Sampled, Evidence::Inferred, Evidence::None]
                .map(Evidence::as_str)
                .to_vec(),
        ),
    ];
    for (column, words) in rows {
        writeln!(text, "| {column} | `{}` |", words.join("`, `")).expect("writing to a string cannot fail");
    }
    text
}

fn section(table: Table) -> String {
    let mut text = format!(
        "\n## `{}`\n\n{} Sorted by `{}`; partitioned by the hour of `{}`.\n\n",
        table.name(),
        table.doc(),
        table.sort_columns().join("`, `"),
        table.time_column(),
    );
    text.push_str("| column | type | null | what it is |\n|---|---|---|---|\n");
    for field in table.schema().fields() {
        text.push_str(&row(field));
    }
    text
}

fn row(field: &Field) -> String {
    let doc = field.metadata().get("doc").map_or("", String::as_str);
    format!(
        "| `{}` | `{}` | {} | {} |\n",
        field.name(),
        type_name(field.data_type()),
        if field.is_nullable() { "yes" } else { "no" },
        doc.replace('|', "\\|"),
    )
}

/// A type in the words that SQL engines share.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::FixedSizeBinary(len) => format!("binary({len})"),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => format!("timestamp(us, {zone})"),
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::Struct(members) => format!("struct<{}>", members_of(members)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(key_and_value) => {
                let types: Vec<_> = key_and_value.iter().map(|field| type_name(field.data_type())).collect();
                format!("map<{}>", types.join(", "))
            }
            other => panic!("a map holds {other}, not pairs"),
        },
        plain => plain.to_string().to_lowercase(),
    }
}

fn members_of(members: &Fields) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|field| format!("{}: {}", field.name(), type_name(field.data_type())))
        .collect();
    members.join(", ")
}

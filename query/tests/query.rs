//! What a user of SQL can rely on.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use rows::rows;
use spandrel_model::Table;
use spandrel_query::{Format, Limits, QueryError, QueryResult, SessionOptions, run, session};
use spandrel_store::{Store, TableChange};
use tempfile::TempDir;

/// 2026-11-21 09:00 UTC.
const NINE: i64 = 1_795_251_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
/// Rows of every table: half in the hour of nine, half in that of ten.
const ROWS: usize = 100;

struct Fixture {
    _dir: TempDir,
    store: Store,
    ctx: SessionContext,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let flush = Table::ALL.map(|table| TableChange::add(table, rows(table, ROWS, NINE, 2 * HOUR / ROWS as i64)));
        store.commit(flush.to_vec(), None).await.unwrap();
        let ctx = open(&store).await;
        Self { _dir: dir, store, ctx }
    }

    async fn run(&self, sql: &str) -> Result<QueryResult, QueryError> {
        run(&self.ctx, sql, Limits::default()).await
    }

    /// The rows as CSV, without the header.
    async fn lines(&self, sql: &str) -> Vec<String> {
        let text = written(Format::Csv, &self.run(sql).await.unwrap());
        text.lines().skip(1).map(str::to_owned).collect()
    }

    async fn error(&self, sql: &str) -> String {
        self.run(sql).await.unwrap_err().to_string()
    }
}

async fn open(store: &Store) -> SessionContext {
    let snapshot = store.reader().snapshot().await.unwrap();
    session(&snapshot, &SessionOptions::default()).unwrap()
}

fn written(format: Format, result: &QueryResult) -> String {
    let mut out = Vec::new();
    format.write(result, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_comes_back_as_it_was_written() {
    let fixture = Fixture::new().await;
    for table in Table::ALL {
        let expected = rows(table, ROWS, NINE, 2 * HOUR / ROWS as i64);
        let columns = expected
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect::<Vec<_>>();
        let (name, time) = (table.name(), table.time_column());
        let sql = format!("SELECT {} FROM {name} ORDER BY {time}", columns.join(", "));
        let result = fixture.run(&sql).await.unwrap();
        let found = arrow::compute::concat_batches(&result.schema, &result.batches).unwrap();
        assert_eq!(found.columns(), expected.columns(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_rows_has_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let ctx = open(&store).await;
    for table in Table::ALL {
        let sql = format!("SELECT * FROM {} WHERE dt = '2026-11-21'", table.name());
        let result = run(&ctx, &sql, Limits::default()).await.unwrap();
        assert_eq!(
            (result.row_count(), result.schema.fields().len()),
            (0, table.schema().fields().len() + 2)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_sees_one_snapshot_and_a_new_one_sees_later_commits() {
    let fixture = Fixture::new().await;
    let more = vec![TableChange::add(Table::Spans, rows(Table::Spans, 7, NINE, SECOND))];
    fixture.store.commit(more, None).await.unwrap();
    let count = "SELECT count(*) FROM spans";
    assert_eq!(fixture.lines(count).await, ["100"]);
    let later = run(&open(&fixture.store).await, count, Limits::default())
        .await
        .unwrap();
    assert_eq!(later.batches[0].column(0).as_primitive::<Int64Type>().value(0), 107);
}

#[tokio::test(flavor = "multi_thread")]
async fn date_hour_and_time_skip_files() {
    let fixture = Fixture::new().await;
    let ten = NINE + HOUR;
    for (filter, files, rows) in [
        ("true".to_owned(), 2, 100),
        ("dt = '2026-11-21' AND hr = '09'".to_owned(), 1, 50),
        ("hr IN ('10', '11')".to_owned(), 1, 50),
        (format!("start_ns >= {ten}"), 1, 50),
        (format!("start_ns < {}", NINE + 1), 1, 1),
        ("dt > '2026-11-21'".to_owned(), 0, 0),
    ] {
        let plan = fixture
            .lines(&format!("EXPLAIN SELECT name FROM spans WHERE {filter}"))
            .await
            .join("\n");
        assert_eq!(plan.matches(".parquet").count(), files, "{filter}: {plan}");
        let found = fixture.lines(&format!("SELECT name FROM spans WHERE {filter}")).await;
        assert_eq!(found.len(), rows, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_found_by_hexadecimal_text_in_every_spelling() {
    let fixture = Fixture::new().await;
    let [trace] = &fixture
        .lines("SELECT hex(trace_id) FROM spans ORDER BY start_ns LIMIT 1")
        .await[..]
    else {
        panic!("one row");
    };
    assert_eq!(trace.len(), 32);
    for filter in [
        format!("trace_id = '{trace}'"),
        format!("'{}' = trace_id", trace.to_uppercase()),
        format!("trace_id = x'{trace}'"),
        format!("trace_id = unhex('{trace}')"),
        format!("hex(trace_id) = '{trace}'"),
        format!("trace_id IN ('{trace}', '00000000000000000000000000000000')"),
        format!("trace_id BETWEEN '{trace}' AND x'{trace}'"),
    ] {
        let found = fixture
            .lines(&format!("SELECT trace_id FROM spans WHERE {filter}"))
            .await;
        assert_eq!(&found, std::slice::from_ref(trace), "{filter}");
    }
    let plan = fixture
        .lines(&format!("EXPLAIN SELECT name FROM spans WHERE trace_id = '{trace}'"))
        .await;
    let plan = plan.join("\n");
    assert!(
        plan.contains("trace_id_min") && !plan.contains("CAST(trace_id"),
        "{plan}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_ids_that_cannot_match() {
    let fixture = Fixture::new().await;
    let short = fixture.error("SELECT * FROM spans WHERE trace_id = '4bf9'").await;
    assert!(
        short.contains("compared with `4bf9`: expected 32 hexadecimal digits"),
        "{short}"
    );
    let column = fixture.error("SELECT * FROM spans WHERE span_id = name").await;
    assert!(column.contains("compare with `unhex(spans.name)`"), "{column}");
    let digits = fixture.error("SELECT unhex(name) FROM spans").await;
    assert!(digits.contains("`unhex` takes pairs of hexadecimal digits"), "{digits}");
    let number = fixture.error("SELECT hex(start_ns) FROM spans").await;
    assert!(
        number.contains("`hex` takes a binary value, such as an id, and found Int64"),
        "{number}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_read_by_key() {
    let fixture = Fixture::new().await;
    let routes = "SELECT attributes['http.route'] AS route, count(*) FROM spans GROUP BY 1 ORDER BY 1";
    let expected = (0..5).map(|route| format!("/route/{route},20")).collect::<Vec<_>>();
    assert_eq!(fixture.lines(routes).await, expected);
    let filtered = "SELECT count(*) FROM logs WHERE attributes['http.route'] = '/route/3'";
    assert_eq!(fixture.lines(filtered).await, ["20"]);
    assert_eq!(
        fixture.lines("SELECT attributes['none'] FROM spans LIMIT 1").await,
        [""]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_everything_but_queries() {
    let fixture = Fixture::new().await;
    let outside = fixture.store.dir().join("outside.csv");
    for (sql, name) in [
        ("CREATE TABLE t AS SELECT 1".to_owned(), "CREATE MEMORY TABLE"),
        (
            format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'", outside.display()),
            "CREATE EXTERNAL TABLE",
        ),
        ("CREATE VIEW v AS SELECT 1".to_owned(), "CREATE VIEW"),
        ("DROP TABLE spans".to_owned(), "DROP TABLE"),
        ("INSERT INTO stacks SELECT * FROM stacks".to_owned(), "INSERT INTO"),
        ("DELETE FROM spans".to_owned(), "DELETE"),
        (
            format!("COPY (SELECT 1) TO '{}' STORED AS CSV", outside.display()),
            "COPY",
        ),
        ("SET datafusion.execution.batch_size = 1".to_owned(), "SET VARIABLE"),
        (
            "EXPLAIN ANALYZE DELETE FROM spans".to_owned(),
            "a statement that contains one",
        ),
    ] {
        let error = fixture.run(&sql).await.unwrap_err();
        assert!(
            matches!(&error, QueryError::ReadOnly { statement } if statement == name),
            "{sql}: {error:?}"
        );
    }
    assert!(!outside.exists());
    let file = fixture
        .store
        .reader()
        .snapshot()
        .await
        .unwrap()
        .table(Table::Spans)
        .files[0]
        .path
        .clone();
    let error = fixture.error(&format!("SELECT * FROM '{}'", file.display())).await;
    assert!(error.contains("not found"), "files are not tables: {error}");
    assert_eq!(fixture.lines("SELECT count(*) FROM spans").await, ["100"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_what_is_wrong() {
    let fixture = Fixture::new().await;
    let column = fixture.error("SELECT servce_name FROM spans").await;
    assert!(
        column.contains("servce_name") && column.contains("spans.service_name"),
        "{column}"
    );
    let table = fixture.error("SELECT * FROM span").await;
    assert!(table.contains("span' not found"), "{table}");
    let syntax = fixture.error("SELECT name FROM spans WHERE").await;
    assert!(syntax.contains("Expected: an expression, found: EOF"), "{syntax}");
    let value = fixture.error("SELECT 1 / duration_ns FROM spans").await;
    assert!(value.contains("ivide by zero"), "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_cut_and_queries_stopped_at_the_limits() {
    let fixture = Fixture::new().await;
    let limits = Limits {
        max_rows: 60,
        timeout: Duration::from_millis(200),
    };
    for (sql, rows, truncated) in [
        ("SELECT * FROM spans", 60, true),
        ("SELECT * FROM spans LIMIT 60", 60, false),
        ("SELECT * FROM spans LIMIT 3", 3, false),
    ] {
        let generous = Limits {
            timeout: Duration::from_secs(60),
            ..limits
        };
        let result = run(&fixture.ctx, sql, generous).await.unwrap();
        assert_eq!((result.row_count(), result.truncated), (rows, truncated), "{sql}");
    }
    let endless = "SELECT max(value % 7) FROM generate_series(1, 1000000000000)";
    let error = run(&fixture.ctx, endless, limits).await.unwrap_err();
    assert!(matches!(error, QueryError::Timeout { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_above_the_memory_limit_fails_and_says_so() {
    let fixture = Fixture::new().await;
    let snapshot = fixture.store.reader().snapshot().await.unwrap();
    let options = SessionOptions {
        memory_limit_bytes: 1024,
        ..SessionOptions::default()
    };
    let ctx = session(&snapshot, &options).unwrap();
    let sql = "SELECT count(*) FROM spans a JOIN spans b ON a.name = b.name AND a.attributes['index'] < b.scope_name";
    let error = run(&ctx, sql, Limits::default()).await.unwrap_err();
    assert!(matches!(error, QueryError::Memory { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_written_as_table_json_and_csv() {
    let fixture = Fixture::new().await;
    let sql = "SELECT x'4BF9' AS id, TIMESTAMP '2026-11-21T09:00:00.000001Z' AS at, a.n, \
               NULL AS missing, '' AS empty, b.n, map(['k'], [[1, 2]]) AS m \
               FROM (SELECT 9007199254740993 AS n) a, (SELECT 'a,\"b\"' AS n) b";
    let result = fixture.run(sql).await.unwrap();
    assert_eq!(
        written(Format::Json, &result),
        "[\n{\"id\":\"4bf9\",\"at\":\"2026-11-21T09:00:00.000001\",\"n\":9007199254740993,\"missing\":null,\
         \"empty\":\"\",\"n_2\":\"a,\\\"b\\\"\",\"m\":{\"k\":[1,2]}}\n]\n"
    );
    assert_eq!(
        written(Format::Csv, &result),
        "id,at,n,missing,empty,n,m\n\
         4bf9,2026-11-21T09:00:00.000001,9007199254740993,,\"\",\"a,\"\"b\"\"\",\"{\"\"k\"\":[1,2]}\"\n"
    );
    let times = fixture
        .run("SELECT start_time, duration_ns FROM spans ORDER BY start_ns LIMIT 2")
        .await
        .unwrap();
    let expected = "\
+----------------------+-------------+
| start_time           | duration_ns |
+====================================+
| 2026-11-21T09:00:00Z |           0 |
| 2026-11-21T09:01:12Z |           1 |
+----------------------+-------------+
2 rows
";
    assert_eq!(written(Format::Table, &times), expected);
    let none = fixture.run("SELECT name FROM spans WHERE false").await.unwrap();
    assert_eq!(written(Format::Json, &none), "[]\n");
}

//! A statement becomes rows, within limits.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionContext};
use futures::TryStreamExt;

use crate::QueryError;

/// What a query may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows after which the result is cut.
    pub max_rows: usize,
    /// Time after which the query is abandoned.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rows: 10_000,
            timeout: Duration::from_secs(60),
        }
    }
}

/// The rows that answer a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Columns, also if there are no rows.
    pub schema: SchemaRef,
    /// The rows, at most [`Limits::max_rows`].
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows.
    pub truncated: bool,
}

impl QueryResult {
    /// Number of rows.
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Answers one statement. Anything but a query (also `EXPLAIN`, `SHOW TABLES`, `DESCRIBE`) is refused.
///
/// The query is a task of its own, so that the timeout also ends the wait for one that computes without pause. It
/// computes on the caller's runtime: a server keeps a second runtime for queries.
pub async fn run(ctx: &SessionContext, sql: &str, limits: Limits) -> Result<QueryResult, QueryError> {
    let (ctx, sql) = (ctx.clone(), sql.to_owned());
    // Dropping the task aborts it at its next pause.
    let task = SpawnedTask::spawn(async move { answer(&ctx, &sql, limits.max_rows).await });
    match tokio::time::timeout(limits.timeout, task.join_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(QueryError::Shutdown),
        Err(_) => Err(QueryError::Timeout {
            timeout: limits.timeout,
        }),
    }
}

async fn answer(ctx: &SessionContext, sql: &str, max_rows: usize) -> Result<QueryResult, QueryError> {
    let plan = ctx
        .state()
        .create_logical_plan(sql)
        .await
        .map_err(QueryError::of_statement)?;
    refuse_changes(&plan)?;
    let frame = ctx.execute_logical_plan(plan).await.map_err(QueryError::of_statement)?;
    let mut stream = frame.execute_stream().await.map_err(QueryError::of_statement)?;
    let mut result = QueryResult {
        schema: stream.schema(),
        batches: Vec::new(),
        truncated: false,
    };
    let mut room = max_rows;
    while let Some(batch) = stream.try_next().await.map_err(QueryError::of_statement)? {
        if batch.num_rows() > room {
            result.truncated = true;
            result.batches.push(batch.slice(0, room));
            break;
        }
        room -= batch.num_rows();
        result.batches.push(batch);
    }
    Ok(result)
}

fn refuse_changes(plan: &LogicalPlan) -> Result<(), QueryError> {
    let read_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    match read_only.verify_plan(plan) {
        Ok(()) => Ok(()),
        Err(_) => Err(QueryError::ReadOnly {
            statement: statement_name(plan),
        }),
    }
}

/// `CREATE EXTERNAL TABLE`, `INSERT`, `SET VARIABLE` and so on.
fn statement_name(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Ddl(ddl) => spaced_capitals(ddl.name()),
        LogicalPlan::Dml(dml) => dml.op.name().to_uppercase(),
        LogicalPlan::Copy(_) => "COPY".to_owned(),
        LogicalPlan::Statement(statement) => spaced_capitals(statement.name()),
        _ => "a statement that contains one".to_owned(),
    }
}

/// `CreateExternalTable` becomes `CREATE EXTERNAL TABLE`.
fn spaced_capitals(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_uppercase());
    }
    words
}

//! Accepting rows, and the worker that flushes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use spandrel_pipeline::{
    Batch, BuildContext, BuildError, Consumer, Exporter, Payload, Refusal, RunError, Stop, StoredRows, TableRows,
};
use spandrel_store::{CommitKey, Committed, Store, TableChange};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::ParquetConfig;
use super::buffer::{Buffer, Flush, Full};
use super::metrics::Metrics;
use super::recalled::Recalled;

/// How long a refused sender should wait: about the time of a flush.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Wait after a failed commit: doubled from the first to the last.
const RETRY_COMMIT_FIRST: Duration = Duration::from_millis(200);
const RETRY_COMMIT_LAST: Duration = Duration::from_secs(10);
/// How long a stopping exporter goes on trying to commit what it holds.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Writes rows to a [`Store`].
pub struct ParquetExporter {
    config: ParquetConfig,
    store: Store,
    buffer: Buffer,
    metrics: Metrics,
    /// Makes commit keys of this process distinct from those of earlier ones.
    run_id: String,
    flush_now: Notify,
    stopped: AtomicBool,
}

impl ParquetExporter {
    /// Opens the store, which no other process may be writing.
    ///
    /// # Errors
    /// The directory cannot be used; the cause says why.
    pub async fn open(config: ParquetConfig, context: &BuildContext) -> Result<Self, BuildError> {
        let store = Store::open(&config.directory).await.map_err(|error| {
            BuildError::caused_by(
                format!("cannot open the store in `{}`", config.directory.display()),
                error,
            )
        })?;
        Ok(Self {
            buffer: Buffer::new(config.buffer_limit_bytes),
            metrics: Metrics::register(&context.id, &context.registry)?,
            run_id: format!("{}/{}", context.id, uuid::Uuid::new_v4()),
            flush_now: Notify::new(),
            stopped: AtomicBool::new(false),
            config,
            store,
        })
    }

    fn accept(&self, changes: Vec<TableChange>) -> Result<(), Refusal> {
        // Otherwise the commit would be tried for ever, with all rows of other senders in it.
        let misfit = changes.iter().find_map(|change| change.check().err());
        if let Some(error) = misfit {
            return Err(Refusal::permanent(chain(&error)));
        }
        let counts: Vec<_> = changes
            .iter()
            .map(|change| (change.table, change.rows.num_rows() as u64))
            .collect();
        let waiting_bytes = self.buffer.push(changes).map_err(
            |Full {
                 held_bytes,
                 limit_bytes,
             }| Refusal::Refused {
                reason: format!("parquet buffer is full ({held_bytes} of {limit_bytes} bytes)"),
                retry_after: Some(RETRY_AFTER),
            },
        )?;
        for (table, count) in counts {
            self.metrics
                .accepted_rows
                .with_label_values(&[table.name()])
                .inc_by(count);
        }
        self.observe_buffer();
        if waiting_bytes >= self.config.flush_size_bytes {
            self.flush_now.notify_one();
        }
        Ok(())
    }

    /// Commits everything that waits, however often it takes, until `deadline` (if any).
    async fn flush(&self, sequence: &mut i64, deadline: Option<Instant>) -> Result<(), RunError> {
        let Some(flush) = self.buffer.take() else {
            return Ok(());
        };
        *sequence += 1;
        let committed = self.commit(&flush, *sequence, deadline).await;
        self.buffer.flushed(&flush);
        self.observe_buffer();
        committed
    }

    async fn commit(&self, flush: &Flush, version: i64, deadline: Option<Instant>) -> Result<(), RunError> {
        let mut wait = RETRY_COMMIT_FIRST;
        loop {
            let key = CommitKey {
                app_id: self.run_id.clone(),
                version,
            };
            let error = match self.store.commit(flush.changes.clone(), Some(key)).await {
                Ok(committed) => {
                    self.count_sent(flush, &committed);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.metrics.failed_commits.inc();
            if deadline.is_some_and(|deadline| Instant::now() + wait >= deadline) {
                return Err(RunError::caused_by(
                    format!("{} accepted rows could not be written", flush.row_count()),
                    error,
                ));
            }
            tracing::warn!(error = %chain(&error), rows = flush.row_count(), "commit failed, trying again in {wait:?}");
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_COMMIT_LAST);
        }
    }

    fn count_sent(&self, flush: &Flush, committed: &Committed) {
        let metrics = &self.metrics;
        for change in &flush.changes {
            let sent = metrics.sent_rows.with_label_values(&[change.table.name()]);
            sent.inc_by(change.rows.num_rows() as u64);
        }
        metrics.replaced_rows.inc_by(committed.replaced_rows);
        metrics.rewritten_files.inc_by(committed.rewritten_files);
        metrics.rewritten_bytes.inc_by(committed.rewritten_bytes);
        metrics.damaged_files.inc_by(committed.damaged_files);
    }

    fn observe_buffer(&self) {
        self.metrics
            .buffered_bytes
            .set(i64::try_from(self.buffer.held_bytes()).unwrap_or(i64::MAX));
    }
}

#[async_trait]
impl Consumer for ParquetExporter {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(Refusal::Shutdown);
        }
        let signal = batch.signal();
        let changes = match &batch.payload {
            Payload::Otlp(request) => {
                let rows = request.rows().map_err(Refusal::permanent)?;
                vec![TableChange::add(request.table(), rows.clone())]
            }
            Payload::Tables(tables) => tables.iter().map(change_of).collect(),
            Payload::Profile(_) => {
                return Err(Refusal::permanent(
                    "the parquet exporter takes no profiles; send them to a connector",
                ));
            }
        };
        self.accept(changes).inspect_err(|_| self.metrics.refused(signal))
    }

    async fn recall(&self) -> Result<Option<Arc<dyn StoredRows>>, Refusal> {
        let snapshot = self.store.reader().snapshot().await;
        let snapshot = snapshot.map_err(|error| Refusal::permanent(chain(&error)))?;
        Ok(Recalled::new(snapshot).map(|rows| Arc::new(rows) as Arc<dyn StoredRows>))
    }
}

#[async_trait]
impl Exporter for ParquetExporter {
    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), RunError> {
        tracing::info!("tables are stored in `{}`", self.config.directory.display());
        let mut sequence = 0;
        let mut ticks = interval(self.config.flush_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_requested() {
            tokio::select! {
                () = stop.requested() => break,
                _ = ticks.tick() => {}
                () = self.flush_now.notified() => {}
            }
            // A commit that fails for ever must not keep the collector from stopping.
            tokio::select! {
                flushed = self.flush(&mut sequence, None) => flushed?,
                deadline = stop_deadline(&stop) => {
                    return Err(RunError::new(format!("a commit did not end within {:?}", deadline)));
                }
            }
        }
        self.stopped.store(true, Ordering::Release);
        let deadline = Instant::now() + STOP_PATIENCE;
        timeout_at(deadline, self.flush(&mut sequence, Some(deadline)))
            .await
            .unwrap_or_else(|_| {
                Err(RunError::new(format!(
                    "the last commit did not end within {STOP_PATIENCE:?}"
                )))
            })
    }
}

fn change_of(rows: &TableRows) -> TableChange {
    TableChange {
        table: rows.table,
        rows: rows.rows.clone(),
        replaces: rows.replaces.clone(),
    }
}

/// Resolves [`STOP_PATIENCE`] after `stop` was requested.
async fn stop_deadline(stop: &Stop) -> Duration {
    stop.requested().await;
    sleep(STOP_PATIENCE).await;
    STOP_PATIENCE
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

//! Behavior of the `parquet` exporter against a real store.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field};
use prometheus::Registry;
use spandrel_config::{Problems, Section};
use spandrel_model::Table;
use spandrel_pipeline::{
    Batch, BuildContext, Consumer, Exporter, OtlpRequest, Payload, Refusal, RequestContext, StopSource, TableRows,
};
use spandrel_store::StoreReader;

use super::{ParquetConfig, ParquetExporter};

async fn exporter(config: ParquetConfig) -> Arc<ParquetExporter> {
    measured_exporter(config, &Registry::new()).await
}

async fn measured_exporter(config: ParquetConfig, registry: &Registry) -> Arc<ParquetExporter> {
    let context = BuildContext {
        id: "parquet".into(),
        registry: registry.clone(),
    };
    Arc::new(ParquetExporter::open(config, &context).await.unwrap())
}

/// Sum of a counter over its labels.
fn metric(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    // A metric with labels is absent until it is counted once.
    let family = families.iter().filter(|family| family.name() == name);
    family
        .flat_map(|family| family.get_metric())
        .map(|metric| metric.get_counter().get_value())
        .sum()
}

/// Rows of `runtime_events`, all of one instant.
fn rows(count: usize) -> Batch {
    batch(table_rows(count))
}

/// Rows in place of all earlier ones.
fn rows_instead(count: usize) -> Batch {
    let rows = table_rows(count);
    let one = table_rows(1).rows;
    let time = one.schema().index_of(Table::RuntimeEvents.time_column()).unwrap();
    batch(TableRows {
        replaces: Some(one.project(&[time]).unwrap()),
        ..rows
    })
}

fn table_rows(count: usize) -> TableRows {
    let schema = Table::RuntimeEvents.schema();
    let column = |field: &Field| -> ArrayRef {
        match field.data_type() {
            data_type if field.is_nullable() => new_null_array(data_type, count),
            DataType::Utf8 => Arc::new(arrow::array::StringArray::from_iter_values((0..count).map(|_| "gc"))),
            DataType::Int64 => Arc::new(arrow::array::Int64Array::from_iter_values((0..count).map(|_| 1))),
            _ => Arc::new(
                arrow::array::TimestampMicrosecondArray::from_iter_values((0..count).map(|_| 0)).with_timezone("UTC"),
            ),
        }
    };
    let columns = schema.fields().iter().map(|field| column(field)).collect();
    TableRows {
        table: Table::RuntimeEvents,
        rows: RecordBatch::try_new(schema, columns).unwrap(),
        replaces: None,
    }
}

fn batch(rows: TableRows) -> Batch {
    Batch {
        payload: Payload::Tables(Arc::new([rows])),
        context: Arc::new(RequestContext::default()),
    }
}

async fn stored(dir: &std::path::Path, table: Table) -> u64 {
    let snapshot = StoreReader::open(dir).unwrap().snapshot().await.unwrap();
    snapshot.table(table).files.iter().map(|file| file.rows.unwrap()).sum()
}

#[tokio::test]
async fn what_was_accepted_is_stored_when_the_exporter_stops() {
    let dir = tempfile::tempdir().unwrap();
    let config = ParquetConfig {
        directory: dir.path().to_owned(),
        flush_interval: Duration::from_secs(3600),
        ..ParquetConfig::default()
    };
    let exporter = exporter(config).await;
    let source = StopSource::new();
    let running = tokio::spawn(exporter.clone().run(source.stop()));
    exporter.consume(rows(3)).await.unwrap();
    exporter.consume(rows(4)).await.unwrap();
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(stored(dir.path(), Table::RuntimeEvents).await, 7);
    assert_eq!(exporter.consume(rows(1)).await, Err(Refusal::Shutdown));
}

#[tokio::test]
async fn rows_replace_those_that_wait_before_them_and_not_those_after() {
    let dir = tempfile::tempdir().unwrap();
    let config = ParquetConfig {
        directory: dir.path().to_owned(),
        flush_interval: Duration::from_secs(3600),
        ..ParquetConfig::default()
    };
    let registry = Registry::new();
    let exporter = measured_exporter(config, &registry).await;
    for batch in [rows(5), rows_instead(3), rows(1)] {
        exporter.consume(batch).await.unwrap();
    }
    let source = StopSource::new();
    source.request();
    exporter.clone().run(source.stop()).await.unwrap();
    assert_eq!(stored(dir.path(), Table::RuntimeEvents).await, 3 + 1);
    assert_eq!(metric(&registry, "spandrel_exporter_sent_rows"), 9.0);
    assert_eq!(metric(&registry, "spandrel_exporter_replaced_rows"), 5.0);
    assert_eq!(metric(&registry, "spandrel_exporter_rewritten_files"), 0.0);
}

/// Waits until the metric has the value.
async fn reach(registry: &Registry, name: &str, value: f64) {
    for _ in 0..600 {
        if metric(registry, name) >= value {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} stays below {value}");
}

#[tokio::test]
async fn rows_replace_those_of_earlier_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let config = ParquetConfig {
        directory: dir.path().to_owned(),
        flush_interval: Duration::from_secs(3600),
        flush_size_bytes: 1,
        ..ParquetConfig::default()
    };
    let registry = Registry::new();
    let exporter = measured_exporter(config, &registry).await;
    let source = StopSource::new();
    let running = tokio::spawn(exporter.clone().run(source.stop()));
    exporter.consume(rows(5)).await.unwrap();
    reach(&registry, "spandrel_exporter_sent_rows", 5.0).await;
    exporter.consume(rows_instead(2)).await.unwrap();
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(stored(dir.path(), Table::RuntimeEvents).await, 2);
    assert_eq!(metric(&registry, "spandrel_exporter_replaced_rows"), 5.0);
    assert_eq!(metric(&registry, "spandrel_exporter_rewritten_files"), 1.0);
    assert_eq!(
        metric(&registry, "spandrel_exporter_rewritten_bytes"),
        0.0,
        "no row stayed"
    );
}

#[tokio::test]
async fn a_flush_that_fails_keeps_rows_and_keys_until_it_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let config = ParquetConfig {
        directory: dir.path().to_owned(),
        flush_interval: Duration::from_secs(3600),
        flush_size_bytes: 1,
        ..ParquetConfig::default()
    };
    let registry = Registry::new();
    let exporter = measured_exporter(config, &registry).await;
    let blocker = dir.path().join("runtime_events");
    let aside = dir.path().join("aside");
    let source = StopSource::new();
    let running = tokio::spawn(exporter.clone().run(source.stop()));
    exporter.consume(rows(5)).await.unwrap();
    reach(&registry, "spandrel_exporter_sent_rows", 5.0).await;

    std::fs::rename(&blocker, &aside).unwrap();
    std::fs::write(&blocker, "not a directory").unwrap();
    exporter.consume(rows_instead(2)).await.unwrap();
    reach(&registry, "spandrel_exporter_failed_commits", 1.0).await;
    std::fs::remove_file(&blocker).unwrap();
    std::fs::rename(&aside, &blocker).unwrap();
    reach(&registry, "spandrel_exporter_sent_rows", 7.0).await;
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(stored(dir.path(), Table::RuntimeEvents).await, 2);
    assert_eq!(metric(&registry, "spandrel_exporter_replaced_rows"), 5.0);
}

#[tokio::test]
async fn a_damaged_file_blocks_no_flush_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let config = ParquetConfig {
        directory: dir.path().to_owned(),
        flush_interval: Duration::from_secs(3600),
        flush_size_bytes: 1,
        ..ParquetConfig::default()
    };
    let registry = Registry::new();
    let exporter = measured_exporter(config, &registry).await;
    let source = StopSource::new();
    let running = tokio::spawn(exporter.clone().run(source.stop()));
    exporter.consume(rows(5)).await.unwrap();
    reach(&registry, "spandrel_exporter_sent_rows", 5.0).await;
    let snapshot = StoreReader::open(dir.path()).unwrap().snapshot().await.unwrap();
    std::fs::write(&snapshot.table(Table::RuntimeEvents).files[0].path, "damaged").unwrap();
    exporter.consume(rows_instead(2)).await.unwrap();
    reach(&registry, "spandrel_exporter_sent_rows", 7.0).await;
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(metric(&registry, "spandrel_exporter_damaged_files"), 1.0);
    assert_eq!(metric(&registry, "spandrel_exporter_replaced_rows"), 0.0);
}

#[tokio::test]
async fn a_full_buffer_refuses_and_says_when_to_retry() {
    let dir = tempfile::tempdir().unwrap();
    let config = ParquetConfig {
        directory: dir.path().to_owned(),
        buffer_limit_bytes: 1,
        flush_size_bytes: 1,
        ..ParquetConfig::default()
    };
    let exporter = exporter(config).await;
    exporter
        .consume(rows(1))
        .await
        .expect("an empty buffer takes any one batch");
    let refusal = exporter.consume(rows(1)).await.unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::Refused {
                retry_after: Some(_),
                ..
            }
        ),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = exporter(ParquetConfig {
        directory: dir.path().to_owned(),
        ..ParquetConfig::default()
    })
    .await;
    let garbage = Payload::Otlp(Arc::new(OtlpRequest::traces(bytes::Bytes::from_static(
        b"\xff\xff\xff garbage",
    ))));
    let batch = Batch {
        payload: garbage,
        context: Arc::new(RequestContext::default()),
    };
    assert!(matches!(exporter.consume(batch).await, Err(Refusal::Permanent { .. })));
}

#[test]
fn reports_every_problem_of_a_section() {
    let section = Section::from_yaml(
        "exporters::parquet",
        "directory: ''\nflush_interval: 0s\nflush_size: 2GiB",
    )
    .unwrap();
    let mut problems = Problems::new();
    assert_eq!(ParquetConfig::check(&section, &mut problems), None);
    let shown = problems.to_string();
    for key in ["directory", "flush_interval", "flush_size"] {
        assert!(shown.contains(&format!("exporters::parquet::{key}")), "{shown}");
    }
}

#[tokio::test]
async fn rows_or_keys_that_do_not_fit_their_table_are_refused_for_good() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let config = ParquetConfig {
        directory: dir.path().to_owned(),
        ..ParquetConfig::default()
    };
    let exporter = measured_exporter(config, &registry).await;
    let other_rows = TableRows {
        table: Table::TaskStates,
        ..table_rows(1)
    };
    let events = table_rows(1).rows;
    let without_time = TableRows {
        replaces: Some(events.project(&[0]).unwrap()),
        ..table_rows(1)
    };
    for (misfit, said) in [(other_rows, "task_states"), (without_time, "runtime_events")] {
        let refusal = exporter.consume(batch(misfit)).await.unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Permanent { reason } if reason.contains(said)),
            "{refusal:?}"
        );
    }
    let source = StopSource::new();
    let running = tokio::spawn(exporter.clone().run(source.stop()));
    exporter.consume(rows_instead(2)).await.expect("others are taken");
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(stored(dir.path(), Table::RuntimeEvents).await, 2);
    assert_eq!(metric(&registry, "spandrel_exporter_failed_commits"), 0.0);
}

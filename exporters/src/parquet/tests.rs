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
    let context = BuildContext {
        id: "parquet".into(),
        registry: Registry::new(),
    };
    Arc::new(ParquetExporter::open(config, &context).await.unwrap())
}

/// Rows of `runtime_events`, all of one instant.
fn rows(count: usize) -> Batch {
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
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    let tables: Arc<[TableRows]> = Arc::new([TableRows {
        table: Table::RuntimeEvents,
        rows,
        replaces: None,
    }]);
    Batch {
        payload: Payload::Tables(tables),
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

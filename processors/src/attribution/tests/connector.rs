//! Behavior of the `attribution` connector: what it accepts, when it joins, what it sends on.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus::Registry;
use prost::Message;
use spandrel_config::{Problems, Section};
use spandrel_model::{ProcessIdentity, Table, TaskRecording};
use spandrel_pipeline::{
    Batch, BuildContext, Connector, Consumer, OtlpRequest, Outputs, Payload, ProfileFormat, Refusal, RequestContext,
    RuntimeProfile, Signal, StopSource,
};

use spandrel_profiles::go_execution_trace::{self, Decoded, StateRules};

use super::super::{AttributionConfig, AttributionConnector};
use super::stream::{Row, text};

/// Takes tables and remembers them.
#[derive(Default)]
pub(super) struct Sink(Mutex<Vec<(Table, RecordBatch)>>);

#[async_trait]
impl Consumer for Sink {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let Payload::Tables(tables) = batch.payload else {
            return Err(Refusal::permanent("not tables"));
        };
        self.0
            .lock()
            .unwrap()
            .extend(tables.iter().map(|rows| (rows.table, rows.rows.clone())));
        Ok(())
    }
}

impl Sink {
    pub(super) fn sum(&self, table: Table, column: &str) -> i64 {
        let tables = self.0.lock().unwrap();
        let batches = tables.iter().filter(|(name, _)| *name == table);
        batches
            .map(|(_, rows)| {
                rows.column_by_name(column)
                    .unwrap()
                    .as_primitive::<Int64Type>()
                    .iter()
                    .flatten()
                    .sum::<i64>()
            })
            .sum()
    }

    pub(super) fn rows(&self, table: Table) -> usize {
        let tables = self.0.lock().unwrap();
        tables
            .iter()
            .filter(|(name, _)| *name == table)
            .map(|(_, rows)| rows.num_rows())
            .sum()
    }

    pub(super) fn outputs(self: &Arc<Self>) -> Outputs {
        Outputs::new([(Signal::Tables, self.clone() as Arc<dyn Consumer>)])
    }
}

fn connector(yaml: &str) -> Arc<AttributionConnector> {
    measured_connector(yaml, &Registry::new())
}

pub(super) fn config(yaml: &str) -> AttributionConfig {
    let section = Section::from_yaml("connectors::attribution", yaml).unwrap();
    AttributionConfig::check(&section, &mut Problems::new()).expect("the section is valid")
}

pub(super) fn measured_connector(yaml: &str, registry: &Registry) -> Arc<AttributionConnector> {
    let context = BuildContext {
        id: "attribution".into(),
        registry: registry.clone(),
    };
    Arc::new(AttributionConnector::new(config(yaml), &context).unwrap())
}

/// Sum of a counter over its labels.
pub(super) fn metric(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().filter(|family| family.name() == name);
    let counters = family.flat_map(|family| family.get_metric());
    counters.map(|metric| metric.get_counter().get_value()).sum()
}

pub(super) async fn wait_for(is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_there() {
        assert!(Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) fn batch(payload: Payload) -> Batch {
    Batch {
        payload,
        context: Arc::new(RequestContext::default()),
    }
}

/// `count` spans of 1000 ns, ids from `first`.
fn spans(first: u64, count: u64) -> Batch {
    spans_of("", first, count)
}

pub(super) fn spans_of(instance: &str, first: u64, count: u64) -> Batch {
    let attributes = vec![
        string_attribute("service.name", "shop"),
        string_attribute("service.instance.id", instance),
    ];
    let span = |id: u64| Span {
        trace_id: vec![1; 16],
        span_id: id.to_be_bytes().to_vec(),
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: 1_000_000 + id,
        end_time_unix_nano: 1_001_000 + id,
        ..Span::default()
    };
    traces_of(attributes, (first..first + count).map(span).collect())
}

fn string_attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.into())),
        }),
        ..KeyValue::default()
    }
}

fn traces_of(attributes: Vec<KeyValue>, spans: Vec<Span>) -> Batch {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    batch(Payload::Otlp(Arc::new(OtlpRequest::traces(
        request.encode_to_vec().into(),
    ))))
}

fn profile(bytes: &'static [u8]) -> Batch {
    batch(Payload::Profile(Arc::new(RuntimeProfile {
        format: ProfileFormat::GoExecutionTrace,
        bytes: bytes.into(),
        process: ProcessIdentity::default(),
        source: "test.trace".into(),
        fetched: None,
        warnings: std::sync::OnceLock::new(),
    })))
}

/// Gives `batches` to a connector, stops it, and returns what it sent on.
async fn run(yaml: &str, batches: Vec<Batch>) -> Arc<Sink> {
    let (connector, sink, source) = (connector(yaml), Arc::new(Sink::default()), StopSource::new());
    let running = tokio::spawn(connector.clone().run(sink.outputs(), source.stop()));
    for batch in batches {
        connector.consume(batch).await.unwrap();
    }
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(connector.consume(spans(1, 1)).await, Err(Refusal::Shutdown));
    sink
}

#[tokio::test]
async fn a_stopping_connector_joins_and_sends_all_it_holds() {
    let sink = run("join_delay: 1m\nretention: 1m", vec![spans(1, 3), spans(4, 2)]).await;
    assert_eq!(sink.rows(Table::SpanQuality), 5);
    assert_eq!(
        sink.sum(Table::Attribution, "ns"),
        2 * 5_000,
        "every nanosecond is somewhere, in both views"
    );
    assert_eq!(
        sink.sum(Table::SpanQuality, "unknown_ns"),
        5_000,
        "without a recording nothing is known"
    );
    assert_eq!(sink.sum(Table::Matrix, "n"), 2 * 5, "a row in each view");
}

/// Takes OTLP and remembers its rows.
#[derive(Default)]
struct OtlpSink(Mutex<Vec<RecordBatch>>);

#[async_trait]
impl Consumer for OtlpSink {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let Payload::Otlp(request) = batch.payload else {
            return Err(Refusal::permanent("not OTLP"));
        };
        let rows = request.rows().map_err(Refusal::permanent)?;
        self.0.lock().unwrap().push(rows.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_window_leaves_as_metrics_if_a_pipeline_takes_them() {
    let (connector, source) = (connector(""), StopSource::new());
    let (tables, metrics) = (Arc::new(Sink::default()), Arc::new(OtlpSink::default()));
    let outputs = Outputs::new([
        (Signal::Tables, tables.clone() as Arc<dyn Consumer>),
        (Signal::Metrics, metrics.clone() as Arc<dyn Consumer>),
    ]);
    let running = tokio::spawn(connector.clone().run(outputs, source.stop()));
    connector.consume(spans(1, 3)).await.unwrap();
    source.request();
    running.await.unwrap().unwrap();
    let batches = metrics.0.lock().unwrap();
    let [rows] = &batches[..] else {
        panic!("one service in one window, found {} requests", batches.len());
    };
    let names = cast(rows.column_by_name("metric_name").unwrap(), &DataType::Utf8).unwrap();
    let names: Vec<&str> = names.as_string::<i32>().iter().flatten().collect();
    // One operation, and in each view one cell of unknown time.
    let (duration, time) = ("spandrel.attribution.duration", "spandrel.attribution.time");
    assert_eq!(names, [duration, time, time]);
    let counts = rows.column_by_name("count").unwrap().as_primitive::<Int64Type>();
    assert_eq!(counts.values(), &[3, 3, 3]);
    assert_eq!(tables.sum(Table::Operations, "n"), 3);
}

#[tokio::test]
async fn one_round_leaves_in_batches_of_a_bounded_number_of_spans() {
    let sink = run("", vec![spans(1, 4_500)]).await;
    let tables = sink.0.lock().unwrap();
    let quality = tables.iter().filter(|(name, _)| *name == Table::SpanQuality);
    let sizes: Vec<usize> = quality.map(|(_, rows)| rows.num_rows()).collect();
    assert_eq!(sizes, [2_000, 2_000, 500]);
}

#[tokio::test]
async fn a_span_sent_twice_counts_once() {
    let sink = run("", vec![spans(1, 3), spans(2, 3)]).await;
    assert_eq!(sink.rows(Table::SpanQuality), 4);
}

#[tokio::test]
async fn spans_are_joined_when_their_delay_is_over() {
    let (connector, sink, source) = (
        connector("join_delay: 10ms"),
        Arc::new(Sink::default()),
        StopSource::new(),
    );
    let running = tokio::spawn(connector.clone().run(sink.outputs(), source.stop()));
    connector.consume(spans(1, 3)).await.unwrap();
    wait_for(|| sink.rows(Table::SpanQuality) == 3).await;
    source.request();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn beyond_the_span_limit_batches_are_refused_for_a_while() {
    let connector = connector("span_limit: 4");
    connector.consume(spans(1, 3)).await.unwrap();
    let refusal = connector.consume(spans(10, 3)).await.unwrap_err();
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
    connector.consume(spans(20, 1)).await.expect("what fits is taken");
}

#[tokio::test]
async fn what_is_no_trace_is_refused_with_the_reason_and_the_source() {
    let connector = connector("");
    for bytes in [
        &b""[..],
        b"<!DOCTYPE html><html>",
        b"go 1.19 trace\0\0\0",
        b"go 1.99 trace\0\0\0",
    ] {
        let refusal = connector.consume(profile(bytes)).await.unwrap_err();
        let Refusal::Permanent { reason } = refusal else {
            panic!("{refusal:?}")
        };
        assert!(reason.contains("test.trace"), "{reason}");
    }
    connector.consume(spans(1, 1)).await.expect("nothing else is lost");
}

/// A real trace, made by a test program of `gotrace`, of a process that only says its service.
pub(super) fn real_profile() -> Batch {
    batch(Payload::Profile(Arc::new(RuntimeProfile {
        format: ProfileFormat::GoExecutionTrace,
        bytes: include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix.trace")
            .as_slice()
            .into(),
        process: ProcessIdentity {
            service_name: "shop".into(),
            ..ProcessIdentity::default()
        },
        source: "mix.trace".into(),
        fetched: None,
        warnings: std::sync::OnceLock::new(),
    })))
}

#[tokio::test]
async fn a_profile_sent_twice_counts_once() {
    let once = run("", vec![real_profile()]).await;
    let twice = run("", vec![real_profile(), real_profile()]).await;
    assert!(once.rows(Table::TaskStates) > 100);
    assert_eq!(twice.rows(Table::TaskStates), once.rows(Table::TaskStates));
}

#[tokio::test]
async fn profiles_that_come_all_at_once_are_refused_but_for_a_few() {
    let connector = connector("");
    let senders = (0..40).map(|_| {
        let connector = connector.clone();
        tokio::spawn(async move { connector.consume(real_profile()).await })
    });
    let senders: Vec<_> = senders.collect();
    let mut refused = 0;
    for sender in senders {
        match sender.await.unwrap() {
            Err(Refusal::Refused { .. }) => refused += 1,
            answer => answer.unwrap(),
        }
    }
    // While the last ones come, the first may be done.
    assert!((1..=40 - 18).contains(&refused), "{refused}");
}

#[tokio::test]
async fn a_profile_whose_sender_went_away_is_taken_when_it_is_sent_again() {
    let (connector, sink, source) = (connector(""), Arc::new(Sink::default()), StopSource::new());
    let running = tokio::spawn(connector.clone().run(sink.outputs(), source.stop()));
    let given_up = tokio::time::timeout(Duration::ZERO, connector.consume(real_profile())).await;
    assert!(given_up.is_err(), "it takes longer than no time");
    connector.consume(real_profile()).await.unwrap();
    source.request();
    running.await.unwrap().unwrap();
    assert!(sink.rows(Table::TaskStates) > 100);
}

#[tokio::test]
async fn rows_of_a_profile_carry_the_identity_of_the_process_it_was_joined_with() {
    let sink = run("", vec![spans_of("shop-1", 1, 2), real_profile()]).await;
    let tables = sink.0.lock().unwrap();
    for table in [Table::Tasks, Table::TaskStates, Table::SpanQuality] {
        let (_, rows) = tables.iter().find(|(name, _)| *name == table).unwrap();
        let process_ids = cast(rows.column_by_name("process_id").unwrap(), &DataType::Utf8).unwrap();
        assert_eq!(process_ids.as_string::<i32>().value(0), "shop-1", "{}", table.name());
    }
}

#[test]
fn every_problem_of_a_section_is_reported() {
    let yaml =
        "join_delay: 2m\nretention: 1m\nwindow: 0s\nspan_limit: 0\nlayers:\n- layer: db\n- {layer: x, value: [y]}";
    let section = Section::from_yaml("connectors::attribution", yaml).unwrap();
    let mut problems = Problems::new();
    assert!(AttributionConfig::check(&section, &mut problems).is_none());
    let shown = problems.to_string();
    for path in ["retention", "window", "span_limit", "layers::0", "layers::1::value"] {
        assert!(
            shown.contains(&format!("connectors::attribution::{path}")),
            "{path} missing in {shown}"
        );
    }
}

#[test]
fn nothing_can_be_held_for_longer_than_clocks_can_add_up() {
    let section = Section::from_yaml("connectors::attribution", "retention: 18446744073709551615s").unwrap();
    let mut problems = Problems::new();
    assert!(AttributionConfig::check(&section, &mut problems).is_none());
    assert!(problems.to_string().contains("31 days"), "{problems}");
}

#[test]
fn user_rules_come_before_the_default_ones() {
    let yaml = "layers:\n- {layer: warehouse, attribute: [db.system.name], value: [click*]}";
    let section = Section::from_yaml("connectors::attribution", yaml).unwrap();
    let config = AttributionConfig::check(&section, &mut Problems::new()).unwrap();
    let defaults = spandrel_attribution::LayerRules::default().rules.len();
    assert_eq!(config.rules.layers.rules.len(), defaults + 1);
    assert_eq!(
        format!("{:?}", config.rules.layers.rules[0].layer),
        "Named(Layer(\"warehouse\"))"
    );
}

/// The real trace and one of Go 1.25, spans of their goroutines and one over all that time, and how the rows come out with
/// so much memory.
async fn rows_with_memory(recording_limit: &str, directory: &std::path::Path) -> Arc<Sink> {
    let earlier = include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix-go1.25.trace").as_slice();
    let (mut batches, mut whole) = (Vec::new(), (u64::MAX, 0));
    for profile in [real_profile(), with_bytes(earlier)] {
        let Payload::Profile(raw) = &profile.payload else {
            panic!("a profile");
        };
        let (start, end) = bounds(raw);
        whole = (whole.0.min(start), whole.1.max(end));
        batches.extend([spans_within(raw), profile]);
    }
    let over_all = Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        start_time_unix_nano: whole.0,
        end_time_unix_nano: whole.1,
        attributes: vec![goroutine(1)],
        ..Span::default()
    };
    batches.push(traces_of(
        vec![string_attribute("service.name", "shop")],
        vec![over_all],
    ));
    let directory = directory.display();
    let yaml = format!("recording_limit: {recording_limit}\nrecordings_directory: {directory}");
    run(&yaml, batches).await
}

pub(super) fn with_bytes(bytes: &'static [u8]) -> Batch {
    let Payload::Profile(profile) = real_profile().payload else {
        panic!("a profile");
    };
    batch(Payload::Profile(Arc::new(RuntimeProfile {
        bytes: bytes.into(),
        ..(*profile).clone()
    })))
}

pub(super) fn decoded(profile: &RuntimeProfile) -> TaskRecording {
    let rules = StateRules::default();
    let decoded = go_execution_trace::decode(&profile.bytes, Arc::default(), "test".into(), &rules).unwrap();
    let Decoded::Anchored(recording) = decoded else {
        panic!("it holds the wall clock");
    };
    recording
}

/// Start and end of a profile.
pub(super) fn bounds(profile: &RuntimeProfile) -> (u64, u64) {
    let window = decoded(profile).window;
    let [start, end] = [window.start(), window.end()].map(|at| u64::try_from(at.0).unwrap());
    (start, end)
}

fn goroutine(id: u64) -> KeyValue {
    KeyValue {
        key: "go.goroutine.id".into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::IntValue(i64::try_from(id).unwrap())),
        }),
        ..KeyValue::default()
    }
}

/// A span on every goroutine of a profile, for all of its time.
pub(super) fn spans_within(profile: &RuntimeProfile) -> Batch {
    let (start, end) = bounds(profile);
    let recording = decoded(profile);
    let spans = recording.tasks.iter().map(|task| Span {
        trace_id: task.id.0.to_be_bytes().repeat(2),
        span_id: (start ^ task.id.0).to_be_bytes().into(),
        name: "GET /".into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: vec![goroutine(task.id.0)],
        ..Span::default()
    });
    traces_of(vec![string_attribute("service.name", "shop")], spans.collect())
}

pub(super) fn sorted_rows(sink: &Sink, table: Table) -> Vec<Row> {
    let tables = sink.0.lock().unwrap();
    let batches = tables.iter().filter(|(name, _)| *name == table);
    let mut rows: Vec<Row> = batches.flat_map(|(_, rows)| text(rows)).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn recordings_that_do_not_fit_into_memory_are_on_disk_and_no_row_is_different() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let memory = rows_with_memory("1GiB", directories[0].path()).await;
    let disk = rows_with_memory("1KiB", directories[1].path()).await;
    for table in [
        Table::Attribution,
        Table::SpanQuality,
        Table::TaskSpans,
        Table::TaskStates,
    ] {
        let rows = sorted_rows(&memory, table);
        assert!(rows.len() > 10, "{table:?}");
        assert!(rows == sorted_rows(&disk, table), "{table:?}");
    }
    assert!(memory.sum(Table::SpanQuality, "exact_ns") > 0);
}

#[tokio::test]
async fn a_recording_for_which_there_is_room_nowhere_is_refused() {
    let connector = connector("recording_limit: 1KiB");
    connector
        .consume(real_profile())
        .await
        .expect("one recording always fits");
    let second = include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix-go1.25.trace").as_slice();
    let refusal = connector.consume(with_bytes(second)).await.unwrap_err();
    assert!(refusal.to_string().contains("recording_limit"), "{refusal}");
}

#[tokio::test]
async fn what_a_recording_that_cannot_be_read_again_would_correct_stays_and_counts() {
    let (directory, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let yaml = format!(
        "join_delay: 10ms\nrecording_limit: 1KiB\nrecordings_directory: {}",
        directory.path().display()
    );
    let (connector, sink, source) = (
        measured_connector(&yaml, &registry),
        Arc::new(Sink::default()),
        StopSource::new(),
    );
    let running = tokio::spawn(connector.clone().run(sink.outputs(), source.stop()));
    let Payload::Profile(raw) = &real_profile().payload else {
        panic!("a profile");
    };
    // The second profile drives the first one to disk.
    let second = include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix-go1.25.trace").as_slice();
    for profile in [real_profile(), with_bytes(second)] {
        connector.consume(profile).await.unwrap();
    }
    connector.consume(spans_within(raw)).await.unwrap();
    let spans = decoded(raw).tasks.len();
    wait_for(|| sink.rows(Table::SpanQuality) == spans).await;

    std::fs::remove_file(directory.path().join("00000000000000000001.profile")).unwrap();
    let (start, end) = bounds(raw);
    let late = Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Span::default()
    };
    let service = vec![string_attribute("service.name", "shop")];
    connector.consume(traces_of(service, vec![late])).await.unwrap();
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(sink.rows(Table::SpanQuality), spans + 1, "nothing is sent again");
    assert_eq!(metric(&registry, "spandrel_attribution_left_out_recordings"), 1.0);
    assert_eq!(
        metric(&registry, "spandrel_attribution_uncorrected_spans"),
        spans as f64
    );
}

/// Is busy once for so long.
struct BusyOnce(Mutex<Option<Duration>>, Arc<Sink>);

#[async_trait]
impl Consumer for BusyOnce {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let busy = self.0.lock().unwrap().take();
        if let Some(busy) = busy {
            tokio::time::sleep(busy).await;
        }
        self.1.consume(batch).await
    }
}

#[tokio::test]
async fn what_is_joined_after_a_consumer_was_busy_can_be_corrected_for_the_whole_retention() {
    let (registry, sink, source) = (Registry::new(), Arc::new(Sink::default()), StopSource::new());
    let connector = measured_connector("join_delay: 10ms\nretention: 4s", &registry);
    let busy = BusyOnce(Mutex::new(Some(Duration::from_millis(4_500))), sink.clone());
    let outputs = Outputs::new([(Signal::Tables, Arc::new(busy) as Arc<dyn Consumer>)]);
    // Slots are five seconds long, and joined in the order of time.
    let slot = |number: u64| 10_000_000_000 * number;
    connector.consume(spans(1, 2_000)).await.unwrap();
    connector.consume(spans(slot(1), 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let running = tokio::spawn(connector.clone().run(outputs, source.stop()));
    wait_for(|| sink.rows(Table::SpanQuality) == 2_001).await;
    // After two more rounds all would be let go that is over.
    for round in [2, 3] {
        connector.consume(spans(slot(round), 1)).await.unwrap();
        wait_for(|| sink.rows(Table::SpanQuality) as u64 == 2_000 + round).await;
    }
    connector.consume(spans(slot(1) + 1, 1)).await.unwrap();
    assert_eq!(metric(&registry, "spandrel_attribution_late_spans"), 1.0);
    assert_eq!(metric(&registry, "spandrel_attribution_too_late"), 0.0);
    source.request();
    running.await.unwrap().unwrap();
}

//! The receiver on real sockets, with real clients.

mod grpc;
mod http;
mod lifecycle;
mod limits;
mod profiles;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point::Value,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus::Registry;
use spandrel_config::{Problems, Section};
use spandrel_pipeline::{
    Batch, BuildContext, BuildError, Outputs, Payload, Receiver, Refusal, RunError, Signal, StopSource,
};
use tokio::task::JoinHandle;

use super::config::OtlpConfig;
use super::{EMITS, OtlpReceiver};
use crate::receivers::scripted::{Scripted, metric};

/// A receiver that runs, under the id `otlp`.
struct Running {
    grpc: SocketAddr,
    http: SocketAddr,
    registry: Registry,
    stop: StopSource,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Starts on free ports with the given limits, all signals leading to `consumer`.
    async fn start(limits: Limits, consumer: &Arc<Scripted>) -> Self {
        Self::start_with(limits, consumer.outputs(EMITS)).await
    }

    async fn start_with(limits: Limits, outputs: Outputs) -> Self {
        let registry = Registry::new();
        let mut receiver = bind(&limits.yaml(), &registry).await.unwrap();
        receiver.drain_timeout = limits.drain_timeout;
        let [("grpc", grpc), ("http", http)] = receiver.listening_on()[..] else {
            panic!("two ports")
        };
        let stop = StopSource::new();
        let task = tokio::spawn(Box::new(receiver).run(outputs, stop.stop()));
        Self {
            grpc,
            http,
            registry,
            stop,
            task,
        }
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metric(&self.registry, name, labels)
    }

    fn rejected(&self, transport: &str, reason: &str) -> f64 {
        self.metric(
            "spandrel_receiver_rejected_requests",
            &[("transport", transport), ("reason", reason)],
        )
    }

    fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    async fn shut_down(self) {
        self.stop.request();
        self.task.await.unwrap().unwrap();
    }
}

struct Limits {
    request_mib: u64,
    profile: &'static str,
    in_flight: &'static str,
    requests: usize,
    drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_mib: 1,
            profile: "1MiB",
            in_flight: "64MiB",
            requests: 100,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    fn yaml(&self) -> String {
        let Self {
            request_mib,
            profile,
            in_flight,
            requests,
            ..
        } = self;
        format!(
            "
protocols:
  grpc:
    endpoint: 127.0.0.1:0
    max_recv_msg_size_mib: {request_mib}
  http:
    endpoint: 127.0.0.1:0
    max_request_body_size: {request_mib}MiB
    max_runtime_profile_size: {profile}
max_in_flight_size: {in_flight}
max_concurrent_requests: {requests}
"
        )
    }
}

fn check(yaml: &str) -> Result<OtlpConfig, Problems> {
    let section = Section::from_yaml("receivers::otlp", yaml)?;
    let mut problems = Problems::new();
    OtlpConfig::check(&section, &mut problems).ok_or(problems)
}

async fn bind(yaml: &str, registry: &Registry) -> Result<OtlpReceiver, BuildError> {
    let context = BuildContext {
        id: "otlp".into(),
        registry: registry.clone(),
    };
    OtlpReceiver::bind(check(yaml).unwrap(), context).await
}

/// Two spans.
fn traces() -> ExportTraceServiceRequest {
    let span = |id: u8| Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        name: "GET /".into(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span(1), span(2)],
        ..Default::default()
    }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans,
            ..Default::default()
        }],
    }
}

/// Two spans, of which one ends after the year 2262.
fn traces_in_part() -> ExportTraceServiceRequest {
    let mut request = traces();
    request.resource_spans[0].scope_spans[0].spans[1].end_time_unix_nano = u64::MAX;
    request
}

/// A request of about `bytes` bytes that compresses well.
fn large_traces(bytes: usize) -> ExportTraceServiceRequest {
    let mut request = traces();
    request.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(bytes);
    request
}

/// One data point.
fn metrics() -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        time_unix_nano: 1,
        value: Some(Value::AsInt(1)),
        ..Default::default()
    };
    let data = Some(Data::Gauge(Gauge {
        data_points: vec![point],
    }));
    let metrics = vec![Metric {
        name: "queue".into(),
        data,
        ..Default::default()
    }];
    let scope_metrics = vec![ScopeMetrics {
        metrics,
        ..Default::default()
    }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics,
            ..Default::default()
        }],
    }
}

/// Three log records.
fn logs() -> ExportLogsServiceRequest {
    let log_records = vec![
        LogRecord {
            time_unix_nano: 1,
            ..Default::default()
        };
        3
    ];
    let scope_logs = vec![ScopeLogs {
        log_records,
        ..Default::default()
    }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs,
            ..Default::default()
        }],
    }
}

fn bytes_of(batch: &Batch) -> Bytes {
    match &batch.payload {
        Payload::Otlp(request) => request.bytes().clone(),
        other => panic!("expected OTLP, found {other:?}"),
    }
}

fn busy(retry_after: Option<Duration>) -> Refusal {
    Refusal::Refused {
        reason: "the queue is full".into(),
        retry_after,
    }
}

/// Outputs of a collector in which no pipeline takes logs.
fn without_logs(consumer: &Arc<Scripted>) -> Outputs {
    consumer.outputs(&[Signal::Traces, Signal::Metrics])
}

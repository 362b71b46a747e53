//! Behavior of the `otlp_http` exporter against a server that answers as told.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use prometheus::Registry;
use spandrel_config::{Problems, Section};
use spandrel_pipeline::{
    Batch, BuildContext, Consumer, Exporter, OtlpRequest, Payload, Refusal, RequestContext, Signal, StopSource,
};

use super::{OtlpHttpConfig, OtlpHttpExporter};

/// What the server was sent.
#[derive(Clone, Debug)]
struct Received {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

type Answer = (StatusCode, Vec<(&'static str, &'static str)>, Vec<u8>);

/// Gives its answers in turn, then says 200.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> (Self, SocketAddr) {
        let server = Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            ..Self::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(Self::answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (server, address)
    }

    async fn answer(State(server): State<Self>, request: Request) -> impl IntoResponse {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        server.received.lock().unwrap().push(Received {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body,
        });
        let (status, headers, body) =
            server
                .answers
                .lock()
                .unwrap()
                .pop_front()
                .unwrap_or((StatusCode::OK, vec![], vec![]));
        let mut answer = (status, body).into_response();
        for (name, value) in headers {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn exporter(yaml: &str) -> (Arc<OtlpHttpExporter>, Registry) {
    let mut problems = Problems::new();
    let section = Section::from_yaml("exporters::otlp_http", yaml).unwrap();
    let config = OtlpHttpConfig::check(&section, &mut problems);
    assert!(problems.is_empty(), "{problems}");
    let registry = Registry::new();
    let context = BuildContext {
        id: "otlp_http".into(),
        registry: registry.clone(),
    };
    let exporter = OtlpHttpExporter::new(config.unwrap(), &context).unwrap();
    (Arc::new(exporter), registry)
}

/// Settings for a server, with short pauses.
fn settings(address: SocketAddr) -> String {
    format!("{{endpoint: 'http://{address}', retry_on_failure: {{initial_interval: 1ms, max_interval: 2ms}}}}")
}

fn batch(request: OtlpRequest) -> Batch {
    Batch {
        payload: Payload::Otlp(Arc::new(request)),
        context: Arc::new(RequestContext::default()),
    }
}

fn value(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let metrics = families.iter().filter(|family| family.name() == name);
    metrics
        .flat_map(|family| family.get_metric())
        .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
        .sum()
}

/// Offers batches to an exporter and stops it.
async fn export(exporter: Arc<OtlpHttpExporter>, requests: Vec<OtlpRequest>) {
    for request in requests {
        exporter.consume(batch(request)).await.unwrap();
    }
    let stop = StopSource::new();
    stop.request();
    exporter.run(stop.stop()).await.unwrap();
}

fn one() -> Vec<OtlpRequest> {
    vec![OtlpRequest::traces(Bytes::from_static(b"spans"))]
}

#[tokio::test]
async fn every_signal_arrives_at_its_path_as_it_came() {
    let (server, address) = Server::start([]).await;
    let yaml = format!("{{endpoint: 'http://{address}/base/', compression: none, headers: {{x-tenant: blue}}}}");
    let (exporter, registry) = exporter(&yaml);
    let requests = vec![
        OtlpRequest::traces(Bytes::from_static(b"spans")),
        OtlpRequest::metrics(Bytes::from_static(b"points")),
        OtlpRequest::logs(Bytes::from_static(b"records")),
    ];
    export(exporter, requests).await;
    let mut received: Vec<(String, Bytes)> = Vec::new();
    for request in server.received() {
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        assert_eq!(request.headers["x-tenant"], "blue");
        assert!(request.headers.get("content-encoding").is_none());
        received.push((request.path, request.body));
    }
    received.sort();
    let expected = [
        ("/base/v1/logs", "records"),
        ("/base/v1/metrics", "points"),
        ("/base/v1/traces", "spans"),
    ];
    assert_eq!(
        received,
        expected.map(|(path, body)| (path.to_owned(), Bytes::from(body)))
    );
    assert_eq!(value(&registry, "spandrel_exporter_sent_requests"), 3.0);
    assert_eq!(value(&registry, "spandrel_exporter_queued_bytes"), 0.0);
}

#[tokio::test]
async fn bodies_are_compressed_unless_that_is_switched_off() {
    let (server, address) = Server::start([]).await;
    export(exporter(&settings(address)).0, one()).await;
    let [request] = &server.received()[..] else {
        panic!("one request is expected");
    };
    assert_eq!(request.headers["content-encoding"], "gzip");
    let mut body = String::new();
    flate2::read::GzDecoder::new(&request.body[..])
        .read_to_string(&mut body)
        .unwrap();
    assert_eq!(body, "spans");
}

#[tokio::test]
async fn an_endpoint_that_is_busy_gets_the_request_again() {
    let busy = |status| (status, vec![], vec![]);
    let answers = [
        busy(StatusCode::TOO_MANY_REQUESTS),
        busy(StatusCode::BAD_GATEWAY),
        busy(StatusCode::SERVICE_UNAVAILABLE),
        busy(StatusCode::GATEWAY_TIMEOUT),
    ];
    let (server, address) = Server::start(answers).await;
    let (exporter, registry) = exporter(&settings(address));
    export(exporter, one()).await;
    assert_eq!(server.received().len(), 5);
    assert_eq!(value(&registry, "spandrel_exporter_failed_attempts"), 4.0);
    assert_eq!(value(&registry, "spandrel_exporter_sent_requests"), 1.0);
}

#[tokio::test]
async fn the_endpoint_says_how_long_to_wait() {
    let later = (StatusCode::SERVICE_UNAVAILABLE, vec![("retry-after", "3600")], vec![]);
    let (server, address) = Server::start([later]).await;
    let yaml = settings(address).replace("2ms", "2ms, max_elapsed_time: 59s");
    let (exporter, registry) = exporter(&yaml);
    export(exporter, one()).await;
    assert_eq!(server.received().len(), 1, "a minute is beyond the time for a request");
    assert_eq!(value(&registry, "spandrel_exporter_failed_requests"), 1.0);
}

#[tokio::test]
async fn any_other_error_is_final_and_does_not_keep_later_requests() {
    let (server, address) = Server::start([(StatusCode::BAD_REQUEST, vec![], b"no such tenant".to_vec())]).await;
    let (exporter, registry) = exporter(&settings(address));
    export(exporter, one().into_iter().chain(one()).collect()).await;
    assert_eq!(server.received().len(), 2);
    assert_eq!(value(&registry, "spandrel_exporter_failed_requests"), 1.0);
    assert_eq!(value(&registry, "spandrel_exporter_sent_requests"), 1.0);
}

#[tokio::test]
async fn items_that_the_endpoint_rejects_are_counted() {
    // partial_success { rejected_spans: 3, error_message: "no" }
    let answer = vec![0x0a, 6, 0x08, 3, 0x12, 2, b'n', b'o'];
    let (_, address) = Server::start([(StatusCode::OK, vec![], answer)]).await;
    let (exporter, registry) = exporter(&settings(address));
    export(exporter, one()).await;
    assert_eq!(value(&registry, "spandrel_exporter_rejected_items"), 3.0);
    assert_eq!(value(&registry, "spandrel_exporter_sent_requests"), 1.0);
}

#[tokio::test]
async fn requests_wait_while_nobody_listens_and_are_refused_beyond_the_limit() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (exporter, registry) = exporter(&settings(address).replace("retry_on", "queue_limit: 300B, retry_on"));
    let source = StopSource::new();
    let running = tokio::spawn(exporter.clone().run(source.stop()));
    exporter.consume(batch(one().remove(0))).await.unwrap();
    let refusal = exporter.consume(batch(one().remove(0))).await.unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("the queue of exporter `otlp_http` is full (205 of 300 bytes)"),
        "{refusal}"
    );
    assert_eq!(value(&registry, "spandrel_exporter_refused_batches"), 1.0);
    let app = Router::new().fallback(|| async { StatusCode::OK });
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(value(&registry, "spandrel_exporter_sent_requests"), 1.0);
    assert_eq!(exporter.consume(batch(one().remove(0))).await, Err(Refusal::Shutdown));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_end_of_a_pause() {
    let (server, address) = Server::start([(StatusCode::SERVICE_UNAVAILABLE, vec![], vec![])]).await;
    let yaml = format!(
        "{{endpoint: 'http://{address}', retry_on_failure: {{initial_interval: 1h, max_interval: 1h, max_elapsed_time: 0s}}}}"
    );
    let (exporter, registry) = exporter(&yaml);
    let source = StopSource::new();
    let running = tokio::spawn(exporter.clone().run(source.stop()));
    exporter.consume(batch(one().remove(0))).await.unwrap();
    while value(&registry, "spandrel_exporter_failed_attempts") < 1.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    source.request();
    running.await.unwrap().unwrap();
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn rows_of_tables_are_no_otlp() {
    let (exporter, _) = exporter("{endpoint: 'http://localhost:1'}");
    let rows = Batch {
        payload: Payload::Tables(Arc::new([])),
        context: Arc::new(RequestContext::default()),
    };
    assert_eq!(rows.signal(), Signal::Tables);
    assert!(matches!(exporter.consume(rows).await, Err(Refusal::Permanent { .. })));
}

fn problems(yaml: &str) -> String {
    let mut problems = Problems::new();
    let section = Section::from_yaml("exporters::otlp_http", yaml).unwrap();
    assert!(OtlpHttpConfig::check(&section, &mut problems).is_none());
    problems.to_string()
}

#[test]
fn a_section_says_what_is_wrong_and_where() {
    assert!(problems("{}").contains("exporters::otlp_http::endpoint: is required"));
    assert!(problems("{endpoint: 'localhost:4318'}").contains("is not an http or https URL, but one of `localhost`"));
    assert!(problems("{endpoint: 'http://a', headers: {'a b': c}}").contains("headers::a b: is not a header of HTTP"));
    assert!(problems("{endpoint: 'http://a', headers: {X-A: b, x-a: c}}").contains("headers::x-a: is given twice"));
    assert!(problems("{endpoint: 'http://a', headers: {Content-Type: b}}").contains("is set by the exporter"));
    assert!(!problems("{endpoint: 'http//me:secret@a'}").contains("secret"));
    assert!(problems("{endpoint: 'http://a', timeout: 0s}").contains("timeout: must be more than 0"));
    let retry = problems("{endpoint: 'http://a', retry_on_failure: {initial_interval: 9s, max_interval: 8s}}");
    assert!(
        retry.contains("retry_on_failure::max_interval: must not be shorter than initial_interval"),
        "{retry}"
    );
}

#[test]
fn defaults_are_those_of_the_collector() {
    let section = Section::from_yaml("exporters::otlp_http", "{endpoint: 'https://otel.example'}").unwrap();
    let config = OtlpHttpConfig::check(&section, &mut Problems::new()).unwrap();
    assert_eq!(config.metrics.as_str(), "https://otel.example/v1/metrics");
    assert_eq!(config.timeout, Duration::from_secs(30));
    assert!(config.compresses);
    assert_eq!(config.retry.max_elapsed, Some(Duration::from_secs(300)));
}

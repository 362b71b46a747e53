//! The receiver against small servers on loopback.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use prometheus::Registry;
use spandrel_config::{Problems, Section};
use spandrel_pipeline::{Refusal, StopSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::receivers::scripted::{Scripted, documented_section, eventually, metric};

const TRACE: &[u8] = b"go 1.26 trace\0\0\0\x01\x02\x03";

/// Serves `answer` under every path of a free port, for the rest of the test.
async fn target<F, R>(answer: F) -> SocketAddr
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn trace_target() -> SocketAddr {
    target(|_| async { TRACE.into_response() }).await
}

struct Running {
    registry: Registry,
    stop: StopSource,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn errors(&self, target: SocketAddr, kind: &str) -> f64 {
        let target = format!("http://{target}/debug/pprof/trace");
        metric(
            &self.registry,
            "spandrel_go_runtime_errors",
            &[("target", &target), ("kind", kind)],
        )
    }

    fn profiles(&self, verb: &str) -> f64 {
        let labels = [("receiver", "go_runtime"), ("transport", "http")];
        metric(&self.registry, &format!("otelcol_receiver_{verb}_profiles"), &labels)
    }

    async fn shut_down(self) {
        self.stop.request();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.task)
            .await
            .expect("stops promptly");
        ended.unwrap().unwrap();
    }
}

/// Pulls every 20 ms from `targets`, which have 300 ms to answer with at most 1000 bytes.
fn start(targets: &[SocketAddr], consumer: &Arc<Scripted>) -> Running {
    let target = |address| format!("{{endpoint: 'http://{address}', resource: {{service.name: shop}}}}");
    let targets: Vec<String> = targets.iter().map(target).collect();
    let times = "collection_interval: 20ms, trace_duration: 20ms, timeout: 300ms, max_trace_size: 1000";
    start_with(&format!("{{targets: [{}], {times}}}", targets.join(", ")), consumer)
}

fn start_with(yaml: &str, consumer: &Arc<Scripted>) -> Running {
    let registry = Registry::new();
    let context = BuildContext {
        id: "go_runtime".into(),
        registry: registry.clone(),
    };
    let mut receiver = GoRuntimeReceiver::build(check(yaml).unwrap(), &context).unwrap();
    receiver.first_retry = Duration::from_millis(1);
    let stop = StopSource::new();
    let task = tokio::spawn(Box::new(receiver).run(consumer.outputs(EMITS), stop.stop()));
    Running { registry, stop, task }
}

fn check(yaml: &str) -> Result<GoRuntimeConfig, Problems> {
    let section = Section::from_yaml("receivers::go_runtime", yaml)?;
    let mut problems = Problems::new();
    GoRuntimeConfig::check(&section, &mut problems).ok_or(problems)
}

fn busy() -> Refusal {
    Refusal::Refused {
        reason: "the queue is full".into(),
        retry_after: None,
    }
}

#[tokio::test]
async fn a_trace_reaches_the_pipeline_with_the_process_of_its_target() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let address = target(move |request: Request| {
        log.lock().unwrap().push(request.uri().to_string());
        async { TRACE.into_response() }
    })
    .await;
    let consumer = Scripted::accepting();
    let yaml = format!(
        "
targets:
  - endpoint: http://user:secret@{address}/custom/trace?who=me
    resource: {{service.name: shop, host.name: a, process.pid: 7}}
collection_interval: 1h
trace_duration: 1500ms
"
    );
    let running = start_with(&yaml, &consumer);
    eventually(|| running.profiles("accepted") == 1.0).await;
    let profile = &consumer.profiles()[0];
    assert_eq!(
        (&profile.bytes[..], profile.format),
        (TRACE, spandrel_pipeline::ProfileFormat::GoExecutionTrace)
    );
    assert_eq!(profile.process.to_string(), "shop/a:7");
    assert_eq!(&*profile.source, format!("http://{address}/custom/trace"));
    assert!(profile.fetched.is_some());
    let context = &consumer.offered()[0].context;
    assert_eq!((&*context.receiver, context.transport), ("go_runtime", "http"));
    assert_eq!(*asked.lock().unwrap(), ["/custom/trace?who=me&seconds=1.5"]);
    running.shut_down().await;
}

#[tokio::test]
async fn equal_interval_and_duration_give_one_trace_right_after_the_other() {
    let address = target(|_| async {
        tokio::time::sleep(Duration::from_millis(25)).await;
        TRACE.into_response()
    })
    .await;
    let consumer = Scripted::accepting();
    let running = start(&[address], &consumer);
    consumer.wait_for(4).await;
    let intervals: Vec<_> = consumer
        .profiles()
        .iter()
        .map(|profile| profile.fetched.unwrap())
        .collect();
    for pair in intervals.windows(2) {
        assert!(pair[0].end() <= pair[1].start(), "pulls of one target do not overlap");
    }
    running.shut_down().await;
}

#[tokio::test]
async fn each_failure_has_its_kind_and_the_worker_goes_on() {
    let html = target(|_| async { Html("<!DOCTYPE html><title>Log in</title>").into_response() }).await;
    let tracing_already = target(|_| async {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Could not enable tracing: tracing is already enabled\n",
        )
            .into_response()
    })
    .await;
    let elsewhere = target(|_| async { axum::response::Redirect::to("/login").into_response() }).await;
    let hanging = target(|_| std::future::pending()).await;
    let oversized = target(|_| async { [TRACE, &[0; 2000]].concat().into_response() }).await;
    let refusing = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let truncated = raw_target(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ngo 1.26 trace\0\0\0").await;
    let no_http = raw_target(b"SSH-2.0-OpenSSH\r\n").await;
    let consumer = Scripted::accepting();
    let failing = [
        (html, "not_a_trace"),
        (tracing_already, "status"),
        (elsewhere, "status"),
        (hanging, "timeout"),
        (oversized, "too_large"),
        (refusing, "connect"),
        (truncated, "broken_off"),
        (no_http, "no_answer"),
    ];
    let good = trace_target().await;
    let targets: Vec<SocketAddr> = failing.iter().map(|(address, _)| *address).chain([good]).collect();
    let running = start(&targets, &consumer);
    for (address, kind) in failing {
        eventually(|| running.errors(address, kind) >= 2.0).await;
    }
    assert!(consumer.profiles().len() > 1, "a good target is pulled all the while");
    assert!(
        consumer
            .profiles()
            .iter()
            .all(|profile| profile.source.contains(&good.to_string()))
    );
    running.shut_down().await;
}

/// Answers every connection with `answer` and closes it.
async fn raw_target(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

#[tokio::test]
async fn failures_say_what_happened() {
    let client = reqwest::Client::new();
    let busy = target(|_| async {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "\nCould not enable tracing: already enabled\nmore\n",
        )
            .into_response()
    })
    .await;
    let html = target(|_| async { Html("<html>").into_response() }).await;
    let endless = target(|_| async {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[0; 500]));
        Body::from_stream(futures::stream::repeat_with(chunk)).into_response()
    })
    .await;
    let old = target(|_| async { b"go 1.21 trace\0\0\0".into_response() }).await;
    let truncated = raw_target(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ngo 1.26 trace\0\0\0").await;
    let silent = target(|_| std::future::pending()).await;
    for (address, message) in [
        (
            busy,
            "answered 500 Internal Server Error: `Could not enable tracing: already enabled`",
        ),
        (html, "found an HTML or XML page"),
        (endless, "the trace is larger than max_trace_size, 1000 bytes"),
        (old, "record with Go 1.22 or later"),
        (truncated, "the answer broke off after 16 bytes"),
        (silent, "no complete answer within 200ms"),
    ] {
        let url = format!("http://{address}/").parse().unwrap();
        let timeout = Duration::from_millis(if address == silent { 200 } else { 10_000 });
        let limits = Limits {
            timeout,
            max_trace_bytes: 1000,
        };
        let error = pull::pull(&client, url, limits).await.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_target_that_comes_up_late_is_not_left_alone_for_a_whole_interval() {
    let times_asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&times_asked);
    let address = target(move |_| {
        let is_up = counter.fetch_add(1, Ordering::Relaxed) >= 3;
        async move {
            match is_up {
                true => TRACE.into_response(),
                false => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        }
    })
    .await;
    let consumer = Scripted::accepting();
    let yaml = format!(
        "{{targets: [{{endpoint: 'http://{address}', resource: {{service.name: shop}}}}], collection_interval: 1h, \
         trace_duration: 20ms}}"
    );
    let running = start_with(&yaml, &consumer);
    eventually(|| running.profiles("accepted") == 1.0).await;
    assert_eq!(running.errors(address, "status"), 3.0);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(times_asked.load(Ordering::Relaxed), 4, "the next one is due in an hour");
    running.shut_down().await;
}

#[tokio::test]
async fn a_refused_trace_is_offered_again() {
    let address = trace_target().await;
    let consumer = Scripted::answering([Err(busy()), Err(busy())]);
    let running = start(&[address], &consumer);
    eventually(|| running.profiles("accepted") >= 1.0).await;
    let offered = consumer.profiles();
    assert!(Arc::ptr_eq(&offered[0], &offered[1]) && Arc::ptr_eq(&offered[1], &offered[2]));
    assert_eq!(running.profiles("refused"), 0.0);
    running.shut_down().await;
}

#[tokio::test]
async fn a_trace_that_is_refused_for_good_or_too_often_is_counted_as_lost() {
    let address = trace_target().await;
    let consumer = Scripted::answering([vec![Err(Refusal::permanent("no"))], vec![Err(busy()); 6]].concat());
    let running = start(&[address], &consumer);
    eventually(|| running.profiles("accepted") >= 1.0).await;
    assert_eq!(running.profiles("refused"), 2.0);
    assert_eq!(running.errors(address, "refused"), 2.0);
    running.shut_down().await;
}

#[tokio::test]
async fn stops_in_the_middle_of_a_pull() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = target(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    })
    .await;
    let yaml = format!("{{targets: [{{endpoint: 'http://{address}', resource: {{service.name: shop}}}}]}}");
    let running = start_with(&yaml, &Scripted::accepting());
    eventually(|| asked.load(Ordering::SeqCst) == 1).await;
    running.shut_down().await;
}

#[tokio::test]
async fn stops_while_a_refused_trace_waits() {
    let address = trace_target().await;
    let later = Refusal::Refused {
        reason: "full".into(),
        retry_after: Some(Duration::from_secs(3600)),
    };
    let consumer = Scripted::answering(vec![Err(later); 10]);
    let running = start(&[address], &consumer);
    consumer.wait_for(1).await;
    let registry = running.registry.clone();
    running.shut_down().await;
    assert_eq!(metric(&registry, "otelcol_receiver_refused_profiles", &[]), 1.0);
    assert_eq!(
        consumer.profiles().len(),
        2,
        "the trace is offered once more before it is given up"
    );
}

#[test]
fn the_documentation_shows_every_setting_with_its_default() {
    let page = include_str!("../../../../docs/components/go_runtime.md");
    let documented = check(&documented_section(page, "collection_interval")).unwrap();
    let target = "{endpoint: 'http://localhost:6060', resource: {service.name: shop, service.instance.id: shop-1}}";
    let config = check(&format!("targets: [{target}]")).unwrap();
    assert_eq!(format!("{documented:?}"), format!("{config:?}"));
    assert_eq!(config.collection_interval, Duration::from_secs(60));
    assert_eq!(config.trace_duration, Duration::from_secs(5));
    assert_eq!(config.timeout, Duration::from_secs(15));
    assert_eq!(config.max_trace_bytes, 256 << 20);
}

#[test]
fn every_problem_of_a_section_is_reported_at_its_place() {
    let text = check(
        "
targets:
  - endpoint: a:6060
    resource: {service.name: shop}
  - endpoint: http://a/debug/pprof/trace?seconds=3
    resource: {}
  - endpoint: http://b
    resource: {service.name: shop, process.pid: abc}
  - endpoint: http://b/debug/pprof/trace
    resource: {service.name: shop}
collection_interval: 1s
trace_duration: 2s
timeout: 2s
max_trace_size: 0
",
    )
    .unwrap_err()
    .to_string();
    for part in [
        "targets::0::endpoint: `a:6060` is not an http or https URL",
        "targets::1::endpoint: sets `seconds` (set trace_duration instead)",
        "targets::1::resource: `service.name` is missing",
        "targets::2::resource: `process.pid` is `abc`, expected an integer",
        "targets::3::endpoint: is listed twice",
        "collection_interval: must be at least trace_duration, 2s",
        "timeout: must be more than trace_duration, 2s",
        "max_trace_size: must be at least 1 byte",
    ] {
        assert!(text.contains(part), "missing `{part}` in\n{text}");
    }
}

#[test]
fn a_section_without_targets_is_an_error_with_an_example() {
    for yaml in ["", "targets: []"] {
        let text = check(yaml).unwrap_err().to_string();
        assert!(text.contains("targets: lists no target (for example"), "{text}");
    }
}

//! Uploads of Go execution traces and CPU profiles.

use reqwest::{Client, Response};

use super::*;

const TRACE: &[u8] = b"go 1.26 trace\0\0\0\x01\x02\x03";
const SHOP: &str = "service.name=shop,service.instance.id=shop-1";

async fn upload(running: &Running, resource: Option<&str>, encoding: &str, body: Vec<u8>) -> Response {
    let mut request = Client::new().post(running.http_url("/v1/runtime-profiles")).body(body);
    if let Some(resource) = resource {
        request = request.header("x-spandrel-resource", resource);
    }
    request.header("content-encoding", encoding).send().await.unwrap()
}

async fn message(response: Response) -> String {
    let status: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    status["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_upload_reaches_the_profiles_pipeline_with_its_process() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let compressed = zstd::encode_all(TRACE, 3).unwrap();
    for (encoding, body) in [("identity", TRACE.to_vec()), ("zstd", compressed)] {
        let response = upload(&running, Some(SHOP), encoding, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "{}");
    }
    for profile in consumer.profiles() {
        assert_eq!(profile.bytes, TRACE);
        assert_eq!(profile.process.to_string(), "shop/shop-1");
        assert!(
            profile.source.starts_with("upload from 127.0.0.1:"),
            "{}",
            profile.source
        );
        assert_eq!(profile.fetched, None);
    }
    assert_eq!(consumer.profiles().len(), 2);
    assert_eq!(
        running.metric("otelcol_receiver_accepted_profiles", &[("transport", "http")]),
        2.0
    );
    running.shut_down().await;
}

#[tokio::test]
async fn a_cpu_profile_is_passed_on_as_one() {
    // `Profile.time_nanos`, and a sample type.
    const CPU_PROFILE: &[u8] = b"\x48\x07\x0a\x04\x08\x01\x10\x02";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, CPU_PROFILE).unwrap();
    let compressed = gzip.finish().unwrap();
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    for body in [CPU_PROFILE.to_vec(), compressed.clone()] {
        let response = upload(&running, Some(SHOP), "identity", body).await;
        assert_eq!(response.status(), 200);
    }
    let bodies: Vec<_> = consumer
        .profiles()
        .iter()
        .map(|profile| profile.bytes.clone())
        .collect();
    assert_eq!(bodies, [CPU_PROFILE.to_vec(), compressed]);
    for profile in consumer.profiles() {
        assert_eq!(profile.format, spandrel_pipeline::ProfileFormat::CpuProfile);
        assert_eq!(profile.process.to_string(), "shop/shop-1");
    }
    running.shut_down().await;
}

#[tokio::test]
async fn a_missing_service_name_is_400_with_an_example() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    for resource in [None, Some("host.name=a")] {
        let response = upload(&running, resource, "identity", TRACE.to_vec()).await;
        assert_eq!(response.status(), 400);
        let message = message(response).await;
        assert!(
            message.contains("X-Spandrel-Resource: `service.name` is missing"),
            "{message}"
        );
        assert!(
            message.contains("X-Spandrel-Resource: service.name=shop,service.instance.id=shop-1"),
            "{message}"
        );
    }
    running.shut_down().await;
}

#[tokio::test]
async fn something_else_than_a_trace_is_400_and_says_what_was_found() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    for (body, complaint) in [
        (&b"<!DOCTYPE html>"[..], "HTML"),
        (b"", "empty"),
        (b"go 1.26 tr", "ends inside the 16-byte header"),
        (b"go 1.11 trace\0\0\0", "record with Go 1.22 or later"),
        (b"go 1.19 trace\0\0\0", "record with Go 1.22 or later"),
        (b"go 1.21 trace\0\0\0", "record with Go 1.22 or later"),
        (b"go 1.99 trace\0\0\0", "unknown trace version 1.99"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "gzip"),
        (b"{}", "Go execution traces, and CPU profiles in the format of pprof"),
    ] {
        let response = upload(&running, Some(SHOP), "identity", body.to_vec()).await;
        assert_eq!(response.status(), 400, "{complaint}");
        let message = message(response).await;
        assert!(message.contains(complaint), "{message}");
    }
    assert!(consumer.offered().is_empty());
    running.shut_down().await;
}

#[tokio::test]
async fn a_trace_over_the_limit_is_413() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let bomb = zstd::encode_all(&vec![0; 2 << 20][..], 3).unwrap();
    for (encoding, body) in [("identity", vec![0; (1 << 20) + 1]), ("zstd", bomb)] {
        let response = upload(&running, Some(SHOP), encoding, body).await;
        assert_eq!(response.status(), 413);
        assert!(
            message(response)
                .await
                .contains("protocols::http::max_runtime_profile_size")
        );
    }
    running.shut_down().await;
}

#[tokio::test]
async fn refusals_and_a_missing_pipeline_are_answered_like_those_of_otlp() {
    let consumer = Scripted::answering([Err(busy(Some(Duration::from_secs(7))))]);
    let running = Running::start(Limits::default(), &consumer).await;
    let response = upload(&running, Some(SHOP), "identity", TRACE.to_vec()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(running.metric("otelcol_receiver_refused_profiles", &[]), 1.0);
    running.shut_down().await;

    let running = Running::start_with(Limits::default(), without_logs(&consumer)).await;
    let response = upload(&running, Some(SHOP), "identity", TRACE.to_vec()).await;
    assert_eq!(response.status(), 404);
    assert!(message(response).await.contains("no pipeline takes profiles"));
    running.shut_down().await;
}

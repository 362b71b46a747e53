//! OTLP/HTTP with a stock HTTP client.

use std::io::{Error, Write};

use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::StreamBody;
use hyper::body::Frame;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::{Client, Response};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::receivers::otlp::rpc_status::RpcStatus;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

async fn post(running: &Running, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
    let mut request = Client::new().post(running.http_url(path)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn protobuf_of_every_signal_is_answered_with_an_empty_message() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let sent = [
        traces().encode_to_vec(),
        metrics().encode_to_vec(),
        logs().encode_to_vec(),
    ];
    for (path, body) in ["/v1/traces", "/v1/metrics", "/v1/logs"].into_iter().zip(&sent) {
        let response = post(&running, path, &[("content-type", PROTOBUF)], body.clone()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), PROTOBUF);
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
    let offered = consumer.offered();
    assert_eq!(
        offered.iter().map(|batch| bytes_of(batch).to_vec()).collect::<Vec<_>>(),
        sent
    );
    assert_eq!(
        (&*offered[0].context.receiver, offered[0].context.transport),
        ("otlp", "http")
    );
    let labels = [("receiver", "otlp"), ("transport", "http")];
    assert_eq!(running.metric("otelcol_receiver_accepted_spans", &labels), 2.0);
    assert_eq!(running.metric("otelcol_receiver_accepted_metric_points", &labels), 1.0);
    assert_eq!(running.metric("otelcol_receiver_accepted_log_records", &labels), 3.0);
    running.shut_down().await;
}

#[tokio::test]
async fn json_becomes_protobuf_at_the_door() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "GET /",
        "startTimeUnixNano": "1", "endTimeUnixNano": 2, "kind": 2, "unknownField": true,
    }]}]}]});
    let content_type = ("content-type", "Application/JSON; charset=utf-8");
    let response = post(&running, "/v1/traces", &[content_type], body.to_string()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), JSON);
    assert_eq!(response.text().await.unwrap(), "{}");
    let request = ExportTraceServiceRequest::decode(bytes_of(&consumer.offered()[0])).unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(
        (span.name.as_str(), span.start_time_unix_nano, span.end_time_unix_nano),
        ("GET /", 1, 2)
    );
    assert_eq!(span.span_id, [1, 2, 3, 4, 5, 6, 7, 8]);
    running.shut_down().await;
}

#[tokio::test]
async fn spans_that_are_not_taken_are_counted_in_the_answer_in_either_encoding() {
    let running = Running::start(Limits::default(), &Scripted::decoding()).await;
    let protobuf = traces_in_part().encode_to_vec();
    let response = post(&running, "/v1/traces", &[("content-type", PROTOBUF)], protobuf).await;
    assert_eq!(response.status(), 200);
    let answer = ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("2262"), "{}", partial.error_message);

    let span = |end: &str| {
        json!({"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
        "name": "GET /", "startTimeUnixNano": "1", "endTimeUnixNano": end})
    };
    let late = span("18446744073709551615");
    let body = |spans: &[&Json]| json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let in_json = [("content-type", JSON)];
    let response = post(&running, "/v1/traces", &in_json, body(&[&span("2"), &late])).await;
    assert_eq!(response.status(), 200);
    let answer: Json = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    assert_eq!(answer["partialSuccess"]["errorMessage"], partial.error_message);

    let response = post(&running, "/v1/traces", &in_json, body(&[&late])).await;
    assert_eq!(response.status(), 400, "nothing of it was taken");
    assert!(response.text().await.unwrap().contains("2262"));
    let labels = [("transport", "http")];
    assert_eq!(running.metric("otelcol_receiver_accepted_spans", &labels), 2.0);
    assert_eq!(running.metric("otelcol_receiver_refused_spans", &labels), 3.0);
    assert_eq!(running.metric("spandrel_receiver_rejected_items", &labels), 2.0);
    running.shut_down().await;
}

#[tokio::test]
async fn what_is_passed_on_as_it_came_is_accepted_as_a_whole() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let protobuf = traces_in_part().encode_to_vec();
    let response = post(&running, "/v1/traces", &[("content-type", PROTOBUF)], protobuf).await;
    assert_eq!(
        (response.status().as_u16(), response.bytes().await.unwrap().len()),
        (200, 0)
    );
    assert_eq!(
        running.metric("otelcol_receiver_accepted_spans", &[("transport", "http")]),
        2.0
    );
    running.shut_down().await;
}

#[tokio::test]
async fn decompresses_every_supported_compression() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let plain = large_traces(500_000).encode_to_vec();
    let two_members = [gzip(&plain[..1000]), gzip(&plain[1000..])].concat();
    for (encoding, body) in [
        ("identity", plain.clone()),
        ("gzip", gzip(&plain)),
        ("gzip", two_members),
        ("deflate", deflate(&plain)),
        ("zstd", zstd::encode_all(&plain[..], 3).unwrap()),
    ] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let response = post(&running, "/v1/traces", &headers, body).await;
        assert_eq!(response.status(), 200, "{encoding}");
        assert_eq!(bytes_of(consumer.offered().last().unwrap()), plain, "{encoding}");
    }
    running.shut_down().await;
}

#[tokio::test]
async fn a_compressed_body_that_does_not_say_so_is_told_how() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let plain = large_traces(1000).encode_to_vec();
    for (name, body) in [
        ("zstd", zstd::encode_all(&plain[..], 3).unwrap()),
        ("gzip", gzip(&plain)),
    ] {
        let complaint = format!(
            "; it looks compressed with {name}: name that in `Content-Encoding`, or compress it only once (supported are \
             gzip, deflate, zstd, identity)"
        );
        for (path, content_type) in [
            ("/v1/traces", PROTOBUF),
            ("/v1/traces", JSON),
            ("/v1/runtime-profiles", "application/octet-stream"),
        ] {
            // In the format of pprof, gzip is part of the format.
            if (path, name) == ("/v1/runtime-profiles", "gzip") {
                continue;
            }
            let headers = [
                ("content-type", content_type),
                ("x-spandrel-resource", "service.name=shop"),
            ];
            let response = post(&running, path, &headers, body.clone()).await;
            assert_eq!(response.status(), 400, "{path}");
            let answer = response.bytes().await.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.contains(&complaint), "{path}: {answer}");
        }
    }
    running.shut_down().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_before_and_after_decompression() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let plain = large_traces(1 << 20).encode_to_vec();
    for (encoding, body) in [
        ("identity", plain.clone()),
        ("gzip", gzip(&plain)),
        ("deflate", deflate(&plain)),
        ("zstd", zstd::encode_all(&plain[..], 3).unwrap()),
    ] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let response = post(&running, "/v1/traces", &headers, body).await;
        assert_eq!(response.status(), 413, "{encoding}");
        let status = RpcStatus::decode(response.bytes().await.unwrap()).unwrap();
        assert_eq!(status.code, 8);
        assert!(
            status.message.contains("protocols::http::max_request_body_size"),
            "{}",
            status.message
        );
    }
    let chunks: Vec<_> = plain
        .chunks(10_000)
        .map(Bytes::copy_from_slice)
        .map(Frame::data)
        .map(Ok::<_, Error>)
        .collect();
    let unannounced = reqwest::Body::wrap(StreamBody::new(futures::stream::iter(chunks)));
    let response = post(&running, "/v1/traces", &[("content-type", PROTOBUF)], unannounced).await;
    assert_eq!(response.status(), 413);
    assert!(consumer.offered().is_empty());
    assert_eq!(running.rejected("http", "too_large"), 5.0);
    running.shut_down().await;
}

#[tokio::test]
async fn a_sender_that_reads_only_after_it_has_sent_all_gets_its_answer() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let body = vec![0; 12 << 20];
    for path in ["/v1/traces", "/v1/runtime-profiles", "/v1/unknown"] {
        let mut stream = TcpStream::connect(running.http).await.unwrap();
        let (host, length) = (running.http, body.len());
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
            .write_all(b"content-type: application/x-protobuf\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{path}: {}", answer.escape_ascii());
    }
    running.shut_down().await;
}

#[tokio::test]
async fn what_cannot_be_decoded_is_400_with_a_status_in_the_encoding_of_the_request() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let response = post(
        &running,
        "/v1/traces",
        &[("content-type", PROTOBUF)],
        &b"\xff\xff\xff"[..],
    )
    .await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type")),
        (400, PROTOBUF)
    );
    let status = RpcStatus::decode(response.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, 3);
    assert!(
        status.message.starts_with("cannot decode the traces request: "),
        "{}",
        status.message
    );

    for body in ["", "[]", "{\"resourceSpans\": 7}", "{\"resourceSpans\": [", "<html>"] {
        let response = post(&running, "/v1/traces", &[("content-type", JSON)], body).await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-type")),
            (400, JSON),
            "{body}"
        );
        let status: Json = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(status["code"], 3);
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .starts_with("cannot decode the traces request: "),
            "{status}"
        );
    }

    for (encoding, body) in [
        ("gzip", &b"plain"[..]),
        ("gzip", &gzip(&[0; 100])[..20]),
        ("zstd", b"plain"),
        ("deflate", b"x"),
    ] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let response = post(&running, "/v1/traces", &headers, body.to_vec()).await;
        assert_eq!(response.status(), 400);
        let status = RpcStatus::decode(response.bytes().await.unwrap()).unwrap();
        assert!(
            status
                .message
                .starts_with(&format!("cannot decompress the body as {encoding}: ")),
            "{}",
            status.message
        );
    }
    assert!(consumer.offered().is_empty());
    running.shut_down().await;
}

#[tokio::test]
async fn a_zstd_window_that_would_take_much_memory_is_refused() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&traces().encode_to_vec()).unwrap();
    let headers = [("content-type", PROTOBUF), ("content-encoding", "zstd")];
    let response = post(&running, "/v1/traces", &headers, encoder.finish().unwrap()).await;
    assert_eq!(response.status(), 400);
    let status = RpcStatus::decode(response.bytes().await.unwrap()).unwrap();
    assert!(status.message.contains("memory"), "{}", status.message);
    running.shut_down().await;
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_is_right() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    for path in ["/v1/traces", "/v1/runtime-profiles"] {
        let response = reqwest::get(running.http_url(path)).await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "POST"));
        if path == "/v1/traces" {
            assert!(header(&response, "content-type").starts_with("text/plain"));
        }
        assert!(
            response
                .text()
                .await
                .unwrap()
                .contains("method GET is not allowed here; send POST")
        );
    }
    running.shut_down().await;
}

#[tokio::test]
async fn a_wrong_content_type_is_415_and_lists_the_right_ones() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    for headers in [&[("content-type", "text/xml")][..], &[]] {
        let response = post(&running, "/v1/traces", headers, "x").await;
        assert_eq!(response.status(), 415);
        assert!(header(&response, "content-type").starts_with("text/plain"));
        let text = response.text().await.unwrap();
        assert!(text.contains("application/x-protobuf, application/json"), "{text}");
    }
    running.shut_down().await;
}

#[tokio::test]
async fn an_unknown_compression_is_415_and_lists_the_known_ones() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let headers = [("content-type", JSON), ("content-encoding", "br")];
    let response = post(&running, "/v1/traces", &headers, "x").await;
    assert_eq!(response.status(), 415);
    assert_eq!(header(&response, "accept-encoding"), "gzip, deflate, zstd, identity");
    assert!(response.text().await.unwrap().contains("unsupported compression `br`"));
    running.shut_down().await;
}

#[tokio::test]
async fn unknown_paths_and_signals_without_pipeline_are_404() {
    let consumer = Scripted::accepting();
    let running = Running::start_with(Limits::default(), without_logs(&consumer)).await;
    let response = post(&running, "/v1/trace", &[("content-type", PROTOBUF)], "").await;
    assert_eq!(response.status(), 404);
    let text = response.text().await.unwrap();
    assert!(
        text.contains("known are /v1/traces, /v1/metrics, /v1/logs, /v1/runtime-profiles"),
        "{text}"
    );

    let response = post(
        &running,
        "/v1/logs",
        &[("content-type", PROTOBUF)],
        logs().encode_to_vec(),
    )
    .await;
    assert_eq!(response.status(), 404);
    let status = RpcStatus::decode(response.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, 12);
    assert!(
        status.message.contains("no pipeline takes logs from receiver `otlp`"),
        "{}",
        status.message
    );
    running.shut_down().await;
}

#[tokio::test]
async fn a_refusal_becomes_the_status_that_the_specification_asks_for() {
    for (refusal, http_status, retry_after, code) in [
        (busy(Some(Duration::from_millis(1500))), 503, "2", 14),
        (busy(None), 503, "", 14),
        (Refusal::Shutdown, 503, "", 14),
        (Refusal::permanent("no such tenant"), 400, "", 3),
    ] {
        let consumer = Scripted::answering([Err(refusal.clone()), Err(refusal.clone())]);
        let running = Running::start(Limits::default(), &consumer).await;
        let body = traces().encode_to_vec();
        let response = post(&running, "/v1/traces", &[("content-type", PROTOBUF)], body).await;
        assert_eq!(response.status(), http_status);
        assert_eq!(header(&response, "retry-after"), retry_after);
        let status = RpcStatus::decode(response.bytes().await.unwrap()).unwrap();
        assert_eq!((status.code, status.message), (code, refusal.to_string()));

        let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
            {"name": "queue", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": "1"}]}},
        ]}]}]});
        let response = post(&running, "/v1/metrics", &[("content-type", JSON)], body.to_string()).await;
        assert_eq!(response.status(), http_status);
        assert_eq!(header(&response, "retry-after"), retry_after);
        let status: Json = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(status, json!({"code": code, "message": refusal.to_string()}));

        assert_eq!(
            running.metric("otelcol_receiver_refused_spans", &[("transport", "http")]),
            2.0
        );
        assert_eq!(
            running.metric("otelcol_receiver_refused_metric_points", &[("transport", "http")]),
            1.0
        );
        running.shut_down().await;
    }
}

#[tokio::test]
async fn one_connection_survives_rejected_requests() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let client = Client::builder().pool_max_idle_per_host(1).build().unwrap();
    for (body, status) in [(&b"\xff"[..], 400), (b"", 200), (b"\xff", 400), (b"", 200)] {
        let request = client
            .post(running.http_url("/v1/logs"))
            .header("content-type", PROTOBUF)
            .body(body);
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    running.shut_down().await;
}

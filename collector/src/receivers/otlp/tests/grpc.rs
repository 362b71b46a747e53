//! OTLP/gRPC with the generated clients, and with hand-made frames where a client would not send them.

use std::io::Error;

use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::*;
use crate::receivers::otlp::rpc_status::{RetryInfo, RpcStatus};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

async fn channel(running: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", running.grpc))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

async fn export_traces(
    running: &Running,
    request: ExportTraceServiceRequest,
) -> Result<ExportTraceServiceResponse, Status> {
    TraceServiceClient::new(channel(running).await)
        .export(request)
        .await
        .map(tonic::Response::into_inner)
}

/// The delay of the `RetryInfo` in the status' details.
fn retry_info(status: &Status) -> Option<Duration> {
    let status = RpcStatus::decode(status.details()).unwrap();
    let info = status.details.first()?;
    assert_eq!(info.type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let delay = RetryInfo::decode(&info.value[..]).unwrap().retry_delay.unwrap();
    Some(Duration::new(
        delay.seconds.try_into().unwrap(),
        delay.nanos.try_into().unwrap(),
    ))
}

/// Sends `body` as it is, in frames of five bytes, and returns the headers of the answer.
async fn send(running: &Running, path: &str, headers: &[(&str, &str)], body: &[u8]) -> ::http::HeaderMap {
    let stream = TcpStream::connect(running.grpc).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = ::http::Request::post(format!("http://{}{path}", running.grpc));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let frames: Vec<_> = body
        .chunks(5)
        .map(Bytes::copy_from_slice)
        .map(Frame::data)
        .map(Ok::<_, Error>)
        .collect();
    let body = StreamBody::new(futures::stream::iter(frames));
    let response = client.send_request(request.body(body).unwrap()).await.unwrap();
    connection.abort();
    response.headers().clone()
}

/// The status of a call that is answered with headers alone, as failures are.
async fn failure(running: &Running, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (Code, String) {
    let status = Status::from_header_map(&send(running, path, headers, body).await).expect("headers hold a status");
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn hands_over_the_bytes_of_every_signal_and_answers_with_an_empty_message() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let channel = channel(&running).await;
    let answer = TraceServiceClient::new(channel.clone())
        .export(traces())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.partial_success, None);
    MetricsServiceClient::new(channel.clone())
        .export(metrics())
        .await
        .unwrap();
    LogsServiceClient::new(channel).export(logs()).await.unwrap();

    let offered = consumer.offered();
    let sent = [
        traces().encode_to_vec(),
        metrics().encode_to_vec(),
        logs().encode_to_vec(),
    ];
    assert_eq!(
        offered.iter().map(|batch| bytes_of(batch).to_vec()).collect::<Vec<_>>(),
        sent
    );
    assert_eq!(
        offered.iter().map(Batch::signal).collect::<Vec<_>>(),
        [Signal::Traces, Signal::Metrics, Signal::Logs]
    );
    assert_eq!(
        (&*offered[0].context.receiver, offered[0].context.transport),
        ("otlp", "grpc")
    );
    let labels = [("receiver", "otlp"), ("transport", "grpc")];
    assert_eq!(running.metric("otelcol_receiver_accepted_spans", &labels), 2.0);
    assert_eq!(running.metric("otelcol_receiver_accepted_metric_points", &labels), 1.0);
    assert_eq!(running.metric("otelcol_receiver_accepted_log_records", &labels), 3.0);
    assert_eq!(
        running.metric(
            "otelcol_receiver_requests",
            &[("transport", "grpc"), ("outcome", "success")]
        ),
        3.0
    );
    running.shut_down().await;
}

#[tokio::test]
async fn spans_that_are_not_taken_are_counted_in_the_answer() {
    let running = Running::start(Limits::default(), &Scripted::decoding()).await;
    let answer = export_traces(&running, traces_in_part()).await.unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(
        partial
            .error_message
            .contains("`Span.end_time_unix_nano` of the span `GET /`"),
        "{}",
        partial.error_message
    );
    assert_eq!(export_traces(&running, traces()).await.unwrap().partial_success, None);
    let labels = [("transport", "grpc")];
    assert_eq!(running.metric("otelcol_receiver_accepted_spans", &labels), 3.0);
    assert_eq!(running.metric("otelcol_receiver_refused_spans", &labels), 1.0);
    assert_eq!(running.metric("spandrel_receiver_rejected_items", &labels), 1.0);
    running.shut_down().await;
}

#[tokio::test]
async fn decompresses_gzip_and_zstd() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = TraceServiceClient::new(channel(&running).await).send_compressed(encoding);
        client.export(large_traces(500_000)).await.unwrap();
        assert_eq!(
            bytes_of(consumer.offered().last().unwrap()),
            large_traces(500_000).encode_to_vec()
        );
    }
    running.shut_down().await;
}

#[tokio::test]
async fn a_message_of_several_mebibytes_arrives_whole() {
    let consumer = Scripted::accepting();
    let running = Running::start(
        Limits {
            request_mib: 8,
            ..Limits::default()
        },
        &consumer,
    )
    .await;
    export_traces(&running, large_traces(7 << 20)).await.unwrap();
    assert_eq!(bytes_of(&consumer.offered()[0]), large_traces(7 << 20).encode_to_vec());
    running.shut_down().await;
}

#[tokio::test]
async fn an_empty_request_is_a_success_that_no_pipeline_hears_of() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    export_traces(&running, ExportTraceServiceRequest::default())
        .await
        .unwrap();
    assert!(consumer.offered().is_empty());
    running.shut_down().await;
}

#[tokio::test]
async fn a_refusal_becomes_the_status_that_the_specification_asks_for() {
    let half_a_minute = Duration::from_millis(30_500);
    for (refusal, code, retry, outcome) in [
        (
            busy(Some(half_a_minute)),
            Code::Unavailable,
            Some(half_a_minute),
            "refused",
        ),
        (busy(None), Code::Unavailable, None, "refused"),
        (Refusal::Shutdown, Code::Unavailable, None, "refused"),
        (
            Refusal::permanent("no such tenant"),
            Code::InvalidArgument,
            None,
            "failure",
        ),
    ] {
        let consumer = Scripted::answering([Err(refusal.clone())]);
        let running = Running::start(Limits::default(), &consumer).await;
        let status = export_traces(&running, traces()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, &*refusal.to_string()));
        assert_eq!(retry_info(&status), retry);
        assert_eq!(
            running.metric("otelcol_receiver_refused_spans", &[("transport", "grpc")]),
            2.0
        );
        assert_eq!(running.metric("otelcol_receiver_accepted_spans", &[]), 0.0);
        assert_eq!(
            running.metric("otelcol_receiver_requests", &[("outcome", outcome)]),
            1.0
        );
        running.shut_down().await;
    }
}

#[tokio::test]
async fn a_signal_without_pipeline_is_unimplemented() {
    let consumer = Scripted::accepting();
    let running = Running::start_with(Limits::default(), without_logs(&consumer)).await;
    let status = LogsServiceClient::new(channel(&running).await)
        .export(logs())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(
        status.message().contains("no pipeline takes logs from receiver `otlp`"),
        "{status}"
    );
    running.shut_down().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_exhausted_for_good() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let plain = TraceServiceClient::new(channel(&running).await);
    let gzip = plain.clone().send_compressed(CompressionEncoding::Gzip);
    let zstd = plain.clone().send_compressed(CompressionEncoding::Zstd);
    for mut client in [plain, gzip, zstd] {
        let status = client.export(large_traces(5 << 20)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("larger than 1048576 bytes"), "{status}");
        assert!(
            status.message().contains("protocols::grpc::max_recv_msg_size_mib"),
            "{status}"
        );
        assert_eq!(retry_info(&status), None);
    }
    assert!(consumer.offered().is_empty());
    assert_eq!(running.rejected("grpc", "too_large"), 3.0);
    running.shut_down().await;
}

#[tokio::test]
async fn garbage_is_an_invalid_argument() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let grpc = ("content-type", "application/grpc");
    let gzip = ("grpc-encoding", "gzip");
    for (headers, body, complaint) in [
        (
            &[grpc][..],
            &b"\0\0\0\0\x03\xff\xff\xff"[..],
            "cannot decode the traces request",
        ),
        (&[grpc], b"", "0 bytes instead of a message"),
        (&[grpc], b"\0\0\0", "3 bytes instead of a message"),
        (
            &[grpc],
            b"\0\0\0\0\x09abc",
            "a message of 9 bytes is announced, the body holds 3",
        ),
        (
            &[grpc],
            b"\0\0\0\0\0\0\0\0\0\0",
            "a message of 0 bytes is announced, the body holds 5",
        ),
        (&[grpc], b"\x02\0\0\0\0", "the compression flag is 2, expected 0 or 1"),
        (&[grpc], b"\x01\0\0\0\x01a", "grpc-encoding names no compression"),
        (
            &[grpc, gzip],
            b"\x01\0\0\0\x03abc",
            "cannot decompress the body as gzip",
        ),
    ] {
        let (code, message) = failure(&running, TRACES, headers, body).await;
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(message.contains(complaint), "{message}");
    }
    assert_eq!(running.rejected("grpc", "malformed"), 8.0);
    assert!(consumer.offered().is_empty());
    export_traces(&running, traces()).await.expect("the receiver goes on");
    running.shut_down().await;
}

#[tokio::test]
async fn a_frame_flagged_as_plain_is_read_as_it_is() {
    let consumer = Scripted::accepting();
    let running = Running::start(Limits::default(), &consumer).await;
    let message = traces().encode_to_vec();
    let frame = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
    let headers = [("content-type", "application/grpc+proto"), ("grpc-encoding", "gzip")];
    assert!(
        !send(&running, TRACES, &headers, &frame)
            .await
            .contains_key("grpc-status"),
        "a message follows"
    );
    assert_eq!(bytes_of(&consumer.offered()[0]), message);
    running.shut_down().await;
}

#[tokio::test]
async fn an_unknown_method_or_compression_is_unimplemented() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let grpc = ("content-type", "application/grpc");
    let (code, message) = failure(&running, "/opentelemetry.Other/Export", &[grpc], b"\0\0\0\0\0").await;
    assert_eq!(code, Code::Unimplemented);
    assert!(
        message.contains("unknown path `/opentelemetry.Other/Export`") && message.contains(TRACES),
        "{message}"
    );
    let snappy = ("grpc-encoding", "snappy");
    let (code, message) = failure(&running, TRACES, &[grpc, snappy], b"\x01\0\0\0\0").await;
    assert_eq!(code, Code::Unimplemented);
    assert_eq!(
        message,
        "unsupported compression `snappy`; supported are gzip, deflate, zstd, identity"
    );
    running.shut_down().await;
}

#[tokio::test]
async fn a_peer_that_speaks_plain_http_is_told_where_to_go() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let response = reqwest::get(format!("http://{}/v1/traces", running.grpc))
        .await
        .unwrap();
    assert_eq!(response.status(), 415);
    assert!(response.text().await.unwrap().contains("OTLP/HTTP is on another port"));
    running.shut_down().await;
}

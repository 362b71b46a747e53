//! The budgets that both transports share.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tonic::Code;

use super::*;
use crate::receivers::scripted::eventually;

async fn http_export(http: SocketAddr, body: Vec<u8>) -> reqwest::Response {
    let request = reqwest::Client::new()
        .post(format!("http://{http}/v1/traces"))
        .body(body);
    request
        .header("content-type", "application/x-protobuf")
        .send()
        .await
        .unwrap()
}

/// One request is with the pipeline and takes up what `limits` allow; the next ones, on either transport, are told to
/// come back; when the first is answered they are welcome.
async fn check_exhaustion(limits: Limits, reason: &str) {
    let consumer = Scripted::blocked([]);
    let running = Running::start(limits, &consumer).await;
    let body = large_traces(700_000).encode_to_vec();
    let first = tokio::spawn(http_export(running.http, body.clone()));
    consumer.wait_for(1).await;

    let response = http_export(running.http, body.clone()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    let mut grpc = TraceServiceClient::connect(format!("http://{}", running.grpc))
        .await
        .unwrap();
    let status = grpc.export(large_traces(700_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains(reason) && !status.details().is_empty(),
        "{status}"
    );
    assert_eq!(
        (running.rejected("http", reason), running.rejected("grpc", reason)),
        (1.0, 1.0)
    );
    assert_eq!(running.metric("spandrel_receiver_in_flight_requests", &[]), 1.0);
    assert!(running.metric("spandrel_receiver_in_flight_bytes", &[]) >= 700_000.0);

    consumer.open();
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(http_export(running.http, body).await.status(), 200);
    grpc.export(large_traces(700_000)).await.unwrap();
    assert_eq!(running.metric("spandrel_receiver_in_flight_bytes", &[]), 0.0);
    running.shut_down().await;
}

#[tokio::test]
async fn an_exhausted_byte_budget_sends_both_transports_away_until_an_answer_frees_it() {
    check_exhaustion(
        Limits {
            in_flight: "1MiB",
            ..Limits::default()
        },
        "max_in_flight_size",
    )
    .await;
}

#[tokio::test]
async fn one_request_too_many_is_sent_away_on_both_transports() {
    check_exhaustion(
        Limits {
            requests: 1,
            ..Limits::default()
        },
        "max_concurrent_requests",
    )
    .await;
}

#[tokio::test]
async fn decompressed_bytes_count_against_the_budget() {
    let consumer = Scripted::accepting();
    let running = Running::start(
        Limits {
            in_flight: "1MiB",
            ..Limits::default()
        },
        &consumer,
    )
    .await;
    // Neither alone is over a limit; random bytes do not shrink, so the two forms together are.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        state.to_be_bytes()[0] >> 1
    });
    let mut request = traces();
    request.resource_spans[0].scope_spans[0].spans[0].name = noise.take(700_000).map(char::from).collect();
    let body = zstd::encode_all(&request.encode_to_vec()[..], 1).unwrap();
    assert!(body.len() > 400_000 && body.len() < 1 << 20);
    let sent = reqwest::Client::new().post(running.http_url("/v1/traces")).body(body);
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "zstd")];
    let sent = headers
        .iter()
        .fold(sent, |request, (name, value)| request.header(*name, *value));
    assert_eq!(sent.send().await.unwrap().status(), 503);
    assert_eq!(running.metric("spandrel_receiver_in_flight_bytes", &[]), 0.0);
    running.shut_down().await;
}

#[tokio::test]
async fn a_sender_that_goes_away_before_the_answer_frees_its_share_and_counts_as_refused() {
    let consumer = Scripted::blocked([]);
    let running = Running::start(Limits::default(), &consumer).await;
    let sender = tokio::spawn(http_export(running.http, traces().encode_to_vec()));
    consumer.wait_for(1).await;
    sender.abort();
    eventually(|| running.metric("spandrel_receiver_in_flight_requests", &[]) == 0.0).await;
    assert_eq!(running.metric("otelcol_receiver_refused_spans", &[]), 2.0);
    assert_eq!(running.metric("otelcol_receiver_accepted_spans", &[]), 0.0);
    running.shut_down().await;
}

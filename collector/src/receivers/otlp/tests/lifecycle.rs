//! Start and stop.

use std::error::Error;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test]
async fn an_occupied_port_is_an_error_that_names_endpoint_and_setting() {
    let occupant = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = occupant.local_addr().unwrap().to_string();
    for protocol in ["grpc", "http"] {
        let yaml = format!("protocols: {{{protocol}: {{endpoint: '{endpoint}'}}}}");
        let error = bind(&yaml, &Registry::new()).await.err().expect("the port is taken");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("receivers::otlp::protocols::{protocol}::endpoint: ")),
            "{text}"
        );
        assert!(
            text.contains(&endpoint) && text.contains("another process listens there"),
            "{text}"
        );
        assert!(error.source().is_some());
    }
}

#[tokio::test]
async fn only_the_listed_protocols_listen() {
    for (yaml, ports) in [
        ("protocols: {grpc: {endpoint: '127.0.0.1:0'}}", 1),
        ("protocols: {http: {endpoint: '127.0.0.1:0'}}", 1),
        (
            "protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}",
            2,
        ),
    ] {
        assert_eq!(bind(yaml, &Registry::new()).await.unwrap().listening_on().len(), ports);
    }
}

#[tokio::test]
async fn requests_under_way_are_answered_before_the_receiver_ends() {
    let consumer = Scripted::blocked([]);
    let running = Running::start(Limits::default(), &consumer).await;
    let (grpc, http) = (running.grpc, running.http);
    let mut client = TraceServiceClient::connect(format!("http://{grpc}")).await.unwrap();
    let over_grpc = tokio::spawn(async move { client.export(traces()).await });
    let request = reqwest::Client::new().post(running.http_url("/v1/traces"));
    let request = request
        .header("content-type", "application/x-protobuf")
        .body(traces().encode_to_vec());
    let over_http = tokio::spawn(request.send());
    consumer.wait_for(2).await;

    running.stop.request();
    for port in [grpc, http] {
        while TcpStream::connect(port).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(!running.task.is_finished());
    consumer.open();
    over_grpc.await.unwrap().expect("answered over gRPC");
    assert_eq!(over_http.await.unwrap().unwrap().status(), 200);
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_takes_too_long_does_not_hold_up_the_stop() {
    let consumer = Scripted::blocked([]);
    let limits = Limits {
        drain_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let running = Running::start(limits, &consumer).await;
    let request = reqwest::Client::new().post(running.http_url("/v1/traces"));
    let request = request
        .header("content-type", "application/x-protobuf")
        .body(traces().encode_to_vec());
    let sender = tokio::spawn(request.send());
    consumer.wait_for(1).await;
    let registry = running.registry.clone();
    tokio::time::timeout(Duration::from_secs(5), running.shut_down())
        .await
        .expect("the stop is bounded");
    assert!(
        sender.await.unwrap().is_err(),
        "the sender sees a broken connection and keeps its data"
    );
    assert_eq!(metric(&registry, "otelcol_receiver_refused_spans", &[]), 2.0);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_stop() {
    let running = Running::start(Limits::default(), &Scripted::accepting()).await;
    let _idle = TcpStream::connect(running.http).await.unwrap();
    let mut client = TraceServiceClient::connect(format!("http://{}", running.grpc))
        .await
        .unwrap();
    client.export(traces()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), running.shut_down())
        .await
        .expect("nothing is under way");
}

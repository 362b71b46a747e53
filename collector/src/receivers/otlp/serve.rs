//! Accepts connections and serves HTTP/1 and HTTP/2 on them until asked to stop.
//!
//! gRPC is HTTP/2 with prior knowledge, so one loop serves both ports.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use spandrel_pipeline::Stop;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::receivers::log_limit::LogLimit;

/// More connections wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;

/// The time from one request to the end of the next one's header on HTTP/1. Exporters keep connections open between
/// exports, which are at most minutes apart.
const HEADER_TIMEOUT: Duration = Duration::from_secs(300);

/// A peer on HTTP/2 that answers no ping is gone.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Flow control windows that let a batch of a few MiB come in without waiting for round trips.
const WINDOW_BYTES: u32 = 1 << 20;

/// Pause after an error of `accept`, which is mostly a lack of file descriptors that only time cures.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_LOG_PERIOD: Duration = Duration::from_secs(10);

/// The peer of a connection, an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Serves until `stop`, then takes no more requests, answers those under way for at most `drain` and returns.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: &Stop, drain: Duration) {
    let graceful = GracefulShutdown::new();
    let accept_log = LogLimit::new(ACCEPT_LOG_PERIOD);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve_connection(stream, peer, router.clone(), graceful.watcher()));
                }
                Err(error) => {
                    if let Some(suppressed) = accept_log.admit(Instant::now()) {
                        tracing::warn!(suppressed, "cannot accept a connection: {error}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        while connections.try_join_next().is_some() {}
        let cut_off = connections.len();
        tracing::warn!("{cut_off} connections still had requests under way after {drain:?} and were closed");
    }
    connections.shutdown().await;
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, router: Router, watcher: Watcher) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, "cannot set TCP_NODELAY: {error}");
    }
    let service = hyper::service::service_fn(move |request| respond(router.clone(), peer, request));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, "connection ended: {error}");
    }
}

async fn respond(router: Router, peer: SocketAddr, request: Request<Incoming>) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    router.oneshot(request).await
}

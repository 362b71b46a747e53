//! The `otlp` receiver: OTLP over gRPC and HTTP, and uploads of runtime profiles on the HTTP port.
//!
//! One request, file by file: `serve` takes the connection; `grpc` or `http` (with `exchange`) knows path and content type; `in_flight`
//! admits it or not; `body` and `compression` read it within the budget; `intake` counts its items and offers it to the
//! pipeline; `rejection` is the answer if any of them says no, `partial_success` if something was left out. Messages stay
//! protobuf bytes.

mod body;
mod compression;
mod config;
mod exchange;
mod grpc;
mod http;
mod in_flight;
mod intake;
mod partial_success;
mod rejection;
mod rpc_status;
mod runtime_profiles;
mod serve;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::OptionFuture;
use spandrel_pipeline::{BuildContext, BuildError, Outputs, Receiver, ReceiverFactory, RunError, Signal, Stop};
use tokio::net::TcpListener;

use config::{GrpcConfig, HttpConfig, Listen, OtlpConfig};
use intake::{Accounts, Intake};
use serve::serve;

/// The row of the component table.
pub static FACTORY: ReceiverFactory = ReceiverFactory {
    kind: "otlp",
    emits: EMITS,
    summary: "OTLP over gRPC and HTTP; uploads of Go execution traces and CPU profiles",
    check: config::check,
};

const EMITS: &[Signal] = &[Signal::Traces, Signal::Metrics, Signal::Logs, Signal::Profiles];

/// Transports, as the metrics and the request context name them.
const GRPC: &str = "grpc";
const HTTP: &str = "http";

/// How long requests under way may take after the receiver was asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver whose ports are open.
struct OtlpReceiver {
    id: Arc<str>,
    grpc: Option<(Port, GrpcConfig)>,
    http: Option<(Port, HttpConfig)>,
    accounts: Accounts,
    drain_timeout: Duration,
}

struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl OtlpReceiver {
    /// Opens the ports. Connections wait in the kernel's queue until the receiver runs.
    async fn bind(config: OtlpConfig, context: BuildContext) -> Result<Self, BuildError> {
        let accounts = Accounts::register(config.max_concurrent_requests, config.max_in_flight_bytes, &context)?;
        let grpc = match config.grpc {
            Some(grpc) => Some((Port::bind(&grpc.listen).await?, grpc)),
            None => None,
        };
        let http = match config.http {
            Some(http) => Some((Port::bind(&http.listen).await?, http)),
            None => None,
        };
        Ok(Self {
            id: context.id,
            grpc,
            http,
            accounts,
            drain_timeout: DRAIN_TIMEOUT,
        })
    }
}

impl Port {
    async fn bind(listen: &Listen) -> Result<Self, BuildError> {
        open(&listen.endpoint.to_string()).await.map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => " (another process listens there: stop it or choose another port)",
                _ => "",
            };
            let Listen { endpoint, setting } = listen;
            BuildError::caused_by(format!("{setting}: cannot listen on `{endpoint}`{hint}"), error)
        })
    }
}

/// A name may stand for several addresses: `localhost` is 127.0.0.1 and ::1. As in Go, an IPv4 address is preferred.
async fn open(endpoint: &str) -> io::Result<Port> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(endpoint).await?.collect();
    let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let address = preferred.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Port { listener, address })
}

#[async_trait]
impl Receiver for OtlpReceiver {
    fn listening_on(&self) -> Vec<(&'static str, SocketAddr)> {
        let grpc = self.grpc.iter().map(|(port, _)| ("grpc", port.address));
        let http = self.http.iter().map(|(port, _)| ("http", port.address));
        grpc.chain(http).collect()
    }

    async fn run(self: Box<Self>, outputs: Outputs, stop: Stop) -> Result<(), RunError> {
        let drain = self.drain_timeout;
        let intake = Arc::new(Intake::new(self.id, outputs, self.accounts));
        let grpc = self.grpc.map(|(port, config)| {
            serve(
                port.listener,
                grpc::router(&intake, config.max_message_bytes),
                &stop,
                drain,
            )
        });
        let http = self
            .http
            .map(|(port, config)| serve(port.listener, http::router(&intake, &config), &stop, drain));
        tokio::join!(OptionFuture::from(grpc), OptionFuture::from(http));
        Ok(())
    }
}

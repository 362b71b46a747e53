//! Metrics of the collector, served for Prometheus at `/metrics`.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use spandrel_pipeline::{BuildError, RunError, Stop};
use tokio::net::TcpListener;

/// The server of `/metrics`, bound and not yet answering.
pub struct MetricsServer {
    listener: TcpListener,
    registry: Registry,
}

impl MetricsServer {
    /// Binds `address`.
    ///
    /// # Errors
    /// The address cannot be bound; the message names it and the setting.
    pub async fn bind(address: &str, registry: Registry) -> Result<Self, BuildError> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let what = format!("cannot serve metrics on `{address}` (service::telemetry::metrics::address)");
            BuildError::caused_by(what, error)
        })?;
        Ok(Self { listener, registry })
    }

    /// Address on which it listens.
    pub fn listening_on(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers until `stop`.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run(self, stop: Stop) -> Result<(), RunError> {
        let routes = axum::Router::new()
            .route("/metrics", get(scrape))
            .with_state(self.registry);
        axum::serve(self.listener, routes)
            .with_graceful_shutdown(async move { stop.requested().await })
            .await
            .map_err(|error| RunError::caused_by("the metrics server ended", error))
    }
}

async fn scrape(State(registry): State<Registry>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

//! The `health_check` extension: 200 while all components run, 503 before and after.

use std::net::SocketAddr;

use async_trait::async_trait;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use serde::Deserialize;
use spandrel_config::{HostPort, Problems, Section};
use spandrel_pipeline::{BuildError, RunError, Stop};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Extension, ExtensionConfig, ExtensionFactory};

/// The row of this component in the collector's table.
pub static FACTORY: ExtensionFactory = ExtensionFactory {
    kind: "health_check",
    summary: "answers 200 over HTTP while all components run",
    check: |section, problems| {
        let config = HealthCheckConfig::check(section, problems)?;
        Some(Box::new(config))
    },
};

/// The section as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHealthCheck {
    endpoint: Option<HostPort>,
    path: Option<String>,
}

/// A valid section.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HealthCheckConfig {
    endpoint: String,
    path: String,
}

impl HealthCheckConfig {
    fn check(section: &Section, problems: &mut Problems) -> Option<Self> {
        let raw: RawHealthCheck = section.parse(problems)?;
        let path = raw.path.unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/') || path.contains(['{', '}']) {
            problems.push(section.at("path"), "must begin with `/` and hold no braces");
            return None;
        }
        let endpoint = raw
            .endpoint
            .map_or_else(|| "localhost:13133".to_owned(), |endpoint| endpoint.to_string());
        Some(Self { endpoint, path })
    }
}

#[async_trait]
impl ExtensionConfig for HealthCheckConfig {
    async fn build(self: Box<Self>) -> Result<Box<dyn Extension>, BuildError> {
        let listener = TcpListener::bind(&self.endpoint)
            .await
            .map_err(|error| BuildError::caused_by(format!("cannot listen on `{}`", self.endpoint), error))?;
        Ok(Box::new(HealthCheck {
            listener,
            path: self.path,
        }))
    }
}

struct HealthCheck {
    listener: TcpListener,
    path: String,
}

#[async_trait]
impl Extension for HealthCheck {
    fn listening_on(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    async fn run(self: Box<Self>, ready: watch::Receiver<bool>, stop: Stop) -> Result<(), RunError> {
        let routes = axum::Router::new().route(&self.path, get(answer)).with_state(ready);
        axum::serve(self.listener, routes)
            .with_graceful_shutdown(async move { stop.requested().await })
            .await
            .map_err(|error| RunError::caused_by("the health check ended", error))
    }
}

async fn answer(State(ready): State<watch::Receiver<bool>>) -> impl IntoResponse {
    if *ready.borrow() {
        (StatusCode::OK, Json(serde_json::json!({ "status": "StatusOK" })))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(serde_json::json!({ "status": "StatusStarting" })),
        )
    }
}

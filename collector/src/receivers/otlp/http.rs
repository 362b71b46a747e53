//! OTLP/HTTP: `POST /v1/traces`, `/v1/metrics` and `/v1/logs` in protobuf and JSON.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use spandrel_pipeline::{Signal, otlp};

use super::HTTP;
use super::compression;
use super::config::HttpConfig;
use super::exchange::{Exchange, Format};
use super::in_flight::Slot;
use super::intake::{Answer, Intake};
use super::rejection::Rejection;
use super::runtime_profiles;

/// Paths of the OTLP specification.
pub(super) const SIGNALS: [(&str, Signal); 3] = [
    ("/v1/traces", Signal::Traces),
    ("/v1/metrics", Signal::Metrics),
    ("/v1/logs", Signal::Logs),
];

/// Where the limit of a body stands, for messages.
const LIMIT_SETTING: &str = "protocols::http::max_request_body_size";

/// The endpoints of the HTTP port.
pub(super) fn router(intake: &Arc<Intake>, config: &HttpConfig) -> Router {
    let mut router = Router::new();
    for (path, signal) in SIGNALS {
        let (intake, limit_bytes) = (Arc::clone(intake), config.max_body_bytes);
        let endpoint = move |request: Request| {
            let intake = Arc::clone(&intake);
            async move { export(&intake, signal, limit_bytes, request).await }
        };
        router = router.route(path, any(endpoint));
    }
    let (uploads, limit_bytes) = (Arc::clone(intake), config.max_profile_bytes);
    let upload = move |request: Request| {
        let intake = Arc::clone(&uploads);
        async move { runtime_profiles::upload(&intake, limit_bytes, request).await }
    };
    let paths = SIGNALS.map(|(path, _)| path).join(", ");
    let known: Arc<str> = format!("{paths}, {}", config.runtime_profiles_path).into();
    let (intake, limit_bytes) = (Arc::clone(intake), config.max_body_bytes);
    let unknown = move |request: Request| {
        let (intake, known) = (Arc::clone(&intake), known.to_string());
        async move {
            let path = request.uri().path().to_owned();
            let exchange = Exchange::new(request, limit_bytes, LIMIT_SETTING);
            exchange
                .answer(&intake, Format::Text, Err(Rejection::UnknownPath { path, known }))
                .await
        }
    };
    router
        .route(&config.runtime_profiles_path, any(upload))
        .fallback(unknown)
}

async fn export(intake: &Intake, signal: Signal, limit_bytes: usize, request: Request) -> Response {
    let mut exchange = Exchange::new(request, limit_bytes, LIMIT_SETTING);
    let format = exchange.check_method().and_then(|()| exchange.format());
    let (format, result) = match format {
        Ok(format) => (format, accept(intake, signal, format, &mut exchange).await),
        Err(rejection) => (Format::Text, Err(rejection)),
    };
    exchange.answer(intake, format, result).await
}

async fn accept(intake: &Intake, signal: Signal, format: Format, exchange: &mut Exchange) -> Answer {
    let mut slot = intake.admit(signal)?;
    let body = exchange.receive(&mut slot).await?;
    let (protobuf, _slot) = match format {
        Format::Json => to_protobuf(signal, body, slot).await?,
        Format::Protobuf | Format::Text => (body, slot),
    };
    intake.offer_otlp(HTTP, signal, protobuf).await
}

/// JSON becomes protobuf once, here. Parsing takes up to seconds, so it does not happen on a thread that others need.
///
/// The slot goes along: the work is not over when its sender goes away.
async fn to_protobuf(signal: Signal, json: Bytes, mut slot: Slot) -> Result<(Bytes, Slot), Rejection> {
    let hint = compression::hint(&json, "Content-Encoding");
    let malformed = |error: &dyn std::fmt::Display| {
        Rejection::Malformed(format!("cannot decode the {signal} request: {error}{hint}"))
    };
    let json_bytes = json.len();
    slot.reserve(json_bytes)?;
    let conversion = tokio::task::spawn_blocking(move || (otlp::json_to_protobuf(signal, &json), slot));
    let (protobuf, mut slot) = conversion.await.map_err(|error| malformed(&error))?;
    let protobuf = protobuf.map_err(|error| malformed(&error))?;
    // A list of short numbers is longer in protobuf.
    slot.reserve(protobuf.len().saturating_sub(json_bytes))?;
    Ok((protobuf, slot))
}

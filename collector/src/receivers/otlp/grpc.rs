//! OTLP/gRPC: the unary `Export` methods of the three collector services.
//!
//! The message of a call is handed on as the bytes that came in; nothing here decodes it. A unary call is
//!
//! ```text
//! POST /opentelemetry.proto.collector.trace.v1.TraceService/Export      HTTP/2 headers: content-type, grpc-encoding
//! flag: 1 byte, 1 if compressed | length: 4 bytes, big endian | message
//! ```
//!
//! and its answer an empty message with trailers, or headers alone with a status other than OK. The frame is read here and
//! not by tonic's codec because the receiver's byte budget must be taken before the message is in memory, and because
//! tonic answers OUT_OF_RANGE to a message that is too large, which tells OTLP senders to retry it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use spandrel_pipeline::Signal;
use tonic::Status;

use super::GRPC;
use super::body::BodyReader;
use super::compression::{self, Compression};
use super::in_flight::Slot;
use super::intake::{Answer, Intake};
use super::partial_success::PartialSuccess;
use super::rejection::Rejection;

const SIGNALS: [(&str, Signal); 3] = [
    (
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Traces,
    ),
    (
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Metrics,
    ),
    (
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Logs,
    ),
];

/// Flag and length, before each message.
const PREFIX_BYTES: usize = 5;

const GRPC_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The services, for messages of at most `max_message_bytes` after decompression.
pub(super) fn router(intake: &Arc<Intake>, max_message_bytes: usize) -> Router {
    let mut router = Router::new();
    for (path, signal) in SIGNALS {
        let service = Service {
            intake: Arc::clone(intake),
            signal: Some(signal),
            max_message_bytes,
        };
        router = router.route(path, any(move |request: Request| service.clone().call(request)));
    }
    let unknown = Service {
        intake: Arc::clone(intake),
        signal: None,
        max_message_bytes,
    };
    router.fallback(move |request: Request| unknown.clone().call(request))
}

#[derive(Clone)]
struct Service {
    intake: Arc<Intake>,
    /// `None`: a method that does not exist.
    signal: Option<Signal>,
    max_message_bytes: usize,
}

impl Service {
    async fn call(self, request: Request) -> Response {
        if !is_grpc(request.headers()) || request.method() != Method::POST {
            return no_grpc(&request);
        }
        let answer = self.export(request).await;
        self.intake.answered(GRPC, &answer);
        match answer {
            Ok(partial) => success(partial.as_ref()),
            Err(rejection) => failure(&rejection),
        }
    }

    async fn export(&self, request: Request) -> Answer {
        let Some(signal) = self.signal else {
            return Err(unknown_method(request.uri().path()));
        };
        let mut slot = self.intake.admit(signal)?;
        let message = self.read_message(request, &mut slot).await?;
        self.intake.offer_otlp(GRPC, signal, message).await
    }

    /// Reads the one message of the call.
    async fn read_message(&self, request: Request, slot: &mut Slot) -> Result<Bytes, Rejection> {
        const SETTING: &str = "protocols::grpc::max_recv_msg_size_mib";
        let compression = Compression::of(request.headers(), &GRPC_ENCODING)?;
        let mut body = BodyReader::new(request.into_body(), self.max_message_bytes + PREFIX_BYTES, SETTING);
        let buffer = body.read_until(PREFIX_BYTES, slot).await?;
        if buffer.len() < PREFIX_BYTES {
            return Err(malformed_frame(format!("{} bytes instead of a message", buffer.len())));
        }
        let (flag, length) = (buffer.get_u8(), buffer.get_u32());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.max_message_bytes {
            return Err(Rejection::TooLarge {
                limit_bytes: self.max_message_bytes,
                setting: SETTING,
            });
        }
        body.reserve(length, slot)?;
        // One byte more than announced shows that the frame is not the last thing in the body.
        let message = body.read_until(length.saturating_add(1), slot).await?;
        if message.len() != length {
            let found = message.len();
            return Err(malformed_frame(format!(
                "a message of {length} bytes is announced, the body holds {found}"
            )));
        }
        let message = message.split().freeze();
        match flag {
            0 => Ok(message),
            1 if compression == Compression::Identity => Err(malformed_frame(
                "the message is flagged as compressed, but grpc-encoding names no compression",
            )),
            1 => {
                compression
                    .decompress(message, self.max_message_bytes, SETTING, slot)
                    .await
            }
            _ => Err(malformed_frame(format!(
                "the compression flag is {flag}, expected 0 or 1"
            ))),
        }
    }
}

fn malformed_frame(what: impl std::fmt::Display) -> Rejection {
    Rejection::Malformed(format!("malformed gRPC frame: {what}"))
}

fn unknown_method(path: &str) -> Rejection {
    let known = SIGNALS.map(|(path, _)| path).join(", ");
    Rejection::UnknownPath {
        path: path.to_owned(),
        known,
    }
}

/// `application/grpc`, with `+proto` or nothing after it.
fn is_grpc(headers: &HeaderMap) -> bool {
    let subtype = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    subtype
        .is_some_and(|rest| matches!(rest, b"" | b"+proto") || rest.starts_with(b";") || rest.starts_with(b"+proto;"))
}

/// The answer to a peer that speaks something else; the gRPC specification asks for 415.
fn no_grpc(request: &Request) -> Response {
    let message = format!(
        "this port speaks OTLP/gRPC (HTTP/2, content type application/grpc), not {:?} {} {}; \
         OTLP/HTTP is on another port, 4318 by default\n",
        request.version(),
        request.method(),
        request.uri().path(),
    );
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response()
}

/// An `Export*ServiceResponse`, which without fields has no bytes.
fn success(partial: Option<&PartialSuccess>) -> Response {
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let message = partial.map_or_else(Vec::new, PartialSuccess::protobuf);
    let length = u32::try_from(message.len()).expect("a message names one item or a few warnings");
    let mut frame = vec![0];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    let frame = Full::new(Bytes::from(frame));
    let mut response = Response::new(Body::new(frame.with_trailers(async { Some(Ok(trailers)) })));
    response.headers_mut().insert(CONTENT_TYPE, GRPC_TYPE);
    response
}

fn failure(rejection: &Rejection) -> Response {
    let details = Bytes::from(rejection.rpc_status());
    let status = Status::with_details(rejection.code(), rejection.to_string(), details);
    let mut response: Response = status.into_http();
    response
        .headers_mut()
        .insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(compression::SUPPORTED));
    response
}

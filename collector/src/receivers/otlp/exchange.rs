//! One request on the HTTP port and its answer, which has the encoding of the request.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method};

use super::HTTP;
use super::body::BodyReader;
use super::compression::{self, Compression};
use super::in_flight::Slot;
use super::intake::{Answer, Intake};
use super::partial_success::PartialSuccess;
use super::rejection::Rejection;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A request that was not answered yet.
pub(super) struct Exchange {
    head: Parts,
    body: BodyReader,
    limit_bytes: usize,
    setting: &'static str,
}

impl Exchange {
    /// `limit_bytes` holds for the body before and after decompression, and stands in `setting`.
    pub(super) fn new(request: Request, limit_bytes: usize, setting: &'static str) -> Self {
        let (head, body) = request.into_parts();
        Self {
            head,
            body: BodyReader::new(body, limit_bytes, setting),
            limit_bytes,
            setting,
        }
    }

    pub(super) fn head(&self) -> &Parts {
        &self.head
    }

    /// Every endpoint of this port takes POST only.
    pub(super) fn check_method(&self) -> Result<(), Rejection> {
        match self.head.method {
            Method::POST => Ok(()),
            ref method => Err(Rejection::Method { method: method.clone() }),
        }
    }

    /// The encoding that the content type names.
    pub(super) fn format(&self) -> Result<Format, Rejection> {
        let value = self
            .head
            .headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let value = String::from_utf8_lossy(value);
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(PROTOBUF) {
            return Ok(Format::Protobuf);
        }
        if essence.eq_ignore_ascii_case(JSON) {
            return Ok(Format::Json);
        }
        Err(Rejection::ContentType {
            found: essence.to_owned(),
            supported: "application/x-protobuf, application/json",
        })
    }

    /// Reads and decompresses the body.
    pub(super) async fn receive(&mut self, slot: &mut Slot) -> Result<Bytes, Rejection> {
        let compression = Compression::of(&self.head.headers, &CONTENT_ENCODING)?;
        let wire = self.body.read_all(slot).await?;
        compression.decompress(wire, self.limit_bytes, self.setting, slot).await
    }

    /// Accounts for the result and puts it into words.
    pub(super) async fn answer(self, intake: &Intake, format: Format, answer: Answer) -> Response {
        intake.answered(HTTP, &answer);
        let rejection = match answer {
            Ok(partial) => return format.success(partial.as_ref()),
            Err(rejection) => rejection,
        };
        // A sender that waits for `100 Continue` has not sent the body.
        if !self.head.headers.contains_key(EXPECT) {
            self.body.discard().await;
        }
        format.failure(&rejection)
    }
}

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
    /// For requests in no encoding of ours.
    Text,
}

impl Format {
    /// An `Export*ServiceResponse`, empty if nothing was left out.
    fn success(self, partial: Option<&PartialSuccess>) -> Response {
        match self {
            Self::Protobuf | Self::Text => {
                let message = partial.map_or_else(Vec::new, PartialSuccess::protobuf);
                typed(PROTOBUF, Body::from(message))
            }
            Self::Json => {
                let message = partial.map_or_else(|| "{}".to_owned(), PartialSuccess::json);
                typed(JSON, Body::from(message))
            }
        }
    }

    /// A `google.rpc.Status`; plain text where a peer may know nothing of OTLP.
    fn failure(self, rejection: &Rejection) -> Response {
        let is_text = matches!(rejection, Rejection::Method { .. } | Rejection::ContentType { .. });
        let mut response = match self {
            Self::Protobuf if !is_text => typed(PROTOBUF, Body::from(rejection.rpc_status())),
            Self::Json if !is_text => {
                let status = serde_json::json!({ "code": rejection.code() as i32, "message": rejection.to_string() });
                typed(JSON, Body::from(status.to_string()))
            }
            _ => format!("{rejection}\n").into_response(),
        };
        *response.status_mut() = rejection.http_status();
        add_hints(rejection, &mut response);
        response
    }
}

/// The headers that tell the sender what to do.
fn add_hints(rejection: &Rejection, response: &mut Response) {
    let headers = response.headers_mut();
    match rejection {
        Rejection::Method { .. } => headers.insert(ALLOW, HeaderValue::from_static("POST")),
        Rejection::Compression { .. } => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(compression::SUPPORTED))
        }
        _ => None,
    };
    if let Some(delay) = rejection.retry_after() {
        // The header counts whole seconds; less than asked for would be a retry too early.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

fn typed(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

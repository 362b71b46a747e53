//! One attempt to deliver a request, and what the answer means.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use spandrel_pipeline::Signal;

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The most of an answer that is quoted.
const EXCERPT_BYTES: usize = 200;

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) client: Client,
    pub(super) traces: Url,
    pub(super) metrics: Url,
    pub(super) logs: Url,
    pub(super) headers: HeaderMap,
    pub(super) compresses: bool,
}

/// The body of a request, as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Body {
    bytes: Bytes,
    is_compressed: bool,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Delivered.
    Taken,
    /// Delivered, but for some items, which sending them again would not change.
    TakenInPart { rejected_items: u64, why: String },
    /// The same request may be taken later.
    Busy { why: String, retry_after: Option<Duration> },
    /// The request will never be taken.
    Never { why: String },
}

/// `ExportTraceServiceResponse`, and those of the other signals: they differ in names only.
#[derive(Clone, PartialEq, prost::Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_items: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`, the body of an error.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Endpoint {
    /// The body for a request. Takes a while for a large one.
    pub(super) fn body(&self, request: &Bytes) -> Body {
        let as_it_is = || Body {
            bytes: request.clone(),
            is_compressed: false,
        };
        if !self.compresses {
            return as_it_is();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let compressed = encoder.write_all(request).and_then(|()| encoder.finish());
        compressed.map_or_else(
            |_| as_it_is(),
            |compressed| Body {
                bytes: compressed.into(),
                is_compressed: true,
            },
        )
    }

    /// Where requests of a signal go, without a password.
    pub(super) fn shown(&self, signal: Signal) -> String {
        let mut url = self.url(signal).clone();
        // It has a host, so neither fails.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.into()
    }

    fn url(&self, signal: Signal) -> &Url {
        match signal {
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
            _ => &self.traces,
        }
    }

    /// Sends a request once.
    pub(super) async fn post(&self, signal: Signal, body: Body) -> Answer {
        let mut post = self.client.post(self.url(signal).clone()).headers(self.headers.clone());
        post = post.header(CONTENT_TYPE, "application/x-protobuf");
        if body.is_compressed {
            post = post.header(CONTENT_ENCODING, "gzip");
        }
        match post.body(body.bytes).send().await {
            Ok(response) => answer(response).await,
            Err(error) => Answer::Busy {
                why: cause_of(error),
                retry_after: None,
            },
        }
    }
}

async fn answer(mut response: Response) -> Answer {
    let (status, retry_after) = (response.status(), retry_after(&response));
    let body = match read(&mut response).await {
        Ok(body) => body,
        // The status says enough of an error. A success without its body may be one in part.
        Err(_) if !status.is_success() => Vec::new(),
        Err(error) => {
            return Answer::Busy {
                why: format!("the answer broke off: {}", cause_of(error)),
                retry_after,
            };
        }
    };
    if status.is_success() {
        return taken(&body);
    }
    let why = format!("answered {status}{}", excerpt(&body));
    if is_retryable(status) {
        return Answer::Busy { why, retry_after };
    }
    Answer::Never { why }
}

/// A body that is not the message of the specification says nothing: the status has said that the request is taken.
fn taken(body: &[u8]) -> Answer {
    let partial = ExportResponse::decode(body).ok().and_then(|it| it.partial_success);
    match partial {
        Some(partial) if partial.rejected_items > 0 => Answer::TakenInPart {
            rejected_items: partial.rejected_items.unsigned_abs(),
            why: partial.error_message,
        },
        _ => Answer::Taken,
    }
}

/// The statuses that the specification names; any other error is final.
fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Seconds; a date is not understood.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u32 = response
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.into()))
}

async fn read(response: &mut Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

/// The message of an error, after a colon: that of a `Status`, else the beginning of the text.
fn excerpt(body: &[u8]) -> String {
    let status = Status::decode(body).ok().filter(|status| !status.message.is_empty());
    let text = status.map_or_else(|| String::from_utf8_lossy(body).into_owned(), |status| status.message);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return text;
    }
    let end = text.floor_char_boundary(EXCERPT_BYTES);
    format!(": {}{}", &text[..end], if end < text.len() { " ..." } else { "" })
}

/// The innermost cause of an error of `reqwest`: the outer ones say little, and quote the URL with its password.
fn cause_of(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no complete answer within timeout".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

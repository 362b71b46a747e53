//! Why a request was not accepted, and the answer that each transport gives for it.
//!
//! The mapping is that of the OTLP specification ("Failures", "Throttling"): a sender retries gRPC UNAVAILABLE and
//! DEADLINE_EXCEEDED and HTTP 503, and never the others; RESOURCE_EXHAUSTED without `RetryInfo` is final.
//!
//! | rejection | gRPC | HTTP |
//! |---|---|---|
//! | unknown path, signal without pipeline | UNIMPLEMENTED | 404 |
//! | method | | 405 |
//! | content type | HTTP 415 | 415 |
//! | compression | UNIMPLEMENTED | 415 |
//! | too large | RESOURCE_EXHAUSTED | 413 |
//! | malformed, refused for good | INVALID_ARGUMENT | 400 |
//! | busy, refused for the moment, shutting down | UNAVAILABLE | 503 |
//! | body stalled | DEADLINE_EXCEEDED | 408 |
//! | body broke off | CANCELLED | 400 |

use std::time::Duration;

use http::StatusCode;
use spandrel_pipeline::{Refusal, Signal};
use tonic::Code;

/// When a sender that found a budget exhausted should come back.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was not accepted. The text is for the sender's operator.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("unknown path `{path}`; known are {known}")]
    UnknownPath { path: String, known: String },
    #[error(
        "no pipeline takes {signal} from receiver `{receiver}`; list it in a {signal} pipeline under service::pipelines"
    )]
    NoPipeline { signal: Signal, receiver: String },
    #[error("method {method} is not allowed here; send POST")]
    Method { method: http::Method },
    #[error("unsupported content type `{found}`; supported are {supported}")]
    ContentType { found: String, supported: &'static str },
    #[error("unsupported compression `{found}`; supported are {}", super::compression::SUPPORTED)]
    Compression { found: String },
    #[error(
        "the request is larger than {limit_bytes} bytes after decompression; send less at a time or raise {setting}"
    )]
    TooLarge { limit_bytes: usize, setting: &'static str },
    #[error("{0}")]
    Malformed(String),
    #[error("the request body stalled for {seconds} seconds")]
    Stalled { seconds: u64 },
    #[error("the request body broke off: {0}")]
    BrokenOff(String),
    #[error("too much in flight ({exhausted} is exhausted); try again")]
    Busy { exhausted: &'static str },
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Rejection {
    /// The status of a gRPC answer.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::UnknownPath { .. } | Self::NoPipeline { .. } | Self::Method { .. } => Code::Unimplemented,
            Self::ContentType { .. } | Self::Compression { .. } => Code::Unimplemented,
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Malformed(_) | Self::Refused(Refusal::Permanent { .. }) => Code::InvalidArgument,
            Self::Stalled { .. } => Code::DeadlineExceeded,
            Self::BrokenOff(_) => Code::Cancelled,
            Self::Busy { .. } | Self::Refused(Refusal::Refused { .. } | Refusal::Shutdown) => Code::Unavailable,
        }
    }

    /// The status of an HTTP answer.
    pub(super) fn http_status(&self) -> StatusCode {
        match self {
            Self::UnknownPath { .. } | Self::NoPipeline { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType { .. } | Self::Compression { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) | Self::BrokenOff(_) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::Permanent { .. }) => StatusCode::BAD_REQUEST,
            Self::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(Refusal::Refused { .. } | Refusal::Shutdown) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When the sender should try again, if that is known.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { .. } => Some(BUSY_RETRY_AFTER),
            Self::Refused(Refusal::Refused { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request may be accepted later.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(
            self.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
        )
    }

    /// The value of the label `reason` of the metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPath { .. } => "unknown_path",
            Self::NoPipeline { .. } => "no_pipeline",
            Self::Method { .. } => "method",
            Self::ContentType { .. } => "content_type",
            Self::Compression { .. } => "compression",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Stalled { .. } => "stalled",
            Self::BrokenOff(_) => "broken_off",
            Self::Busy { exhausted } => exhausted,
            Self::Refused(Refusal::Refused { .. }) => "refused",
            Self::Refused(Refusal::Permanent { .. }) => "permanent",
            Self::Refused(Refusal::Shutdown) => "shutdown",
        }
    }

    /// The `google.rpc.Status` of this rejection as protobuf.
    pub(super) fn rpc_status(&self) -> Vec<u8> {
        super::rpc_status::encode(self.code(), &self.to_string(), self.retry_after())
    }
}

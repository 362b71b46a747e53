//! One pull: asks a target to record for some seconds and reads the trace that it answers with.
//!
//! `GET /debug/pprof/trace?seconds=N` of Go's `net/http/pprof` answers with the header at once, then streams the trace
//! while it records. It answers 500 when somebody else is recording, and 400 when the server's write timeout is shorter
//! than N (net/http/pprof/pprof.go, `Trace`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gotrace::{ExecTrace, OpenError};
use reqwest::{Client, Response, StatusCode, Url};
use spandrel_model::{Interval, UnixNanos};

/// How much of an error page is quoted.
const EXCERPT_BYTES: usize = 200;

/// Why a pull brought no trace. The URL is left to the caller, who names the target.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    #[error("cannot connect: {cause}")]
    Connect { cause: String },
    #[error("no answer: {cause}")]
    NoAnswer { cause: String },
    #[error("no complete answer within {timeout:?}")]
    Timeout { timeout: Duration },
    #[error("answered {status}: {excerpt}")]
    Status { status: StatusCode, excerpt: String },
    #[error("answered with something else: {0}")]
    NotATrace(#[from] OpenError),
    #[error("the trace is larger than max_trace_size, {limit_bytes} bytes; raise it or shorten trace_duration")]
    TooLarge { limit_bytes: usize },
    #[error("the answer broke off after {received_bytes} bytes: {cause}")]
    BrokenOff { received_bytes: usize, cause: String },
}

impl PullError {
    /// Whether the target has most likely not recorded anything, so that asking it again soon costs it nothing.
    pub(super) fn came_before_recording(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::NoAnswer { .. } | Self::Status { .. })
    }

    /// The value of the label `kind` of the metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::NoAnswer { .. } => "no_answer",
            Self::Timeout { .. } => "timeout",
            Self::Status { .. } => "status",
            Self::NotATrace(_) => "not_a_trace",
            Self::TooLarge { .. } => "too_large",
            Self::BrokenOff { .. } => "broken_off",
        }
    }
}

/// The innermost cause of an error of `reqwest`: the outer ones say little, and quote the URL with its password.
fn cause_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A trace and when it was being recorded by the collector's clock.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) bytes: Bytes,
    pub(super) fetched: Option<Interval>,
}

/// Limits of a pull.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) max_trace_bytes: usize,
}

/// Pulls from `url`, whose query says for how long to record.
pub(super) async fn pull(client: &Client, url: Url, limits: Limits) -> Result<Pulled, PullError> {
    let timeout = limits.timeout;
    tokio::time::timeout(timeout, request(client, url, limits.max_trace_bytes))
        .await
        .unwrap_or(Err(PullError::Timeout { timeout }))
}

async fn request(client: &Client, url: Url, limit_bytes: usize) -> Result<Pulled, PullError> {
    let start = now();
    let response = client.get(url).send().await.map_err(|error| match error.is_connect() {
        true => PullError::Connect { cause: cause_of(error) },
        false => PullError::NoAnswer { cause: cause_of(error) },
    })?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        return Err(PullError::Status {
            status,
            excerpt: excerpt(response).await,
        });
    }
    let bytes = read(response, limit_bytes).await?;
    ExecTrace::open(&bytes)?;
    Ok(Pulled {
        bytes,
        fetched: Interval::new(start, now()),
    })
}

async fn read(mut response: Response, limit_bytes: usize) -> Result<Bytes, PullError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| PullError::BrokenOff {
            received_bytes: bytes.len(),
            cause: cause_of(error),
        })?;
        let Some(chunk) = chunk else {
            return Ok(Bytes::from(bytes));
        };
        if bytes.len() + chunk.len() > limit_bytes {
            return Err(PullError::TooLarge { limit_bytes });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// The first line of an error page.
async fn excerpt(mut response: Response) -> String {
    let mut page = Vec::new();
    while page.len() < EXCERPT_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        page.extend_from_slice(&chunk);
    }
    page.truncate(EXCERPT_BYTES);
    let text = String::from_utf8_lossy(&page);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    format!("`{}`", line.unwrap_or_default().escape_debug())
}

fn now() -> UnixNanos {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

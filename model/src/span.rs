//! A span as attribution needs it.

use std::sync::Arc;

use crate::{Attribute, AttributeValue, Interval, ProcessIdentity, SpanId, TaskId, TraceId};

/// A finished span of OpenTelemetry. Events, links and status stay in the `spans` table.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace that the span belongs to.
    pub trace_id: TraceId,
    /// Id of the span, unique within its trace.
    pub span_id: SpanId,
    /// Parent, in this or another process; `None` for the root of a trace.
    pub parent_span_id: Option<SpanId>,
    /// Whether the parent is in another process; `None` if the SDK does not say (OTLP span flags, bits 8 and 9).
    pub parent_is_remote: Option<bool>,
    /// Process that reported it.
    pub process: Arc<ProcessIdentity>,
    /// Name at the end of the span.
    pub name: Arc<str>,
    /// Kind.
    pub kind: SpanKind,
    /// Name of the instrumentation scope.
    pub scope_name: Arc<str>,
    /// Time open. A span that ends before it starts is kept with no length, at its start.
    pub interval: Interval,
    /// Span attributes.
    pub attributes: Vec<Attribute>,
}

impl Span {
    /// The value of the attribute `key`.
    pub fn attribute(&self, key: &str) -> Option<&AttributeValue> {
        self.attributes
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The goroutine that the instrumentation says it started on: `go.goroutine.id`, or `goroutine.id`.
    /// Neither is a semantic convention yet; both are in use.
    pub fn reported_task(&self) -> Option<TaskId> {
        ["go.goroutine.id", "goroutine.id"]
            .iter()
            .find_map(|key| match self.attribute(key)? {
                AttributeValue::Int(id) => u64::try_from(*id).ok().map(TaskId),
                AttributeValue::String(id) => id.parse().ok().map(TaskId),
                _ => None,
            })
    }
}

/// `SpanKind` of OTLP; unknown numbers read as unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SpanKind {
    /// Not given.
    #[default]
    Unspecified,
    /// Within the process.
    Internal,
    /// Handles a request from elsewhere.
    Server,
    /// Waits for an answer from elsewhere.
    Client,
    /// Sends a message.
    Producer,
    /// Handles a message.
    Consumer,
}

impl SpanKind {
    /// From the number on the wire.
    pub const fn from_otlp(number: i32) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// The word in the `kind` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The inverse of [`Self::as_str`]; unspecified for any other word.
    pub fn from_column(word: &str) -> Self {
        [
            Self::Internal,
            Self::Server,
            Self::Client,
            Self::Producer,
            Self::Consumer,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .unwrap_or_default()
    }
}

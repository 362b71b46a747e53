//! What flows in a pipeline.

use std::sync::{Arc, OnceLock};

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use spandrel_model::{Interval, ProcessIdentity, Table};

use crate::otlp::{self, DecodeError, Decoded, Rejected};

/// Telemetry of one signal on its way through a pipeline. Cloning shares the data, which never changes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The telemetry.
    pub payload: Payload,
    /// How it came in.
    pub context: Arc<RequestContext>,
}

impl Batch {
    /// The signal of the payload.
    pub fn signal(&self) -> Signal {
        match &self.payload {
            Payload::Otlp(request) => request.signal(),
            Payload::Profile(_) => Signal::Profiles,
            Payload::Tables(_) => Signal::Tables,
        }
    }
}

/// The telemetry of a [`Batch`].
#[derive(Clone, Debug)]
pub enum Payload {
    /// Spans, metrics or logs.
    Otlp(Arc<OtlpRequest>),
    /// What a language runtime knew about one process.
    Profile(Arc<RuntimeProfile>),
    /// Rows of Spandrel's own tables.
    Tables(Arc<[TableRows]>),
}

/// A kind of telemetry. A pipeline carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric data points.
    Metrics,
    /// Log records.
    Logs,
    /// Runtime profiles.
    Profiles,
    /// Rows of Spandrel's own tables, called `attribution` in configuration.
    Tables,
}

impl Signal {
    /// The word that names pipelines of this signal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Profiles => "profiles",
            Self::Tables => "attribution",
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a batch came into the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// Id of the receiver in the configuration; of the connector for what it made itself.
    pub receiver: Arc<str>,
    /// `grpc`, `http`, or empty.
    pub transport: &'static str,
}

/// An OTLP export request: the protobuf bytes as received, decoded into rows at most once, when first asked for.
#[derive(Debug)]
pub struct OtlpRequest {
    signal: Signal,
    bytes: Bytes,
    decoded: OnceLock<Result<Decoded, DecodeError>>,
}

impl OtlpRequest {
    /// An `ExportTraceServiceRequest`.
    pub fn traces(bytes: Bytes) -> Self {
        Self {
            signal: Signal::Traces,
            bytes,
            decoded: OnceLock::new(),
        }
    }

    /// An `ExportMetricsServiceRequest`.
    pub fn metrics(bytes: Bytes) -> Self {
        Self {
            signal: Signal::Metrics,
            bytes,
            decoded: OnceLock::new(),
        }
    }

    /// An `ExportLogsServiceRequest`.
    pub fn logs(bytes: Bytes) -> Self {
        Self {
            signal: Signal::Logs,
            bytes,
            decoded: OnceLock::new(),
        }
    }

    /// The signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// The request as protobuf.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The table whose schema [`Self::rows`] have.
    pub fn table(&self) -> Table {
        match self.signal {
            Signal::Metrics => Table::Metrics,
            Signal::Logs => Table::Logs,
            _ => Table::Spans,
        }
    }

    /// One row per span, log record or data point that is not [`Self::rejected`], in the schema of [`Self::table`].
    ///
    /// # Errors
    /// The bytes are not a request of this signal; every call gives the same answer.
    pub fn rows(&self) -> Result<&RecordBatch, DecodeError> {
        self.decoded
            .get_or_init(|| match self.signal {
                Signal::Metrics => otlp::decode_metrics(&self.bytes),
                Signal::Logs => otlp::decode_logs(&self.bytes),
                _ => otlp::decode_traces(&self.bytes),
            })
            .as_ref()
            .map(|decoded| &decoded.rows)
            .map_err(Clone::clone)
    }

    /// The items without a row. `None` if there are none, and as long as nobody has asked for [`Self::rows`]: who passes on
    /// the bytes passes on all of them.
    pub fn rejected(&self) -> Option<&Rejected> {
        self.decoded.get()?.as_ref().ok()?.rejected.as_ref()
    }
}

/// What a language runtime recorded or a profiler saw of one process, not yet decoded.
#[derive(Clone, Debug)]
pub struct RuntimeProfile {
    /// What the bytes are.
    pub format: ProfileFormat,
    /// The recording as the runtime wrote it.
    pub bytes: Bytes,
    /// Process that was recorded, as far as the sender says.
    pub process: ProcessIdentity,
    /// Where it came from, for messages: a target, a peer, a file.
    pub source: Arc<str>,
    /// When it was being recorded, as the collector's clock saw it; `None` for an upload.
    pub fetched: Option<Interval>,
    /// What of it could not be read, for the answer to the sender. Set by the consumer that decodes it, if there is something.
    pub warnings: OnceLock<Vec<String>>,
}

/// Format of a [`RuntimeProfile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileFormat {
    /// A Go execution trace, as `runtime/trace` writes it.
    GoExecutionTrace,
    /// A CPU profile in the format of pprof, compressed with gzip or not.
    CpuProfile,
}

/// Rows of one of Spandrel's own tables, in its schema, and which earlier rows they replace.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// The table.
    pub table: Table,
    /// The rows; none if rows are only to be removed.
    pub rows: RecordBatch,
    /// Keys: rows with some of the table's columns, [`Table::time_column`] always among them. Every row of the
    /// table that came before and equals a key in all columns of the key is removed as `rows` become visible. These
    /// `rows` themselves are not compared.
    pub replaces: Option<RecordBatch>,
}

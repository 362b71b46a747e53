//! OTLP to Arrow, straight from the protobuf wire.
//!
//! ```text
//! JSON request --json_to_protobuf--> protobuf request --decode_*--> rows --spans_from_rows--> model spans
//!                                            `--count_items--> how many rows, without decoding
//! ```
//!
//! The decoder walks the bytes once and appends to column builders; no object per span, point or record lies between.
//! It follows protobuf: fields come in any order, unknown fields are skipped, a message may come in parts, of a
//! repeated scalar the last one counts. Any input gives rows or a [`DecodeError`], never a panic, and takes memory in
//! proportion to its size plus at most [`MAX_ROWS_BYTES`] for what rows repeat.
//!
//! Not everything that OTLP can say has a place in the tables, so a few rules decide:
//!
//! * A span, data point or log record with a time after the year 2262, where `i64` nanoseconds end, has no row: it is
//!   [`Rejected`], and the others of the request are not. A count beyond `i64` is the largest one. A span that ends
//!   before it starts has duration 0. A log record without a time has the time of its observation.
//! * A string that is not UTF-8 is an error: protobuf says so, and so do other receivers.
//! * A span whose trace id or span id has a wrong length, or a parent id that is neither empty nor 8 bytes, is an
//!   error that names the span. A parent id of zeros is no parent. Ids of links and of log records that are not
//!   valid are null.
//! * Exemplars, schema URLs, descriptions, flags of data points and scope attributes have no columns.

mod any_value;
mod attributes;
mod columns;
mod envelope;
mod error;
mod json;
mod logs;
mod metric_points;
mod metrics;
mod promoted;
mod rejected;
mod resource;
mod schema;
mod span_details;
mod span_rows;
#[cfg(test)]
mod tests;
mod traces;
mod wire;

use crate::Signal;

pub use envelope::MAX_REQUEST_BYTES;
pub use error::{DecodeError, DecodeProblem, FieldName, FieldPath};
pub use json::{JsonError, json_to_protobuf};
pub use rejected::{Decoded, Rejected};
pub use resource::MAX_ROWS_BYTES;
pub use span_rows::{RowsError, spans_from_rows};

/// Decodes an `ExportTraceServiceRequest` into rows of the `spans` table, one per span, in the order of the request.
///
/// # Errors
/// The bytes are not such a request, or one of the limits in this module is passed.
pub fn decode_traces(request: &[u8]) -> Result<Decoded, DecodeError> {
    traces::decode(request)
}

/// Decodes an `ExportMetricsServiceRequest` into rows of the `metrics` table, one per data point, in the order of the
/// request.
///
/// # Errors
/// The bytes are not such a request, or one of the limits in this module is passed.
pub fn decode_metrics(request: &[u8]) -> Result<Decoded, DecodeError> {
    metrics::decode(request)
}

/// Decodes an `ExportLogsServiceRequest` into rows of the `logs` table, one per log record, in the order of the
/// request.
///
/// # Errors
/// The bytes are not such a request, or one of the limits in this module is passed.
pub fn decode_logs(request: &[u8]) -> Result<Decoded, DecodeError> {
    logs::decode(request)
}

/// Counts the spans, data points or log records of a request: the rows that decoding would give, and what it would reject. Reads
/// the lengths of messages and not their content, so it is far cheaper, and succeeds on some requests that decoding refuses.
///
/// # Errors
/// The bytes are not a request of `signal`, as far as they were read, or the signal has no OTLP request.
pub fn count_items(signal: Signal, request: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    match signal {
        Signal::Traces => traces::ENVELOPE.skim(request, |_| {
            count += 1;
            Ok(())
        })?,
        Signal::Logs => logs::ENVELOPE.skim(request, |_| {
            count += 1;
            Ok(())
        })?,
        Signal::Metrics => metrics::ENVELOPE.skim(request, |metric| {
            count += metrics::count_points(metric)?;
            Ok(())
        })?,
        Signal::Profiles | Signal::Tables => return Err(DecodeError::not_otlp(signal)),
    }
    Ok(count)
}

//! OTLP/JSON requests to protobuf requests, so that everything behind the door sees one encoding.
//!
//! The mapping is protobuf's own JSON mapping with the changes of the OTLP specification ("JSON Protobuf Encoding"):
//! trace and span ids are hexadecimal, enumerations are integers, keys are lowerCamelCase, unknown keys are ignored.
//! 64-bit integers come as strings or numbers. `null` is the same as leaving the key out.
//!
//! The bytes are written while the text is read, by the tables in [`super::schema`], with no object between. The
//! serde types of `opentelemetry-proto` do not fit: they refuse `null` and an `arrayValue` without `values`, and they
//! drop all data of a metric in silence when one number in it has an unexpected form.

mod transcode;

use bytes::Bytes;
use serde::de::DeserializeSeed;

use super::schema::{self, Message};
use crate::Signal;
use transcode::MessageSeed;

/// A request that is not OTLP/JSON. Sending the same text again gives the same error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON, or a value that its field cannot have, or more than 128 levels of nesting.
    #[error("line {line}, column {column}: {problem}")]
    Invalid {
        /// Line of the text, from 1.
        line: usize,
        /// Byte in the line, from 1; where the reader noticed, which may be the end of the value.
        column: usize,
        /// What was found, and what was expected for which field.
        problem: String,
    },
    /// The signal does not travel as an OTLP request.
    #[error("{signal} have no OTLP request")]
    NotOtlp {
        /// The signal asked for.
        signal: Signal,
    },
}

/// Writes an OTLP/JSON export request of `signal` as protobuf.
///
/// # Errors
/// The text is not such a request.
pub fn json_to_protobuf(signal: Signal, json: &[u8]) -> Result<Bytes, JsonError> {
    let message: &'static Message = match signal {
        Signal::Traces => &schema::TRACES_REQUEST,
        Signal::Metrics => &schema::METRICS_REQUEST,
        Signal::Logs => &schema::LOGS_REQUEST,
        Signal::Profiles | Signal::Tables => return Err(JsonError::NotOtlp { signal }),
    };
    let mut protobuf = Vec::with_capacity(json.len() / 2);
    let mut text = serde_json::Deserializer::from_slice(json);
    let seed = MessageSeed {
        message,
        out: &mut protobuf,
    };
    seed.deserialize(&mut text).and_then(|()| text.end()).map_err(invalid)?;
    Ok(protobuf.into())
}

fn invalid(error: serde_json::Error) -> JsonError {
    let (line, column) = (error.line(), error.column());
    let mut problem = error.to_string();
    if let Some(text) = problem.strip_suffix(&format!(" at line {line} column {column}")) {
        problem.truncate(text.len());
    }
    JsonError::Invalid { line, column, problem }
}

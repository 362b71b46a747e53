//! Why bytes are not an OTLP request: where, which field, what was wrong.

use std::fmt;

use crate::Signal;

/// A request that cannot be decoded. Sending the same bytes again gives the same error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {field}: {problem}")]
pub struct DecodeError {
    /// Distance from the beginning of the request, in bytes after decompression.
    pub offset: usize,
    /// What was being read.
    pub field: FieldPath,
    /// What was wrong.
    pub problem: DecodeProblem,
}

/// A field of a protobuf message, as the `.proto` files of OpenTelemetry name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldPath {
    /// Name of the message.
    pub message: &'static str,
    /// The field, as far as it is known.
    pub field: FieldName,
}

/// How far a field is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// The tag that says which field follows was itself damaged, or the message as a whole is meant.
    Unknown,
    /// A field that this version does not read.
    Number(u32),
    /// A field that it reads.
    Name(&'static str),
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message;
        match self.field {
            FieldName::Unknown => write!(f, "`{message}`"),
            FieldName::Number(number) => write!(f, "`{message}` field {number}"),
            FieldName::Name(name) => write!(f, "`{message}.{name}`"),
        }
    }
}

/// What was wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeProblem {
    /// The enclosing message ends inside the field.
    #[error("{needed} bytes announced, {left} left in the message")]
    Truncated {
        /// Bytes that the field needs.
        needed: u64,
        /// Bytes that the enclosing message still has.
        left: usize,
    },
    /// A varint does not end, or has more than 64 bits.
    #[error("varint does not fit 64 bits")]
    VarintTooLong,
    /// Protobuf has no such field number.
    #[error("field number {number} is not between 1 and 536870911")]
    FieldNumber {
        /// The number found.
        number: u64,
    },
    /// A known field is encoded as another type, or the wire type does not exist.
    #[error("wire type {found}, expected {expected}")]
    WireType {
        /// Wire type found.
        found: u8,
        /// Wire types that are valid here.
        expected: &'static str,
    },
    /// A packed list of fixed-width numbers ends inside a number.
    #[error("{len} bytes are not a whole number of {width}-byte values")]
    PackedLength {
        /// Bytes in the list.
        len: usize,
        /// Bytes of one number.
        width: usize,
    },
    /// A string is not UTF-8, which protobuf requires.
    #[error("invalid UTF-8 after {valid_bytes} bytes")]
    InvalidUtf8 {
        /// Bytes of the string up to the fault.
        valid_bytes: usize,
    },
    /// Arrays and maps inside each other, more than this version follows.
    #[error("attribute values nested deeper than {limit}")]
    TooDeep {
        /// Levels that are allowed.
        limit: usize,
    },
    /// A span has an id that is not one.
    #[error("id of {len} bytes in the span `{span}`, expected {expected}")]
    IdLength {
        /// Length found.
        len: usize,
        /// Length that an id has.
        expected: usize,
        /// Name of the span, shortened.
        span: String,
    },
    /// More bytes than one request may have.
    #[error("request of {len} bytes, at most {limit} are allowed")]
    RequestTooLarge {
        /// Length of the request.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// A small request that stands for very many rows, or repeats a large resource in very many rows.
    #[error("rows need more than {limit} bytes, send fewer items in one request")]
    RowsTooLarge {
        /// The limit, [`super::MAX_ROWS_BYTES`].
        limit: usize,
    },
    /// The signal does not travel as an OTLP request.
    #[error("{signal} have no OTLP request")]
    NotOtlp {
        /// The signal asked for.
        signal: Signal,
    },
}

impl DecodeError {
    pub(super) fn not_otlp(signal: Signal) -> Self {
        let field = FieldPath {
            message: "request",
            field: FieldName::Unknown,
        };
        Self {
            offset: 0,
            field,
            problem: DecodeProblem::NotOtlp { signal },
        }
    }
}

//! The messages of pprof's `proto/profile.proto`, those fields that are read.

use prost::bytes::Buf;
use prost::{DecodeError, Message, decode_length_delimiter};

/// `Profile` without its samples, which refer to tables that come after them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<Function>,
    /// The first is empty.
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(super) duration_nanos: i64,
    #[prost(int64, tag = "12")]
    pub(super) period: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(super) r#type: i64,
    #[prost(int64, tag = "2")]
    pub(super) unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    /// One for each of the profile's sample types.
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(super) label: Vec<Label>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Label {
    #[prost(int64, tag = "1")]
    pub(super) key: i64,
    #[prost(int64, tag = "2")]
    pub(super) str: i64,
    #[prost(int64, tag = "3")]
    pub(super) num: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    /// Several where functions were inlined, the innermost first.
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(super) line: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "4")]
    pub(super) filename: i64,
}

/// Field number of the samples in `Profile`.
const SAMPLE: usize = 2;

/// Calls `each` with one sample of a `Profile` after the other.
pub(super) fn each_sample<E: From<DecodeError>>(
    mut profile: &[u8],
    mut each: impl FnMut(Sample) -> Result<(), E>,
) -> Result<(), E> {
    while profile.has_remaining() {
        // A varint as the length of a message is one.
        let key = decode_length_delimiter(&mut profile)?;
        let (number, wire_type) = (key >> 3, key & 7);
        let length = match wire_type {
            0 => {
                decode_length_delimiter(&mut profile)?;
                0
            }
            1 => 8,
            2 => decode_length_delimiter(&mut profile)?,
            5 => 4,
            _ => 0,
        };
        let Some((value, rest)) = profile.split_at_checked(length) else {
            // The whole was decoded before, so that this does not happen.
            return Ok(());
        };
        profile = rest;
        if (number, wire_type) == (SAMPLE, 2) {
            each(Sample::decode(value)?)?;
        }
    }
    Ok(())
}

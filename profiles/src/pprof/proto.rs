//! The messages of pprof's `proto/profile.proto`, those fields that are read here or written by `spandrel-viewers`.

use prost::bytes::Buf;
use prost::{DecodeError, Message, decode_length_delimiter};

/// `Profile` without its samples, which refer to tables that come after them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Head {
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

/// What a value of a sample is. Numbers are positions in the table of strings.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueType {
    /// What is counted.
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// In what.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// What was seen with one stack and one set of labels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One for each of the profile's sample types.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// Labels.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// A label; `num` counts if `str` is 0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Label {
    /// Name.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Text.
    #[prost(int64, tag = "2")]
    pub str: i64,
    /// Number.
    #[prost(int64, tag = "3")]
    pub num: i64,
}

/// A place in the program.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Location {
    /// Id that others refer to, not 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Binary; 0 for none.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// Address; 0 for none.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Several where functions were inlined, the innermost first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A line of a function at a place.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Line {
    /// Function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// Line, counted from 1.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Function {
    /// Id that others refer to, not 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Name for people.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Name as the linker has it.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Source file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// Field number of the sample types in `Profile`.
const SAMPLE_TYPE: usize = 1;
/// Field number of the type of the period.
const PERIOD_TYPE: usize = 11;
/// The first byte of a `ValueType`: its field `type`.
const TYPE_TAG: u8 = 0x08;
/// Wire types.
const VARINT: usize = 0;
const LENGTH_DELIMITED: usize = 2;

/// Whether bytes begin with fields of a `Profile`, a sample type among them. Writers put the sample types first, but for
/// times and the period, as Go does.
pub(super) fn begins_as_profile(mut bytes: &[u8]) -> bool {
    while let Ok(key) = decode_length_delimiter(&mut bytes) {
        match (key >> 3, key & 7) {
            (SAMPLE_TYPE, LENGTH_DELIMITED) => {
                let length = decode_length_delimiter(&mut bytes);
                return length.is_ok() && bytes.first() == Some(&TYPE_TAG);
            }
            (7..=15, VARINT) if decode_length_delimiter(&mut bytes).is_ok() => {}
            (PERIOD_TYPE, LENGTH_DELIMITED) => {
                let length = decode_length_delimiter(&mut bytes).unwrap_or(usize::MAX);
                bytes = bytes.split_at_checked(length).map_or(&[], |(_, rest)| rest);
            }
            _ => return false,
        }
    }
    false
}

/// Field number of the samples in `Profile`.
pub(super) const SAMPLE: usize = 2;

/// Calls `each` with one sample of a `Profile` after the other.
pub(super) fn each_sample<E: From<DecodeError>>(
    profile: &[u8],
    mut each: impl FnMut(Sample) -> Result<(), E>,
) -> Result<(), E> {
    each_field(profile, |number, value| match number {
        SAMPLE => each(Sample::decode(value)?),
        _ => Ok(()),
    })
}

/// Calls `each` with number and content of one field of a message after the other; only of messages and strings is the
/// content given, that of numbers is empty. Ends where the message is cut.
pub(super) fn each_field<E: From<DecodeError>>(
    mut profile: &[u8],
    mut each: impl FnMut(usize, &[u8]) -> Result<(), E>,
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
            return Ok(());
        };
        profile = rest;
        each(number, if wire_type == 2 { value } else { &[] })?;
    }
    Ok(())
}

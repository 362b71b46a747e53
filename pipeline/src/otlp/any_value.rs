//! `AnyValue`: the value of an attribute, or the body of a log record, and its text in the tables.
//!
//! | kind | text |
//! |---|---|
//! | string | as it is |
//! | integer, truth value | `42`, `true` |
//! | double | shortest decimal that reads back, with an exponent outside 1e-6..1e21; `NaN`, `Infinity`, `-Infinity` |
//! | bytes | base64 |
//! | array, key-value list | JSON; inside it, bytes are base64 strings, and doubles that JSON lacks are strings |
//! | no value | null |

use std::fmt::Write;

use arrow::array::StringBuilder;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::error::{DecodeError, DecodeProblem, FieldName};
use super::wire::Reader;

/// How many arrays and key-value lists may lie inside each other. The `protobuf` libraries stop at 100 messages.
const MAX_DEPTH: usize = 100;

/// The value of an attribute, borrowed from the request.
#[derive(Debug, Default)]
pub(super) enum AnyValue<'a> {
    #[default]
    Empty,
    String(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// The `ArrayValue` message, in as many parts as it was sent.
    Array(Vec<Reader<'a>>),
    /// The `KeyValueList` message, in as many parts as it was sent.
    KeyValues(Vec<Reader<'a>>),
}

impl<'a> AnyValue<'a> {
    /// Reads a whole `AnyValue` message.
    pub(super) fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut value = Self::Empty;
        value.merge(message)?;
        Ok(value)
    }

    /// Reads one more part of the message: the last kind counts, and parts of the same list are joined.
    pub(super) fn merge(&mut self, mut message: Reader<'a>) -> Result<(), DecodeError> {
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => *self = Self::String(field.string("string_value")?),
                2 => *self = Self::Bool(field.bool("bool_value")?),
                3 => *self = Self::Int(field.int64("int_value")?),
                4 => *self = Self::Double(field.double("double_value")?),
                5 => {
                    let part = field.message("array_value", "ArrayValue")?;
                    match self {
                        Self::Array(parts) => parts.push(part),
                        _ => *self = Self::Array(vec![part]),
                    }
                }
                6 => {
                    let part = field.message("kvlist_value", "KeyValueList")?;
                    match self {
                        Self::KeyValues(parts) => parts.push(part),
                        _ => *self = Self::KeyValues(vec![part]),
                    }
                }
                7 => *self = Self::Bytes(field.bytes("bytes_value")?),
                8 => {
                    // An index into the string table of a profile, which these requests do not have.
                    field.int32("string_value_strindex")?;
                    *self = Self::Empty;
                }
                _ => field.skip()?,
            }
        }
        Ok(())
    }

    /// Appends the value to a text column: its text, or null for no value. `scratch` only saves allocations.
    #[inline]
    pub(super) fn append_to(&self, column: &mut StringBuilder, scratch: &mut String) -> Result<(), DecodeError> {
        match self {
            Self::Empty => column.append_null(),
            Self::String(text) => column.append_value(text),
            _ => {
                scratch.clear();
                self.write_text(scratch)?;
                column.append_value(scratch);
            }
        }
        Ok(())
    }

    /// Appends the text of the value; nothing for no value.
    pub(super) fn write_text(&self, text: &mut String) -> Result<(), DecodeError> {
        match self {
            Self::Empty => {}
            Self::String(value) => text.push_str(value),
            Self::Double(value) => write_double(text, *value),
            Self::Bytes(value) => write_display(text, Base64Display::new(value, &STANDARD)),
            Self::Bool(_) | Self::Int(_) | Self::Array(_) | Self::KeyValues(_) => self.write_json(text, 0)?,
        }
        Ok(())
    }

    fn write_json(&self, json: &mut String, depth: usize) -> Result<(), DecodeError> {
        match self {
            Self::Empty => json.push_str("null"),
            Self::String(value) => write_json_string(json, value),
            Self::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => write_display(json, value),
            Self::Double(value) if value.is_finite() => write_double(json, *value),
            Self::Double(_) | Self::Bytes(_) => {
                json.push('"');
                self.write_text(json)?;
                json.push('"');
            }
            Self::Array(parts) => write_json_array(json, parts, depth)?,
            Self::KeyValues(parts) => write_json_object(json, parts, depth)?,
        }
        Ok(())
    }
}

/// Reads a `KeyValue` message.
#[inline]
pub(super) fn read_key_value<'a>(mut message: Reader<'a>) -> Result<(&'a str, AnyValue<'a>), DecodeError> {
    let mut key = "";
    let mut value = AnyValue::Empty;
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => key = field.string("key")?,
            2 => value.merge(field.message("value", "AnyValue")?)?,
            _ => field.skip()?,
        }
    }
    Ok((key, value))
}

fn write_json_array(json: &mut String, parts: &[Reader<'_>], depth: usize) -> Result<(), DecodeError> {
    json.push('[');
    let mut separator = "";
    for part in parts {
        check_depth(part, depth)?;
        part.each_message(1, ("values", "AnyValue"), |value| {
            json.push_str(separator);
            separator = ",";
            AnyValue::read(value)?.write_json(json, depth + 1)
        })?;
    }
    json.push(']');
    Ok(())
}

fn write_json_object(json: &mut String, parts: &[Reader<'_>], depth: usize) -> Result<(), DecodeError> {
    json.push('{');
    let mut separator = "";
    for part in parts {
        check_depth(part, depth)?;
        part.each_message(1, ("values", "KeyValue"), |key_value| {
            let (key, value) = read_key_value(key_value)?;
            json.push_str(separator);
            separator = ",";
            write_json_string(json, key);
            json.push(':');
            value.write_json(json, depth + 1)
        })?;
    }
    json.push('}');
    Ok(())
}

fn check_depth(message: &Reader<'_>, depth: usize) -> Result<(), DecodeError> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    Err(message.error(FieldName::Name("values"), DecodeProblem::TooDeep { limit: MAX_DEPTH }))
}

fn write_json_string(json: &mut String, value: &str) {
    json.push('"');
    let mut plain = value;
    while let Some(at) = plain.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (before, rest) = plain.split_at(at);
        json.push_str(before);
        match rest.as_bytes()[0] {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            0x08 => json.push_str("\\b"),
            0x0c => json.push_str("\\f"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            control => write_display(json, format_args!("\\u{control:04x}")),
        }
        plain = &rest[1..];
    }
    json.push_str(plain);
    json.push('"');
}

fn write_double(text: &mut String, value: f64) {
    let magnitude = value.abs();
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        write_display(text, format_args!("{value:e}"));
    } else {
        write_display(text, value);
    }
}

fn write_display(text: &mut String, value: impl std::fmt::Display) {
    write!(text, "{value}").expect("a String takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_read_back_the_same_and_stay_short() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (1e-6, "0.000001"),
            (9.9e-7, "9.9e-7"),
            (1e21, "1e21"),
            (123456789012345680000.0, "123456789012345680000"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut text = String::new();
            write_double(&mut text, value);
            assert_eq!(text, expected);
            if value.is_finite() {
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn json_strings_are_what_a_json_parser_reads_back() {
        for value in ["", "plain", "a\"b\\c", "\u{0}\u{1f}\n\r\t", "\u{e9}\u{1f600}\"", "\\"] {
            let mut json = String::new();
            write_json_string(&mut json, value);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        }
    }
}

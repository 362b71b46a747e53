//! Writes protobuf while serde reads JSON.

use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::otlp::schema::{Field, Kind, Message};

/// Reads a JSON object as `message` and appends its protobuf form to `out`, without tag and length.
pub(super) struct MessageSeed<'o> {
    pub(super) message: &'static Message,
    pub(super) out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for `{}`", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { message, out } = self;
        while let Some(field) = object.next_key_seed(KeySeed { message })? {
            match field {
                Some(field) => object.next_value_seed(ValueSeed {
                    message,
                    field,
                    is_element: false,
                    out,
                })?,
                None => object.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// Reads a key; `None` for one that the message does not have.
struct KeySeed {
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key of `{}`", self.message.name)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.message.field(key))
    }
}

/// Reads the value of a field, or one element of a repeated one, and appends it with its tag.
struct ValueSeed<'o> {
    message: &'static Message,
    field: &'static Field,
    /// Whether the value stands inside the array of a repeated field.
    is_element: bool,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.field.kind {
            _ if self.expects_array() => "an array",
            Kind::Bool => "true or false",
            Kind::Int32 | Kind::Sint32 => "a 32-bit integer",
            Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit integer",
            Kind::Int64 | Kind::Sfixed64 => "a 64-bit integer, as a string or number,",
            Kind::Uint64 | Kind::Fixed64 => "an unsigned 64-bit integer, as a string or number,",
            Kind::Double => "a number, `NaN`, `Infinity` or `-Infinity`",
            Kind::String => "a string",
            Kind::Id => "hexadecimal digits, two for each byte,",
            Kind::Bytes => "base64",
            Kind::Message(_) => "an object",
        };
        write!(f, "{expected} for `{}.{}`", self.message.name, self.field.key)
    }

    /// `null` is the same as no key.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.is_element {
            return Err(E::invalid_value(Unexpected::Other("null in an array"), &self));
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if self.expects_array() || !matches!(self.field.kind, Kind::Bool) {
            return Err(E::invalid_type(Unexpected::Bool(value), &self));
        }
        self.write_varint(value.into());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(Number::Int(value.into()), Unexpected::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(Number::Int(value.into()), Unexpected::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(Number::Double(value), Unexpected::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let unexpected = Unexpected::Str(value);
        if self.expects_array() {
            return Err(E::invalid_type(unexpected, &self));
        }
        match self.field.kind {
            Kind::String => self.write_bytes(value.as_bytes()),
            Kind::Id => match decode_hex(value) {
                Some(id) => self.write_bytes(&id),
                None => return Err(E::invalid_value(unexpected, &self)),
            },
            Kind::Bytes => match decode_base64(value) {
                Some(bytes) => self.write_bytes(&bytes),
                None => return Err(E::invalid_value(unexpected, &self)),
            },
            Kind::Bool | Kind::Message(_) => return Err(E::invalid_type(unexpected, &self)),
            _ => match Number::parse(value) {
                Some(number) => self.number(number, unexpected)?,
                None => return Err(E::invalid_value(unexpected, &self)),
            },
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        if !self.expects_array() {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let Self {
            message, field, out, ..
        } = self;
        let mut write_all = |out: &mut Vec<u8>| {
            while array
                .next_element_seed(ValueSeed {
                    message,
                    field,
                    is_element: true,
                    out,
                })?
                .is_some()
            {}
            Ok(())
        };
        if field.kind.is_packed_when_repeated() {
            write_len_delimited(out, field.number, write_all)
        } else {
            write_all(out)
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Message(message) if !self.expects_array() => {
                write_len_delimited(self.out, self.field.number, |out| {
                    MessageSeed { message, out }.visit_map(object)
                })
            }
            _ => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }
}

impl ValueSeed<'_> {
    fn expects_array(&self) -> bool {
        self.field.repeated && !self.is_element
    }

    fn number<E: Error>(self, number: Number, unexpected: Unexpected<'_>) -> Result<(), E> {
        if self.expects_array() {
            return Err(E::invalid_type(unexpected, &self));
        }
        match self.encode(number) {
            Some(Encoded::Varint(bits)) => self.write_varint(bits),
            Some(Encoded::Fixed32(bits)) => self.write_fixed(FIXED32, &bits.to_le_bytes()),
            Some(Encoded::Fixed64(bits)) => self.write_fixed(FIXED64, &bits.to_le_bytes()),
            None => return Err(E::invalid_value(unexpected, &self)),
        }
        Ok(())
    }

    /// The number as the field has it on the wire; `None` if it does not fit the field.
    fn encode(&self, number: Number) -> Option<Encoded> {
        let encoded = match self.field.kind {
            Kind::Int32 => Encoded::Varint(i64::from(number.fit::<i32>()?).cast_unsigned()),
            Kind::Uint32 => Encoded::Varint(number.fit::<u32>()?.into()),
            Kind::Sint32 => {
                let value = number.fit::<i32>()?;
                Encoded::Varint(((value << 1) ^ (value >> 31)).cast_unsigned().into())
            }
            Kind::Int64 => Encoded::Varint(number.fit::<i64>()?.cast_unsigned()),
            Kind::Uint64 => Encoded::Varint(number.fit()?),
            Kind::Fixed32 => Encoded::Fixed32(number.fit()?),
            Kind::Fixed64 => Encoded::Fixed64(number.fit()?),
            Kind::Sfixed64 => Encoded::Fixed64(number.fit::<i64>()?.cast_unsigned()),
            Kind::Double => Encoded::Fixed64(number.to_double().to_bits()),
            Kind::Bool | Kind::String | Kind::Id | Kind::Bytes | Kind::Message(_) => return None,
        };
        Some(encoded)
    }

    fn write_varint(mut self, bits: u64) {
        self.write_tag(VARINT);
        write_varint(self.out, bits);
    }

    fn write_fixed(mut self, wire_type: u8, bytes: &[u8]) {
        self.write_tag(wire_type);
        self.out.extend_from_slice(bytes);
    }

    fn write_bytes(self, bytes: &[u8]) {
        write_tag(self.out, self.field.number, LEN);
        write_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Elements of a packed list have no tags.
    fn write_tag(&mut self, wire_type: u8) {
        if !self.is_element {
            write_tag(self.out, self.field.number, wire_type);
        }
    }
}

impl Kind {
    /// Whether a repeated field of this kind is one list of bare numbers. It is so for all but `LEN` types.
    fn is_packed_when_repeated(self) -> bool {
        !matches!(self, Self::String | Self::Id | Self::Bytes | Self::Message(_))
    }
}

/// A number in JSON, written as a number or as a string.
#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Double(f64),
}

enum Encoded {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "NaN" => Some(Self::Double(f64::NAN)),
            "Infinity" => Some(Self::Double(f64::INFINITY)),
            "-Infinity" => Some(Self::Double(f64::NEG_INFINITY)),
            // Rust would also read `inf`, `nan` and a leading `+`.
            _ if !text.ends_with(|c: char| c.is_ascii_digit() || c == '.') || text.starts_with('+') => None,
            _ => text
                .parse()
                .map(Self::Int)
                .or_else(|_| text.parse().map(Self::Double))
                .ok(),
        }
    }

    /// As an integer type: in its range and without a fraction. `1e3` and `2.0` are integers in protobuf's mapping.
    fn fit<T: TryFrom<i128>>(self) -> Option<T> {
        match self {
            Self::Int(value) => value.try_into().ok(),
            Self::Double(value) if value.fract() == 0.0 => (value as i128).try_into().ok(),
            Self::Double(_) => None,
        }
    }

    fn to_double(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;
const FIXED32: u8 = 5;

fn write_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    write_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

fn write_varint(out: &mut Vec<u8>, mut bits: u64) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Writes a field whose length is known only after its content, by moving the content behind the length.
fn write_len_delimited<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    write_tag(out, number, LEN);
    let start = out.len();
    write(out)?;
    let content_end = out.len();
    write_varint(out, (content_end - start) as u64);
    let length_bytes = out.len() - content_end;
    out[start..].rotate_right(length_bytes);
    Ok(())
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8))
        .collect()
}

/// Protobuf's JSON mapping takes the standard and the URL-safe alphabet, with and without padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

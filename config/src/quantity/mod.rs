//! Values with a notation of their own: durations, sizes, addresses.
//!
//! Each is a newtype that a raw struct uses as a field; what does not parse becomes a problem at the value.

mod byte_size;
mod duration;
mod endpoint;

pub use byte_size::ByteSize;
pub use duration::HumanDuration;
pub use endpoint::{Endpoint, HostPort, Scheme};

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// Why a text is not the quantity it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidQuantity {
    message: String,
}

impl InvalidQuantity {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Reads a string by `FromStr`; `from_integer` says what a bare integer means, if anything.
fn deserialize<'de, D, T>(
    deserializer: D,
    expected: &'static str,
    from_integer: fn(u64) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = InvalidQuantity>,
{
    deserializer.deserialize_str(Text {
        expected,
        from_integer,
        quantity: PhantomData,
    })
}

struct Text<T> {
    expected: &'static str,
    from_integer: fn(u64) -> Option<T>,
    quantity: PhantomData<T>,
}

impl<T: FromStr<Err = InvalidQuantity>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let unexpected = serde::de::Unexpected::Unsigned(number);
        (self.from_integer)(number).ok_or_else(|| E::invalid_type(unexpected, &self))
    }
}

/// `expected {what}, found `{text}`: {why}`.
fn mismatch(what: &str, text: &str, why: impl Display) -> InvalidQuantity {
    InvalidQuantity::new(format!(
        "expected {what}, found `{}`: {why}",
        crate::problems::clip(text)
    ))
}

//! Why a value does not fit its type, in the words of a configuration file.

use std::fmt::Display;

use serde::de::{self, Expected, Unexpected};

use crate::path::{ConfigPath, Place};
use crate::problems::clip;
use crate::source::Span;

/// A value that does not fit, with its place once the innermost node around it has added it.
#[derive(Debug, thiserror::Error)]
#[error("{fault:?}")]
pub(super) struct Error {
    fault: Box<Fault>,
    place: Option<Box<Place>>,
}

/// The kinds of misfit that are treated differently.
#[derive(Debug)]
pub(super) enum Fault {
    /// A null where neither a list nor a map is wanted.
    Null { expected: String },
    /// A required key is not there.
    MissingField(&'static str),
    /// A key that the struct does not have.
    UnknownField {
        field: String,
        valid: &'static [&'static str],
    },
    /// A word that the enum does not have.
    UnknownVariant {
        value: String,
        valid: &'static [&'static str],
    },
    /// Anything else.
    Message { message: String, help: Option<String> },
}

impl Error {
    pub(super) fn new(fault: Fault) -> Self {
        Self {
            fault: Box::new(fault),
            place: None,
        }
    }

    /// Adds the place, unless a node further in has done so.
    pub(super) fn at(mut self, path: &ConfigPath, span: &Span) -> Self {
        self.place
            .get_or_insert_with(|| Box::new(Place::new(path.clone(), span)));
        self
    }

    /// The place is empty only if [`Error::at`] was never called.
    pub(super) fn into_parts(self) -> (Place, Fault) {
        let place = self.place.map_or_else(|| ConfigPath::root().into(), |place| *place);
        (place, *self.fault)
    }

    fn message(message: String, help: Option<&str>) -> Self {
        Self::new(Fault::Message {
            message,
            help: help.map(str::to_owned),
        })
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::message(message.to_string(), None)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expectation(expected);
        let help = match unexpected {
            Unexpected::Unit | Unexpected::Option => return Self::new(Fault::Null { expected }),
            Unexpected::Bool(_) | Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_)
                if expected == "a string" =>
            {
                Some("quote the value")
            }
            Unexpected::Unsigned(_) if expected.starts_with("a duration") => Some("add a unit, as in `5s`"),
            Unexpected::Str(text) if is_unquoted_type(text, &expected) => Some("remove the quotes"),
            Unexpected::Str(_) if expected == "a boolean" => Some("write `true` or `false`"),
            _ => None,
        };
        Self::message(format!("expected {expected}, found {}", found(unexpected)), help)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::message(
            format!("expected {}, found {}", expectation(expected), found(unexpected)),
            None,
        )
    }

    fn invalid_length(count: usize, expected: &dyn Expected) -> Self {
        Self::message(format!("expected {expected}, found {count} elements"), None)
    }

    fn unknown_variant(value: &str, valid: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownVariant {
            value: value.to_owned(),
            valid,
        })
    }

    fn unknown_field(field: &str, valid: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownField {
            field: field.to_owned(),
            valid,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Fault::MissingField(field))
    }
}

/// Whether a text would fit if it were not quoted.
fn is_unquoted_type(text: &str, expected: &str) -> bool {
    match expected {
        "a boolean" => matches!(text, "true" | "false"),
        "a number" => text.parse::<f64>().is_ok(),
        _ => expected.contains("integer") && text.parse::<i128>().is_ok(),
    }
}

/// What a type asks for, in YAML's words instead of Rust's.
fn expectation(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" => "an integer from 0 to 255".to_owned(),
        "u16" => "an integer from 0 to 65535".to_owned(),
        "u32" => "an integer from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a non-negative integer".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" => "a list".to_owned(),
        text if text.starts_with("a nonzero") => "an integer from 1 on".to_owned(),
        text if text.starts_with("struct ") => "a map".to_owned(),
        _ => text,
    }
}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(flag) => format!("boolean `{flag}`"),
        Unexpected::Unsigned(number) => format!("integer `{number}`"),
        Unexpected::Signed(number) => format!("integer `{number}`"),
        Unexpected::Float(number) => format!("number `{number}`"),
        Unexpected::Str(text) => format!("string `{}`", clip(text)),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

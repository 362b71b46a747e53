//! Names of components and pipelines: `type[/name]` and `signal[/name]`.
//!
//! The rules are those of the OpenTelemetry Collector: a type starts with a letter and has up to 63 letters, digits and
//! underscores; a name has 1 to 1024 characters, none of them blank, control or symbol; blanks around `/` are dropped.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Deserializer, de};

use crate::problems::clip;

const MAX_TYPE_CHARS: usize = 63;
const MAX_NAME_CHARS: usize = 1024;

static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[^\pZ\pC\pS]+$").expect("the pattern is valid"));

/// Why a text names no component or pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing at all.
    #[error("id must not be empty")]
    Empty,
    /// `/name`.
    #[error("in id `{0}`: the part before / must not be empty")]
    NothingBeforeSlash(String),
    /// `type/`.
    #[error("in id `{0}`: the part after / must not be empty")]
    NothingAfterSlash(String),
    /// A type of other characters, or longer than allowed.
    #[error("in id `{0}`: a type is a letter, then up to 62 letters, digits and underscores")]
    Type(String),
    /// A name of other characters, or longer than allowed.
    #[error("in id `{0}`: a name has up to 1024 characters without blanks, control characters and symbols")]
    Name(String),
    /// A signal that does not exist.
    #[error("unknown pipeline signal `{0}`")]
    Signal(String),
}

/// A component of the configuration: its type, and a name if there are several of that type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    component_type: String,
    name: Option<String>,
}

impl ComponentId {
    /// The part before `/`, which selects the implementation.
    pub fn component_type(&self) -> &str {
        &self.component_type
    }

    /// The part after `/`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl FromStr for ComponentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (component_type, name) = split(text)?;
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let is_type = component_type.starts_with(|first: char| first.is_ascii_alphabetic())
            && component_type.len() <= MAX_TYPE_CHARS
            && component_type.chars().all(is_word);
        if !is_type {
            return Err(InvalidId::Type(clip(text)));
        }
        Ok(Self {
            component_type: component_type.to_owned(),
            name: name.map(str::to_owned),
        })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(&self.component_type, self.name(), f)
    }
}

impl<'de> Deserialize<'de> for ComponentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What a pipeline carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PipelineSignal {
    /// OTLP traces.
    Traces,
    /// OTLP metrics.
    Metrics,
    /// OTLP logs.
    Logs,
    /// OTLP and runtime profiles.
    Profiles,
    /// Attribution tables, a signal of Spandrel alone.
    Attribution,
}

impl PipelineSignal {
    /// Every signal.
    pub const ALL: [Self; 5] = [
        Self::Traces,
        Self::Metrics,
        Self::Logs,
        Self::Profiles,
        Self::Attribution,
    ];

    /// The word for the signal in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Profiles => "profiles",
            Self::Attribution => "attribution",
        }
    }
}

impl FromStr for PipelineSignal {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let found = Self::ALL.into_iter().find(|signal| signal.as_str() == text);
        found.ok_or_else(|| InvalidId::Signal(clip(text)))
    }
}

impl fmt::Display for PipelineSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pipeline: its signal, and a name if there are several of that signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineId {
    signal: PipelineSignal,
    name: Option<String>,
}

impl PipelineId {
    /// What the pipeline carries.
    pub fn signal(&self) -> PipelineSignal {
        self.signal
    }

    /// The part after `/`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl FromStr for PipelineId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (signal, name) = split(text)?;
        Ok(Self {
            signal: signal.parse()?,
            name: name.map(str::to_owned),
        })
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(self.signal.as_str(), self.name(), f)
    }
}

/// Splits `before[/name]` at the first slash and checks the name.
fn split(text: &str) -> Result<(&str, Option<&str>), InvalidId> {
    let (before, name) = match text.split_once('/') {
        Some((before, name)) => (before.trim(), Some(name.trim())),
        None => (text.trim(), None),
    };
    match (before, name) {
        ("", None) => Err(InvalidId::Empty),
        ("", Some(_)) => Err(InvalidId::NothingBeforeSlash(clip(text))),
        (_, Some("")) => Err(InvalidId::NothingAfterSlash(clip(text))),
        (_, Some(name)) if name.chars().count() > MAX_NAME_CHARS || !NAME.is_match(name) => {
            Err(InvalidId::Name(clip(text)))
        }
        _ => Ok((before, name)),
    }
}

fn write_id(before: &str, name: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match name {
        Some(name) => write!(f, "{before}/{name}"),
        None => f.write_str(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_the_slash_are_dropped() {
        let id: ComponentId = " otlp / edge-1 ".parse().unwrap();
        assert_eq!((id.component_type(), id.name()), ("otlp", Some("edge-1")));
        assert_eq!(id.to_string(), "otlp/edge-1");
    }

    #[test]
    fn a_name_may_hold_slashes_dots_and_letters_of_any_script() {
        for text in ["otlp/a/b", "otlp/caf\u{e9}.1", "batch"] {
            assert_eq!(text.parse::<ComponentId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn rejects_what_is_no_id() {
        let long_type = format!("a{}", "b".repeat(63));
        let long_name = format!("otlp/{}", "n".repeat(1025));
        for (text, expected) in [
            ("", InvalidId::Empty),
            ("/x", InvalidId::NothingBeforeSlash("/x".to_owned())),
            ("x/ ", InvalidId::NothingAfterSlash("x/ ".to_owned())),
            ("1x", InvalidId::Type("1x".to_owned())),
            ("my-type", InvalidId::Type("my-type".to_owned())),
            ("x/a b", InvalidId::Name("x/a b".to_owned())),
            ("x/a+b", InvalidId::Name("x/a+b".to_owned())),
            (&long_type, InvalidId::Type(long_type.clone())),
            (&long_name, InvalidId::Name(clip(&long_name))),
        ] {
            assert_eq!(text.parse::<ComponentId>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_pipeline_starts_with_a_known_signal() {
        for signal in PipelineSignal::ALL {
            let id: PipelineId = format!("{signal}/x").parse().unwrap();
            assert_eq!((id.signal(), id.name()), (signal, Some("x")));
        }
        assert_eq!(
            "spans".parse::<PipelineId>(),
            Err(InvalidId::Signal("spans".to_owned()))
        );
    }
}

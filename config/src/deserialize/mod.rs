//! A section of the tree into a typed struct, by `serde`, with every problem and not only the first.
//!
//! `serde` stops at the first error. So a failed attempt leaves a [`Mark`] at the setting that failed and the next
//! attempt walks past it: first with a [placeholder] in its place that fits many types, then without the setting, then
//! with a placeholder for the whole of its parent. Each attempt adds one mark further out or further on, hence the
//! loop ends; [`MAX_ATTEMPTS`] bounds its cost. A value built from marks is thrown away.
//!
//! Null follows the OpenTelemetry Collector: an empty map or list where one is wanted, elsewhere as if the key were
//! absent, so that the default applies.

mod error;
mod node;
mod placeholder;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::path::{ConfigPath, Place, Segment};
use crate::problems::{Problems, clip};
use crate::source::Span;
use crate::value::Value;
use error::Fault;
use node::Node;

/// A section with more settings to walk past than this is reported in part.
const MAX_ATTEMPTS: usize = 300;

/// How the next attempt treats a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// A null without a type of its own: as if the key were not there. Not a problem by itself.
    Absent,
    /// Something that fits many types stands in; the number selects its text.
    Placeholder(usize),
    /// Left out.
    Skipped,
}

/// The marks that earlier attempts left.
#[derive(Debug, Default)]
struct Marks(BTreeMap<ConfigPath, Mark>);

impl Marks {
    fn get(&self, path: &ConfigPath) -> Option<Mark> {
        self.0.get(path).copied()
    }

    /// Keys of the map at `path` that have a placeholder, whether or not they are written.
    fn placeholders_in(&self, path: &ConfigPath) -> Vec<&str> {
        let marked = self.0.iter().filter(|(_, mark)| matches!(mark, Mark::Placeholder(_)));
        let keys = marked.filter_map(|(marked, _)| match marked.last() {
            Some(Segment::Key(key)) if marked.parent().as_ref() == Some(path) => Some(key.as_str()),
            _ => None,
        });
        keys.collect()
    }

    /// Whether the setting was given up before, so that what is wrong below it was caused by us.
    fn covers(&self, path: &ConfigPath) -> bool {
        self.0
            .iter()
            .any(|(marked, mark)| *mark != Mark::Absent && path.is_within(marked))
    }

    /// Takes the next step around `path`. False if nothing is left to try.
    fn walk_past(&mut self, path: &ConfigPath) -> bool {
        let next = match (self.get(path), path.last()) {
            (_, None) => return false,
            (None | Some(Mark::Absent), _) => Mark::Placeholder(0),
            (Some(Mark::Placeholder(text)), _) if text + 1 < placeholder::TEXTS.len() => Mark::Placeholder(text + 1),
            (Some(Mark::Placeholder(_)), Some(Segment::Key(_))) => Mark::Skipped,
            (Some(Mark::Placeholder(_) | Mark::Skipped), _) => {
                return path.parent().is_some_and(|parent| self.walk_past(&parent));
            }
        };
        self.0.insert(path.clone(), next);
        true
    }
}

/// Reads `value`, which stands at `path`, as a `T`. `own` is the place of its key.
///
/// Pushes every problem found; the answer is `None` if there is at least one.
pub(crate) fn parse<T: DeserializeOwned>(
    value: &Value,
    path: &ConfigPath,
    own: &Span,
    problems: &mut Problems,
) -> Option<T> {
    let mut marks = Marks::default();
    let mut is_valid = true;
    for _ in 0..MAX_ATTEMPTS {
        let attempt = T::deserialize(Node::new(value, own, path.clone(), &marks));
        let error = match attempt {
            Ok(parsed) => return is_valid.then_some(parsed),
            Err(error) => error.at(path, own),
        };
        let (place, fault) = error.into_parts();
        let place = match &fault {
            Fault::MissingField(field) => Place {
                path: place.path.key(field),
                ..place
            },
            _ => place,
        };
        let in_map = matches!(place.path.last(), Some(Segment::Key(_)));
        if matches!(fault, Fault::Null { .. }) && in_map && place.path != *path && marks.get(&place.path).is_none() {
            marks.0.insert(place.path, Mark::Absent);
            continue;
        }
        let target = place.path.clone();
        if !marks.covers(&target) {
            is_valid = false;
            report(&fault, place, problems);
        }
        if matches!(fault, Fault::UnknownField { .. }) && marks.get(&target).is_none() {
            marks.0.insert(target, Mark::Skipped);
        } else if target == *path || !marks.walk_past(&target) {
            break;
        }
    }
    None
}

fn report(fault: &Fault, place: Place, problems: &mut Problems) {
    match fault {
        Fault::MissingField(field) => {
            let section = Place {
                path: place.path.parent().unwrap_or_default(),
                ..place
            };
            problems.push(section, format!("missing field `{field}`"));
        }
        Fault::UnknownField { field, valid } => {
            let section = Place {
                path: place.path.parent().unwrap_or_default(),
                ..place
            };
            problems.push_unknown(section, "field", field, valid);
        }
        Fault::UnknownVariant { value, valid } => problems.push_unknown(place, "value", value, valid),
        Fault::Null { expected } => {
            problems.push(place, format!("expected {expected}, found null"));
        }
        Fault::Message { message, help } => {
            let problem = problems.push(place, clip_message(message));
            if let Some(help) = help {
                problem.help(help);
            }
        }
    }
}

/// Messages of `Deserialize` implementations may quote a whole value.
fn clip_message(message: &str) -> String {
    const MAX_BYTES: usize = 400;
    if message.len() > MAX_BYTES {
        clip(message)
    } else {
        message.to_owned()
    }
}

/// Reads a present key as `Some`, even if its value is null: `grpc:` alone turns gRPC on with its defaults.
///
/// Use as `#[serde(default, deserialize_with = "spandrel_config::present")]` on an `Option` of a struct.
///
/// # Errors
/// As for `T` itself.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

//! One component's part of the configuration.

use serde::de::DeserializeOwned;

use crate::deserialize;
use crate::path::{ConfigPath, Place};
use crate::problems::Problems;
use crate::source::{Source, Span};
use crate::value::{Data, Entry, Value};
use crate::yaml;

/// A value of the configuration with its path, ready to be read as a type.
///
/// ```
/// use spandrel_config::{Problems, Section};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct RawBatch {
///     send_batch_size: Option<u64>,
/// }
///
/// let section = Section::from_yaml("processors::batch", "send_batch_sizes: 0")?;
/// let mut problems = Problems::new();
/// assert!(section.parse::<RawBatch>(&mut problems).is_none());
/// assert_eq!(
///     problems.to_string(),
///     "processors::batch:1:1: processors::batch: unknown field `send_batch_sizes` (did you mean `send_batch_size`?)"
/// );
/// # Ok::<(), Problems>(())
/// ```
#[derive(Clone, Debug)]
pub struct Section {
    path: ConfigPath,
    key_span: Span,
    value: Value,
}

impl Section {
    pub(crate) fn new(path: ConfigPath, entry: Entry) -> Self {
        Self {
            path,
            key_span: entry.key_span,
            value: entry.value,
        }
    }

    /// A section of its own, outside of any file, for tests of a component.
    ///
    /// `path` is joined with `::` and serves as the file name too. Nothing is expanded.
    ///
    /// # Errors
    /// When the text is not valid YAML.
    pub fn from_yaml(path: &str, text: &str) -> Result<Self, Problems> {
        let source = Source::new(path, text);
        let mut problems = Problems::new();
        let value = yaml::parse(&source, yaml::MAX_DEPTH, &mut problems).ok_or(problems)?;
        Ok(Self {
            path: ConfigPath::from_keys(path),
            key_span: Span::new(&source, 0, 0),
            value,
        })
    }

    /// Reads the section as a struct with `#[serde(deny_unknown_fields)]`.
    ///
    /// Pushes every type error, unknown field and missing field with its path and place; `None` if there is any.
    /// A null section is an empty one, a null list an empty list, and any other null counts as an absent key.
    pub fn parse<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        deserialize::parse(&self.value, &self.path, &self.key_span, problems)
    }

    /// The section itself: its path and the place of its key.
    pub fn place(&self) -> Place {
        Place::new(self.path.clone(), &self.key_span)
    }

    /// A setting inside of the section: `protocols::grpc::endpoint`, or `targets::0::url` in a list.
    ///
    /// A setting that is not written has the place of the nearest one around it.
    pub fn at(&self, keys: &str) -> Place {
        self.value.place_of(&self.path, &self.key_span, keys)
    }

    /// The section of a key of this one, if it is a map that has it.
    pub fn inside(&self, key: &str) -> Option<Self> {
        let entry = self.value.entry(key)?.clone();
        Some(Self::new(self.path.key(key), entry))
    }

    /// The sections of the elements of this one; none if it is no list.
    pub fn items(&self) -> Vec<Self> {
        let Data::List(items) = &self.value.data else {
            return Vec::new();
        };
        let item = |(index, value): (usize, &Value)| Self {
            path: self.path.index(index),
            key_span: value.span.clone(),
            value: value.clone(),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The path of the section.
    pub fn path(&self) -> &ConfigPath {
        &self.path
    }

    /// The tree below the section.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

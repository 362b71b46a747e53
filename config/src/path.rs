//! Where a setting sits in the configuration: `processors::batch::send_batch_size`.

use std::fmt;

use crate::source::Span;

/// What joins the parts of a path in messages, as in the OpenTelemetry Collector.
pub(crate) const SEPARATOR: &str = "::";

/// One step into a map or a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// The keys and list positions that lead from the top of the configuration to a value.
///
/// Printed joined with `::`; list positions count from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigPath(Vec<Segment>);

impl ConfigPath {
    /// The path of the whole configuration.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads `a::b::c`; every part is a map key.
    pub fn from_keys(keys: &str) -> Self {
        Self(keys.split(SEPARATOR).map(|key| Segment::Key(key.to_owned())).collect())
    }

    /// The path of `key` in the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.child(Segment::Key(key.to_owned()))
    }

    /// The path of the element at `index` in the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.child(Segment::Index(index))
    }

    fn child(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }

    /// The map or list that holds this path; `None` at the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    pub(crate) fn last(&self) -> Option<&Segment> {
        self.0.last()
    }

    /// Whether this path is `ancestor` or lies below it.
    pub(crate) fn is_within(&self, ancestor: &Self) -> bool {
        self.0.starts_with(&ancestor.0)
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(SEPARATOR)?;
            }
            match segment {
                Segment::Key(key) => f.write_str(key)?,
                Segment::Index(index) => write!(f, "{index}")?,
            }
        }
        Ok(())
    }
}

/// What a problem is about: a path, and where in the files it was written, if anywhere.
#[derive(Clone, Debug)]
pub struct Place {
    /// The setting.
    pub path: ConfigPath,
    /// Its key or value in a file.
    pub span: Option<Span>,
}

impl Place {
    /// A setting that stands at `span`.
    pub fn new(path: ConfigPath, span: &Span) -> Self {
        Self {
            path,
            span: Some(span.clone()),
        }
    }
}

impl From<ConfigPath> for Place {
    fn from(path: ConfigPath) -> Self {
        Self { path, span: None }
    }
}

impl From<&Span> for Place {
    fn from(span: &Span) -> Self {
        Self::new(ConfigPath::root(), span)
    }
}

//! The layer of a span: which part of the program it belongs to.

use std::fmt;
use std::sync::Arc;

/// A layer such as `handler`, `middleware`, `service`, `db` or `cache`. The set is open: configuration may name others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer(Arc<str>);

impl Layer {
    /// A layer by its name.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name, as tables and reports show it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Interned strings of one recording.

use std::collections::HashMap;
use std::sync::Arc;

/// A string of the [`Names`] table that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

impl NameId {
    /// Position in [`Names::iter`].
    #[inline]
    pub const fn position(self) -> u32 {
        self.0
    }
}

/// A table of distinct strings. A recording has millions of states but few reasons, so a state holds a [`NameId`];
/// the table becomes the dictionary of an Arrow column as it is. Id of the empty string: [`Names::EMPTY`].
#[derive(Clone, Debug)]
pub struct Names {
    strings: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, NameId>,
}

impl Names {
    /// The empty string, present in every table.
    pub const EMPTY: NameId = NameId(0);

    /// A table that holds the empty string only.
    pub fn new() -> Self {
        let empty: Arc<str> = Arc::from("");
        Self {
            strings: vec![empty.clone()],
            ids: HashMap::from([(empty, Self::EMPTY)]),
        }
    }

    /// The id of `string`, added if new.
    ///
    /// # Panics
    /// On more than `u32::MAX` distinct strings, which no bounded recording can hold.
    pub fn intern(&mut self, string: &str) -> NameId {
        if let Some(id) = self.ids.get(string) {
            return *id;
        }
        let id = NameId(u32::try_from(self.strings.len()).expect("a recording is bounded below 4 Gi strings"));
        let string: Arc<str> = Arc::from(string);
        self.strings.push(string.clone());
        self.ids.insert(string, id);
        id
    }

    /// All strings, by [`NameId::position`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.strings.iter().map(AsRef::as_ref)
    }

    /// The string of `id`; the empty string for an id of another table that is out of range here.
    pub fn resolve(&self, id: NameId) -> &Arc<str> {
        usize::try_from(id.0)
            .ok()
            .and_then(|index| self.strings.get(index))
            .unwrap_or(&self.strings[0])
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_get_one_id() {
        let mut names = Names::new();
        let network = names.intern("network");
        assert_eq!(names.intern("network"), network);
        assert_ne!(names.intern("sleep"), network);
        assert_eq!(&**names.resolve(network), "network");
        assert_eq!(names.intern(""), Names::EMPTY);
    }
}

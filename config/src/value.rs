//! The configuration as a tree in which every key and value knows where it was written.

use std::collections::BTreeMap;

use crate::path::{ConfigPath, Place, SEPARATOR};
use crate::source::Span;

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Value {
    /// What the node holds.
    pub data: Data,
    /// Where the node was written; for an expanded `${...}`, where the expansion stands.
    pub span: Span,
    /// Set if the whole node came from one `${...}`: its text before YAML gave it a type.
    ///
    /// A string field takes this text, so that `0123` from the environment stays `0123`.
    pub(crate) expanded_text: Option<String>,
}

/// The content of a [`Value`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer within the ranges of `i64` and `u64`.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping with text keys.
    Map(Map),
}

/// A mapping, in the order of its keys.
pub type Map = BTreeMap<String, Entry>;

/// A value in a [`Map`], with the place of its key. Equality ignores the place, as for [`Value`].
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key was written.
    pub key_span: Span,
    /// What the key leads to.
    pub value: Value,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Two values are equal if they hold the same data, wherever it was written.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Value {
    /// A node that no expansion produced.
    pub fn new(data: Data, span: Span) -> Self {
        Self {
            data,
            span,
            expanded_text: None,
        }
    }

    /// Whether the node is nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        self.data == Data::Null
    }

    /// The entry of `key`, if the node is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// The deepest existing place on the way `keys` (`a::b::0`) down from this node at `path`.
    ///
    /// The path of the answer is the full one; a missing key takes the span of its nearest parent.
    pub(crate) fn place_of(&self, path: &ConfigPath, own: &Span, keys: &str) -> Place {
        let mut place = Place::new(path.clone(), own);
        let mut node = Some(self);
        for key in keys.split(SEPARATOR) {
            let (path, child) = match node.map(|node| &node.data) {
                Some(Data::Map(map)) => {
                    let child = map.get(key);
                    (place.path.key(key), child.map(|entry| (&entry.key_span, &entry.value)))
                }
                Some(Data::List(items)) if let Ok(index) = key.parse::<usize>() => {
                    (place.path.index(index), items.get(index).map(|item| (&item.span, item)))
                }
                _ => (place.path.key(key), None),
            };
            place.path = path;
            node = child.map(|(span, value)| {
                place.span = Some(value_or_key(span, value).clone());
                value
            });
        }
        place
    }

    /// The same tree with every place replaced by what `moved` makes of it.
    pub(crate) fn relocated(self, moved: &impl Fn(&Span) -> Span) -> Self {
        let data = match self.data {
            Data::List(items) => Data::List(items.into_iter().map(|item| item.relocated(moved)).collect()),
            Data::Map(map) => {
                let entries = map.into_iter().map(|(key, entry)| {
                    (
                        key,
                        Entry {
                            key_span: moved(&entry.key_span),
                            value: entry.value.relocated(moved),
                        },
                    )
                });
                Data::Map(entries.collect())
            }
            scalar => scalar,
        };
        Self {
            data,
            span: moved(&self.span),
            expanded_text: self.expanded_text,
        }
    }

    /// How many values the tree holds, this one included.
    pub(crate) fn node_count(&self) -> usize {
        match &self.data {
            Data::List(items) => 1 + items.iter().map(Value::node_count).sum::<usize>(),
            Data::Map(map) => 1 + map.values().map(|entry| entry.value.node_count()).sum::<usize>(),
            _ => 1,
        }
    }

    /// A short name of the kind of data, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a number",
            Data::String(_) => "a string",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }
}

/// The entries of a map in the order in which they were written.
pub(crate) fn in_file_order(map: Map) -> Vec<(String, Entry)> {
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_by(|(_, a), (_, b)| {
        let place = |entry: &Entry| (entry.key_span.source().name().to_owned(), entry.key_span.start());
        place(a).cmp(&place(b))
    });
    entries
}

/// The span to underline for a value: its own if it is a scalar, else that of its key.
pub(crate) fn value_or_key<'v>(key_span: &'v Span, value: &'v Value) -> &'v Span {
    match value.data {
        Data::List(_) | Data::Map(_) | Data::Null => key_span,
        _ => &value.span,
    }
}

//! `serde::Deserializer` over the tree.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::Error;
use super::placeholder::Placeholder;
use super::{Mark, Marks};
use crate::path::ConfigPath;
use crate::source::Span;
use crate::value::{Data, Entry, Value, value_or_key};

/// A value on the way into a type.
#[derive(Clone)]
pub(super) struct Node<'v> {
    value: &'v Value,
    /// What messages about this value underline.
    span: &'v Span,
    path: ConfigPath,
    marks: &'v Marks,
}

impl<'v> Node<'v> {
    /// `key_span` is the place of the key that leads to `value`.
    pub(super) fn new(value: &'v Value, key_span: &'v Span, path: ConfigPath, marks: &'v Marks) -> Self {
        Self {
            value,
            span: value_or_key(key_span, value),
            path,
            marks,
        }
    }

    /// Reads this node; errors without a place get this one.
    fn read<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        let (path, span) = (self.path.clone(), self.span);
        let result = match self.marks.get(&path) {
            Some(Mark::Placeholder(text)) => seed.deserialize(Placeholder::new(text)),
            _ => seed.deserialize(self),
        };
        result.map_err(|error| error.at(&path, span))
    }

    fn text(&self) -> Option<&'v str> {
        match (&self.value.expanded_text, &self.value.data) {
            (Some(text), _) => Some(text),
            (None, Data::String(text)) => Some(text),
            _ => None,
        }
    }

    fn fields(self) -> Fields<'v> {
        let map = match &self.value.data {
            Data::Map(map) => Some(map),
            _ => None,
        };
        let entries = map
            .into_iter()
            .flatten()
            .map(|(key, entry)| (key.as_str(), Some(entry)));
        let placeholders = self.marks.placeholders_in(&self.path).into_iter();
        let missing = placeholders.filter(|key| !map.is_some_and(|map| map.contains_key(*key)));
        let mut pending: Vec<_> = entries.chain(missing.map(|key| (key, None))).collect();
        pending.reverse();
        Fields {
            pending,
            value: None,
            node: self,
        }
    }

    fn elements(self, items: &'v [Value]) -> Elements<'v> {
        Elements {
            items: items.iter().enumerate(),
            node: self,
        }
    }
}

impl<'de> de::Deserializer<'de> for Node<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value.data {
            Data::Null => visitor.visit_unit(),
            Data::Bool(flag) => visitor.visit_bool(*flag),
            Data::Float(number) => visitor.visit_f64(*number),
            Data::String(text) => visitor.visit_str(text),
            Data::List(items) => visitor.visit_seq(self.elements(items)),
            Data::Map(_) => visitor.visit_map(self.fields()),
            Data::Int(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(*number),
            },
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => visitor.visit_str(text),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.data {
            Data::Null => visitor.visit_seq(self.elements(&[])),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.data {
            Data::Null => visitor.visit_map(self.fields()),
            _ => self.deserialize_any(visitor),
        }
    }

    /// A list is not a struct, though `serde` could read one as the other.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value.data {
            Data::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (&self.value.data, self.text()) {
            (Data::Map(map), _) if map.len() == 1 => {
                let (key, entry) = map.iter().next().expect("the map has one entry");
                visitor.visit_enum(Variant { key, entry, node: self })
            }
            (Data::Null, _) => Err(de::Error::invalid_type(Unexpected::Unit, &OneOf(variants))),
            (Data::List(_) | Data::Map(_), _) | (_, None) => {
                let message = format!("expected {}, found {}", OneOf(variants), self.value.kind());
                Err(de::Error::custom(message))
            }
            (_, Some(text)) => visitor.visit_enum(StrDeserializer::<Error>::new(text)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct identifier
    }
}

/// The words an enum takes.
struct OneOf(&'static [&'static str]);

impl std::fmt::Display for OneOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "one of {}", self.0.join(", "))
    }
}

impl Expected for OneOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The entries of a map.
struct Fields<'v> {
    /// In reverse; a key without an entry gets a placeholder.
    pending: Vec<(&'v str, Option<&'v Entry>)>,
    value: Option<(&'v str, Option<&'v Entry>)>,
    node: Node<'v>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some((key, entry)) = self.pending.pop() {
            let path = self.node.path.key(key);
            if matches!(self.node.marks.get(&path), Some(Mark::Absent | Mark::Skipped)) {
                continue;
            }
            self.value = Some((key, entry));
            let span = entry.map_or(self.node.span, |entry| &entry.key_span);
            let key: StrDeserializer<'_, Error> = key.into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|error| error.at(&path, span));
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (key, entry) = self.value.take().expect("serde asks for a value only after its key");
        let path = self.node.path.key(key);
        if let Some(entry) = entry {
            return Node::new(&entry.value, &entry.key_span, path, self.node.marks).read(seed);
        }
        let text = match self.node.marks.get(&path) {
            Some(Mark::Placeholder(text)) => text,
            _ => 0,
        };
        seed.deserialize(Placeholder::new(text))
            .map_err(|error| error.at(&path, self.node.span))
    }
}

/// The elements of a list.
struct Elements<'v> {
    items: std::iter::Enumerate<std::slice::Iter<'v, Value>>,
    node: Node<'v>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((index, item)) = self.items.next() else {
            return Ok(None);
        };
        Node::new(item, &item.span, self.node.path.index(index), self.node.marks)
            .read(seed)
            .map(Some)
    }
}

/// An enum written as a map of one key: `variant: content`.
struct Variant<'v> {
    key: &'v str,
    entry: &'v Entry,
    node: Node<'v>,
}

impl<'v, 'de> EnumAccess<'de> for Variant<'v> {
    type Error = Error;
    type Variant = Content<'v>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'v>), Error> {
        let path = self.node.path.key(self.key);
        let key: StrDeserializer<'_, Error> = self.key.into_deserializer();
        let variant = seed
            .deserialize(key)
            .map_err(|error| error.at(&self.node.path, &self.entry.key_span))?;
        Ok((
            variant,
            Content(Node::new(
                &self.entry.value,
                &self.entry.key_span,
                path,
                self.node.marks,
            )),
        ))
    }
}

/// What stands after `variant:`.
struct Content<'v>(Node<'v>);

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.0.value.is_null() {
            return Ok(());
        }
        let message = format!("expected nothing here, found {}", self.0.value.kind());
        Err(<Error as de::Error>::custom(message).at(&self.0.path, self.0.span))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.0.read(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        let (path, span) = (self.0.path.clone(), self.0.span);
        de::Deserializer::deserialize_tuple(self.0, len, visitor).map_err(|error| error.at(&path, span))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let (path, span) = (self.0.path.clone(), self.0.span);
        de::Deserializer::deserialize_struct(self.0, "", fields, visitor).map_err(|error| error.at(&path, span))
    }
}

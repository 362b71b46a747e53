//! Texts that configuration came from, and places in them.

use std::fmt;
use std::sync::Arc;

/// A named text: a file, an embedded default, or a `--set` argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// Wraps a text under the name that messages show. A byte order mark at the start is dropped.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text: String = text.into();
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        Arc::new(Self {
            name: name.into(),
            text,
        })
    }

    /// The display name, a path for files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A half-open byte range `[start, end)` of a [`Source`].
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    source: Arc<Source>,
    // Invariant: start <= end <= text.len(), both on character boundaries.
    start: usize,
    end: usize,
}

impl Span {
    /// Clamps the range into the text, outwards to character boundaries.
    pub fn new(source: &Arc<Source>, start: usize, end: usize) -> Self {
        let text = source.text();
        let start = text.floor_char_boundary(start);
        let end = text.ceil_char_boundary(end.max(start));
        Self {
            source: Arc::clone(source),
            start,
            end,
        }
    }

    /// The text this place belongs to.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// First byte.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Length in bytes; 0 for a place between two characters.
    pub fn len_bytes(&self) -> usize {
        self.end - self.start
    }

    /// Where the range starts, as people count.
    pub fn location(&self) -> Location<'_> {
        let before = &self.source.text()[..self.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Location {
            file: self.source.name(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Prints `file:line:column`, not the whole source.
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location().fmt(f)
    }
}

/// A place as editors show it. Printed as `file:line:column`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// Display name of the source.
    pub file: &'a str,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = Source::new("a.yaml", "k: v\n\u{e9}\u{e9}: x\n");
        let start = source.text().find('x').unwrap();
        assert_eq!(
            Span::new(&source, start, start + 1).location().to_string(),
            "a.yaml:2:5"
        );
    }

    #[test]
    fn a_range_outside_the_text_is_clamped() {
        let source = Source::new("a.yaml", "\u{e9}");
        let span = Span::new(&source, 1, 99);
        assert_eq!((span.start(), span.len_bytes()), (0, 2));
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        assert_eq!(Source::new("a.yaml", "\u{feff}a: 1").text(), "a: 1");
    }
}

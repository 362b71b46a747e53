//! Builds the tree from parser events, on an explicit stack.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, ScalarStyle, ScanError, Tag};

use super::{MAX_NODES, scalar};
use crate::path::Place;
use crate::problems::{Problems, clip};
use crate::source::{Source, Span};
use crate::value::{Data, Entry, Map, Value};

/// Parsing cannot go on; the reason is among the problems.
#[derive(Debug)]
pub(super) struct Abandoned;

/// Parser id of `&anchor`; 0 stands for none.
type AnchorId = usize;

pub(super) struct Composer<'c> {
    source: &'c Arc<Source>,
    problems: &'c mut Problems,
    offsets: ByteOffsets,
    max_depth: usize,
    /// Lists and maps that are open, outermost first.
    stack: Vec<Frame>,
    /// Finished nodes that aliases may copy, with their node counts.
    anchors: BTreeMap<AnchorId, (Value, usize)>,
    /// Nodes made so far, copies included.
    node_count: usize,
    document: Option<Value>,
}

/// An open list or map.
struct Frame {
    span: Span,
    anchor: AnchorId,
    /// [`Composer::node_count`] when it was opened.
    nodes_before: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    /// `key` waits for its value. `merged` are the values of `<<`.
    Map {
        entries: Map,
        key: Option<(String, Span)>,
        merged: Vec<Value>,
    },
}

impl<'c> Composer<'c> {
    pub(super) fn new(source: &'c Arc<Source>, max_depth: usize, problems: &'c mut Problems) -> Self {
        Self {
            source,
            problems,
            offsets: ByteOffsets::new(source.text()),
            max_depth,
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            node_count: 0,
            document: None,
        }
    }

    /// The root of the document, `None` if there was none.
    pub(super) fn finish(self) -> Option<Value> {
        self.document
    }

    pub(super) fn accept(&mut self, event: Event<'_>, span: saphyr_parser::Span) -> Result<(), Abandoned> {
        let span = self.span(span.start, span.end);
        match event {
            Event::DocumentStart(_) if self.document.is_some() => self.fail(
                &span,
                "a second YAML document",
                "keep one document per file; give more files with `--config`",
            ),
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.as_deref(), "seq", Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map {
                    entries: Map::new(),
                    key: None,
                    merged: Vec::new(),
                };
                self.open(span, anchor, tag.as_deref(), "map", content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    /// Reports what the parser found wrong with the text.
    pub(super) fn syntax_error(&mut self, error: &ScanError) {
        let mark = *error.marker();
        let span = self.span(mark, mark);
        let line_start = self.source.text()[..span.start()]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let has_expansion = self.source.text()[line_start..]
            .lines()
            .next()
            .is_some_and(|line| line.contains("${"));
        let problem = self
            .problems
            .push(Place::from(&span), format!("invalid YAML: {}", error.info()));
        if has_expansion {
            problem.help("quote `\"${...}\"` inside [ ] and { }");
        }
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        Span::new(
            self.source,
            self.offsets.byte(start.index()),
            self.offsets.byte(end.index()),
        )
    }

    fn fail<T>(&mut self, span: &Span, message: &str, help: &str) -> Result<T, Abandoned> {
        let problem = self.problems.push(Place::from(span), message);
        if !help.is_empty() {
            problem.help(help);
        }
        Err(Abandoned)
    }

    fn count_nodes(&mut self, count: usize, span: &Span) -> Result<(), Abandoned> {
        self.node_count += count;
        if self.node_count > MAX_NODES {
            return self.fail(span, &format!("more than {MAX_NODES} YAML nodes, aliases expanded"), "");
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: AnchorId,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Abandoned> {
        self.count_nodes(1, &span)?;
        if let Some(Frame {
            content: Content::Map { key: key @ None, .. },
            ..
        }) = self.stack.last_mut()
        {
            if text.is_empty() && style == ScalarStyle::Plain {
                return self.fail(&span, "a map key is missing before `:`", "");
            }
            *key = Some((text.to_owned(), span));
            return Ok(());
        }
        let data = match (tag, style) {
            (Some(tag), _) => self.tagged(text, tag, &span)?,
            (None, ScalarStyle::Plain) => scalar::resolve(text),
            (None, _) => Data::String(text.to_owned()),
        };
        let value = Value::new(data, span);
        self.remember(anchor, &value, 1)?;
        self.place(value)
    }

    /// A scalar whose type is written as a tag, such as `!!str 123`.
    fn tagged(&mut self, text: &str, tag: &Tag, span: &Span) -> Result<Data, Abandoned> {
        if is_tag(tag, "str")
            || *tag
                == (Tag {
                    handle: String::new(),
                    suffix: "!".to_owned(),
                })
        {
            return Ok(Data::String(text.to_owned()));
        }
        let data = scalar::resolve(text);
        let fits = match &data {
            Data::Null => is_tag(tag, "null"),
            Data::Bool(_) => is_tag(tag, "bool"),
            Data::Int(_) => is_tag(tag, "int"),
            Data::Float(_) => is_tag(tag, "float"),
            Data::String(_) | Data::List(_) | Data::Map(_) => false,
        };
        match data {
            Data::Int(number) if is_tag(tag, "float") => Ok(Data::Float(number as f64)),
            data if fits => Ok(data),
            _ => self.fail(
                span,
                &format!("tag `{}` does not fit `{}`", tag_text(tag), clip(text)),
                "remove the tag",
            ),
        }
    }

    /// Keeps a finished node for aliases. The copy counts as nodes of its own.
    fn remember(&mut self, anchor: AnchorId, value: &Value, count: usize) -> Result<(), Abandoned> {
        if anchor == 0 {
            return Ok(());
        }
        self.count_nodes(count, &value.span)?;
        self.anchors.insert(anchor, (value.clone(), count));
        Ok(())
    }

    fn alias(&mut self, anchor: AnchorId, span: Span) -> Result<(), Abandoned> {
        let Some((_, count)) = self.anchors.get(&anchor) else {
            return self.fail(&span, "an alias inside of what it refers to", "");
        };
        if matches!(
            self.stack.last(),
            Some(Frame {
                content: Content::Map { key: None, .. },
                ..
            })
        ) {
            return self.fail(&span, "a map key must be plain text, not an alias", "");
        }
        self.count_nodes(*count, &span)?;
        let (value, _) = self.anchors[&anchor].clone();
        let depth = self.stack.len() + depth_of(&value);
        if depth > self.max_depth {
            return self.too_deep(&span);
        }
        self.place(value)
    }

    fn too_deep<T>(&mut self, span: &Span) -> Result<T, Abandoned> {
        self.fail(
            span,
            &format!("lists and maps are nested deeper than {} levels", super::MAX_DEPTH),
            "",
        )
    }

    fn open(
        &mut self,
        span: Span,
        anchor: AnchorId,
        tag: Option<&Tag>,
        own_tag: &str,
        content: Content,
    ) -> Result<(), Abandoned> {
        if let Some(tag) = tag
            && !is_tag(tag, own_tag)
        {
            return self.fail(
                &span,
                &format!("tag `{}` is not supported here", tag_text(tag)),
                "remove the tag",
            );
        }
        if matches!(
            self.stack.last(),
            Some(Frame {
                content: Content::Map { key: None, .. },
                ..
            })
        ) {
            return self.fail(&span, "a map key must be text, not a list or map", "");
        }
        if self.stack.len() >= self.max_depth {
            return self.too_deep(&span);
        }
        let nodes_before = self.node_count;
        self.count_nodes(1, &span)?;
        self.stack.push(Frame {
            span,
            anchor,
            nodes_before,
            content,
        });
        Ok(())
    }

    fn close(&mut self, end: &Span) -> Result<(), Abandoned> {
        let frame = self.stack.pop().expect("the parser pairs every end with a start");
        let span = Span::new(self.source, frame.span.start(), end.start() + end.len_bytes());
        let data = match frame.content {
            Content::List(items) => Data::List(items),
            Content::Map { entries, merged, .. } => Data::Map(self.with_merged(entries, merged)?),
        };
        let value = Value::new(data, span);
        self.remember(frame.anchor, &value, self.node_count - frame.nodes_before)?;
        self.place(value)
    }

    /// Adds what `<<` brings: entries that the map does not have; the first of several maps wins.
    fn with_merged(&mut self, mut entries: Map, merged: Vec<Value>) -> Result<Map, Abandoned> {
        let sources = merged.into_iter().flat_map(|value| match value.data {
            Data::List(items) => items,
            _ => vec![value],
        });
        for value in sources {
            let Data::Map(defaults) = value.data else {
                return self.fail(&value.span, "`<<` takes a map or a list of maps", "");
            };
            for (key, entry) in defaults {
                entries.entry(key).or_insert(entry);
            }
        }
        Ok(entries)
    }

    /// Puts a finished node into the innermost open list or map.
    fn place(&mut self, value: Value) -> Result<(), Abandoned> {
        let Some(frame) = self.stack.last_mut() else {
            self.document = Some(value);
            return Ok(());
        };
        match &mut frame.content {
            Content::List(items) => items.push(value),
            Content::Map { entries, key, merged } => match key.take() {
                // `scalar`, `alias` and `open` let nothing but text stand where a key must.
                None => {}
                Some((key, _)) if key == "<<" => merged.push(value),
                Some((key, key_span)) => {
                    if let Some(first) = entries.get(&key) {
                        let help = format!("first given at {}", first.key_span.location());
                        self.problems
                            .push(Place::from(&key_span), format!("duplicate key `{}`", clip(&key)))
                            .help(help);
                        return Ok(());
                    }
                    entries.insert(key, Entry { key_span, value });
                }
            },
        }
        Ok(())
    }
}

fn is_tag(tag: &Tag, name: &str) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == name
}

fn tag_text(tag: &Tag) -> String {
    if tag.is_yaml_core_schema() {
        format!("!!{}", tag.suffix)
    } else {
        tag.to_string()
    }
}

/// Levels of lists and maps in a finished node; the depth limit bounds the recursion.
fn depth_of(value: &Value) -> usize {
    let deepest = match &value.data {
        Data::List(items) => items.iter().map(depth_of).max(),
        Data::Map(map) => map.values().map(|entry| depth_of(&entry.value)).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

/// Character positions, which the parser counts, to byte positions.
struct ByteOffsets {
    /// Byte offset of every character; empty for ASCII, where both are the same.
    bytes: Vec<usize>,
    len_bytes: usize,
}

impl ByteOffsets {
    fn new(text: &str) -> Self {
        let bytes = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(byte, _)| byte).collect()
        };
        Self {
            bytes,
            len_bytes: text.len(),
        }
    }

    fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            return character.min(self.len_bytes);
        }
        self.bytes.get(character).copied().unwrap_or(self.len_bytes)
    }
}

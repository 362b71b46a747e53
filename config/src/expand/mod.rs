//! Replaces `${...}` in the string leaves of a parsed tree.
//!
//! | written | means |
//! |---|---|
//! | `${env:NAME}`, `${NAME}` | an environment variable; unset is a warning and null |
//! | `${env:NAME:-text}` | the same, or `text` if it is unset; `text` may be empty |
//! | `${file:path}` | the content of a file, without its last line end |
//! | `${yaml:text}` | the text itself, read as YAML |
//! | `$$` | one `$` |
//!
//! An expansion that is the whole value is read as YAML, so it may become a number or a map; a string field still gets
//! the original text. An expansion inside of a longer text is always text. What an expansion brings is expanded again.
//! Parsing comes first, so that no variable can change the structure around it.

mod template;

use std::path::Path;
use std::sync::Arc;

use crate::environment::Environment;
use crate::path::{ConfigPath, Place};
use crate::problems::{Problems, clip};
use crate::source::{Source, Span};
use crate::value::{Data, Entry, Value};
use crate::yaml;
use template::{Part, Unclosed};

/// How many expansions may lead into one another. Chains longer than 2 or 3 are mistakes, usually circles.
const MAX_NESTING: usize = 32;

/// How many expansions one configuration may perform, so that nested ones cannot multiply without end.
const MAX_EXPANSIONS: usize = 10_000;

/// How many bytes all expansions together may bring.
const MAX_EXPANDED_BYTES: usize = 4 << 20;

/// Expands every string leaf of `root`. Problems are reported at the leaf; a leaf with an error becomes null.
pub(crate) fn expand(root: Value, environment: &dyn Environment, problems: &mut Problems) -> Value {
    let mut expander = Expander {
        environment,
        problems,
        expansions_left: MAX_EXPANSIONS,
        bytes_left: MAX_EXPANDED_BYTES,
        nodes_left: yaml::MAX_NODES,
    };
    expander.value(
        root,
        &Leaf {
            path: ConfigPath::root(),
            depth: 0,
            nesting: 0,
        },
    )
}

struct Expander<'e> {
    environment: &'e dyn Environment,
    problems: &'e mut Problems,
    expansions_left: usize,
    bytes_left: usize,
    nodes_left: usize,
}

/// Where in the tree, and how deep inside other expansions, the walk is.
#[derive(Clone)]
struct Leaf {
    path: ConfigPath,
    /// Lists and maps around this node.
    depth: usize,
    nesting: usize,
}

impl Leaf {
    fn child(&self, path: ConfigPath) -> Self {
        Self {
            path,
            depth: self.depth + 1,
            nesting: self.nesting,
        }
    }

    fn nested(&self) -> Self {
        Self {
            nesting: self.nesting + 1,
            ..self.clone()
        }
    }
}

/// The leaf cannot be expanded; the reason is among the problems.
struct Failed;

/// What an expansion brings.
enum Retrieved {
    /// An unset variable without a default.
    Unset,
    /// Text that belongs to the place of the expansion.
    Text(String),
    /// Text that has lines and columns of its own.
    File(Arc<Source>),
}

impl Expander<'_> {
    fn value(&mut self, value: Value, leaf: &Leaf) -> Value {
        let Value {
            data,
            span,
            expanded_text,
        } = value;
        let data = match data {
            Data::String(text) => return self.string(text, span, leaf),
            Data::List(items) => Data::List(self.list(items, leaf)),
            Data::Map(map) => {
                let entries = map.into_iter().map(|(key, Entry { key_span, value })| {
                    let value = self.value(value, &leaf.child(leaf.path.key(&key)));
                    (key, Entry { key_span, value })
                });
                Data::Map(entries.collect())
            }
            scalar => scalar,
        };
        Value {
            data,
            span,
            expanded_text,
        }
    }

    fn list(&mut self, items: Vec<Value>, leaf: &Leaf) -> Vec<Value> {
        let numbered = items.into_iter().enumerate();
        numbered
            .map(|(index, item)| self.value(item, &leaf.child(leaf.path.index(index))))
            .collect()
    }

    fn string(&mut self, text: String, span: Span, leaf: &Leaf) -> Value {
        if !text.contains('$') {
            return Value::new(Data::String(text), span);
        }
        let whole = match template::split(&text).as_deref() {
            Ok([Part::Expansion(inner)]) => self.whole(inner, &span, leaf),
            _ => self
                .text(&text, &span, leaf)
                .map(|text| Value::new(Data::String(text), span.clone())),
        };
        whole.unwrap_or_else(|Failed| Value::new(Data::Null, span))
    }

    /// An expansion that is the whole value.
    fn whole(&mut self, inner: &str, span: &Span, leaf: &Leaf) -> Result<Value, Failed> {
        let inside = leaf.nested();
        let uri = self.text(inner, span, &inside)?;
        let (text, value) = match self.retrieve(&uri, span, leaf)? {
            Retrieved::Unset => (String::new(), Some(Value::new(Data::Null, span.clone()))),
            Retrieved::File(source) => (source.text().to_owned(), self.parse_file(&source, leaf)?),
            Retrieved::Text(text) => {
                let value = parse_quietly(&Source::new("", text.as_str()), leaf.depth);
                // What a variable holds is shown at the place that uses it, never quoted.
                (text, value.map(|value| value.relocated(&|_| span.clone())))
            }
        };
        let node_count = value.as_ref().map_or(0, Value::node_count);
        let Some(nodes_left) = self.nodes_left.checked_sub(node_count) else {
            return self.fail(
                span,
                leaf,
                &format!("expansions bring more than {} YAML nodes", yaml::MAX_NODES),
                "",
            );
        };
        self.nodes_left = nodes_left;
        match value {
            Some(value) if !matches!(value.data, Data::String(_)) => {
                let value = self.value(value, &inside);
                Ok(Value {
                    expanded_text: Some(text),
                    ..value
                })
            }
            // Text stays as it is, quotes and all: passwords need no YAML escaping.
            _ => Ok(self.string(text, span.clone(), &inside)),
        }
    }

    /// Reads an included file as YAML; `None` stands for plain text, unless its name promises YAML.
    fn parse_file(&mut self, source: &Arc<Source>, leaf: &Leaf) -> Result<Option<Value>, Failed> {
        let extension = Path::new(source.name())
            .extension()
            .and_then(|extension| extension.to_str());
        if !matches!(extension, Some("yaml" | "yml" | "json")) {
            return Ok(parse_quietly(source, leaf.depth));
        }
        let depth_left = yaml::MAX_DEPTH.saturating_sub(leaf.depth);
        yaml::parse(source, depth_left, self.problems).map(Some).ok_or(Failed)
    }

    /// Replaces every expansion in `text` by its text.
    fn text(&mut self, text: &str, span: &Span, leaf: &Leaf) -> Result<String, Failed> {
        if leaf.nesting > MAX_NESTING {
            let message = format!("more than {MAX_NESTING} expansions lead into one another");
            return self.fail(span, leaf, &message, "look for variables or files in a circle");
        }
        let parts = template::split(text).map_err(|Unclosed| {
            let place = Place::new(leaf.path.clone(), span);
            self.problems
                .push(place, "`${` without its `}`")
                .help("write `$${` for the text itself");
            Failed
        })?;
        let mut result = String::new();
        let inside = leaf.nested();
        for part in parts {
            match part {
                Part::Text(text) => result.push_str(text),
                Part::Expansion(inner) => {
                    let uri = self.text(inner, span, &inside)?;
                    let retrieved = match self.retrieve(&uri, span, leaf)? {
                        Retrieved::Unset => continue,
                        Retrieved::Text(text) => self.text(&text, span, &inside)?,
                        Retrieved::File(source) => self.text(source.text(), span, &inside)?,
                    };
                    result.push_str(&retrieved);
                }
            }
        }
        Ok(result)
    }

    /// Fetches what `uri`, the content of a `${...}`, stands for, within the limits.
    fn retrieve(&mut self, uri: &str, span: &Span, leaf: &Leaf) -> Result<Retrieved, Failed> {
        if self.expansions_left == 0 {
            return self.fail(span, leaf, &format!("more than {MAX_EXPANSIONS} expansions"), "");
        }
        self.expansions_left -= 1;
        let retrieved = match scheme(uri) {
            ("env", variable) => self.variable(variable, span, leaf)?,
            ("file", path) => self.file(path, span, leaf)?,
            ("yaml", text) => Retrieved::Text(text.to_owned()),
            (unknown, _) => {
                let message = format!("scheme `{}` of `${{{}}}` is not supported", clip(unknown), clip(uri));
                return self.fail(
                    span,
                    leaf,
                    &message,
                    "use env, file or yaml, or write `$${` for the text itself",
                );
            }
        };
        let size_bytes = match &retrieved {
            Retrieved::Unset => 0,
            Retrieved::Text(text) => text.len(),
            Retrieved::File(source) => source.text().len(),
        };
        let Some(bytes_left) = self.bytes_left.checked_sub(size_bytes) else {
            return self.fail(
                span,
                leaf,
                &format!("expansions bring more than {MAX_EXPANDED_BYTES} bytes"),
                "",
            );
        };
        self.bytes_left = bytes_left;
        Ok(retrieved)
    }

    fn variable(&mut self, text: &str, span: &Span, leaf: &Leaf) -> Result<Retrieved, Failed> {
        let (name, default) = match text.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (text, None),
        };
        if !is_variable_name(name) {
            let message = format!("`{}` is not the name of an environment variable", clip(name));
            return self.fail(span, leaf, &message, "write `$${` for the text itself");
        }
        Ok(match (self.environment.variable(name), default) {
            (Some(value), _) => Retrieved::Text(value),
            (None, Some(default)) => Retrieved::Text(default.to_owned()),
            (None, None) => {
                let place = Place::new(leaf.path.clone(), span);
                self.problems
                    .warn(place, format!("environment variable `{name}` is not set"))
                    .help(format!("write `${{env:{name}:-value}}` to give a default"));
                Retrieved::Unset
            }
        })
    }

    fn file(&mut self, path: &str, span: &Span, leaf: &Leaf) -> Result<Retrieved, Failed> {
        match self.environment.read_file(Path::new(path)) {
            // Editors and `echo` end a file with a line end that no password means.
            Ok(text) => Ok(Retrieved::File(Source::new(path, text.trim_end_matches(['\n', '\r'])))),
            Err(error) => self.fail(span, leaf, &format!("failed to read `{}`: {error}", clip(path)), ""),
        }
    }

    fn fail<T>(&mut self, span: &Span, leaf: &Leaf, message: &str, help: &str) -> Result<T, Failed> {
        let problem = self.problems.push(Place::new(leaf.path.clone(), span), message);
        if !help.is_empty() {
            problem.help(help);
        }
        Err(Failed)
    }
}

/// Splits `scheme:rest`. Without a scheme it is `env`; so is `NAME:-default`.
fn scheme(uri: &str) -> (&str, &str) {
    match uri.split_once(':') {
        Some((scheme, rest)) if !rest.starts_with('-') => (scheme, rest),
        _ => ("env", uri),
    }
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn parse_quietly(source: &Arc<Source>, depth: usize) -> Option<Value> {
    yaml::parse(source, yaml::MAX_DEPTH.saturating_sub(depth), &mut Problems::new())
}

#[cfg(test)]
mod tests;

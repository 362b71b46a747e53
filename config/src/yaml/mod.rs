//! YAML text to [`Value`] tree.
//!
//! Built on the events of `saphyr-parser`, without recursion, so that hostile input meets our limits and not the
//! stack: at most [`MAX_DEPTH`] levels and [`MAX_NODES`] nodes, where nodes copied by aliases count again.
//!
//! The dialect is the one of the OpenTelemetry Collector (go.yaml.in): YAML 1.2 core types, plus the octal `0123`,
//! binary `0b1` and `1_000` of YAML 1.1, plus merge keys (`<<`). One document per text, text keys only.

mod composer;
mod scalar;

use std::sync::Arc;

use saphyr_parser::{Event, Parser};

use crate::problems::Problems;
use crate::source::{Source, Span};
use crate::value::Value;
use composer::Composer;

/// Deepest nesting of lists and maps. Collector configurations need about 10.
pub(crate) const MAX_DEPTH: usize = 64;

/// Most nodes in one text; a large configuration has a few thousand.
pub(crate) const MAX_NODES: usize = 100_000;

/// Parses one document of at most `max_depth` nested lists and maps. An empty text is null.
///
/// Returns `None` after pushing at least one problem. Neither panics nor takes more memory than a constant factor of
/// the text plus [`MAX_NODES`] nodes, whatever the text holds.
pub(crate) fn parse(source: &Arc<Source>, max_depth: usize, problems: &mut Problems) -> Option<Value> {
    let mut found = Problems::new();
    let value = compose(source, max_depth, &mut found);
    let valid = !found.has_errors();
    problems.append(found);
    value.filter(|_| valid)
}

fn compose(source: &Arc<Source>, max_depth: usize, problems: &mut Problems) -> Option<Value> {
    let mut parser = Parser::new_from_str(source.text());
    let mut composer = Composer::new(source, max_depth, problems);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => composer.accept(event, span).ok()?,
            Err(error) => {
                composer.syntax_error(&error);
                return None;
            }
        }
    }
    let empty = Span::new(source, 0, 0);
    Some(
        composer
            .finish()
            .unwrap_or_else(|| Value::new(crate::value::Data::Null, empty)),
    )
}

#[cfg(test)]
mod tests;

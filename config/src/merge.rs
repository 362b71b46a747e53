//! Several configurations into one, and single values from the command line on top.
//!
//! Maps merge key by key and the later value wins; lists, scalars and null replace what was there. So an empty
//! `processors:` in a later file erases the processors of the earlier ones, and `processors: {}` keeps them.

use crate::path::{ConfigPath, Place, SEPARATOR};
use crate::problems::{Problems, clip};
use crate::source::{Source, Span};
use crate::value::{Data, Entry, Map, Value};
use crate::yaml;

/// Puts `later` on top of `earlier`. Every node keeps the place it came from; a map that both have keeps the earlier one,
/// where a reader finds the rest of it.
pub(crate) fn merge(earlier: Value, later: Value) -> Value {
    let earlier_span = earlier.span;
    match (earlier.data, later.data) {
        (Data::Map(mut earlier), Data::Map(later_map)) => {
            for (key, entry) in later_map {
                let entry = match earlier.remove(&key) {
                    Some(old) => merge_entry(old, entry),
                    None => entry,
                };
                earlier.insert(key, entry);
            }
            Value::new(Data::Map(earlier), earlier_span)
        }
        (_, data) => Value { data, ..later },
    }
}

fn merge_entry(earlier: Entry, later: Entry) -> Entry {
    let both_maps = matches!((&earlier.value.data, &later.value.data), (Data::Map(_), Data::Map(_)));
    let key_span = if both_maps { earlier.key_span } else { later.key_span };
    Entry {
        key_span,
        value: merge(earlier.value, later.value),
    }
}

/// Reads one `--set` argument, `exporters.parquet.flush_interval=1s`, as a configuration of that one value.
///
/// Keys are separated by `.` or `::`; the value is YAML and may hold `${...}`.
pub(crate) fn parse_override(argument: &str, problems: &mut Problems) -> Option<Value> {
    let source = Source::new(format!("--set {}", clip(argument)), argument);
    let whole = Span::new(&source, 0, argument.len());
    let Some((keys, text)) = argument.split_once('=') else {
        problems
            .push(&whole, "expected `key=value`")
            .help("write `--set exporters.parquet.flush_interval=1s`");
        return None;
    };
    let key_span = Span::new(&source, 0, keys.len());
    let keys: Vec<&str> = keys
        .split(SEPARATOR)
        .flat_map(|part| part.split('.'))
        .map(str::trim)
        .collect();
    if keys.iter().any(|key| key.is_empty()) || keys.len() >= yaml::MAX_DEPTH {
        problems.push(&key_span, "expected keys joined by `.` before `=`");
        return None;
    }
    let value_span = Span::new(&source, argument.len() - text.len(), argument.len());
    let mut value = parse_value(text, yaml::MAX_DEPTH - keys.len(), &keys, &value_span, problems)?;
    for key in keys.iter().rev() {
        let entry = Entry {
            key_span: key_span.clone(),
            value,
        };
        value = Value::new(Data::Map(Map::from([((*key).to_owned(), entry)])), whole.clone());
    }
    Some(value)
}

/// Parses the value of an override. Its places are moved into the argument, where the value starts later.
fn parse_value(text: &str, max_depth: usize, keys: &[&str], span: &Span, problems: &mut Problems) -> Option<Value> {
    // Blanks in place of the keys keep every column right.
    let padded = format!("{}{text}", " ".repeat(span.start()));
    let mut found = Problems::new();
    let value = yaml::parse(&Source::new("", padded), max_depth, &mut found);
    for problem in found.sorted() {
        let path = ConfigPath::from_keys(&keys.join(SEPARATOR));
        problems.push(Place::new(path, span), problem.message.clone());
    }
    let moved = |padded: &Span| Span::new(span.source(), padded.start(), padded.start() + padded.len_bytes());
    value.map(|value| value.relocated(&moved))
}

//! What is read as which value, and what is refused where.

use super::*;
use crate::value::Data;

fn parse_text(text: &str) -> Result<Value, String> {
    let mut problems = Problems::new();
    parse(&Source::new("t.yaml", text), MAX_DEPTH, &mut problems).ok_or_else(|| problems.to_string())
}

/// Prints a tree as `key@line:column=value@line:column`.
fn spans(value: &Value) -> String {
    let at = |span: &Span| format!("{}:{}", span.location().line, span.location().column);
    match &value.data {
        Data::Map(map) => {
            let entries = map
                .iter()
                .map(|(key, entry)| format!("{key}@{}={}", at(&entry.key_span), spans(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
        Data::List(items) => format!("[{}]", items.iter().map(spans).collect::<Vec<_>>().join(" ")),
        data => format!("{data:?}@{}", at(&value.span)),
    }
}

#[test]
fn every_key_and_scalar_knows_its_line_and_column() {
    let value = parse_text("# comment\na: 1\nb:\n  c: [x, 'y']\n").unwrap();
    assert_eq!(
        spans(&value),
        r#"{a@2:1=Int(1)@2:4 b@3:1={c@4:3=[String("x")@4:7 String("y")@4:10]}}"#
    );
}

#[test]
fn positions_survive_characters_of_several_bytes_and_windows_line_ends() {
    let value =
        parse_text("# caf\u{e9} \u{1f600}\r\nk\u{e9}y: 'v\u{e9}' # \u{e9}\r\nz: \u{1f600} # \u{e9}\r\ny: 1\r\n")
            .unwrap();
    assert_eq!(
        spans(&value),
        "{k\u{e9}y@2:1=String(\"v\u{e9}\")@2:6 y@4:1=Int(1)@4:4 z@3:1=String(\"\u{1f600}\")@3:4}"
    );
}

#[test]
fn an_empty_text_is_null() {
    for text in ["", "# only a comment\n", "---\n", "\u{feff}"] {
        assert!(parse_text(text).unwrap().is_null(), "{text:?}");
    }
}

#[test]
fn quoted_and_tagged_scalars_are_text() {
    let value = parse_text("['1', \"true\", !!str 2, ! 3]").unwrap();
    assert_eq!(spans(&value).matches("String").count(), 4, "{}", spans(&value));
}

#[test]
fn aliases_and_merge_keys_copy_their_anchor() {
    let value = parse_text("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\nsame: *b\n").unwrap();
    assert_eq!(
        value,
        parse_text("base: {x: 1, y: 2}\nmine: {x: 1, y: 3}\nsame: {x: 1, y: 2}\n").unwrap()
    );
}

#[test]
fn rejects_what_configuration_cannot_mean() {
    for (text, expected) in [
        (
            "a: 1\nb: 2\na: 3\n",
            "t.yaml:3:1: duplicate key `a` (first given at t.yaml:1:1)",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "t.yaml:2:1: a second YAML document (keep one document per file; give more files with `--config`)",
        ),
        ("? [a]\n: 1\n", "t.yaml:1:3: a map key must be text, not a list or map"),
        (": 1\n", "t.yaml:1:1: a map key is missing before `:`"),
        ("a: &a [*a]\n", "t.yaml:1:8: an alias inside of what it refers to"),
        (
            "a: &a x\n*a : 1\n",
            "t.yaml:2:1: a map key must be plain text, not an alias",
        ),
        (
            "a: !!int x\n",
            "t.yaml:1:4: tag `!!int` does not fit `x` (remove the tag)",
        ),
        (
            "a: !Ref [x]\n",
            "t.yaml:1:4: tag `!Ref` is not supported here (remove the tag)",
        ),
        ("<<: 1\n", "t.yaml:1:5: `<<` takes a map or a list of maps"),
    ] {
        assert_eq!(parse_text(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn a_syntax_error_names_its_place_and_the_quoting_of_expansions() {
    let error = parse_text("a: 1\nb: [${env:X}, 2\n").unwrap_err();
    assert!(error.starts_with("t.yaml:"), "{error}");
    let error = parse_text("b: [${env:X}}]\n").unwrap_err();
    assert!(error.contains("quote `\"${...}\"` inside [ ] and { }"), "{error}");
}

#[test]
fn reports_every_duplicate_key() {
    let error = parse_text("a: 1\na: 2\nb: 1\nb: 2\n").unwrap_err();
    assert_eq!(error.lines().count(), 2, "{error}");
}

#[test]
fn rejects_nesting_beyond_the_limit() {
    let levels = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    assert!(parse_text(&levels(MAX_DEPTH)).is_ok());
    assert_eq!(
        parse_text(&levels(MAX_DEPTH + 1)).unwrap_err(),
        "t.yaml:1:65: lists and maps are nested deeper than 64 levels"
    );
    assert!(
        parse_text(&"[".repeat(1 << 20))
            .unwrap_err()
            .contains("recursion limit")
    );
    assert!(parse_text(&"- ".repeat(1 << 19)).unwrap_err().contains("nested deeper"));
}

#[test]
fn aliases_cannot_exceed_the_depth_limit() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..=MAX_DEPTH {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(parse_text(&text).unwrap_err().contains("nested deeper"));
}

#[test]
fn aliases_that_multiply_meet_the_node_limit() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let copies = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{copies}]\n"));
    }
    assert!(
        parse_text(&text)
            .unwrap_err()
            .contains("more than 100000 YAML nodes, aliases expanded")
    );
}

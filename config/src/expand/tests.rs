//! What expansion replaces, and what it refuses.

use std::io;

use super::*;

/// One variable and one file, both as large as a test likes.
struct Fixed(String);

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "X").then(|| self.0.clone())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Ok(self.0.clone())
    }
}

fn expand_text(text: &str, variable: &str) -> Result<Value, String> {
    let mut problems = Problems::new();
    let root = yaml::parse(&Source::new("t.yaml", text), yaml::MAX_DEPTH, &mut problems).unwrap();
    let value = expand(root, &Fixed(variable.to_owned()), &mut problems);
    if problems.has_errors() {
        Err(problems.to_string())
    } else {
        Ok(value)
    }
}

#[test]
fn an_expansion_cannot_nest_beyond_the_limit() {
    let inside_out = |count: usize| format!("'{}X{}'", "${".repeat(count), "}".repeat(count));
    assert!(expand_text(&inside_out(MAX_NESTING), "X").is_ok());
    for count in [MAX_NESTING + 1, 100_000] {
        let error = expand_text(&inside_out(count), "X").unwrap_err();
        assert!(
            error.contains("more than 32 expansions lead into one another"),
            "{error}"
        );
    }
}

#[test]
fn expansions_that_multiply_meet_the_limit() {
    let error = expand_text("a: x ${X}", "${X}${X}").unwrap_err();
    assert!(
        error.contains("more than 32 expansions lead into one another"),
        "{error}"
    );
    let many = "${yaml:}".repeat(MAX_EXPANSIONS + 1);
    let error = expand_text(&format!("a: '{many}'"), "").unwrap_err();
    assert_eq!(error, "t.yaml:1:4: a: more than 10000 expansions");
}

#[test]
fn expansions_bring_a_limited_number_of_bytes() {
    let error = expand_text("[ '${X}', '${X}', '${file:f}', '${X}', '${X}' ]", &"x".repeat(1 << 20)).unwrap_err();
    assert_eq!(error, "t.yaml:1:40: 4: expansions bring more than 4194304 bytes");
}

#[test]
fn expansions_bring_a_limited_number_of_nodes() {
    let list = format!("[{}]", "1,".repeat(60_000));
    let error = expand_text("['${X}', '${X}']", &list).unwrap_err();
    assert_eq!(error, "t.yaml:1:10: 1: expansions bring more than 100000 YAML nodes");
}

#[test]
fn what_an_expansion_brings_counts_towards_the_depth_limit() {
    let levels = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let around = |count: usize| format!("{}'${{X}}'{}", "[".repeat(count), "]".repeat(count));
    let innermost = |mut value: Value| {
        while let Data::List(items) = &mut value.data
            && let Some(item) = items.pop()
        {
            value = item;
        }
        value.data
    };
    let fits = expand_text(&around(60), &levels(4)).unwrap();
    assert_eq!(innermost(fits), Data::List(Vec::new()));
    let too_deep = expand_text(&around(60), &levels(5)).unwrap();
    assert_eq!(
        innermost(too_deep),
        Data::String(levels(5)),
        "it stays text, as whatever is not YAML"
    );
}

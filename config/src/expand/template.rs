//! The grammar of `${...}` in a text.
//!
//! ```text
//! text      := ( "$$" | "${" inner "}" | any character )*
//! inner     := text without "}"               nested ${...} are matched inside out
//! ```
//! `$$` stands for one `$`, so `$${X}` is the text `${X}`. A `$` before anything else is itself.

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// Literal text.
    Text(&'t str),
    /// What stands between `${` and `}`.
    Expansion(&'t str),
}

/// A `${` that no `}` closes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclosed;

/// Splits a text into its parts, in one pass.
pub(super) fn split(text: &str) -> Result<Vec<Part<'_>>, Unclosed> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            parts.push(Part::Text(&rest[..=dollar]));
            rest = tail;
        } else if let Some(body) = after.strip_prefix('{') {
            parts.push(Part::Text(&rest[..dollar]));
            let end = closing_brace(body).ok_or(Unclosed)?;
            parts.push(Part::Expansion(&body[..end]));
            rest = &body[end + 1..];
        } else {
            parts.push(Part::Text(&rest[..=dollar]));
            rest = after;
        }
    }
    parts.push(Part::Text(rest));
    parts.retain(|part| *part != Part::Text(""));
    Ok(parts)
}

/// The position of the `}` that closes an expansion whose body starts here.
fn closing_brace(body: &str) -> Option<usize> {
    let mut open_count = 0;
    let mut previous = None;
    for (position, character) in body.char_indices() {
        match character {
            '{' if previous == Some('$') => open_count += 1,
            '}' if open_count == 0 => return Some(position),
            '}' => open_count -= 1,
            _ => {}
        }
        // In `$$` the second dollar opens nothing.
        previous = if character == '$' && previous == Some('$') {
            None
        } else {
            Some(character)
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_literals_escapes_and_expansions() {
        use Part::{Expansion, Text};
        for (text, expected) in [
            ("plain $VAR", vec![Text("plain $"), Text("VAR")]),
            ("${env:A}", vec![Expansion("env:A")]),
            ("a${A}b", vec![Text("a"), Expansion("A"), Text("b")]),
            ("$${A}", vec![Text("$"), Text("{A}")]),
            ("$$${A}", vec![Text("$"), Expansion("A")]),
            ("${env:${B}}", vec![Expansion("env:${B}")]),
            ("${a:$${b}c}", vec![Expansion("a:$${b"), Text("c}")]),
            ("100$", vec![Text("100$")]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_expansion_must_end() {
        for text in ["${", "a ${env:A", "${env:${A}"] {
            assert_eq!(split(text), Err(Unclosed), "{text}");
        }
    }
}

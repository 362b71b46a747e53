//! Patterns in layer rules.

/// A pattern for a whole string: `*` stands for any run of characters, also an empty one; every other character for
/// itself, without regard to ASCII case (`authMiddleware` and `AuthMiddleware` are the same name to a reader).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// A pattern. Every string is one.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether all of `text` fits. Takes at most pattern length times text length steps.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut in_pattern, mut in_text) = (0, 0);
        // Where to resume when the characters after the last `*` stop fitting: behind it, one character of text later.
        let mut resume: Option<(usize, usize)> = None;
        while in_text < text.len() {
            match pattern.get(in_pattern) {
                Some(b'*') => {
                    in_pattern += 1;
                    resume = Some((in_pattern, in_text));
                }
                Some(expected) if expected.eq_ignore_ascii_case(&text[in_text]) => {
                    in_pattern += 1;
                    in_text += 1;
                }
                _ => {
                    let Some((after_star, taken)) = resume else {
                        return false;
                    };
                    in_pattern = after_star;
                    in_text = taken + 1;
                    resume = Some((after_star, in_text));
                }
            }
        }
        pattern[in_pattern..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_and_the_rest_for_itself() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("redis", "Redis", true),
            ("redis", "redis2", false),
            ("*middleware*", "shop/authMiddleware.check", true),
            ("*middleware*", "middle ware", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("*.pgx", "otel.pgx.pgx", true),
            ("**", "x", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }
}

//! What the place where output goes can show.

use std::ffi::OsStr;
use std::io::{IsTerminal, stdout};

use super::color;

/// Narrowest and widest page: below, tables break; above, the eye loses the line.
const COLUMNS_MIN: usize = 80;
const COLUMNS_MAX: usize = 160;
/// The page of a file or pipe.
const COLUMNS_ELSEWHERE: usize = 100;

/// Codes of [`Terminal::painted`].
pub const BOLD: &str = "1";
/// What most time went to.
pub const RED: &str = "1;31";
/// What some time went to.
pub const YELLOW: &str = "33";

/// How a page is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Whether colors are welcome. They never say anything that the text does not say.
    pub color: bool,
    /// Whether bars may be drawn with block characters; else they are of `#`.
    pub unicode: bool,
    /// Columns of a page.
    pub width: usize,
}

impl Terminal {
    /// A file or pipe: the same everywhere.
    pub const PLAIN: Self = Self {
        color: false,
        unicode: false,
        width: COLUMNS_ELSEWHERE,
    };

    /// Standard output. The variable `COLUMNS` overrides the width.
    pub fn of_output() -> Self {
        let is_terminal = stdout().is_terminal();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(std::env::var_os)
            .find(|value| !value.is_empty());
        let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = width.or_else(|| {
            is_terminal
                .then(terminal_size::terminal_size)?
                .map(|(columns, _)| columns.0.into())
        });
        Self {
            color: color::is_welcome(),
            unicode: is_terminal
                && is_utf8(locale.as_deref())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
            width: width.map_or(COLUMNS_ELSEWHERE, |width: usize| width.clamp(COLUMNS_MIN, COLUMNS_MAX)),
        }
    }

    /// A bar of `part` of `whole` in a field of `columns`; at least one column for what is there at all.
    pub fn bar(self, part: i64, whole: i64, columns: usize) -> String {
        let block = if self.unicode { "\u{2588}" } else { "#" };
        let filled = i128::from(part.max(0)) * columns as i128 / i128::from(whole.max(1));
        let filled = usize::try_from(filled).unwrap_or(columns).min(columns);
        block.repeat(filled.max(usize::from(part > 0)))
    }

    /// Text between two codes of the terminal, if colors are welcome.
    pub fn painted(self, text: &str, code: &str) -> String {
        match self.color {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// Whether a locale such as `en_US.UTF-8` has characters beyond ASCII that a terminal can be trusted with.
fn is_utf8(locale: Option<&OsStr>) -> bool {
    let locale = locale.map(|locale| locale.to_string_lossy().to_ascii_lowercase());
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}

/// Words that stay on the line of the number before them.
const UNITS: [&str; 5] = ["%", "ns", "us", "ms", "s"];

/// Lines of at most `width` characters, broken at spaces, but not between a number and its unit; a longer word stays whole.
/// Lines after the first begin with `indent` spaces.
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let is_unit = UNITS.contains(&word.trim_end_matches([')', ',', '.', ';', ':']));
        match words
            .last_mut()
            .filter(|last| is_unit && last.ends_with(|c: char| c.is_ascii_digit()))
        {
            Some(number) => *number = format!("{number} {word}"),
            None => words.push(word.to_owned()),
        }
    }
    let mut page = String::new();
    let mut length = 0;
    for word in words {
        let word_length = word.chars().count();
        if length > indent && length + 1 + word_length > width {
            page.push('\n');
            page.push_str(&" ".repeat(indent));
            length = indent;
        } else if length > 0 {
            page.push(' ');
            length += 1;
        }
        page.push_str(&word);
        length += word_length;
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_part_and_shows_the_smallest() {
        let bars = [0, 1, 500, 1_000, 2_000].map(|part| Terminal::PLAIN.bar(part, 1_000, 10));
        assert_eq!(bars, ["", "#", "#####", "##########", "##########"]);
        let unicode = Terminal {
            unicode: true,
            ..Terminal::PLAIN
        };
        assert_eq!(unicode.bar(1, 2, 4), "\u{2588}\u{2588}");
    }

    #[test]
    fn only_a_locale_that_says_so_is_utf8() {
        let found =
            [Some("en_US.UTF-8"), Some("C.utf8"), Some("C"), None].map(|locale| is_utf8(locale.map(OsStr::new)));
        assert_eq!(found, [true, true, false, false]);
    }

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrapped("one two three four", 9, 2), "one two\n  three\n  four");
        assert_eq!(wrapped("extraordinary words", 5, 0), "extraordinary\nwords");
        assert_eq!(wrapped("", 5, 0), "");
        assert_eq!(wrapped("took 3 ms (1.5 %), or so", 7, 0), "took\n3 ms\n(1.5 %),\nor so");
    }

    #[test]
    fn without_color_there_are_no_codes() {
        assert_eq!(Terminal::PLAIN.painted("text", "1"), "text");
        let colored = Terminal {
            color: true,
            ..Terminal::PLAIN
        };
        assert_eq!(colored.painted("text", "1"), "\u{1b}[1mtext\u{1b}[0m");
    }
}

//! Patterns over the names of Go functions.
//!
//! A pattern is compared with the beginning of a name and ends where a word of the name ends:
//!
//! ```text
//! main.work             main.work, main.work.func1      not main.worker
//! net/http.(*conn)      net/http.(*conn).serve          not net/http.(*connReader).Read
//! main.work*            main.work, main.worker
//! *.Fsync               syscall.Fsync, golang.org/x/sys/unix.Fsync
//! ```
//!
//! A star stands for any run of characters; right after an opening parenthesis it is Go's own star of `(*T)`. Type
//! arguments, which Go writes `[...]`, do not count. All rules over stacks share these patterns: those that name the states
//! of goroutines, and those that name layers.

use std::borrow::Cow;

const TYPE_ARGUMENTS: &str = "[...]";

/// A pattern, cut at its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPattern {
    /// What a name begins with.
    beginning: Box<str>,
    /// What follows in this order, after any run of characters each.
    rest: Box<[Box<str>]>,
}

impl FunctionPattern {
    /// Longest pattern that can match, in bytes: Go cuts function names there.
    pub const BYTES_MAX: usize = 1_024;

    /// A pattern. Every string is one; the empty one matches everything.
    pub fn new(text: &str) -> Self {
        let text = Self::without_type_arguments(text);
        let mut pieces = Vec::new();
        let mut begun = 0;
        for (star, _) in text.match_indices('*') {
            if !text[..star].ends_with('(') {
                pieces.push(Box::from(&text[begun..star]));
                begun = star + 1;
            }
        }
        pieces.push(Box::from(&text[begun..]));
        let rest = pieces.split_off(1);
        Self {
            beginning: pieces.swap_remove(0),
            rest: rest.into(),
        }
    }

    /// Whether `function`, a name [without type arguments](Self::without_type_arguments), matches.
    pub fn matches(&self, function: &str) -> bool {
        let Some(mut tail) = function.strip_prefix(&*self.beginning) else {
            return false;
        };
        let Some((last, between)) = self.rest.split_last() else {
            return is_word_end(&self.beginning, tail);
        };
        for piece in between {
            // The earliest place leaves the most to the pieces after it.
            let Some(at) = tail.find(&**piece) else {
                return false;
            };
            tail = &tail[at + piece.len()..];
        }
        last.is_empty()
            || tail
                .match_indices(&**last)
                .any(|(at, _)| is_word_end(last, &tail[at + last.len()..]))
    }

    /// `iter.Pull` for `iter.Pull[...]`: Go does not print type arguments, only that there are some.
    pub fn without_type_arguments(function: &str) -> Cow<'_, str> {
        if function.contains(TYPE_ARGUMENTS) {
            Cow::Owned(function.replace(TYPE_ARGUMENTS, ""))
        } else {
            Cow::Borrowed(function)
        }
    }
}

/// Whether a name that continues with `tail` after `matched` has a word that ends between them.
fn is_word_end(matched: &str, tail: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '~' | '%');
    !matched.ends_with(is_word) || !tail.starts_with(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, function: &str, expected: bool) {
        let found = FunctionPattern::new(pattern).matches(&FunctionPattern::without_type_arguments(function));
        assert_eq!(found, expected, "`{pattern}` on `{function}`");
    }

    #[test]
    fn a_pattern_ends_where_a_word_ends() {
        check("main.work", "main.work", true);
        check("main.work", "main.work.func1", true);
        check("main.work", "main.worker", false);
        check("database/sql.(*DB).conn", "database/sql.(*DB).conn", true);
        check("database/sql.(*DB).conn", "database/sql.(*DB).connectionOpener", false);
        check("net/http", "net/http.Get", true);
        check("net/http", "net/http/httptest.NewServer", true);
        check("net/http", "net/https.Get", false);
        check("example.com/a", "example.com/a-b.F", false);
        check("main.", "main.work", true);
        check("main.work", "example.com/main.work", false);
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        check("main.work*", "main.worker", true);
        check("main.work*", "main.work", true);
        check("*.Fsync", "syscall.Fsync", true);
        check("*.Fsync", "golang.org/x/sys/unix.Fsync", true);
        check("*.Fsync", "syscall.FsyncAll", false);
        check(
            "*http2*Framer).ReadFrame*",
            "net/http.(*http2Framer).ReadFrameHeader",
            true,
        );
        check(
            "*http2*Framer).ReadFrame*",
            "golang.org/x/net/http2.(*Framer).ReadFrame",
            true,
        );
        check(
            "*http2*Framer).ReadFrame*",
            "golang.org/x/net/http2.ReadFrameHeader",
            false,
        );
        check("*", "main.main", true);
        check("a*b*c", "a b.b c", true);
        check("a*b*c", "a c b", false);
    }

    #[test]
    fn the_last_piece_may_match_at_a_later_place() {
        check("*.read", "main.reader.read", true);
        check("*.read", "main.reader.readAll", false);
    }

    #[test]
    fn the_star_of_a_pointer_receiver_is_itself() {
        check("sync.(*Mutex).Lock", "sync.(*Mutex).Lock", true);
        check("sync.(*Mutex).Lock", "sync.(*RWMutex).Lock", false);
        check("sync.(**Mutex).Lock", "sync.(*RWMutex).Lock", true);
        check("sync.(*Mutex).*", "sync.(*Mutex).Lock", true);
    }

    #[test]
    fn type_arguments_do_not_count() {
        check("iter.Pull", "iter.Pull[...].func1", true);
        check("main.(*Pool).Get", "main.(*Pool[...]).Get", true);
        check("main.(*Pool[...]).Get", "main.(*Pool[...]).Get", true);
    }

    #[test]
    fn names_beyond_ascii_are_cut_between_characters() {
        check("main.(*\u{dc}ber).Warte", "main.(*\u{dc}ber).Warte", true);
        check("*\u{e4}*", "main.w\u{e4}rts", true);
        check("main.w", "main.w\u{e4}rts", false);
    }
}

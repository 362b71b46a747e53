//! Whether terminal colors are welcome.

use std::ffi::OsStr;
use std::io::{IsTerminal, stdout};

/// Whether standard output is a terminal and nobody has set `NO_COLOR` (<https://no-color.org>).
pub fn is_welcome() -> bool {
    is_welcome_on(stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref())
}

/// An empty `NO_COLOR` counts as none.
fn is_welcome_on(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_need_a_terminal_and_no_objection() {
        assert!(is_welcome_on(true, None));
        assert!(is_welcome_on(true, Some(OsStr::new(""))));
        assert!(!is_welcome_on(true, Some(OsStr::new("1"))));
        assert!(!is_welcome_on(false, None));
    }
}

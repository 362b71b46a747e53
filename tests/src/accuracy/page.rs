//! The part of `docs/accuracy.md` that a run writes.

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- accuracy results -->\n";
const END: &str = "<!-- end -->";

/// Puts a report between the two comments of a page.
///
/// # Panics
/// The page cannot be read or written, or has no such comments.
pub fn update(page: &Path, report: &str) {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let updated = with_report(&text, report)
        .unwrap_or_else(|| panic!("no `{}` before an `{END}` in {}", BEGIN.trim_end(), page.display()));
    fs::write(page, updated).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
}

fn with_report(page: &str, report: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n\n{END}{after}", report.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n<!-- accuracy results -->\nold\n<!-- end -->\nmore <!-- end -->\n";

    #[test]
    fn a_report_replaces_the_one_before() {
        let expected = "# Page\n<!-- accuracy results -->\n\nnew\n\n<!-- end -->\nmore <!-- end -->\n";
        let once = with_report(PAGE, "new\n").unwrap();
        assert_eq!(once, expected);
        assert_eq!(with_report(&once, "new\n").unwrap(), expected);
    }

    #[test]
    fn a_page_without_the_comments_is_left_alone() {
        assert_eq!(with_report("# Page\n", "new"), None);
        assert_eq!(with_report("<!-- end -->\n<!-- accuracy results -->\n", "new"), None);
    }

    #[test]
    fn the_page_of_accuracy_has_a_place_for_results() {
        let page = include_str!("../../../docs/accuracy.md");
        assert!(with_report(page, "new").is_some());
    }
}

//! The part of `docs/benchmarks.md` that a run writes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- gotrace results -->\n";
const END: &str = "<!-- end -->";

/// Puts a report between the two comments of a page.
///
/// # Errors
/// The page cannot be read or written, or has no such comments.
pub(crate) fn update(page: &Path, report: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    let updated = with_report(&text, report)
        .with_context(|| format!("no `{}` before an `{END}` in {}", BEGIN.trim_end(), page.display()))?;
    fs::write(page, updated).with_context(|| format!("write {}", page.display()))
}

fn with_report(page: &str, report: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n\n{END}{after}", report.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n<!-- gotrace results -->\nold\n<!-- end -->\nmore <!-- end -->\n";

    #[test]
    fn a_report_replaces_the_one_before() {
        let expected = "# Page\n<!-- gotrace results -->\n\nnew\n\n<!-- end -->\nmore <!-- end -->\n";
        let once = with_report(PAGE, "new\n").unwrap();
        assert_eq!(once, expected);
        assert_eq!(with_report(&once, "new\n").unwrap(), expected);
    }

    #[test]
    fn a_page_without_the_comments_is_left_alone() {
        assert_eq!(with_report("# Page\n", "new"), None);
        assert_eq!(with_report("<!-- end -->\n<!-- gotrace results -->\n", "new"), None);
    }

    #[test]
    fn the_page_of_benchmarks_has_a_place_for_results() {
        let page = include_str!("../../../docs/benchmarks.md");
        assert!(with_report(page, "new").is_some());
    }
}

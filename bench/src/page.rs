//! The part of `docs/benchmarks.md` that a run writes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const END: &str = "<!-- end -->";

/// Puts the report of a benchmark between its two comments on a page: `<!-- name results -->` and `<!-- end -->`.
///
/// # Errors
/// The page cannot be read or written, or has no such comments.
pub(crate) fn update(page: &Path, name: &str, report: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    let updated = with_report(&text, name, report).with_context(|| {
        format!(
            "no `{}` before an `{END}` in {}",
            begin(name).trim_end(),
            page.display()
        )
    })?;
    fs::write(page, updated).with_context(|| format!("write {}", page.display()))
}

fn begin(name: &str) -> String {
    format!("<!-- {name} results -->\n")
}

fn with_report(page: &str, name: &str, report: &str) -> Option<String> {
    let begin = begin(name);
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{}\n\n{END}{after}", report.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n<!-- gotrace results -->\nold\n<!-- end -->\nmore <!-- end -->\n";

    #[test]
    fn a_report_replaces_the_one_before() {
        let expected = "# Page\n<!-- gotrace results -->\n\nnew\n\n<!-- end -->\nmore <!-- end -->\n";
        let once = with_report(PAGE, "gotrace", "new\n").unwrap();
        assert_eq!(once, expected);
        assert_eq!(with_report(&once, "gotrace", "new\n").unwrap(), expected);
    }

    #[test]
    fn a_page_without_the_comments_is_left_alone() {
        assert_eq!(with_report("# Page\n", "gotrace", "new"), None);
        assert_eq!(with_report(PAGE, "other", "new"), None);
        assert_eq!(
            with_report("<!-- end -->\n<!-- gotrace results -->\n", "gotrace", "new"),
            None
        );
    }

    #[test]
    fn the_page_of_benchmarks_has_a_place_for_the_results_of_each() {
        let page = include_str!("../../docs/benchmarks.md");
        for name in ["gotrace", "attribution"] {
            assert!(with_report(page, name, "new").is_some(), "{name}");
        }
    }
}

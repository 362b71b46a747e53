//! Every invariant of the definition has tests with its name, and docs/attribution.md says where they are.
//!
//! The name of a test begins with the invariants that it checks: `i3_i4_cells_are_positive`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const INVARIANTS: std::ops::RangeInclusive<u32> = 1..=24;
/// Sampling weights: there is no sampler.
const DOES_NOT_APPLY: u32 = 19;
/// The page leaves out this folder.
const MOST_TESTS: &str = "attribution/tests/attribution/";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files with tests, of every invariant, as the page names them.
fn tested() -> BTreeMap<u32, BTreeSet<String>> {
    let mut tested: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for folder in [
        "attribution/src",
        "attribution/tests",
        "profiles/gotrace/tests",
        "profiles/tests",
        "tests/tests",
    ] {
        for file in rust_files(&repository().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let path = file.strip_prefix(repository()).unwrap().to_str().unwrap();
            let path = path.strip_prefix(MOST_TESTS).unwrap_or(path);
            for number in test_names(&text).flat_map(numbers) {
                tested.entry(number).or_default().insert(path.to_owned());
            }
        }
    }
    tested
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => rust_files(&path),
        false => vec![path],
    });
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The names of the functions behind `#[test]`.
fn test_names(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("#[test]").skip(1);
    after.filter_map(|text| text.trim_start().strip_prefix("fn ")?.split('(').next())
}

/// The invariants with which a name begins.
fn numbers(name: &str) -> Vec<u32> {
    let number = |word: &str| word.strip_prefix('i')?.parse().ok();
    name.split('_').map_while(number).collect()
}

/// The rows of the page's table: `| I-3 | what it says | files |`.
fn on_the_page() -> BTreeMap<u32, BTreeSet<String>> {
    let page = std::fs::read_to_string(repository().join("docs/attribution.md")).unwrap();
    let row = |line: &str| {
        let mut columns = line.strip_prefix("| I-")?.split('|');
        let number = columns.next()?.trim().parse().ok()?;
        let files = columns.nth(1)?.split('`').skip(1).step_by(2);
        Some((number, files.map(str::to_owned).collect()))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_invariant_has_tests_with_its_name_and_the_page_says_in_which_files() {
    let tested = tested();
    let expected: Vec<u32> = INVARIANTS.filter(|number| *number != DOES_NOT_APPLY).collect();
    assert!(tested.keys().eq(&expected), "{:?}", tested.keys());
    let mut on_the_page = on_the_page();
    assert_eq!(on_the_page.remove(&DOES_NOT_APPLY), Some(BTreeSet::new()));
    for (number, files) in &tested {
        assert_eq!(
            on_the_page.get(number),
            Some(files),
            "I-{number} in docs/attribution.md"
        );
    }
    assert_eq!(on_the_page.len(), tested.len());
}

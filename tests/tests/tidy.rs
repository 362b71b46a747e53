//! What a reviewer should not have to look for: leftovers, huge files, missing module docs, dead links, stale pages.

use std::path::{Path, PathBuf};

use spandrel_tests::{repository, tables_doc};

const LARGEST_FILE_BYTES: u64 = 5 * 1024 * 1024;

/// Extensions, or whole names, of files that people write; these are searched for leftovers.
const WRITTEN: [&str; 13] = [
    "rs",
    "go",
    "sh",
    "py",
    "md",
    "toml",
    "yaml",
    "yml",
    "json",
    "sql",
    "Dockerfile",
    "Makefile",
    "run",
];

/// Put together, so that this file does not hold the words that it looks for.
const LEFTOVERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!(")];

#[test]
fn nothing_is_left_over() {
    let mut findings = Vec::new();
    for file in written_files() {
        for (number, line) in (1..).zip(repository::read(&file).lines()) {
            let found = LEFTOVERS.iter().filter(|leftover| line.contains(**leftover));
            findings.extend(found.map(|leftover| format!("{}:{number}: {leftover}", file.display())));
        }
    }
    assert_none(&findings);
}

#[test]
fn no_file_is_huge() {
    let mut findings = Vec::new();
    for file in repository::files() {
        let path = repository::root().join(&file);
        let bytes = path
            .metadata()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .len();
        if bytes > LARGEST_FILE_BYTES {
            findings.push(format!(
                "{}: {bytes} bytes, more than {LARGEST_FILE_BYTES}",
                file.display()
            ));
        }
    }
    assert_none(&findings);
}

#[test]
fn rust_source_is_ascii() {
    let mut findings = Vec::new();
    for file in repository::files_with_extension("rs") {
        let text = repository::read(&file);
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_ascii());
        findings.extend(lines.map(|(number, line)| format!("{}:{number}: not ASCII: {line}", file.display())));
    }
    assert_none(&findings);
}

#[test]
fn every_rust_file_says_what_it_is() {
    let mut silent = repository::files_with_extension("rs");
    silent.retain(|file| !repository::read(file).starts_with("//! "));
    let findings: Vec<_> = silent
        .iter()
        .map(|file| format!("{}: does not begin with `//! `", file.display()))
        .collect();
    assert_none(&findings);
}

#[test]
fn tables_page_is_current() {
    let page = repository::read(Path::new("docs/tables.md"));
    assert!(
        page == tables_doc::render(),
        "docs/tables.md is stale: run {}",
        tables_doc::REMEDY
    );
}

#[test]
fn relative_links_lead_somewhere() {
    let mut findings = Vec::new();
    for file in repository::files_with_extension("md") {
        let folder = repository::root().join(file.parent().expect("a file has a folder"));
        for (number, target) in links(&repository::read(&file)) {
            let outside = target.contains("://") || target.starts_with("mailto:");
            let path = target.split('#').next().unwrap_or_default();
            if !outside && !folder.join(path).exists() {
                findings.push(format!(
                    "{}:{number}: link to {path}, which does not exist",
                    file.display()
                ));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn examples_that_pages_mention_exist() {
    let mut findings = Vec::new();
    for file in repository::files_with_extension("md") {
        for (number, line) in (1..).zip(repository::read(&file).lines()) {
            let missing = mentioned_examples(line).filter(|example| !repository::root().join(example).exists());
            findings.extend(missing.map(|example| format!("{}:{number}: {example} does not exist", file.display())));
        }
    }
    assert_none(&findings);
}

fn assert_none(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{} findings\n{}",
        findings.len(),
        findings.join("\n")
    );
}

fn written_files() -> Vec<PathBuf> {
    let mut files = repository::files();
    files.retain(|file| {
        let extension = file
            .extension()
            .unwrap_or_else(|| file.file_name().expect("a file has a name"));
        WRITTEN.iter().any(|known| extension == *known)
    });
    files
}

/// The targets of Markdown links outside code blocks, with their line numbers.
fn links(page: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (number, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next());
        links.extend(targets.map(|target| (number + 1, target)));
    }
    links
}

/// Words of a line that are paths below `examples/`.
fn mentioned_examples(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)))
        .map(|word| word.trim_start_matches("./").trim_end_matches(['.', '/']))
        .filter(|word| word.starts_with("examples/"))
}

#[test]
fn links_are_found_outside_code_only() {
    let page = "see [a](docs/a.md#part) and ![b](b.png \"title\")\n```\n[c](c.md)\n```\n[d](https://example.com)\n";
    assert_eq!(
        links(page),
        [(1, "docs/a.md#part"), (1, "b.png"), (5, "https://example.com")]
    );
}

#[test]
fn examples_are_found_in_prose_and_commands() {
    let line = "run `spandrel run --config ./examples/live.yaml`, or see examples/recording/.";
    assert_eq!(
        mentioned_examples(line).collect::<Vec<_>>(),
        ["examples/live.yaml", "examples/recording"]
    );
}

//! The tree of files that the checks read.

use std::fs;
use std::path::{Path, PathBuf};

/// Folder of the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is a folder of the repository")
}

/// Every file of the repository relative to [`root`], sorted, without what `.gitignore` lists.
///
/// # Panics
/// If a folder cannot be read.
pub fn files() -> Vec<PathBuf> {
    let ignored = read(Path::new(".gitignore"));
    let ignored: Vec<&str> = ignored
        .lines()
        .map(|line| line.trim_end_matches('/'))
        .chain(["/.git"])
        .collect();
    let mut files = Vec::new();
    collect(root(), &ignored, &mut files);
    files.sort();
    files
}

/// The files whose name ends in `.{extension}`, relative to [`root`].
pub fn files_with_extension(extension: &str) -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files
}

/// The text of a file given relative to [`root`].
///
/// # Panics
/// If the file is missing or not UTF-8.
pub fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn collect(folder: &Path, ignored: &[&str], files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let path = entry.path();
        let relative = path.strip_prefix(root()).expect("the walk began at the root");
        if is_ignored(relative, ignored) {
            continue;
        }
        let kind = entry
            .file_type()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if kind.is_dir() {
            collect(&path, ignored, files);
        } else if kind.is_file() {
            files.push(relative.to_owned());
        }
    }
}

/// Whether a line of `.gitignore` hides a path. Two forms are in use: `/path/from/the/root` and `name-anywhere`.
fn is_ignored(relative: &Path, ignored: &[&str]) -> bool {
    ignored.iter().any(|line| match line.strip_prefix('/') {
        Some(anchored) => relative == Path::new(anchored),
        None => relative.file_name().is_some_and(|name| name == *line),
    })
}

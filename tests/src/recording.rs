//! `examples/recording`: what a real service sent and recorded.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::repository;

/// The process that got the whole load, and is recorded from start to end.
pub const FIRST: &str = "shop-1";
/// The process that got the ordinary load only, and is recorded for a while.
pub const SECOND: &str = "shop-2";

/// The directory of the recording.
pub fn dir() -> PathBuf {
    repository::root().join("examples/recording")
}

/// How many spans the manifest announces.
///
/// # Panics
/// The manifest cannot be read.
pub fn span_count() -> i64 {
    items().iter().filter_map(|item| item.get("spans")?.as_i64()).sum()
}

/// The files with span requests, compressed with zstd.
///
/// # Panics
/// The manifest cannot be read.
pub fn span_files() -> Vec<PathBuf> {
    files(|item| item["kind"] == "otlp.traces")
}

/// The execution traces of a process, compressed with zstd.
///
/// # Panics
/// The manifest cannot be read.
pub fn profile_files(process: &str) -> Vec<PathBuf> {
    files(|item| item["kind"] == "go.execution_trace" && item["resource"]["service.instance.id"] == process)
}

/// Makes `dir` a recording of those of its items that are wanted.
///
/// # Panics
/// A manifest cannot be read or written.
pub fn select(dir: &Path, wanted: impl Fn(&Value) -> bool) {
    let mut items: Vec<Value> = items().into_iter().filter(|item| wanted(item)).collect();
    for item in &mut items {
        let file = self::dir().join(item["file"].as_str().expect("an item names its file"));
        item["file"] = file.to_str().expect("our paths are ASCII").into();
    }
    let manifest = serde_json::json!({"format": "spandrel-recording/1", "items": items});
    fs::create_dir_all(dir).expect("a directory for the manifest");
    fs::write(dir.join("manifest.json"), manifest.to_string()).expect("the manifest is written");
}

fn files(wanted: impl Fn(&Value) -> bool) -> Vec<PathBuf> {
    let wanted_items = items().into_iter().filter(|item| wanted(item));
    wanted_items
        .filter_map(|item| Some(dir().join(item["file"].as_str()?)))
        .collect()
}

fn items() -> Vec<Value> {
    let path = dir().join("manifest.json");
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let manifest: Value = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    manifest["items"].as_array().cloned().expect("a manifest lists items")
}

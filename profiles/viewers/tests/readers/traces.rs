//! The traces that are written and read back.

use std::fs;

use gotrace::{ExecTrace, Recording};

use crate::tools::repository;
use crate::{frames, text};

/// A trace by the name that failures show.
pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// What `bytes` hold.
    pub(crate) recording: Recording,
}

impl Trace {
    pub(crate) fn open(&self) -> ExecTrace<'_> {
        ExecTrace::open(&self.bytes).unwrap()
    }
}

/// A program that does everything, the same without a wall clock, and two processes of a real service.
pub(crate) fn all() -> Vec<Trace> {
    let service = |file: &str| {
        let stored = fs::read(repository().join("examples/recording/profiles").join(file)).unwrap();
        zstd::decode_all(stored.as_slice()).unwrap()
    };
    let traces = [
        ("mix", mix()),
        ("mix without wall clock", frames::to_go_1_23(&mix())),
        ("service", service("0001.trace.zst")),
        ("another service", service("0003.trace.zst")),
    ];
    let traces = traces.map(|(name, bytes)| trace(name, bytes));
    for Trace { name, recording, .. } in &traces {
        assert!(recording.warnings.as_slice().is_empty(), "{name}");
    }
    traces.into()
}

/// A trace with a damaged generation and, where they are, the text traces of the Go project.
pub(crate) fn unusual() -> Vec<Trace> {
    let mut damaged = mix();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let damaged = trace("damaged", damaged);
    assert!(!damaged.recording.warnings.as_slice().is_empty());
    let folder = repository().join("../shared/corpora/go-text-traces");
    if !folder.is_dir() {
        println!("SKIPPED: no folder shared/corpora/go-text-traces beside the repository");
        return vec![damaged];
    }
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    files.sort();
    let from_text = files.iter().filter_map(|path| {
        let bytes = text::parse_test(&fs::read_to_string(path).unwrap()).trace;
        let recording = Recording::decode(&bytes).ok()?;
        let name = path.file_stem()?.to_str()?.to_owned();
        Some(Trace { name, bytes, recording })
    });
    [damaged].into_iter().chain(from_text).collect()
}

fn mix() -> Vec<u8> {
    fs::read(repository().join("profiles/gotrace/tests/fixtures/mix.trace")).unwrap()
}

fn trace(name: &str, bytes: Vec<u8>) -> Trace {
    Trace {
        name: name.to_owned(),
        recording: Recording::decode(&bytes).unwrap(),
        bytes,
    }
}

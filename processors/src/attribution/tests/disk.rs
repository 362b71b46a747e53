//! A real directory for recordings that were never traces: a profile is the number of what it stands for.

use std::sync::Arc;

use spandrel_model::{CpuProfile, ProcessIdentity, TaskRecording};
use spandrel_pipeline::{ProfileFormat, RuntimeProfile};
use tempfile::TempDir;

use super::super::recordings_directory::{Decision, RecordingsDirectory, StoredProfile};

const LIMIT_BYTES: u64 = 1 << 20;

/// A directory, and what its profiles would be decoded to.
pub(super) struct Disk {
    path: TempDir,
    directory: Option<Arc<RecordingsDirectory>>,
    decoded: Vec<Stands>,
}

/// What a profile stands for.
#[derive(Clone)]
pub(super) enum Stands {
    Recording(TaskRecording),
    CpuProfile(CpuProfile),
}

impl Disk {
    pub(super) fn new() -> Self {
        let mut disk = Self {
            path: tempfile::tempdir().unwrap(),
            directory: None,
            decoded: Vec::new(),
        };
        assert!(disk.reopen().is_empty());
        disk
    }

    pub(super) fn store(&mut self, profile: Stands) -> StoredProfile {
        let (format, process) = match &profile {
            Stands::Recording(recording) => (ProfileFormat::GoExecutionTrace, &recording.process),
            Stands::CpuProfile(profile) => (ProfileFormat::CpuProfile, &profile.process),
        };
        let raw = RuntimeProfile {
            format,
            bytes: self.decoded.len().to_string().into(),
            process: ProcessIdentity::clone(process),
            source: "simulated".into(),
            fetched: None,
            warnings: std::sync::OnceLock::new(),
        };
        self.decoded.push(profile);
        let directory = self.directory.as_ref().expect("it is open");
        directory.store(&raw).unwrap()
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.directory.as_ref().expect("it is open").used_bytes()
    }

    pub(super) fn cpu_profile_count(&self) -> usize {
        self.directory.as_ref().expect("it is open").remove_unneeded();
        let files = std::fs::read_dir(self.path.path()).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        texts.filter(|text| text.contains("\"cpu_profile\"")).count()
    }

    /// Opens the directory anew, and returns what is there. Nothing may use it any more.
    pub(super) fn reopen(&mut self) -> Vec<(StoredProfile, Stands, Decision)> {
        self.directory = None;
        let (directory, earlier) = RecordingsDirectory::open(self.path.path(), LIMIT_BYTES).unwrap();
        assert!(earlier.foreign.is_empty(), "{:?}", earlier.foreign);
        self.directory = Some(directory);
        let found = earlier.profiles.into_iter().map(|stored| {
            let profile = stored.read().unwrap();
            let number: usize = str::from_utf8(&profile.bytes).unwrap().parse().unwrap();
            let decision = stored.read_decision().unwrap().unwrap_or_default();
            (stored, self.decoded[number].clone(), decision)
        });
        found.collect()
    }
}

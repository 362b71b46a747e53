//! A connector that runs, and the profiles that it is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use prometheus::Registry;
use prost::Message;
use spandrel_pipeline::{Batch, Connector, Consumer, Payload, ProfileFormat, RuntimeProfile, StopSource};
use tokio::task::JoinHandle;

use super::super::AttributionConnector;
use super::super::held_profile::HeldProfile;
use super::connector::{Sink, batch, bounds, measured_connector, metric, wait_for};
use super::join_of;
use super::pprof;

/// It has no wall clock.
pub(super) const UNPLACED: &[u8] = include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix-go1.22.trace");

/// A running connector.
pub(super) struct Running {
    pub(super) connector: Arc<AttributionConnector>,
    pub(super) sink: Arc<Sink>,
    registry: Registry,
    source: StopSource,
    worker: JoinHandle<()>,
}

impl Running {
    /// One with this directory, if there is to be one, and more settings. It takes up what is there.
    pub(super) async fn start(directory: Option<&Path>, yaml: &str) -> Self {
        let directory = directory.map(|path| format!("recordings_directory: {}\n", path.display()));
        let yaml = format!("{}{yaml}", directory.unwrap_or_default());
        let registry = Registry::new();
        let (connector, sink, source) = (
            measured_connector(&yaml, &registry),
            Arc::new(Sink::default()),
            StopSource::new(),
        );
        let outputs = sink.outputs();
        connector.restore(&outputs).await;
        let running = connector.clone().run(outputs, source.stop());
        let worker = tokio::spawn(async move { running.await.unwrap() });
        Self {
            connector,
            sink,
            registry,
            source,
            worker,
        }
    }

    pub(super) async fn take(&self, batches: impl IntoIterator<Item = Batch>) {
        for batch in batches {
            self.connector.consume(batch).await.unwrap();
        }
    }

    pub(super) async fn stop(self) -> Arc<Sink> {
        self.source.request();
        self.worker.await.unwrap();
        self.sink
    }

    /// Ends it in the middle of what it does, as far as a process can do that to itself.
    pub(super) async fn kill(self) {
        self.worker.abort();
        let _ = self.worker.await;
        let held = Arc::downgrade(&self.connector);
        drop(self.connector);
        wait_for(|| held.strong_count() == 0).await;
    }

    /// The only profile that it holds, as those know it that ask about it or join spans with it.
    pub(super) fn held_profile(&self) -> HeldProfile {
        let round = self.connector.config.round(Instant::now(), true);
        let pending = &mut self.connector.lock().pending;
        let choosings = pending.choosings(&round).into_iter().map(|choosing| choosing.profile);
        let placings = pending.placings(&round).into_iter().map(|placing| placing.profile);
        let mut held: Vec<HeldProfile> = choosings.chain(placings).collect();
        for place in pending.due(&round) {
            held.extend(join_of(pending, place, &round).profiles());
        }
        held.pop().expect("one is held")
    }

    pub(super) fn metric(&self, name: &str) -> f64 {
        metric(&self.registry, &format!("spandrel_attribution_{name}"))
    }
}

pub(super) fn raw(profile: &Batch) -> Arc<RuntimeProfile> {
    let Payload::Profile(profile) = &profile.payload else {
        panic!("a profile");
    };
    profile.clone()
}

/// A CPU profile in which every span of [`spans_within`] ran at some time, for 10 ms.
pub(super) fn cpu_profile(of: &RuntimeProfile) -> Batch {
    let (start, _) = bounds(of);
    let ids: Vec<String> = (super::connector::decoded(of).tasks.iter())
        .map(|task| format!("{:016x}", start ^ task.id.0))
        .collect();
    cpu_profile_of(of, &ids)
}

/// A CPU profile with one sample for each of these ids of spans.
pub(super) fn cpu_profile_of(of: &RuntimeProfile, ids: &[String]) -> Batch {
    let (start, end) = bounds(of);
    batch(Payload::Profile(Arc::new(RuntimeProfile {
        format: ProfileFormat::CpuProfile,
        bytes: pprof::profile(start..end, ids).encode_to_vec().into(),
        ..of.clone()
    })))
}

/// The files in `recordings_directory` that profiles have.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_of_profile = |path: &PathBuf| !path.ends_with(".lock") && !path.ends_with(".at-work");
    let mut files: Vec<PathBuf> = paths.filter(is_of_profile).collect();
    files.sort_unstable();
    files
}

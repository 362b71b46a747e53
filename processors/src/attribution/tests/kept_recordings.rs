//! A connector that ends without notice, and one that starts on its `recordings_directory`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use prost::Message;
use spandrel_model::{OffsetEstimate, ProcessIdentity, Table};
use spandrel_pipeline::{
    Batch, BuildContext, Connector, Consumer, Payload, ProfileFormat, Refusal, RuntimeProfile, StopSource,
};
use spandrel_profiles::go_execution_trace::{self, Decoded, StateRules};
use tokio::task::JoinHandle;

use super::super::held_profile::HeldProfile;
use super::super::recordings_directory::{Decision, RecordingsDirectory};
use super::super::{AttributionConfig, AttributionConnector};
use super::connector::{
    Sink, batch, bounds, config, measured_connector, metric, real_profile, sorted_rows, spans_of, spans_within,
    wait_for, with_bytes,
};
use super::join_of;
use super::pprof;
use super::stream::Row;

const EARLIER: &[u8] = include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix-go1.25.trace");
/// It has no wall clock.
const UNPLACED: &[u8] = include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix-go1.22.trace");
const TABLES: [Table; 7] = [
    Table::Attribution,
    Table::SpanQuality,
    Table::TaskSpans,
    Table::Tasks,
    Table::TaskStates,
    Table::Stacks,
    Table::RunningFunctions,
];

/// A running connector.
struct Running {
    connector: Arc<AttributionConnector>,
    sink: Arc<Sink>,
    registry: Registry,
    source: StopSource,
    worker: JoinHandle<()>,
}

impl Running {
    /// One with this directory, if there is to be one, and more settings. It takes up what is there.
    async fn start(directory: Option<&Path>, yaml: &str) -> Self {
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

    async fn take(&self, batches: impl IntoIterator<Item = Batch>) {
        for batch in batches {
            self.connector.consume(batch).await.unwrap();
        }
    }

    async fn stop(self) -> Arc<Sink> {
        self.source.request();
        self.worker.await.unwrap();
        self.sink
    }

    /// Ends it in the middle of what it does, as far as a process can do that to itself.
    async fn kill(self) {
        self.worker.abort();
        let _ = self.worker.await;
        let held = Arc::downgrade(&self.connector);
        drop(self.connector);
        wait_for(|| held.strong_count() == 0).await;
    }

    /// The only profile that it holds, as those know it that ask about it or join spans with it.
    fn held_profile(&self) -> HeldProfile {
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

    fn metric(&self, name: &str) -> f64 {
        metric(&self.registry, &format!("spandrel_attribution_{name}"))
    }
}

fn raw(profile: &Batch) -> Arc<RuntimeProfile> {
    let Payload::Profile(profile) = &profile.payload else {
        panic!("a profile");
    };
    profile.clone()
}

/// A CPU profile in which every span of [`spans_within`] ran at some time, for 10 ms.
fn cpu_profile(of: &RuntimeProfile) -> Batch {
    let (start, end) = bounds(of);
    let ids: Vec<String> = (super::connector::decoded(of).tasks.iter())
        .map(|task| format!("{:016x}", start ^ task.id.0))
        .collect();
    batch(Payload::Profile(Arc::new(RuntimeProfile {
        format: ProfileFormat::CpuProfile,
        bytes: pprof::profile(start..end, &ids).encode_to_vec().into(),
        ..of.clone()
    })))
}

fn tables(sink: &Sink) -> [Vec<Row>; 7] {
    TABLES.map(|table| {
        let mut rows = sorted_rows(sink, table);
        rows.iter_mut().for_each(|row| drop(row.remove("emission")));
        rows.sort();
        rows
    })
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_of_profile = |path: &PathBuf| !path.ends_with(".lock") && !path.ends_with(".at-work");
    let mut files: Vec<PathBuf> = paths.filter(is_of_profile).collect();
    files.sort_unstable();
    files
}

#[tokio::test]
async fn profiles_that_were_acknowledged_are_joined_after_a_crash_as_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let recordings = [real_profile(), with_bytes(EARLIER)];
    let profiles = || {
        recordings
            .iter()
            .flat_map(|profile| [profile.clone(), cpu_profile(&raw(profile))])
    };
    let spans = || recordings.iter().map(|profile| spans_within(&raw(profile)));
    let whole = Running::start(None, "").await;
    whole.take(profiles().chain(spans())).await;
    let whole = tables(&*whole.stop().await);
    assert!(whole.iter().all(|rows| !rows.is_empty()), "{whole:?}");

    for (memory, unloaded) in [("1GiB", 0.0), ("1MiB", 1.0)] {
        let directory = directory.path().join(memory);
        let yaml = format!("recording_limit: {memory}");
        let killed = Running::start(Some(&directory), &yaml).await;
        killed.take(profiles()).await;
        killed.kill().await;
        assert_eq!(files(&directory).len(), 4);
        let again = Running::start(Some(&directory), &yaml).await;
        assert_eq!(again.metric("restored_recordings"), 4.0);
        assert_eq!(again.metric("unloaded_recordings"), unloaded, "{memory}");
        again.take(profiles().chain(spans())).await;
        assert_eq!(again.metric("duplicate_recordings"), 4.0);
        assert_eq!(tables(&*again.stop().await), whole, "{memory}");
    }
}

#[tokio::test]
async fn rows_of_a_recording_keep_the_name_under_which_they_left() {
    let directory = tempfile::tempdir().unwrap();
    let process_ids = |sink: &Sink| {
        let mut ids: Vec<String> = (sorted_rows(sink, Table::TaskStates).into_iter())
            .map(|row| row["process_id"].clone())
            .collect();
        ids.dedup();
        ids
    };
    let stopped = Running::start(Some(directory.path()), "").await;
    stopped.take([real_profile()]).await;
    assert_eq!(process_ids(&*stopped.stop().await), [""], "nobody knows the instance");
    for _ in 0..2 {
        let again = Running::start(Some(directory.path()), "").await;
        again.take([spans_of("shop-1", 1, 2)]).await;
        let sink = again.stop().await;
        assert_eq!(process_ids(&sink), [""]);
        let bound = sorted_rows(&sink, Table::SpanQuality);
        assert!(bound.iter().all(|row| row["process_id"] == "shop-1"), "{bound:?}");
    }
}

#[tokio::test]
async fn a_recording_without_a_wall_clock_stays_where_spans_have_placed_it() {
    const OFFSET_NS: i64 = 1_795_000_000_000_000_000;
    let directory = tempfile::tempdir().unwrap();
    let profile = raw(&with_bytes(UNPLACED));
    let estimate = OffsetEstimate {
        offset_ns: OFFSET_NS,
        error_ns: 1_000,
        witnesses: 20,
        asked: 20,
    };
    let owner = Arc::new(ProcessIdentity {
        service_instance_id: Some("shop-1".into()),
        ..profile.process.clone()
    });
    let (disk, _) = RecordingsDirectory::open(directory.path(), u64::MAX).unwrap();
    let stored = disk.store(&profile).unwrap();
    stored.keep();
    stored
        .write_decision(&Decision {
            owner: Some(owner),
            placed: Some(estimate),
            rows_under: None,
        })
        .unwrap();
    drop((disk, stored));

    let decoded = go_execution_trace::decode(&profile.bytes, Arc::default(), "x".into(), &StateRules::default());
    let Ok(Decoded::Unanchored(recording)) = decoded else {
        panic!("it has no wall clock");
    };
    let start = recording.anchored(estimate).window.start().0.to_string();
    let sink = Running::start(Some(directory.path()), "").await.stop().await;
    let tasks = sorted_rows(&sink, Table::Tasks);
    assert!(!tasks.is_empty());
    for row in tasks {
        assert_eq!(
            (&row["process_id"], &row["recording_start_ns"]),
            (&"shop-1".to_owned(), &start)
        );
    }
}

#[tokio::test]
async fn an_unplaced_recording_waits_for_the_next_run_and_goes_when_its_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let stopped = Running::start(Some(directory.path()), "").await;
    stopped.take([with_bytes(UNPLACED)]).await;
    stopped.stop().await;
    assert_eq!(files(directory.path()).len(), 1);
    let again = Running::start(Some(directory.path()), "join_delay: 10ms").await;
    wait_for(|| again.metric("unanchored_recordings") == 1.0).await;
    wait_for(|| files(directory.path()).is_empty()).await;
    again.take([with_bytes(UNPLACED)]).await;
    assert_eq!(again.metric("accepted_recordings"), 1.0, "it may be sent again");
    again.stop().await;
}

#[tokio::test]
async fn a_recording_is_removed_with_its_decision_when_it_is_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(Some(directory.path()), "join_delay: 10ms\nretention: 1500ms").await;
    running.take([real_profile()]).await;
    let names = || files(directory.path()).len();
    wait_for(|| names() == 2).await;
    wait_for(|| names() == 0).await;
    assert!(running.sink.rows(Table::TaskStates) > 100);
    running.stop().await;
}

#[tokio::test]
async fn what_is_damaged_or_foreign_is_left_alone_and_all_else_is_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    let stopped = Running::start(Some(directory.path()), "").await;
    stopped.take([with_bytes(EARLIER), real_profile()]).await;
    stopped.kill().await;
    let damaged = files(directory.path()).remove(0);
    let content = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &content[..content.len() - 1]).unwrap();
    std::fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let again = Running::start(Some(directory.path()), "").await;
    assert_eq!(again.metric("restored_recordings"), 1.0);
    again
        .take([spans_within(&raw(&real_profile())), with_bytes(EARLIER)])
        .await;
    assert_eq!(again.metric("accepted_recordings"), 1.0, "what is damaged is not known");
    assert!(again.stop().await.sum(Table::SpanQuality, "exact_ns") > 0);
    assert_eq!(std::fs::read(&damaged).unwrap(), content[..content.len() - 1]);
    assert!(directory.path().join("notes.txt").exists());
}

/// As a collector leaves the directory that holds one profile, and is killed again and again while it works on that.
fn die_at_work(directory: &Path, times: usize) {
    std::fs::write(directory.join(".at-work"), "1\n".repeat(times)).unwrap();
}

#[tokio::test]
async fn a_crash_loop_ends_and_the_spans_are_joined_without_the_profile() {
    let directory = tempfile::tempdir().unwrap();
    let first = Running::start(Some(directory.path()), "").await;
    first.take([real_profile()]).await;
    first.kill().await;
    die_at_work(directory.path(), 1);
    let second = Running::start(Some(directory.path()), "").await;
    assert_eq!(
        second.metric("restored_recordings"),
        1.0,
        "one death may have another reason"
    );
    second.kill().await;
    let journal = std::fs::read_to_string(directory.path().join(".at-work")).unwrap();
    assert_eq!(journal, "1\n", "the first death is not forgotten");
    die_at_work(directory.path(), 2);
    for set_aside in [1.0, 0.0] {
        let spared = Running::start(Some(directory.path()), "").await;
        assert_eq!(spared.metric("restored_recordings"), 0.0);
        assert_eq!(spared.metric("set_aside_profiles"), set_aside);
        let spans = spans_within(&raw(&real_profile()));
        spared.take([spans]).await;
        let sink = spared.stop().await;
        let (unknown, spans) = (
            sink.sum(Table::SpanQuality, "unknown_ns"),
            sink.rows(Table::SpanQuality),
        );
        assert!(spans > 0 && unknown > 0);
        assert_eq!(sink.sum(Table::SpanQuality, "exact_ns"), 0);
        assert_eq!(
            files(directory.path()),
            [directory.path().join("00000000000000000001.aside")]
        );
    }
    // The remedy that the log names.
    let [aside] = &files(directory.path())[..] else {
        panic!("it is there");
    };
    std::fs::rename(aside, aside.with_extension("profile")).unwrap();
    let again = Running::start(Some(directory.path()), "").await;
    assert_eq!(again.metric("restored_recordings"), 1.0);
    again.take([spans_within(&raw(&real_profile()))]).await;
    assert!(again.stop().await.sum(Table::SpanQuality, "exact_ns") > 0);
}

#[tokio::test]
async fn what_is_set_aside_is_joined_with_nothing_in_this_run_and_the_next() {
    let directory = tempfile::tempdir().unwrap();
    for profile in [real_profile(), cpu_profile(&raw(&real_profile())), with_bytes(UNPLACED)] {
        let running = Running::start(Some(directory.path()), "").await;
        running.take([spans_within(&raw(&real_profile())), profile]).await;
        running.connector.set_aside(running.held_profile()).await;
        assert_eq!(running.metric("set_aside_profiles"), 1.0);
        let sink = running.stop().await;
        let rows = [Table::Tasks, Table::RunningFunctions].map(|table| sink.rows(table));
        assert_eq!((rows, sink.sum(Table::SpanQuality, "exact_ns")), ([0, 0], 0));
        assert!(sink.rows(Table::SpanQuality) > 0);
        let next = Running::start(Some(directory.path()), "").await;
        assert_eq!(next.metric("restored_recordings"), 0.0);
        next.stop().await;
    }
    let files = files(directory.path());
    assert!(
        files.len() == 3 && files.iter().all(|path| path.extension().unwrap() == "aside"),
        "{files:?}"
    );
}

#[tokio::test]
async fn a_decision_that_could_not_be_written_is_tried_again() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, aside) = (parent.path().join("recordings"), parent.path().join("aside"));
    let running = Running::start(Some(&directory), "join_delay: 1s").await;
    running.take([real_profile()]).await;
    std::fs::rename(&directory, &aside).unwrap();
    wait_for(|| running.sink.rows(Table::TaskStates) > 0).await;
    std::fs::rename(&aside, &directory).unwrap();
    wait_for(|| files(&directory).len() == 2).await;
    running.stop().await;
}

#[tokio::test]
async fn a_full_directory_lets_go_what_is_joined_and_refuses_profiles_if_nothing_is() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = raw(&real_profile()).bytes.len().max(EARLIER.len()) + 1_000;
    let yaml = format!("join_delay: 1s\nrecordings_directory_limit: {bytes}B");
    let running = Running::start(Some(directory.path()), &yaml).await;
    running.take([real_profile()]).await;
    let refusal = running.connector.consume(with_bytes(EARLIER)).await.unwrap_err();
    let Refusal::Refused { reason, retry_after } = &refusal else {
        panic!("{refusal:?}");
    };
    assert!(reason.contains("recordings_directory_limit"), "{reason}");
    assert_eq!(*retry_after, Some(Duration::from_secs(1)));
    wait_for(|| running.sink.rows(Table::TaskStates) > 0).await;
    running.take([with_bytes(EARLIER)]).await;
    assert_eq!(running.metric("evicted_recordings"), 1.0);
    let too_large = Running::start(
        Some(&directory.path().join("small")),
        "recordings_directory_limit: 1KiB",
    )
    .await;
    let refusal = too_large.connector.consume(real_profile()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Permanent { .. }), "{refusal}");
}

#[tokio::test]
async fn what_has_no_place_is_refused_before_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(Some(directory.path()), "recordings_directory_limit: 2KiB").await;
    let large = cpu_profile(&raw(&real_profile()));
    assert!(raw(&large).bytes.len() > 512, "its share is a quarter");
    let refusal = running.connector.consume(large).await.unwrap_err();
    let Refusal::Permanent { reason } = &refusal else {
        panic!("{refusal:?}");
    };
    assert!(reason.contains("recordings_directory_limit"), "{reason}");
    running.stop().await;
    // One without a wall clock stays in memory until spans place it.
    let other = directory.path().join("other");
    let running = Running::start(Some(&other), "recording_limit: 1KiB").await;
    running.take([with_bytes(UNPLACED)]).await;
    std::fs::rename(&other, directory.path().join("aside")).unwrap();
    let refusal = running.connector.consume(real_profile()).await.unwrap_err();
    assert!(
        refusal.to_string().contains("recording_limit"),
        "the disk was not asked: {refusal}"
    );
}

#[tokio::test]
async fn a_directory_that_fails_makes_senders_wait() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("recordings");
    let running = Running::start(Some(&directory), "").await;
    let aside = parent.path().join("aside");
    std::fs::rename(&directory, &aside).unwrap();
    let refusal = running.connector.consume(real_profile()).await.unwrap_err();
    let Refusal::Refused { reason, .. } = &refusal else {
        panic!("{refusal:?}");
    };
    assert!(reason.contains("recordings_directory"), "{reason}");
    std::fs::rename(&aside, &directory).unwrap();
    running.take([real_profile()]).await;
    assert_eq!(files(&directory).len(), 1);
}

#[tokio::test]
async fn two_connectors_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!("recordings_directory: {}", directory.path().display());
    let first = measured_connector(&yaml, &Registry::new());
    let context = BuildContext {
        id: "attribution/2".into(),
        registry: Registry::new(),
    };
    let error = AttributionConnector::new(config(&yaml), &context)
        .err()
        .expect("it is in use");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("is in use by another"), "{cause}");
    drop(first);
    AttributionConnector::new(config(&yaml), &context).expect("it is free again");
}

#[test]
fn a_limit_without_a_directory_is_a_problem() {
    for (yaml, wanted) in [
        ("recordings_directory_limit: 1GiB", "needs recordings_directory"),
        ("recordings_directory: ''", "must not be empty"),
    ] {
        let section = spandrel_config::Section::from_yaml("connectors::attribution", yaml).unwrap();
        let mut problems = spandrel_config::Problems::new();
        assert!(AttributionConfig::check(&section, &mut problems).is_none());
        assert!(problems.to_string().contains(wanted), "{problems}");
    }
}

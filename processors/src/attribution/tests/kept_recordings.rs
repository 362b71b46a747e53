//! A connector that ends without notice, and one that starts on its `recordings_directory`.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use spandrel_model::{OffsetEstimate, ProcessIdentity, Table};
use spandrel_pipeline::{BuildContext, Consumer, Refusal};
use spandrel_profiles::go_execution_trace::{self, Decoded, StateRules};

use super::super::recordings_directory::{Decision, RecordingsDirectory};
use super::super::{AttributionConfig, AttributionConnector};
use super::connector::{
    Sink, config, measured_connector, real_profile, sorted_rows, spans_of, spans_within, wait_for, with_bytes,
};
use super::running::{Running, UNPLACED, cpu_profile, cpu_profile_of, files, raw};
use super::stream::Row;

const EARLIER: &[u8] = include_bytes!("../../../../profiles/gotrace/tests/fixtures/mix-go1.25.trace");
const TABLES: [Table; 7] = [
    Table::Attribution,
    Table::SpanQuality,
    Table::TaskSpans,
    Table::Tasks,
    Table::TaskStates,
    Table::Stacks,
    Table::RunningFunctions,
];

fn tables(sink: &Sink) -> [Vec<Row>; 7] {
    TABLES.map(|table| {
        let mut rows = sorted_rows(sink, table);
        rows.iter_mut().for_each(|row| drop(row.remove("emission")));
        rows.sort();
        rows
    })
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
    assert_eq!(running.metric("rejected_recordings"), 1.0);
    let unlabeled = cpu_profile_of(&raw(&real_profile()), &vec!["nobody".to_owned(); 100]);
    assert!(raw(&unlabeled).bytes.len() > 512, "it is never stored");
    running.take([unlabeled]).await;
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

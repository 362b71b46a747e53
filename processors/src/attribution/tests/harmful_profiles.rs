//! Profiles for which the connector panics, or the process dies: they are set aside, and all else goes on.

use std::path::Path;

use prometheus::Registry;
use spandrel_model::Table;
use spandrel_pipeline::Connector;

use super::super::guarded::at_work;
use super::super::recordings_directory::RecordingsDirectory;
use super::super::restored_recordings::NotTakenUp;
use super::connector::{measured_connector, metric, real_profile, spans_within, with_bytes};
use super::running::{Running, UNPLACED, cpu_profile, files, raw};

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
async fn a_profile_for_which_a_start_panics_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, _) = RecordingsDirectory::open(directory.path(), u64::MAX).unwrap();
    disk.store(&raw(&real_profile())).unwrap().keep();
    drop(disk);
    let (registry, yaml) = (
        Registry::new(),
        format!("recordings_directory: {}", directory.path().display()),
    );
    let connector = measured_connector(&yaml, &registry);
    let stored = connector.lock().earlier_profiles.pop().unwrap();
    let taken_up = connector.take_up_profile(stored, |_, _| panic!("as wanted")).await;
    assert!(matches!(taken_up, Err(NotTakenUp::Panicked(_))));
    assert_eq!(metric(&registry, "spandrel_attribution_set_aside_profiles"), 1.0);
    assert_eq!(
        files(directory.path()),
        [directory.path().join("00000000000000000001.aside")]
    );
}

#[tokio::test]
async fn work_that_an_end_in_order_cuts_short_is_no_death_and_what_was_survived_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let journal = || std::fs::read_to_string(directory.path().join(".at-work")).unwrap();
    let first = Running::start(Some(directory.path()), "").await;
    first.take([real_profile()]).await;
    first.kill().await;
    die_at_work(directory.path(), 1);
    let second = Running::start(Some(directory.path()), "").await;
    second.take([spans_within(&raw(&real_profile()))]).await;
    let held = [second.held_profile()];
    let work = at_work(&held);
    assert_eq!(journal(), "1\n1\n");
    second.connector.give_up();
    assert_eq!(journal(), "", "a start has decoded it");
    drop(work);
    second.stop().await;
    assert_eq!(journal(), "");
}

//! What two views of one simulation must share.

use super::sequences::sequences;
use super::view::{View, assert_same};

/// Everything is the same, to the nanosecond.
pub(crate) fn assert_equal(found: &View, expected: &View) {
    assert_same("events", &found.events, &expected.events);
    assert_same("generations", &found.generations, &expected.generations);
    assert_eq!((found.start, found.end), (expected.start, expected.end));
    assert_same("tasks", &found.tasks, &expected.tasks);
    assert_same("snapshots", &found.snapshots, &expected.snapshots);
    assert_same_lists(found, expected);
}

/// Everything is the same that does not depend on the clocks of threads.
pub(crate) fn assert_same_order(found: &View, expected: &View) {
    let times: Vec<i64> = found.events.iter().map(|line| line.time).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "times do not increase");
    let (found_lines, expected_lines) = (sequences(&found.events), sequences(&expected.events));
    for (resource, expected) in &expected_lines {
        let found = found_lines.get(resource).map(Vec::as_slice).unwrap_or_default();
        assert_same(&format!("events of {resource:?}"), found, expected);
    }
    assert_eq!(found_lines.len(), expected_lines.len());
    assert_same_lists(&found.untimed(), &expected.untimed());
}

fn assert_same_lists(found: &View, expected: &View) {
    assert_same("goroutines", &found.life_lines(), &expected.life_lines());
    assert_same("ranges", &sorted(&found.ranges), &sorted(&expected.ranges));
    assert_same("regions", &sorted(&found.regions), &sorted(&expected.regions));
    assert_same("logs", &found.logs, &expected.logs);
    assert_same("samples", &found.samples, &expected.samples);
    assert_eq!(found.counts, expected.counts);
}

fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort();
    list
}

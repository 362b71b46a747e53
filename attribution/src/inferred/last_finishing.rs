//! The rule of the last finishing child.
//!
//! A span that starts children and waits for them went on when the last of them had finished. Backwards from its end:
//! the child that finished last before the cursor was waited for; the cursor moves to its start; and so on.
//!
//! ```text
//! parent     |-----------------------------|
//! children     |--a--|    |----b----|
//!                           |--c--|
//! sections   |p|a    |p   |b        |p     |    c had finished when b had not: nobody waited for it
//! ```
//!
//! A child may finish exactly at the cursor, since clocks are read in nanoseconds and exporters keep microseconds, and
//! as much later as the clocks are uncertain (its slack). One that finishes later still was running when the next one
//! began, or when the parent ended, so nobody waited for it there.

use std::cmp::Reverse;

use spandrel_model::Interval;

/// A child on the clock of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// Time open.
    pub(crate) interval: Interval,
    /// How much later than the cursor it may seem to finish, nanoseconds.
    pub(crate) slack_ns: i64,
}

/// The sections of `parent` in which it waited for a child, with the index of the child; in the order of time, not empty,
/// without overlap.
pub(crate) fn sections(parent: Interval, children: &[Child]) -> Vec<(Interval, usize)> {
    let mut latest_first: Vec<usize> = (0..children.len()).collect();
    latest_first.sort_unstable_by_key(|index| {
        let interval = children[*index].interval;
        (Reverse(interval.end()), interval.start(), *index)
    });
    let mut sections = Vec::new();
    let mut cursor = parent.end();
    for index in latest_first {
        let Child { interval, slack_ns } = children[index];
        if interval.end() > cursor.plus(slack_ns) {
            continue;
        }
        let start = interval.start().max(parent.start());
        if let Some(section) = Interval::new(start, interval.end().min(cursor)).filter(|section| !section.is_empty()) {
            sections.push((section, index));
            cursor = start;
        }
    }
    sections.reverse();
    sections
}

#[cfg(test)]
mod tests {
    use spandrel_model::UnixNanos;

    use super::*;

    fn shown(children: &[(i64, i64)], slack_ns: i64) -> Vec<(i64, i64, usize)> {
        let interval = |(start, end)| Interval::new(UnixNanos(start), UnixNanos(end)).unwrap();
        let children: Vec<Child> = children
            .iter()
            .map(|times| Child {
                interval: interval(*times),
                slack_ns,
            })
            .collect();
        let sections = sections(interval((0, 100)), &children);
        let shown = sections
            .iter()
            .map(|(section, index)| (section.start().0, section.end().0, *index));
        shown.collect()
    }

    #[test]
    fn the_last_to_finish_was_waited_for_and_before_it_the_last_to_finish_before_it_began() {
        assert_eq!(shown(&[(5, 30), (50, 90), (60, 80)], 0), [(5, 30, 0), (50, 90, 1)]);
        assert_eq!(shown(&[(10, 40), (10, 70), (10, 60)], 0), [(10, 70, 1)]);
        assert_eq!(shown(&[], 0), []);
    }

    #[test]
    fn children_that_touch_follow_each_other() {
        let all = [(0, 20, 0), (20, 50, 1), (50, 100, 2)];
        assert_eq!(shown(&[(0, 20), (20, 50), (50, 100)], 0), all);
    }

    #[test]
    fn a_child_that_overlaps_the_next_counts_within_its_slack_only() {
        assert_eq!(shown(&[(0, 51), (50, 90)], 0), [(50, 90, 1)]);
        assert_eq!(shown(&[(0, 51), (50, 90)], 1), [(0, 50, 0), (50, 90, 1)]);
    }

    #[test]
    fn a_child_that_outlives_the_parent_was_not_waited_for() {
        assert_eq!(shown(&[(0, 20), (30, 101)], 0), [(0, 20, 0)]);
        assert_eq!(shown(&[(30, 101)], 1), [(30, 100, 0)]);
    }

    #[test]
    fn children_without_length_and_outside_of_the_parent_have_no_section() {
        assert_eq!(shown(&[(50, 50), (-20, -10), (120, 130), (-5, 10)], 0), [(0, 10, 3)]);
    }
}

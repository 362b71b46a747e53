//! Whether a goroutine went on without a wait from one instant to another, however many states lie between.
//!
//! Spans without a partner ask that of long stretches, one after the other of the same goroutine. So the waits and the holes of
//! all goroutines are counted once, and a stretch is the difference of two counts.

use spandrel_model::{Interval, State};

use crate::Timeline;
use crate::timeline::TaskLine;

/// Running counts over the states of a timeline.
pub(super) struct Unbroken {
    // Before each state: how many waits there were, and how many states that do not touch the one before.
    before: Vec<Counts>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    waits: u32,
    holes: u32,
}

impl Unbroken {
    pub(super) fn new(timeline: &Timeline) -> Self {
        let slices = timeline.slices();
        let mut before = Vec::with_capacity(slices.len() + 1);
        let mut counts = Counts::default();
        for (index, slice) in slices.iter().enumerate() {
            let touches = index > 0 && {
                let last = &slices[index - 1];
                last.task == slice.task && last.interval.end() == slice.interval.start()
            };
            counts.holes = counts.holes.saturating_add(u32::from(!touches));
            before.push(counts);
            counts.waits = counts.waits.saturating_add(u32::from(is_break(slice.state)));
        }
        before.push(counts);
        Self { before }
    }

    /// Whether the goroutine was on a processor or ready for one in all of `time`; `None` if it was not, and false where its
    /// state is not recorded.
    pub(super) fn went_on(&self, timeline: &Timeline, line: &TaskLine, time: Interval) -> Option<bool> {
        if time.is_empty() {
            return Some(true);
        }
        let is_alive =
            line.birth.is_none_or(|birth| birth <= time.start()) && line.death.is_none_or(|death| time.end() <= death);
        if !is_alive {
            return None;
        }
        let range = timeline.slice_range(line, time);
        let (Some(first), Some(last)) = (
            timeline.slices()[range.clone()].first(),
            timeline.slices()[range.clone()].last(),
        ) else {
            return Some(false);
        };
        if self.before[range.end].waits > self.before[range.start].waits {
            return None;
        }
        let is_covered = first.interval.start() <= time.start() && time.end() <= last.interval.end();
        Some(is_covered && self.before[range.end - 1].holes == self.before[range.start].holes)
    }
}

/// Whether the state is a wait of the program's, or may be one. The collector holds a goroutine up without its doing.
fn is_break(state: State) -> bool {
    state != State::GcOther && (state.is_wait() || state == State::Syscall)
}

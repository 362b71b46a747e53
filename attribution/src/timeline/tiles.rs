//! What is known of a task over a stretch of time, one thing after the other.

use spandrel_model::{Interval, UnixNanos, UnknownReason};

use super::{Standing, TaskLine, Timeline};
use crate::slices::{Position, StateSlice, WakeId};

impl Timeline {
    /// Cuts `interval` into stretches in which one thing is known about `task`. They tile `interval`.
    pub(crate) fn tiles<'a>(&'a self, task: Option<&'a TaskLine>, interval: Interval) -> Tiles<'a> {
        Tiles {
            timeline: self,
            task,
            slices: task.map_or(&[], |task| self.slices_from(task, interval.start())),
            at: interval.start(),
            end: interval.end(),
        }
    }

    /// As [`Self::tiles`] of the task at `near`, which is that of no earlier instant than the start of `interval`. What
    /// lies shortly before it is found in a few steps, however many states the task has.
    pub(crate) fn tiles_before(&self, near: Position, interval: Interval) -> Tiles<'_> {
        let task = &self.tasks[near.line];
        let start = interval.start();
        let earlier = &self.slices[task.slices.start..near.slice];
        let (mut first, mut step) = (earlier.len(), 1);
        while first > 0 && start < earlier[first - 1].interval.end() {
            first = first.saturating_sub(step);
            step *= 2;
        }
        first += earlier[first..].partition_point(|slice| slice.interval.end() <= start);
        let slices = &self.slices[task.slices.start + first..task.slices.end];
        debug_assert!(slices.first().is_none_or(|slice| start < slice.interval.end()));
        Tiles {
            timeline: self,
            task: Some(task),
            slices,
            at: start,
            end: interval.end(),
        }
    }
}

/// See [`Timeline::tiles`].
pub(crate) struct Tiles<'a> {
    timeline: &'a Timeline,
    task: Option<&'a TaskLine>,
    slices: &'a [StateSlice],
    at: UnixNanos,
    end: UnixNanos,
}

/// A stretch of a task in which one thing is known about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub(crate) interval: Interval,
    pub(crate) standing: Standing,
    /// What ended it, if it is a wait that another task ended.
    pub(crate) wake: Option<WakeId>,
    /// Layer of the library in which the task stands, as a position in [`StackLayers::layers`].
    pub(crate) stack_layer: Option<usize>,
}

impl Iterator for Tiles<'_> {
    type Item = Tile;

    fn next(&mut self) -> Option<Tile> {
        if self.at >= self.end {
            return None;
        }
        let (end, standing, wake, stack_layer) = match self.slices.split_first() {
            Some((slice, rest)) if slice.interval.start() <= self.at => {
                self.slices = rest;
                let standing = Standing::Known(slice.state, slice.sub_state);
                (slice.interval.end(), standing, slice.ending.wake(), slice.place.layer())
            }
            next => {
                let next = next.map_or(self.end, |(slice, _)| slice.interval.start());
                let (end, reason) = self.hole(next.min(self.end));
                (end, Standing::Unknown(reason), None, None)
            }
        };
        let interval = Interval::new(self.at, end.min(self.end))?;
        self.at = interval.end();
        Some(Tile {
            interval,
            standing,
            wake,
            stack_layer,
        })
    }
}

impl Tiles<'_> {
    /// Whether more than `count` known states are left.
    pub(crate) fn has_more_states_than(&self, count: usize) -> bool {
        self.slices
            .get(count)
            .is_some_and(|slice| slice.interval.start() < self.end)
    }

    /// Why nothing is known from `self.at` on, and until when, at most until `end`. That the task was not alive is
    /// knowledge even where nothing was recorded, so it comes first.
    fn hole(&self, end: UnixNanos) -> (UnixNanos, UnknownReason) {
        let mut end = end;
        if let Some(task) = self.task {
            match task.birth {
                Some(birth) if self.at < birth => return (end.min(birth), UnknownReason::TaskNotAlive),
                _ => {}
            }
            match task.death {
                Some(death) if death <= self.at => return (end, UnknownReason::TaskNotAlive),
                Some(death) => end = end.min(death),
                None => {}
            }
        }
        match self.timeline.covered_from(self.at).next() {
            Some(covered) if covered.contains(self.at) => (end.min(covered.end()), UnknownReason::StateNotRecorded),
            Some(covered) => (end.min(covered.start()), UnknownReason::NotRecorded),
            None => (end, UnknownReason::NotRecorded),
        }
    }
}

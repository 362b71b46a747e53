//! The walk along a chain of waits: who was at work, at each instant, for a task that waits.
//!
//! For task g and instant t the end of the chain is
//!
//! * (g, t) itself, if g is at work, ready, in a system call or unknown at t, or in a wait that no task ended, or one for
//!   the network or a timer that a task of the runtime ended, or any task while the world was stopped;
//! * the end of the chain of g's creator at t, if g is not born at t;
//! * the end of the chain of the waker at t, if g is in a wait that a task ended.
//!
//! Neither asks who wants to know, nor does it look beyond t: the walk over a stretch of time descends into the waker's
//! states over the same stretch, cut at its borders. It costs one step per state met and needs memory for the path.
//!
//! It ends because causes precede effects: a task that wakes another one at u is running at u, so if it waited at t < u,
//! somebody woke it before u. Along a path those times fall. Where they rise, or a task comes up again at the same time,
//! the recording contradicts itself, and the time is unknown. A path has at most `chain_limit` steps besides.

mod counts;
mod path;
mod reached;
mod summed_up;

use std::rc::Rc;

use foldhash::HashMap;
use spandrel_model::{Interval, State, TaskId, TaskKind, TraceId, UnixNanos, UnknownReason};

pub use self::counts::WalkCounts;
use self::path::{Act, Alive, Doing, Next, Step};
pub(super) use self::reached::{Reached, Whose};
use super::classes::OwnerClasses;
use super::summary::Summary;
use crate::owner::OwnedPiece;
use crate::remote::Calls;
use crate::self_view::Evidences;
use crate::slices::{Position, Wake};
use crate::spans::SpanIndex;
use crate::timeline::{LineIndex, Standing, Tile, Timeline};

/// Walks chains, keeping count.
pub(super) struct Walker<'a> {
    evidences: Evidences<'a>,
    timeline: &'a Timeline,
    classes: &'a OwnerClasses,
    chain_limit: u32,
    // The trace of the spans that ask, if they have one in common.
    asking: Option<TraceId>,
    // Whether stretches may be summed up. By task; `None` for those of which it is not possible.
    sums: bool,
    calls: &'a Calls,
    // The span that owns the first task of the path.
    waiting: SpanIndex,
    summaries: HashMap<LineIndex, Option<Rc<Summary>>>,
    // The tasks from the first one to the one being walked.
    path: Vec<Step<'a>>,
    pub(super) counts: WalkCounts,
}

impl<'a> Walker<'a> {
    pub(super) fn new(evidences: Evidences<'a>, classes: &'a OwnerClasses, calls: &'a Calls, chain_limit: u32) -> Self {
        Self {
            evidences,
            timeline: evidences.timeline,
            classes,
            chain_limit,
            asking: None,
            sums: false,
            calls,
            waiting: 0,
            summaries: HashMap::default(),
            path: Vec::new(),
            counts: WalkCounts::default(),
        }
    }

    /// From now on asks for spans that are all of trace `asking`, if they have one in common, and only for how much time
    /// there is of what.
    pub(super) fn sum_for(&mut self, asking: Option<TraceId>) {
        self.asking = asking;
        self.sums = asking.is_some();
    }

    /// Calls `each` for the ends of the chains that start from the task of `piece`, which is `task`. They come in the order of time and tile
    /// the piece, except where a stretch is summed up: there each is a part of the stretch.
    pub(super) fn walk(&mut self, task: TaskId, piece: OwnedPiece, each: &mut impl FnMut(Reached)) {
        let interval = piece.interval;
        self.waiting = piece.span;
        let Some(position) = self.timeline.position(task, interval.end()) else {
            for tile in self.timeline.tiles(None, interval) {
                each(reached::own(task, tile));
            }
            return;
        };
        self.path.clear();
        self.push(position, interval, UnixNanos(i64::MAX), None);
        while let Some(step) = self.path.last_mut() {
            match step.next() {
                Next::Unborn(part) => self.ask_creator(part, each),
                Next::Tile(tile) => self.take(tile, each),
                Next::Done => drop(self.path.pop()),
            }
        }
    }

    /// Adds to the path the task at `position`, which is that of no earlier instant than the start of `interval`.
    fn push(&mut self, position: Position, interval: Interval, acts_at: UnixNanos, ends: Option<Doing>) {
        let task = &self.timeline.tasks()[position.line];
        let birth = task.birth.unwrap_or(interval.start());
        let born_at = birth.clamp(interval.start(), interval.end());
        let unborn = Interval::new(interval.start(), born_at).filter(|unborn| !unborn.is_empty());
        let alive = Interval::new(born_at, interval.end()).unwrap_or(interval);
        self.path.push(Step {
            line: position.line,
            unborn,
            alive: Alive::Tiles(self.timeline.tiles_before(position, alive)),
            acts_at,
            ends,
            owner: (None, UnixNanos(i64::MIN)),
        });
        self.counts.depth_max = self.counts.depth_max.max(self.depth());
    }

    /// Steps from the first task of the path to the last.
    fn depth(&self) -> u32 {
        u32::try_from(self.path.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The last task of the path is not born: its creator had not got round to creating it.
    fn ask_creator(&mut self, part: Interval, each: &mut impl FnMut(Reached)) {
        let last = self.path.len() - 1;
        let task = &self.timeline.tasks()[self.path[last].line];
        match (task.creator, task.birth) {
            (Some(creator), Some(birth)) => {
                let creation = Act {
                    task: creator,
                    at: birth,
                    position: self.timeline.position(creator, birth),
                    ends: None,
                };
                self.descend(creation, part, each);
            }
            _ => self.created_from_outside(part, each),
        }
    }

    /// No task created the last one, so the wait that it ends was for what did: the network poller or a timer. That wait
    /// is the end of the chain.
    fn created_from_outside(&mut self, part: Interval, each: &mut impl FnMut(Reached)) {
        let waited_for = (1..self.path.len()).rev().find(|step| self.path[*step].ends.is_some());
        match waited_for.and_then(|step| Some((step - 1, self.path[step].ends?))) {
            Some((waiting, wait)) => self.end(waiting, part, wait, each),
            None => {
                let never_alive = Doing {
                    standing: Standing::Unknown(UnknownReason::TaskNotAlive),
                    stack_layer: None,
                };
                self.end(0, part, never_alive, each);
            }
        }
    }

    /// A stretch of the last task of the path.
    fn take(&mut self, tile: Tile, each: &mut impl FnMut(Reached)) {
        let wake = tile.wake.map(|wake| self.timeline.wake(wake));
        let Some(wake) = wake.filter(|wake| !self.came_by(wake, tile.standing)) else {
            return self.end(self.path.len() - 1, tile.interval, Doing::of(tile), each);
        };
        self.counts.waits += 1;
        let act = Act {
            task: wake.waker,
            at: wake.at,
            position: wake.position,
            ends: Some(Doing::of(tile)),
        };
        self.descend(act, tile.interval, each);
    }

    /// Whether the waker is a goroutine of the runtime that only came by and asked the poller, as a worker of the garbage
    /// collector does when it starts the world again: the wait was for the network or a timer all the same.
    fn came_by(&self, wake: &Wake, wait: Standing) -> bool {
        matches!(wait, Standing::Known(State::Network | State::Sleep, _))
            && (wake.position).is_some_and(|waker| self.timeline.tasks()[waker.line].kind == TaskKind::System)
    }

    /// Adds to the path the task that acted on its last one, to be walked over `part`, which ends no later than that.
    fn descend(&mut self, act: Act, part: Interval, each: &mut impl FnMut(Reached)) {
        let Act { task, at, ends, .. } = act;
        let Some(position) = act.position else {
            self.counts.wakers_not_recorded += 1;
            return self.give_up(task, part, ends, UnknownReason::WakerNotRecorded, each);
        };
        if self.contradicts(position.line, at) {
            self.counts.contradictions += 1;
            return self.give_up(task, part, ends, UnknownReason::WakesContradict, each);
        }
        if self.depth() >= self.chain_limit {
            self.counts.too_long += 1;
            return self.give_up(task, part, ends, UnknownReason::ChainTooLong, each);
        }
        self.push(position, part, at, ends);
        if self.sums {
            self.sum_up(part, each);
        }
    }

    /// Whether a task on `line` that acted at `acts_at` cannot have caused what the path says.
    fn contradicts(&self, line: LineIndex, acts_at: UnixNanos) -> bool {
        let mut steps = self.path.iter().rev();
        steps.next().is_some_and(|last| last.acts_at < acts_at)
            || (self.path.iter().rev())
                .take_while(|step| step.acts_at == acts_at)
                .any(|step| step.line == line)
    }

    fn give_up(
        &mut self,
        task: TaskId,
        interval: Interval,
        ends: Option<Doing>,
        reason: UnknownReason,
        each: &mut impl FnMut(Reached),
    ) {
        self.counts.pieces += 1;
        each(Reached {
            interval,
            ns: interval.duration_ns(),
            standing: Standing::Unknown(reason),
            whose: Whose::Own,
            waiting: None,
            first_layer: self.first_layer(ends),
            refinement: None,
            task,
            depth: self.depth().saturating_add(1),
        });
    }
}

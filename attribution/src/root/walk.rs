//! The walk along a chain of waits: who was at work, at each instant, for a task that waits.
//!
//! For task g and instant t the end of the chain is
//!
//! * (g, t) itself, if g is at work, ready, in a system call or unknown at t, or in a wait that no task ended;
//! * the end of the chain of g's creator at t, if g is not born at t;
//! * the end of the chain of the waker at t, if g is in a wait that a task ended.
//!
//! Neither asks who wants to know, nor does it look beyond t: the walk over a stretch of time descends into the waker's
//! states over the same stretch, cut at its borders. It costs one step per state met and needs memory for the path.
//!
//! It ends because causes precede effects: a task that wakes another one at u is running at u, so if it waited at t < u,
//! somebody woke it before u. Along a path those times fall. Where they rise, or a task comes up again at the same time,
//! the recording contradicts itself, and the time is unknown. A path has at most `chain_limit` steps besides.

use spandrel_model::{Interval, State, TaskId, TaskKind, UnixNanos, UnknownReason};

use crate::owner::Owners;
use crate::self_view::Evidences;
use crate::spans::{SpanIndex, SpanSet};
use crate::timeline::{LineIndex, Standing, Tile, Tiles, Timeline};

/// What was met while the root view was made. The numbers depend on how the spans cut the waits: a wait in which a span
/// begins counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkCounts {
    /// Waits that a task ended, on the tasks of spans and along chains.
    pub waits: u64,
    /// Stretches of time at the ends of chains.
    pub pieces: u64,
    /// Stretches given up because the chain was too long.
    pub too_long: u64,
    /// Stretches given up because the recording contradicts itself.
    pub contradictions: u64,
    /// Stretches given up because the waker, or a creator, is in no recording.
    pub wakers_not_recorded: u64,
    /// The longest chain, in steps.
    pub depth_max: u32,
}

/// Whose task is at the end of a chain. `T` names spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose<T> {
    /// It is the task that the chain starts from, or nothing is known.
    Own,
    /// This span's.
    Span(T),
    /// No span's. Of the tasks that wait for it along the chain the nearest that has an owner works for this one; `None`
    /// if only the first task of the chain has.
    Helper(Option<T>),
    /// The runtime's; with the owner of the nearest waiting task, as for a helper.
    Runtime(Option<T>),
}

impl<T> Whose<T> {
    pub(super) fn map<U>(self, name: impl Fn(T) -> U) -> Whose<U> {
        match self {
            Self::Own => Whose::Own,
            Self::Span(owner) => Whose::Span(name(owner)),
            Self::Helper(owner) => Whose::Helper(owner.map(name)),
            Self::Runtime(owner) => Whose::Runtime(owner.map(name)),
        }
    }
}

/// The end of a chain over a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) interval: Interval,
    /// What the task there does.
    pub(super) standing: Standing,
    pub(super) whose: Whose<SpanIndex>,
    /// State in which the first task of the chain waits, if it does.
    pub(super) waiting: Option<State>,
    pub(super) task: TaskId,
    /// Steps along the chain.
    pub(super) depth: u32,
}

/// Walks chains, keeping count.
pub(super) struct Walker<'a> {
    spans: &'a SpanSet<'a>,
    timeline: &'a Timeline,
    owners: &'a Owners,
    chain_limit: u32,
    // The tasks from the first one to the one being walked.
    path: Vec<Step<'a>>,
    pub(super) counts: WalkCounts,
}

/// A task on the path, with what remains to be walked of it.
struct Step<'a> {
    line: LineIndex,
    /// Time before its birth.
    unborn: Option<Interval>,
    /// Time from its birth on.
    tiles: Tiles<'a>,
    /// When it ended the wait of the step before, or created that one.
    acts_at: UnixNanos,
    /// The wait of the step before; `None` if this is its creator.
    ends: Option<Standing>,
    /// Owner from the time looked at last until this instant.
    owner: (Option<SpanIndex>, UnixNanos),
}

/// The next thing on the path.
enum Next {
    Unborn(Interval),
    Tile(Tile),
    Done,
}

impl<'a> Walker<'a> {
    pub(super) fn new(evidences: &Evidences<'a>, chain_limit: u32) -> Self {
        Self {
            spans: evidences.spans,
            timeline: evidences.timeline,
            owners: evidences.owners,
            chain_limit,
            path: Vec::new(),
            counts: WalkCounts::default(),
        }
    }

    /// Calls `each` for the ends of the chains that start from `task`, in the order of time. They tile `interval`.
    pub(super) fn walk(&mut self, task: TaskId, interval: Interval, each: &mut impl FnMut(Reached)) {
        let Some(line) = self.timeline.line_index(task) else {
            for tile in self.timeline.tiles(None, interval) {
                each(own(task, tile));
            }
            return;
        };
        self.path.clear();
        self.push(line, interval, UnixNanos(i64::MAX), None);
        while let Some(step) = self.path.last_mut() {
            match step.next() {
                Next::Unborn(part) => self.ask_creator(part, each),
                Next::Tile(tile) => self.take(tile, each),
                Next::Done => drop(self.path.pop()),
            }
        }
    }

    fn push(&mut self, line: LineIndex, interval: Interval, acts_at: UnixNanos, ends: Option<Standing>) {
        let task = &self.timeline.tasks()[line];
        let birth = task.birth.unwrap_or(interval.start());
        let born_at = birth.clamp(interval.start(), interval.end());
        let unborn = Interval::new(interval.start(), born_at).filter(|unborn| !unborn.is_empty());
        let alive = Interval::new(born_at, interval.end()).unwrap_or(interval);
        self.path.push(Step {
            line,
            unborn,
            tiles: self.timeline.tiles(Some(task), alive),
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
            (Some(creator), Some(birth)) => self.descend(creator, part, birth, None, each),
            _ => self.created_from_outside(part, each),
        }
    }

    /// No task created the last one, so the wait that it ends was for what did: the network poller or a timer. That wait
    /// is the end of the chain.
    fn created_from_outside(&mut self, part: Interval, each: &mut impl FnMut(Reached)) {
        let waited_for = (1..self.path.len()).rev().find(|step| self.path[*step].ends.is_some());
        match waited_for.and_then(|step| Some((step - 1, self.path[step].ends?))) {
            Some((waiting, wait)) => self.end(waiting, part, wait, each),
            None => self.end(0, part, Standing::Unknown(UnknownReason::TaskNotAlive), each),
        }
    }

    /// A stretch of the last task of the path.
    fn take(&mut self, tile: Tile, each: &mut impl FnMut(Reached)) {
        let Some(wake) = tile.wake else {
            return self.end(self.path.len() - 1, tile.interval, tile.standing, each);
        };
        let wake = self.timeline.wake(wake);
        self.counts.waits += 1;
        self.descend(wake.waker, tile.interval, wake.at, Some(tile.standing), each);
    }

    /// Adds to the path the task that acted on its last one at `acts_at`, to be walked over `part`.
    fn descend(
        &mut self,
        task: TaskId,
        part: Interval,
        acts_at: UnixNanos,
        ends: Option<Standing>,
        each: &mut impl FnMut(Reached),
    ) {
        let Some(line) = self.timeline.line_index(task) else {
            self.counts.wakers_not_recorded += 1;
            return self.give_up(task, part, UnknownReason::WakerNotRecorded, each);
        };
        if self.contradicts(line, acts_at) {
            self.counts.contradictions += 1;
            return self.give_up(task, part, UnknownReason::WakesContradict, each);
        }
        if self.depth() >= self.chain_limit {
            self.counts.too_long += 1;
            return self.give_up(task, part, UnknownReason::ChainTooLong, each);
        }
        self.push(line, part, acts_at, ends);
    }

    /// Whether a task on `line` that acted at `acts_at` cannot have caused what the path says.
    fn contradicts(&self, line: LineIndex, acts_at: UnixNanos) -> bool {
        let mut steps = self.path.iter().rev();
        steps.next().is_some_and(|last| last.acts_at < acts_at)
            || (self.path.iter().rev())
                .take_while(|step| step.acts_at == acts_at)
                .any(|step| step.line == line)
    }

    fn give_up(&mut self, task: TaskId, interval: Interval, reason: UnknownReason, each: &mut impl FnMut(Reached)) {
        self.counts.pieces += 1;
        each(Reached {
            interval,
            standing: Standing::Unknown(reason),
            whose: Whose::Own,
            waiting: None,
            task,
            depth: self.depth().saturating_add(1),
        });
    }

    /// The chain ends at the step `last` of the path: finds whose work that is, which may change meanwhile.
    fn end(&mut self, last: usize, interval: Interval, standing: Standing, each: &mut impl FnMut(Reached)) {
        let line = &self.timeline.tasks()[self.path[last].line];
        let waiting = self.path.get(1).filter(|_| last > 0).and_then(|first| first.ends);
        let mut reached = Reached {
            interval,
            standing,
            whose: Whose::Own,
            waiting: waiting.and_then(|wait| match wait {
                Standing::Known(state, _) => Some(state),
                Standing::Unknown(_) => None,
            }),
            task: line.id,
            depth: u32::try_from(last).unwrap_or(u32::MAX),
        };
        if last == 0 || matches!(standing, Standing::Unknown(_)) {
            self.counts.pieces += 1;
            reached.waiting = None;
            return each(reached);
        }
        let mut rest = Some(interval);
        while let Some(interval) = rest.filter(|rest| !rest.is_empty()) {
            let (owner, until) = self.nearest_owner(last, interval.start());
            let cut = until.clamp(interval.start().plus(1), interval.end());
            rest = Interval::new(cut, interval.end());
            reached.interval = Interval::new(interval.start(), cut).unwrap_or(interval);
            reached.whose = match (line.kind, owner) {
                (TaskKind::System, owner) => Whose::Runtime(owner.map(|(_, span)| span)),
                (TaskKind::Application, Some((step, span))) if step == last => Whose::Span(span),
                (TaskKind::Application, owner) => Whose::Helper(owner.map(|(_, span)| span)),
            };
            self.counts.pieces += 1;
            each(reached);
        }
    }

    /// The last step up to `last`, the first task left out, whose task has an owner at `at`, and until when that is so.
    fn nearest_owner(&mut self, last: usize, at: UnixNanos) -> (Option<(usize, SpanIndex)>, UnixNanos) {
        let mut until = UnixNanos(i64::MAX);
        for step in (1..=last).rev() {
            let of_step = &mut self.path[step];
            if of_step.owner.1 <= at {
                of_step.owner = self.owners.stretch(self.spans, of_step.line, at);
            }
            until = until.min(of_step.owner.1);
            if let Some(span) = of_step.owner.0 {
                return (Some((step, span)), until);
            }
        }
        (None, until)
    }
}

impl Step<'_> {
    fn next(&mut self) -> Next {
        match self.unborn.take() {
            Some(unborn) => Next::Unborn(unborn),
            None => self.tiles.next().map_or(Next::Done, Next::Tile),
        }
    }
}

/// A stretch of the first task of a chain, which ends there.
fn own(task: TaskId, tile: Tile) -> Reached {
    Reached {
        interval: tile.interval,
        standing: tile.standing,
        whose: Whose::Own,
        waiting: None,
        task,
        depth: 0,
    }
}

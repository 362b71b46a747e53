//! The walk along a chain of waits: who was at work, at each instant, for a task that waits.
//!
//! For task g and instant t the end of the chain is
//!
//! * (g, t) itself, if g is at work, ready, in a system call or unknown at t, or in a wait that no task ended, or one for
//!   the network or a timer that a task of the runtime ended;
//! * the end of the chain of g's creator at t, if g is not born at t;
//! * the end of the chain of the waker at t, if g is in a wait that a task ended.
//!
//! Neither asks who wants to know, nor does it look beyond t: the walk over a stretch of time descends into the waker's
//! states over the same stretch, cut at its borders. It costs one step per state met and needs memory for the path.
//!
//! It ends because causes precede effects: a task that wakes another one at u is running at u, so if it waited at t < u,
//! somebody woke it before u. Along a path those times fall. Where they rise, or a task comes up again at the same time,
//! the recording contradicts itself, and the time is unknown. A path has at most `chain_limit` steps besides.

use std::ops::RangeInclusive;
use std::rc::Rc;

use foldhash::HashMap;
use spandrel_model::{Interval, State, TaskId, TaskKind, TraceId, UnixNanos, UnknownReason};

use super::classes::{Owner, OwnerClasses};
use super::summary::{self, BLOCK, Summary};
use crate::layering::LayerNumber;
use crate::owner::OwnedPiece;
use crate::remote::Calls;
use crate::self_view::Evidences;
use crate::slices::{Position, Wake};
use crate::spans::SpanIndex;
use crate::timeline::{LineIndex, Standing, Tile, Tiles, Timeline};

/// What was met while the root view was made. The numbers depend on how the spans cut the waits: a wait in which a span
/// begins counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkCounts {
    /// Waits that a task ended, on the tasks of spans and along chains.
    pub waits: u64,
    /// Stretches of time at the ends of chains.
    pub pieces: u64,
    /// Long stretches of a task that were summed up instead of walked.
    pub summed: u64,
    /// Parts of which the root views of spans without a task are made.
    pub inferred: u64,
    /// Stretches given up because the chain was too long.
    pub too_long: u64,
    /// Stretches given up because the recording contradicts itself.
    pub contradictions: u64,
    /// Stretches given up because the waker, or a creator, is in no recording.
    pub wakers_not_recorded: u64,
    /// The longest chain, in steps.
    pub depth_max: u32,
}

/// Whose task is at the end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// It is the task that the chain starts from, or nothing is known.
    Own,
    /// This span's.
    Span(Owner),
    /// No span's. Of the tasks that wait for it along the chain the nearest that has an owner works for this one; `None`
    /// if only the first task of the chain has.
    Helper(Option<Owner>),
    /// The runtime's; with the owner of the nearest waiting task, as for a helper.
    Runtime(Option<Owner>),
}

/// The end of a chain over a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) interval: Interval,
    /// How much of the interval it is, nanoseconds: less than all if that was summed up.
    pub(super) ns: i64,
    /// What the task there does.
    pub(super) standing: Standing,
    pub(super) whose: Whose,
    /// State in which the first task of the chain waits, if it does.
    pub(super) waiting: Option<State>,
    /// Layer of the library in which the first task of the chain stands.
    pub(super) first_layer: Option<LayerNumber>,
    /// Layer of the library in which the task at the end stands, or else the nearest of those that wait for it, back to the
    /// one that has the owner; `None` if that owner's layer is not refined. Without an owner, back to the second task.
    pub(super) refinement: Option<LayerNumber>,
    pub(super) task: TaskId,
    /// Steps along the chain.
    pub(super) depth: u32,
}

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

/// A task on the path, with what remains to be walked of it.
struct Step<'a> {
    line: LineIndex,
    /// Time before its birth.
    unborn: Option<Interval>,
    /// Time from its birth on.
    alive: Alive<'a>,
    /// When it ended the wait of the step before, or created that one.
    acts_at: UnixNanos,
    /// The wait of the step before; `None` if this is its creator.
    ends: Option<Doing>,
    /// Owner from the time looked at last until this instant.
    owner: (Option<SpanIndex>, UnixNanos),
}

/// What a task does over a stretch of time.
#[derive(Clone, Copy)]
struct Doing {
    standing: Standing,
    /// Layer of the library in which it stands.
    stack_layer: Option<LayerNumber>,
}

impl Doing {
    fn of(tile: Tile) -> Self {
        Self {
            standing: tile.standing,
            stack_layer: tile.stack_layer,
        }
    }
}

/// What a task did to the last one of the path.
#[derive(Clone, Copy)]
struct Act {
    task: TaskId,
    at: UnixNanos,
    /// Where its states are at that time; `None` if it is not recorded.
    position: Option<Position>,
    /// The wait that it ended; `None` if it created the other one.
    ends: Option<Doing>,
}

/// What remains to be walked of a task's life.
enum Alive<'a> {
    Tiles(Tiles<'a>),
    /// Nothing but the waits that other tasks ended, from this one on.
    Waits(Rc<Summary>, Interval, usize),
}

/// The next thing on the path.
enum Next {
    Unborn(Interval),
    Tile(Tile),
    Done,
}

impl Whose {
    /// The owner that it names.
    pub(super) fn owner(self) -> Option<Owner> {
        match self {
            Self::Own => None,
            Self::Span(owner) => Some(owner),
            Self::Helper(owner) | Self::Runtime(owner) => owner,
        }
    }
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
                each(own(task, tile));
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

    /// The chain ends at the step `last` of the path: finds whose work that is, which may change meanwhile.
    fn end(&mut self, last: usize, interval: Interval, doing: Doing, each: &mut impl FnMut(Reached)) {
        let line = &self.timeline.tasks()[self.path[last].line];
        let mut reached = Reached {
            interval,
            ns: interval.duration_ns(),
            standing: doing.standing,
            whose: Whose::Own,
            waiting: self.waiting(),
            first_layer: self.first_layer(Some(doing)),
            refinement: None,
            task: line.id,
            depth: u32::try_from(last).unwrap_or(u32::MAX),
        };
        if last == 0 || matches!(doing.standing, Standing::Unknown(_)) {
            self.counts.pieces += 1;
            reached.waiting = None;
            return each(reached);
        }
        let mut rest = Some(interval);
        while let Some(interval) = rest.filter(|rest| !rest.is_empty()) {
            let (owner, until) = self.nearest_owner(1..=last, interval.start());
            let cut = until.clamp(interval.start().plus(1), interval.end());
            rest = Interval::new(cut, interval.end());
            reached.interval = Interval::new(interval.start(), cut).unwrap_or(interval);
            reached.ns = reached.interval.duration_ns();
            let is_last = owner.is_some_and(|(step, _)| step == last);
            reached.whose = whose(line.kind, is_last, owner.map(|(_, owner)| owner));
            reached.refinement = self.refinement(owner, last, doing.stack_layer);
            self.counts.pieces += 1;
            each(reached);
        }
    }

    /// The layer that stacks give to time at the step `last`, in a library of layer `stack_layer`, of a chain with this
    /// nearest owner: see [`Reached::refinement`].
    fn refinement(
        &self,
        owner: Option<(usize, Owner)>,
        last: usize,
        stack_layer: Option<LayerNumber>,
    ) -> Option<LayerNumber> {
        let first = match owner {
            // Interference, which has the layer of the first task.
            Some((_, Owner::Other(_))) => return None,
            Some((step, Owner::OfTrace(_))) => step,
            None => 1,
        };
        let waits = self.path[first + 1..=last].iter().rev();
        let nearest = stack_layer.or_else(|| waits.filter_map(|step| step.ends).find_map(|wait| wait.stack_layer));
        match owner.and_then(|(step, _)| self.path[step].owner.0) {
            Some(span) => self.evidences.layers.refinement(span, nearest),
            None => nearest,
        }
    }

    /// Layer of the library in which the first task of the path stands; `doing` is what the last one does.
    fn first_layer(&self, doing: Option<Doing>) -> Option<LayerNumber> {
        self.path.get(1).map_or(doing, |step| step.ends)?.stack_layer
    }

    /// State in which the first task of the path waits.
    fn waiting(&self) -> Option<State> {
        match self.path.get(1)?.ends?.standing {
            Standing::Known(state, _) => Some(state),
            Standing::Unknown(_) => None,
        }
    }

    /// The last of these steps whose task has an owner at `at`, and until when that is so.
    fn nearest_owner(&mut self, steps: RangeInclusive<usize>, at: UnixNanos) -> (Option<(usize, Owner)>, UnixNanos) {
        let mut until = UnixNanos(i64::MAX);
        let Evidences { spans, owners, .. } = self.evidences;
        for step in steps.rev() {
            let of_step = &mut self.path[step];
            if of_step.owner.1 <= at {
                of_step.owner = owners.stretch(spans, of_step.line, at);
            }
            until = until.min(of_step.owner.1);
            if let Some(span) = of_step.owner.0 {
                return (Some((step, self.classes.owner(spans, span, self.asking))), until);
            }
        }
        (None, until)
    }

    /// If the last task of the path has many states or owners in `part`, and never works for the asking trace, tells the
    /// sums and leaves only the waits to be walked. Not for a call whose server is known: when the task waited for the
    /// network matters then.
    fn sum_up(&mut self, part: Interval, each: &mut impl FnMut(Reached)) {
        let last = self.path.len() - 1;
        let line = self.path[last].line;
        let task = &self.timeline.tasks()[line];
        let has_many_states = match &self.path[last].alive {
            Alive::Tiles(tiles) => tiles.has_more_states_than(BLOCK),
            Alive::Waits(..) => false,
        };
        let is_long = || has_many_states || self.evidences.owners.has_more_pieces_than(BLOCK, line, part);
        if self.path[last].unborn.is_some() || !is_long() {
            return;
        }
        let summary = self.summaries.entry(line).or_insert_with(|| {
            let summary = Summary::new(&self.evidences, self.classes, line);
            summary.map(Rc::new)
        });
        let usable = |summary: &&Rc<Summary>| {
            summary.covers(part) && self.asking.is_some_and(|asking| !summary.traces.contains(&asking))
        };
        let Some(summary) = summary.as_ref().filter(usable).cloned() else {
            return;
        };
        let (nearest, until) = self.nearest_owner(1..=last - 1, part.start());
        let caller = nearest.map_or(Some(self.waiting), |(_, owner)| self.classes.caller(owner));
        if until < part.end() || caller.is_some_and(|caller| self.calls.depends_on_time(caller)) {
            return;
        }
        self.counts.summed += 1;
        for (kind, ns) in summary.sums(part) {
            let summary::Kind {
                owner,
                standing,
                stack_layer,
            } = kind;
            let is_known = matches!(standing, Standing::Known(..));
            let behind = nearest.map(|(_, owner)| owner);
            self.counts.pieces += 1;
            each(Reached {
                interval: part,
                ns,
                standing,
                whose: match is_known {
                    true => whose(task.kind, owner.is_some(), owner.or(behind)),
                    false => Whose::Own,
                },
                waiting: self.waiting().filter(|_| is_known),
                first_layer: self.first_layer(None),
                refinement: match owner {
                    None if is_known => self.refinement(nearest, last, stack_layer),
                    _ => None,
                },
                task: task.id,
                depth: self.depth(),
            });
        }
        self.path[last].alive = Alive::Waits(summary, part, 0);
    }
}

/// Whose a task of this kind is. `owner` is its own if `is_its_own`, else that of the nearest task that waits for it.
fn whose(kind: TaskKind, is_its_own: bool, owner: Option<Owner>) -> Whose {
    match (kind, owner) {
        (TaskKind::System, owner) => Whose::Runtime(owner),
        (TaskKind::Application, Some(owner)) if is_its_own => Whose::Span(owner),
        (TaskKind::Application, owner) => Whose::Helper(owner),
    }
}

impl Step<'_> {
    fn next(&mut self) -> Next {
        match self.unborn.take() {
            Some(unborn) => Next::Unborn(unborn),
            None => self.alive.next().map_or(Next::Done, Next::Tile),
        }
    }
}

impl Alive<'_> {
    fn next(&mut self) -> Option<Tile> {
        match self {
            Self::Tiles(tiles) => tiles.next(),
            Self::Waits(summary, part, next) => {
                let (number, wait) = summary.wait_in(*part, *next)?;
                *next = number + 1;
                Some(wait)
            }
        }
    }
}

/// A stretch of the first task of a chain, which ends there.
fn own(task: TaskId, tile: Tile) -> Reached {
    Reached {
        interval: tile.interval,
        ns: tile.interval.duration_ns(),
        standing: tile.standing,
        whose: Whose::Own,
        waiting: None,
        first_layer: tile.stack_layer,
        refinement: None,
        task,
        depth: 0,
    }
}

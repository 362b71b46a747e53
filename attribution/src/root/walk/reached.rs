//! The end of a chain: what the task there does, whose work that is, and which libraries it is done in.

use std::ops::RangeInclusive;

use spandrel_model::{Interval, State, TaskId, TaskKind, UnixNanos};

use super::Walker;
use super::path::Doing;
use crate::layering::LayerNumber;
use crate::root::classes::Owner;
use crate::self_view::Evidences;
use crate::timeline::{Standing, Tile};

/// Whose task is at the end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::root) enum Whose {
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
pub(in crate::root) struct Reached {
    pub(in crate::root) interval: Interval,
    /// How much of the interval it is, nanoseconds: less than all if that was summed up.
    pub(in crate::root) ns: i64,
    /// What the task there does.
    pub(in crate::root) standing: Standing,
    pub(in crate::root) whose: Whose,
    /// State in which the first task of the chain waits, if it does.
    pub(in crate::root) waiting: Option<State>,
    /// Layer of the library in which the first task of the chain stands.
    pub(in crate::root) first_layer: Option<LayerNumber>,
    /// Layer of the library in which the task at the end stands, or else the nearest of those that wait for it, back to the
    /// one that has the owner; `None` if that owner's layer is not refined. Without an owner, back to the second task.
    pub(in crate::root) refinement: Option<LayerNumber>,
    pub(in crate::root) task: TaskId,
    /// Steps along the chain.
    pub(in crate::root) depth: u32,
}

impl Whose {
    /// The owner that it names.
    pub(in crate::root) fn owner(self) -> Option<Owner> {
        match self {
            Self::Own => None,
            Self::Span(owner) => Some(owner),
            Self::Helper(owner) | Self::Runtime(owner) => owner,
        }
    }
}

impl Walker<'_> {
    /// The chain ends at the step `last` of the path: finds whose work that is, which may change meanwhile.
    pub(super) fn end(&mut self, last: usize, interval: Interval, doing: Doing, each: &mut impl FnMut(Reached)) {
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
    pub(super) fn refinement(
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
    pub(super) fn first_layer(&self, doing: Option<Doing>) -> Option<LayerNumber> {
        self.path.get(1).map_or(doing, |step| step.ends)?.stack_layer
    }

    /// State in which the first task of the path waits.
    pub(super) fn waiting(&self) -> Option<State> {
        match self.path.get(1)?.ends?.standing {
            Standing::Known(state, _) => Some(state),
            Standing::Unknown(_) => None,
        }
    }

    /// The last of these steps whose task has an owner at `at`, and until when that is so.
    pub(super) fn nearest_owner(
        &mut self,
        steps: RangeInclusive<usize>,
        at: UnixNanos,
    ) -> (Option<(usize, Owner)>, UnixNanos) {
        let mut until = UnixNanos(i64::MAX);
        let Evidences { spans, owners, .. } = self.evidences;
        for step in steps.rev() {
            let of_step = &mut self.path[step];
            if of_step.owner.1 <= at {
                of_step.owner = owners.stretch(spans, self.timeline, of_step.line, at);
            }
            until = until.min(of_step.owner.1);
            if let Some(span) = of_step.owner.0 {
                return (Some((step, self.classes.owner(spans, span, self.asking))), until);
            }
        }
        (None, until)
    }
}

/// Whose a task of this kind is. `owner` is its own if `is_its_own`, else that of the nearest task that waits for it.
pub(super) fn whose(kind: TaskKind, is_its_own: bool, owner: Option<Owner>) -> Whose {
    match (kind, owner) {
        (TaskKind::System, owner) => Whose::Runtime(owner),
        (TaskKind::Application, Some(owner)) if is_its_own => Whose::Span(owner),
        (TaskKind::Application, owner) => Whose::Helper(owner),
    }
}

/// A stretch of the first task of a chain, which ends there.
pub(super) fn own(task: TaskId, tile: Tile) -> Reached {
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

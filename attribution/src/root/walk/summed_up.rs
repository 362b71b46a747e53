//! Long stretches of a task are summed up instead of walked.

use std::rc::Rc;

use spandrel_model::Interval;

use super::Walker;
use super::path::Alive;
use super::reached::{Reached, Whose, whose};
use crate::root::summary::{self, BLOCK, Summary};
use crate::timeline::Standing;

impl Walker<'_> {
    /// If the last task of the path has many states or owners in `part`, and never works for the asking trace, tells the
    /// sums and leaves only the waits to be walked. Not for a call whose server is known: when the task waited for the
    /// network matters then.
    pub(super) fn sum_up(&mut self, part: Interval, each: &mut impl FnMut(Reached)) {
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

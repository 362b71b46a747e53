//! The path of a walk: the tasks from the first one of a chain to the one being walked, with what remains of each.

use std::rc::Rc;

use spandrel_model::{Interval, TaskId, UnixNanos};

use crate::layering::LayerNumber;
use crate::root::summary::Summary;
use crate::slices::Position;
use crate::spans::SpanIndex;
use crate::timeline::{LineIndex, Standing, Tile, Tiles};

/// A task on the path, with what remains to be walked of it.
pub(super) struct Step<'a> {
    pub(super) line: LineIndex,
    /// Time before its birth.
    pub(super) unborn: Option<Interval>,
    /// Time from its birth on.
    pub(super) alive: Alive<'a>,
    /// When it ended the wait of the step before, or created that one.
    pub(super) acts_at: UnixNanos,
    /// The wait of the step before; `None` if this is its creator.
    pub(super) ends: Option<Doing>,
    /// Owner from the time looked at last until this instant.
    pub(super) owner: (Option<SpanIndex>, UnixNanos),
}

/// What a task does over a stretch of time.
#[derive(Clone, Copy)]
pub(super) struct Doing {
    pub(super) standing: Standing,
    /// Layer of the library in which it stands.
    pub(super) stack_layer: Option<LayerNumber>,
}

impl Doing {
    pub(super) fn of(tile: Tile) -> Self {
        Self {
            standing: tile.standing,
            stack_layer: tile.stack_layer,
        }
    }
}

/// What a task did to the last one of the path.
#[derive(Clone, Copy)]
pub(super) struct Act {
    pub(super) task: TaskId,
    pub(super) at: UnixNanos,
    /// Where its states are at that time; `None` if it is not recorded.
    pub(super) position: Option<Position>,
    /// The wait that it ended; `None` if it created the other one.
    pub(super) ends: Option<Doing>,
}

/// What remains to be walked of a task's life.
pub(super) enum Alive<'a> {
    Tiles(Tiles<'a>),
    /// Nothing but the waits that other tasks ended, from this one on.
    Waits(Rc<Summary>, Interval, usize),
}

/// The next thing on the path.
pub(super) enum Next {
    Unborn(Interval),
    Tile(Tile),
    Done,
}

impl Step<'_> {
    pub(super) fn next(&mut self) -> Next {
        match self.unborn.take() {
            Some(unborn) => Next::Unborn(unborn),
            None => self.alive.next().map_or(Next::Done, Next::Tile),
        }
    }
}

impl Alive<'_> {
    pub(super) fn next(&mut self) -> Option<Tile> {
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

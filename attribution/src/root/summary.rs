//! Sums over a long stretch of one task, without visiting its states one by one.
//!
//! The read loop of a connection ends the waits of all requests on it, the worker of a queue those of all who queue.
//! While a hundred requests wait, each for a while of a hundred steps of the loop, the loop's states would be visited ten
//! thousand times for what are a few sums. So for a task that is asked for much at once, running totals of its time by
//! (owner, state, library) are kept at every [`BLOCK`]th state. Waits that another task ended are not in them: those are walked.

use foldhash::{HashMap, HashSet};
use spandrel_model::{Interval, TraceId, UnixNanos};

use super::classes::{Owner, OwnerClasses};
use crate::layering::LayerNumber;
use crate::self_view::Evidences;
use crate::timeline::{LineIndex, Standing, Tile};

/// States between two running totals; also, a shorter stretch is walked.
pub(super) const BLOCK: usize = 64;

/// More kinds of time than this are not summed up.
const KINDS_MAX: usize = 256;

/// What a task did over a stretch of time, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// `None`: for nobody.
    pub(super) owner: Option<Owner>,
    pub(super) standing: Standing,
    /// Layer of the library in which it stood, if it had no owner: nobody asks otherwise.
    pub(super) stack_layer: Option<LayerNumber>,
}

/// The time of one task from its first state to its last, as tiles in which kind and owner stay the same.
pub(super) struct Summary {
    from: UnixNanos,
    ends: Vec<UnixNanos>,
    // Position in `kinds`; `None` for waits that another task ended.
    kind_of: Vec<Option<usize>>,
    kinds: Vec<Kind>,
    // For every BLOCK tiles: the total of each kind before them, nanoseconds.
    totals: Vec<i64>,
    waits: Vec<Tile>,
    /// Traces of its owners.
    pub(super) traces: HashSet<TraceId>,
}

impl Summary {
    /// `None` for a task without states, or with too many kinds of time.
    pub(super) fn new(evidences: &Evidences<'_>, classes: &OwnerClasses, line: LineIndex) -> Option<Self> {
        let Evidences {
            spans,
            timeline,
            owners,
            ..
        } = evidences;
        let task = &timeline.tasks()[line];
        let life = timeline.recorded_life(task)?;
        let mut summary = Self {
            from: life.start(),
            ends: Vec::new(),
            kind_of: Vec::new(),
            kinds: Vec::new(),
            totals: Vec::new(),
            waits: Vec::new(),
            traces: HashSet::default(),
        };
        let mut numbers: HashMap<Kind, usize> = HashMap::default();
        for tile in timeline.tiles(Some(task), life) {
            let mut at = tile.interval.start();
            while at < tile.interval.end() {
                let (owner, until) = owners.stretch(spans, timeline, line, at);
                at = until.clamp(at.plus(1), tile.interval.end());
                summary.traces.extend(owner.map(|owner| spans.trace_id(owner)));
                let kind = Kind {
                    owner: owner.map(|owner| classes.other(owner)),
                    standing: tile.standing,
                    stack_layer: tile.stack_layer.filter(|_| owner.is_none()),
                };
                let next = numbers.len();
                let number = tile.wake.is_none().then(|| *numbers.entry(kind).or_insert(next));
                if number == Some(next) {
                    summary.kinds.push(kind);
                }
                summary.ends.push(at);
                summary.kind_of.push(number);
            }
            summary.waits.extend(tile.wake.map(|_| tile));
        }
        (summary.kinds.len() <= KINDS_MAX).then(|| {
            summary.add_up();
            summary
        })
    }

    fn add_up(&mut self) {
        let mut totals = vec![0_i64; self.kinds.len()];
        for tile in 0..self.ends.len() {
            if tile.is_multiple_of(BLOCK) {
                self.totals.extend(&totals);
            }
            if let Some(kind) = self.kind_of[tile] {
                totals[kind] = totals[kind].saturating_add(self.tile(tile).duration_ns());
            }
        }
    }

    fn tile(&self, tile: usize) -> Interval {
        let start = tile.checked_sub(1).map_or(self.from, |before| self.ends[before]);
        Interval::new(start, self.ends[tile]).expect("tiles are in order")
    }

    /// Whether the summary covers `part`.
    pub(super) fn covers(&self, part: Interval) -> bool {
        self.from <= part.start() && self.ends.last().is_some_and(|end| part.end() <= *end)
    }

    /// The time of each kind in `part`, nanoseconds, of those that have any. `part` must be covered.
    pub(super) fn sums(&self, part: Interval) -> Vec<(Kind, i64)> {
        let mut sums = vec![0_i64; self.kinds.len()];
        let first = self.ends.partition_point(|end| *end <= part.start());
        let last = self.ends.partition_point(|end| *end < part.end());
        // The first tile and the last may reach beyond `part`, so they are not in the blocks.
        let (from, to) = ((first + 1).next_multiple_of(BLOCK), last / BLOCK * BLOCK);
        if from < to {
            for (kind, sum) in sums.iter_mut().enumerate() {
                let total = |tile: usize| self.totals[tile / BLOCK * self.kinds.len() + kind];
                *sum = total(to) - total(from);
            }
        }
        let edges = if from < to {
            (first..from, to..last + 1)
        } else {
            (first..last + 1, 0..0)
        };
        for tile in edges.0.chain(edges.1) {
            if let (Some(kind), Some(shared)) = (self.kind_of[tile], self.tile(tile).intersection(part)) {
                sums[kind] += shared.duration_ns();
            }
        }
        let kinds = self.kinds.iter().copied().zip(sums);
        kinds.filter(|(_, ns)| *ns > 0).collect()
    }

    /// The waits in `part` that other tasks ended, from the `skip`th of the summary on; what there is of them in `part`,
    /// and its number.
    pub(super) fn wait_in(&self, part: Interval, skip: usize) -> Option<(usize, Tile)> {
        let after = self.waits.partition_point(|wait| wait.interval.end() <= part.start());
        let number = after.max(skip);
        let wait = self.waits.get(number)?;
        let interval = wait.interval.intersection(part)?;
        Some((number, Tile { interval, ..*wait }))
    }
}

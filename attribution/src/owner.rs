//! Owner: the span for which a task is at work at an instant.
//!
//! Of the spans on the task at the instant, the innermost owns it: the one that started last; of those
//! that started together the deeper one in the tree, then the one with the larger id. Where none is open, the task works
//! for whoever created it: the owner of its creator at its birth, but only while that span is open. A connection loop or
//! a pool that outlives the request which happened to start it is nobody's.
//!
//! ```text
//! span outer  [-------------------)        open on g1
//! span inner       [----)                  open on g1
//! g1          outer|inner| outer  |none
//! g2               ^ created by g1 inside inner
//!                  |inner| none ...
//! ```

use std::collections::BinaryHeap;
use std::ops::Range;

use spandrel_model::{Interval, TaskId, TaskKind, UnixNanos};

use crate::spans::{SpanIndex, SpanSet};
use crate::stretches::{Bindings, Stretch};
use crate::timeline::{LineIndex, Timeline};

/// A stretch of time of one task with its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnedPiece {
    pub(crate) interval: Interval,
    pub(crate) span: SpanIndex,
}

/// A stretch of a span on a task, as seen from the task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoundSpan {
    pub(crate) span: SpanIndex,
    pub(crate) interval: Interval,
}

/// The owners of all tasks to which spans are bound.
pub(crate) struct Owners {
    // Sorted by task.
    tasks: Vec<OwnedTask>,
    // The pieces of a task lie together, sorted, without overlap, cut at every start and end of a stretch.
    pieces: Vec<OwnedPiece>,
    // The stretches of a task lie together, sorted by the rank of their spans.
    bound: Vec<BoundSpan>,
    // By line of the timeline.
    on_line: Vec<OnLine>,
}

/// Who may own a task. Chains of waits lead to tasks all over the place, so it is small to stay in the caches of the processor.
#[derive(Clone, Copy, Default)]
struct OnLine {
    /// Position in [`Owners::tasks`], plus one; zero if no span is bound to it.
    owned: u32,
    /// The span for which the task was created, plus one; good from its birth until that span ends. Zero for none.
    inherited: u32,
}

impl OnLine {
    fn owned(self) -> Option<usize> {
        (self.owned as usize).checked_sub(1)
    }

    fn inherited(self) -> Option<SpanIndex> {
        (self.inherited as usize).checked_sub(1)
    }
}

/// A position as [`OnLine`] keeps it.
fn plus_one(position: usize) -> u32 {
    u32::try_from(position + 1).expect("four thousand million spans do not fit in memory")
}

/// A task to which spans are bound.
pub(crate) struct OwnedTask {
    pub(crate) task: TaskId,
    /// Where it is on the timeline; `None` if no recording saw it.
    pub(crate) line: Option<LineIndex>,
    pieces: Range<usize>,
    bound: Range<usize>,
}

impl Owners {
    pub(crate) fn new(spans: &SpanSet<'_>, timeline: &Timeline, bindings: &Bindings) -> Self {
        let (mut stretches, mut by_task) = (Vec::new(), Vec::new());
        for span in by_rank(spans) {
            for Stretch { task, interval } in bindings.stretches(spans, span) {
                by_task.push((task, stretches.len()));
                stretches.push(BoundSpan { span, interval });
            }
        }
        by_task.sort_unstable();
        let mut owners = Self {
            tasks: Vec::new(),
            pieces: Vec::with_capacity(stretches.len()),
            bound: by_task.iter().map(|(_, stretch)| stretches[*stretch]).collect(),
            on_line: Vec::new(),
        };
        drop(stretches);
        let (mut first, mut sweep) = (0, Sweep::default());
        for same in by_task.chunk_by(|left, right| left.0 == right.0) {
            let range = first..first + same.len();
            first = range.end;
            let pieces = owners.pieces.len();
            sweep.sweep(&owners.bound[range.clone()], &mut owners.pieces);
            owners.tasks.push(OwnedTask {
                task: same[0].0,
                line: None,
                pieces: pieces..owners.pieces.len(),
                bound: range,
            });
        }
        owners.inherit(timeline);
        owners
    }

    /// The tasks to which spans are bound, sorted by id.
    pub(crate) fn tasks(&self) -> &[OwnedTask] {
        &self.tasks
    }

    /// The stretches in which a bound span owns the task.
    pub(crate) fn pieces(&self, task: &OwnedTask) -> &[OwnedPiece] {
        &self.pieces[task.pieces.clone()]
    }

    /// The stretches on the task, in the order in which their spans started.
    pub(crate) fn bound(&self, task: &OwnedTask) -> &[BoundSpan] {
        &self.bound[task.bound.clone()]
    }

    /// How many starts and ends of stretches on its task lie in a stretch, its own included; pieces are cut at each.
    ///
    /// They say how much of the self view a shift between clocks could move. If the clock of the spans is off by e, each
    /// stretch between two neighboring ones lies e too early or too late among the states of the task: it has lost at
    /// most |e| at one end and gained as much at the other. So of a span with b of them at most `2 |e| (b - 1)` lie in
    /// wrong cells (I-15).
    pub(crate) fn boundaries_in(&self, Stretch { task, interval }: Stretch) -> i64 {
        let pieces = self.find(task).map_or(&[][..], |task| self.pieces(task));
        let first = pieces.partition_point(|piece| piece.interval.start() < interval.start());
        let end = pieces.partition_point(|piece| piece.interval.end() <= interval.end());
        i64::try_from(end.saturating_sub(first)).map_or(i64::MAX, |pieces| pieces.saturating_add(1))
    }

    pub(crate) fn find(&self, task: TaskId) -> Option<&OwnedTask> {
        let index = self.tasks.binary_search_by_key(&task, |owned| owned.task).ok()?;
        Some(&self.tasks[index])
    }

    /// The innermost bound span open on `task` at `at`.
    fn bound_at(&self, task: TaskId, at: UnixNanos) -> Option<SpanIndex> {
        let pieces = self.pieces(self.find(task)?);
        let piece = pieces.get(pieces.partition_point(|piece| piece.interval.end() <= at))?;
        piece.interval.contains(at).then_some(piece.span)
    }

    /// The owner of `task` at `at`, bound or inherited.
    pub(crate) fn at(
        &self,
        spans: &SpanSet<'_>,
        timeline: &Timeline,
        task: TaskId,
        at: UnixNanos,
    ) -> Option<SpanIndex> {
        match timeline.line_index(task) {
            Some(line) => self.stretch(spans, timeline, line, at).0,
            None => self.bound_at(task, at),
        }
    }

    /// The owner at `at` of the task on `line`, and an instant up to which it stays the same.
    pub(crate) fn stretch(
        &self,
        spans: &SpanSet<'_>,
        timeline: &Timeline,
        line: LineIndex,
        at: UnixNanos,
    ) -> (Option<SpanIndex>, UnixNanos) {
        let mut until = UnixNanos(i64::MAX);
        let on_line = self.on_line[line];
        if let Some(owned) = on_line.owned() {
            let pieces = self.pieces(&self.tasks[owned]);
            match pieces.get(pieces.partition_point(|piece| piece.interval.end() <= at)) {
                Some(piece) if piece.interval.contains(at) => return (Some(piece.span), piece.interval.end()),
                Some(next) => until = next.interval.start(),
                None => {}
            }
        }
        let birth = timeline.tasks()[line].birth;
        let (Some(span), Some(birth)) = (on_line.inherited(), birth) else {
            return (None, until);
        };
        let end = spans.interval(span).end();
        match (at < birth, at < end) {
            (true, _) => (None, until.min(birth)),
            (false, true) => (Some(span), until.min(end)),
            (false, false) => (None, until),
        }
    }

    /// Whether more than `count` stretches that bound spans own on `line` reach into `part`.
    pub(crate) fn has_more_pieces_than(&self, count: usize, line: LineIndex, part: Interval) -> bool {
        let pieces = self.on_line[line]
            .owned()
            .map_or(&[][..], |owned| self.pieces(&self.tasks[owned]));
        if pieces.len() <= count {
            return false;
        }
        let first = pieces.partition_point(|piece| piece.interval.end() <= part.start());
        let next = pieces.get(first + count);
        next.is_some_and(|piece| piece.interval.start() < part.end())
    }

    /// Goes from creators to what they created, so that each finds what its creator has inherited. A creator is born
    /// before what it creates; where a damaged recording says otherwise, nothing is inherited.
    fn inherit(&mut self, timeline: &Timeline) {
        let lines = timeline.tasks();
        self.on_line = vec![OnLine::default(); lines.len()];
        let mut line = 0;
        for (index, owned) in self.tasks.iter_mut().enumerate() {
            while lines.get(line).is_some_and(|line| line.id < owned.task) {
                line += 1;
            }
            if lines.get(line).is_some_and(|line| line.id == owned.task) {
                owned.line = Some(line);
                self.on_line[line].owned = plus_one(index);
            }
        }
        let mut heirs: Vec<(UnixNanos, LineIndex)> = (lines.iter().enumerate())
            .filter(|(_, line)| line.kind == TaskKind::Application)
            .filter_map(|(index, line)| Some((line.birth?, index)))
            .collect();
        heirs.sort_unstable();
        for (birth, heir) in heirs {
            let Some(creator) = lines[heir].creator.and_then(|creator| timeline.line_index(creator)) else {
                continue;
            };
            if lines[creator].birth.is_some_and(|creator_birth| creator_birth >= birth) {
                continue;
            }
            let bound = self.bound_at(lines[creator].id, birth);
            let span = bound.or(self.on_line[creator].inherited());
            self.on_line[heir].inherited = span.map_or(0, plus_one);
        }
    }
}

/// All spans in the order of ownership: of two open ones the later in it owns. They are sorted by their starts already,
/// so that only those that started together change places.
fn by_rank(spans: &SpanSet<'_>) -> Vec<SpanIndex> {
    let start = |span: &SpanIndex| spans.span(*span).interval.start();
    let mut ranked: Vec<SpanIndex> = (0..spans.len()).collect();
    for together in ranked.chunk_by_mut(|left, right| start(left) == start(right)) {
        together.sort_unstable_by_key(|span| (spans.node(*span).depth, spans.key(*span)));
    }
    ranked
}

/// Finds the owned pieces of one task after the other.
#[derive(Default)]
struct Sweep {
    boundaries: Vec<UnixNanos>,
    // Positions among the stretches of the task, by start.
    opening: Vec<usize>,
    // The same of those that are open, or have ended without having been looked at.
    open: BinaryHeap<usize>,
}

impl Sweep {
    /// Appends the owned pieces of one task, whose stretches come sorted by rank.
    fn sweep(&mut self, bound: &[BoundSpan], pieces: &mut Vec<OwnedPiece>) {
        let interval = |rank: usize| bound[rank].interval;
        self.boundaries.clear();
        let borders = bound
            .iter()
            .flat_map(|bound| [bound.interval.start(), bound.interval.end()]);
        self.boundaries.extend(borders);
        self.boundaries.sort_unstable();
        self.boundaries.dedup();
        // In the order of rank already, but for spans that come from another task.
        self.opening.clear();
        self.opening.extend(0..bound.len());
        self.opening.sort_by_key(|rank| interval(*rank).start());
        self.open.clear();
        let mut opening = self.opening.iter().copied().peekable();
        for pair in self.boundaries.windows(2) {
            while let Some(rank) = opening.next_if(|rank| interval(*rank).start() <= pair[0]) {
                self.open.push(rank);
            }
            while self.open.peek().is_some_and(|rank| interval(*rank).end() <= pair[0]) {
                self.open.pop();
            }
            if let (Some(rank), Some(interval)) = (self.open.peek(), Interval::new(pair[0], pair[1])) {
                pieces.push(OwnedPiece {
                    interval,
                    span: bound[*rank].span,
                });
            }
        }
    }
}

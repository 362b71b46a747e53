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

use crate::spans::{SpanIndex, SpanKey, SpanSet};
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
    // By line of the timeline: position in `tasks`, and what the task has from its creator.
    on_line: Vec<Option<usize>>,
    inherited: Vec<Option<Inherited>>,
}

/// The span for which a task was created, good until that span ends.
#[derive(Clone, Copy)]
struct Inherited {
    birth: UnixNanos,
    span: SpanIndex,
}

/// A task to which spans are bound.
pub(crate) struct OwnedTask {
    pub(crate) task: TaskId,
    pieces: Range<usize>,
    bound: Range<usize>,
}

impl Owners {
    pub(crate) fn new(spans: &SpanSet<'_>, timeline: &Timeline, bindings: &Bindings) -> Self {
        let stretches = |span: SpanIndex| {
            let stretches = bindings.stretches(spans, span);
            stretches.map(move |Stretch { task, interval }| (task, BoundSpan { span, interval }))
        };
        let mut bound: Vec<(TaskId, BoundSpan)> = (0..spans.len()).flat_map(stretches).collect();
        bound.sort_unstable_by_key(|(task, bound)| (*task, rank(spans, bound.span)));
        let mut owners = Self {
            tasks: Vec::new(),
            pieces: Vec::new(),
            bound: bound.iter().map(|(_, bound)| *bound).collect(),
            on_line: Vec::new(),
            inherited: Vec::new(),
        };
        let mut first = 0;
        for same in bound.chunk_by(|left, right| left.0 == right.0) {
            let range = first..first + same.len();
            first = range.end;
            let pieces = owners.pieces.len();
            sweep(&owners.bound[range.clone()], &mut owners.pieces);
            owners.tasks.push(OwnedTask {
                task: same[0].0,
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
            Some(line) => self.stretch(spans, line, at).0,
            None => self.bound_at(task, at),
        }
    }

    /// The owner at `at` of the task on `line`, and an instant up to which it stays the same.
    pub(crate) fn stretch(
        &self,
        spans: &SpanSet<'_>,
        line: LineIndex,
        at: UnixNanos,
    ) -> (Option<SpanIndex>, UnixNanos) {
        let mut until = UnixNanos(i64::MAX);
        if let Some(owned) = self.on_line[line] {
            let pieces = self.pieces(&self.tasks[owned]);
            match pieces.get(pieces.partition_point(|piece| piece.interval.end() <= at)) {
                Some(piece) if piece.interval.contains(at) => return (Some(piece.span), piece.interval.end()),
                Some(next) => until = next.interval.start(),
                None => {}
            }
        }
        let Some(Inherited { birth, span }) = self.inherited[line] else {
            return (None, until);
        };
        let end = spans.span(span).interval.end();
        match (at < birth, at < end) {
            (true, _) => (None, until.min(birth)),
            (false, true) => (Some(span), until.min(end)),
            (false, false) => (None, until),
        }
    }

    /// Whether more than `count` stretches that bound spans own on `line` reach into `part`.
    pub(crate) fn has_more_pieces_than(&self, count: usize, line: LineIndex, part: Interval) -> bool {
        let pieces = self.on_line[line].map_or(&[][..], |owned| self.pieces(&self.tasks[owned]));
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
        self.on_line = (lines.iter())
            .map(|line| self.tasks.binary_search_by_key(&line.id, |owned| owned.task).ok())
            .collect();
        self.inherited = vec![None; lines.len()];
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
            let span = bound.or(self.inherited[creator].map(|inherited| inherited.span));
            self.inherited[heir] = span.map(|span| Inherited { birth, span });
        }
    }
}

/// Order of ownership: of two open spans the larger one owns.
fn rank(spans: &SpanSet<'_>, index: SpanIndex) -> (UnixNanos, u32, SpanKey) {
    let node = spans.node(index);
    (node.span.interval.start(), node.depth, SpanKey::of(node.span))
}

/// Appends the owned pieces of one task, whose stretches come sorted by rank.
fn sweep(bound: &[BoundSpan], pieces: &mut Vec<OwnedPiece>) {
    let interval = |rank: usize| bound[rank].interval;
    let mut boundaries: Vec<UnixNanos> = (0..bound.len())
        .flat_map(|rank| [interval(rank).start(), interval(rank).end()])
        .collect();
    boundaries.sort_unstable();
    boundaries.dedup();
    // In the order of rank already, but for spans that come from another task.
    let mut opening: Vec<usize> = (0..bound.len()).collect();
    opening.sort_by_key(|rank| interval(*rank).start());
    let mut opening = opening.into_iter().peekable();
    let mut open: BinaryHeap<usize> = BinaryHeap::new();
    for pair in boundaries.windows(2) {
        while let Some(rank) = opening.next_if(|rank| interval(*rank).start() <= pair[0]) {
            open.push(rank);
        }
        while open.peek().is_some_and(|rank| interval(*rank).end() <= pair[0]) {
            open.pop();
        }
        if let (Some(rank), Some(interval)) = (open.peek(), Interval::new(pair[0], pair[1])) {
            pieces.push(OwnedPiece {
                interval,
                span: bound[*rank].span,
            });
        }
    }
}

//! One pass over the graph of spans and tasks: prune, pair, repeat until nothing changes.
//!
//! Work is driven by a queue of spans whose situation may have changed. A span whose last edge leads to a task whose
//! last edge leads back is paired with it; the pair removes the edges of both to others, settles what its parents and
//! children can be, and these are queued in turn. Every edge is removed at most once, so the loop ends.

use super::edges::{Edge, Edges};
use super::levels::{LEVELS, Level};
use super::passes::{self, Matching, Pass};
use super::user_tasks::RowIndex;
use super::{groups, kinship};
use crate::spans::SpanIndex;

/// Most rivals that look at their situation again when one of them gives a task up. With more, all of them do when the
/// next level begins.
const RIVALS_MAX: u32 = 16;

/// Index of an edge.
pub(super) type EdgeIndex = usize;

/// Spans, tasks and the edges between them that are still possible.
pub(super) struct Graph {
    pub(super) edges: Vec<Edge>,
    live: Vec<bool>,
    span_levels: Vec<usize>,
    row_levels: Vec<usize>,
    first_of_span: Vec<EdgeIndex>,
    first_of_row: Vec<usize>,
    of_row: Vec<EdgeIndex>,
    pub(super) span_degree: Vec<u32>,
    pub(super) row_degree: Vec<u32>,
}

/// A pass at work.
pub(super) struct Solver<'m, 'a> {
    pub(super) matching: &'m mut Matching<'a>,
    pub(super) graph: Graph,
    pass: Pass,
    // Number of levels at which pairs are accepted already.
    levels: usize,
    queue: Vec<SpanIndex>,
    queued: Vec<bool>,
    paired: usize,
}

/// Runs `pass` over the edges found for it. Returns the number of pairs made.
pub(super) fn solve(matching: &mut Matching<'_>, pass: Pass, found: Edges) -> usize {
    let spans = matching.spans.len();
    let mut solver = Solver {
        graph: Graph::new(spans, matching.table.len(), found),
        levels: 0,
        queue: Vec::new(),
        queued: vec![false; spans],
        paired: 0,
        matching,
        pass,
    };
    if pass == Pass::Renamed {
        solver.prefer_pairs_confirmed_by_children();
    }
    let first = if solver.is_sharp_first() { 1 } else { LEVELS.len() };
    for levels in first..=LEVELS.len() {
        solver.levels = levels;
        (0..spans).rev().for_each(|span| solver.enqueue(span));
        solver.settle();
    }
    if pass == Pass::Named {
        solver.note_rivals();
    }
    solver.paired
}

impl Graph {
    fn new(spans: usize, rows: usize, found: Edges) -> Self {
        let edges = found.edges;
        let (mut first_of_span, mut first_of_row) = (vec![0; spans + 1], vec![0; rows + 1]);
        let (mut span_degree, mut row_degree) = (vec![0_u32; spans], vec![0_u32; rows]);
        for edge in &edges {
            first_of_span[edge.span + 1] += 1;
            first_of_row[edge.row + 1] += 1;
            span_degree[edge.span] += 1;
            row_degree[edge.row] += 1;
        }
        for first in [&mut first_of_span, &mut first_of_row] {
            for index in 1..first.len() {
                first[index] += first[index - 1];
            }
        }
        let mut next = first_of_row.clone();
        let mut of_row = vec![0; edges.len()];
        for (index, edge) in edges.iter().enumerate() {
            of_row[next[edge.row]] = index;
            next[edge.row] += 1;
        }
        Self {
            live: vec![true; edges.len()],
            span_levels: found.span_levels,
            row_levels: found.row_levels,
            edges,
            first_of_span,
            first_of_row,
            of_row,
            span_degree,
            row_degree,
        }
    }

    pub(super) fn of_span(&self, span: SpanIndex) -> impl Iterator<Item = EdgeIndex> {
        (self.first_of_span[span]..self.first_of_span[span + 1]).filter(|edge| self.live[*edge])
    }

    pub(super) fn of_row(&self, row: RowIndex) -> impl Iterator<Item = EdgeIndex> {
        let edges = &self.of_row[self.first_of_row[row]..self.first_of_row[row + 1]];
        edges.iter().copied().filter(|edge| self.live[*edge])
    }

    pub(super) fn has_edge(&self, span: SpanIndex, row: RowIndex) -> bool {
        self.of_span(span).any(|edge| self.edges[edge].row == row)
    }

    /// Whether a task may have edges that were not looked at.
    pub(super) fn row_may_have_more(&self, row: RowIndex) -> bool {
        self.row_levels[row] < LEVELS.len()
    }

    /// Whether a span may have edges that were not looked at.
    pub(super) fn span_may_have_more(&self, span: SpanIndex) -> bool {
        self.span_levels[span] < LEVELS.len()
    }

    /// Whether neither side of the edge may have other edges at the level than those found.
    fn is_complete(&self, edge: &Edge, level: usize) -> bool {
        level < self.span_levels[edge.span] && level < self.row_levels[edge.row]
    }

    /// The only edge of those given that the level sees.
    fn only(&self, edges: impl Iterator<Item = EdgeIndex>, level: Level) -> Option<EdgeIndex> {
        let mut seen = edges.filter(|edge| level.sees(&self.edges[*edge]));
        let first = seen.next()?;
        seen.next().is_none().then_some(first)
    }
}

impl Solver<'_, '_> {
    /// Whether the sharp levels count in this pass, and are tried first.
    fn is_sharp_first(&self) -> bool {
        matches!(self.pass, Pass::Named | Pass::Late)
    }

    fn enqueue(&mut self, span: SpanIndex) {
        if !self.queued[span] && self.graph.span_degree[span] > 0 {
            self.queued[span] = true;
            self.queue.push(span);
        }
    }

    /// Prunes and pairs until nothing changes.
    fn settle(&mut self) {
        loop {
            while let Some(span) = self.queue.pop() {
                self.queued[span] = false;
                self.examine(span);
            }
            if !self.is_sharp_first() {
                return;
            }
            let level = self.levels - 1;
            let pairs = groups::forced_pairs(&self.graph, LEVELS[level], |edge| self.accepts(edge, level));
            if pairs.is_empty() {
                return;
            }
            for edge in pairs {
                self.pair(edge.span, edge.row);
            }
        }
    }

    fn examine(&mut self, span: SpanIndex) {
        if self.pass != Pass::Detached {
            let complete = self.levels == LEVELS.len();
            let strangers: Vec<EdgeIndex> = self
                .graph
                .of_span(span)
                .filter(|edge| !kinship::fits(self.matching, &self.graph, complete, &self.graph.edges[*edge]))
                .collect();
            strangers.into_iter().for_each(|edge| self.remove(edge));
        }
        let first = if self.is_sharp_first() { 0 } else { LEVELS.len() - 1 };
        let certain = (first..self.levels).find_map(|level| self.certain(span, level));
        if let Some(edge) = certain {
            self.pair(edge.span, edge.row);
        }
    }

    /// The pair of the span, if the level makes it certain.
    fn certain(&self, span: SpanIndex, level: usize) -> Option<Edge> {
        let only = self.graph.only(self.graph.of_span(span), LEVELS[level])?;
        let edge = self.graph.edges[only];
        self.graph.only(self.graph.of_row(edge.row), LEVELS[level])?;
        let leaves_a_choice = (self.graph.of_row(edge.row))
            .map(|rival| self.graph.edges[rival].span)
            .all(|rival| rival == span || self.graph.span_degree[rival] > 1);
        (leaves_a_choice && self.accepts(&edge, level)).then_some(edge)
    }

    /// Whether the evidence for an edge without rivals at the level is good enough for the pass.
    fn accepts(&self, edge: &Edge, level: usize) -> bool {
        edge.witnessed
            && self.graph.is_complete(edge, level)
            && match self.pass {
                Pass::Named | Pass::Late => LEVELS[level].accepts(edge),
                Pass::Renamed => passes::is_tight(edge) || kinship::is_confirmed(self.matching, edge),
                Pass::Detached => passes::is_tight(edge),
            }
    }

    fn remove(&mut self, edge: EdgeIndex) {
        if !std::mem::replace(&mut self.graph.live[edge], false) {
            return;
        }
        let Edge { span, row, .. } = self.graph.edges[edge];
        self.graph.span_degree[span] -= 1;
        self.graph.row_degree[row] -= 1;
        self.enqueue(span);
        if self.graph.row_degree[row] <= RIVALS_MAX {
            let rivals: Vec<SpanIndex> = self.graph.of_row(row).map(|edge| self.graph.edges[edge].span).collect();
            rivals.into_iter().for_each(|span| self.enqueue(span));
        }
        if self.levels == LEVELS.len() {
            self.enqueue_children(span);
        }
    }

    fn enqueue_children(&mut self, span: SpanIndex) {
        let spans = self.matching.spans;
        for child in spans.children(span) {
            self.enqueue(*child);
        }
    }

    /// Pairs a span with a task, and its ancestors as far as the task's parents name them.
    fn pair(&mut self, span: SpanIndex, row: RowIndex) {
        let mut next = Some((span, row));
        while let Some((span, row)) = next {
            if self.matching.task_of[span].is_some() || self.matching.span_of[row].is_some() {
                return;
            }
            self.matching.task_of[span] = Some(row);
            self.matching.span_of[row] = Some(span);
            self.paired += 1;
            let rivals: Vec<EdgeIndex> = self.graph.of_span(span).chain(self.graph.of_row(row)).collect();
            rivals.into_iter().for_each(|edge| self.remove(edge));
            self.enqueue_children(span);
            self.enqueue_wanting_children_of(row);
            next = self.parent_pair(span, row);
        }
    }

    /// Queues the spans that may be children of a task which now has its span.
    fn enqueue_wanting_children_of(&mut self, row: RowIndex) {
        for child in 0..self.matching.table.children(row).len() {
            let child = self.matching.table.children(row)[child];
            let spans: Vec<SpanIndex> = self
                .graph
                .of_row(child)
                .map(|edge| self.graph.edges[edge].span)
                .collect();
            spans.into_iter().for_each(|span| self.enqueue(span));
        }
    }

    /// The pair of the parents of a pair: certain if the parent span may have that task, or if neither the span's nor
    /// the task's beginning is recorded.
    fn parent_pair(&self, span: SpanIndex, row: RowIndex) -> Option<(SpanIndex, RowIndex)> {
        let parent = self.matching.spans.node(span).parent?;
        let parent_row = self.matching.table.row(row).parent?;
        if self.matching.task_of[parent].is_some() || self.matching.span_of[parent_row].is_some() {
            return None;
        }
        let named = self.graph.has_edge(parent, parent_row);
        let unseen = self.matching.table.row(parent_row).begin.is_none()
            && !self.matching.start_covered[parent]
            && self.end_fits(parent, parent_row);
        (named || unseen).then_some((parent, parent_row))
    }

    fn end_fits(&self, span: SpanIndex, row: RowIndex) -> bool {
        let end = self.matching.spans.interval(span).end();
        let lags_ns = self.matching.clock.least_ns..=self.matching.windows.end_lag_ns;
        let task_end = self.matching.table.row(row).end_at();
        task_end.is_none_or(|at| lags_ns.contains(&at.since(end)))
    }

    /// Where a child that is already paired names the pair of its parents, other tasks of that span and other spans of
    /// that task are out.
    fn prefer_pairs_confirmed_by_children(&mut self) {
        let confirmed: Vec<EdgeIndex> = (0..self.graph.edges.len())
            .filter(|edge| kinship::is_confirmed_by_child(self.matching, &self.graph.edges[*edge]))
            .collect();
        let mut keep = vec![false; self.graph.edges.len()];
        confirmed.iter().for_each(|edge| keep[*edge] = true);
        for edge in confirmed {
            let Edge { span, row, .. } = self.graph.edges[edge];
            let rivals = self.graph.of_span(span).chain(self.graph.of_row(row));
            let rivals: Vec<EdgeIndex> = rivals.filter(|rival| !keep[*rival]).collect();
            rivals.into_iter().for_each(|rival| self.remove(rival));
        }
    }

    /// Remembers which spans and tasks still have partners of their name.
    fn note_rivals(&mut self) {
        for span in 0..self.graph.span_degree.len() {
            let paired = self.matching.task_of[span].is_some();
            let may_choose = self.graph.span_degree[span] > 0 || self.graph.span_may_have_more(span);
            self.matching.ambiguous[span] = !paired && may_choose;
        }
        for row in 0..self.graph.row_degree.len() {
            self.matching.row_wanted[row] = self.graph.row_degree[row] > 0 || self.graph.row_may_have_more(row);
        }
    }
}

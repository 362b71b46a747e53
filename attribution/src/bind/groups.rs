//! Groups of spans that look alike, such as the workers of a fan-out.
//!
//! When pairs without rivals have run out, the remaining edges fall into groups: spans and tasks connected by edges. A
//! group is settled when exactly one assignment gives every span a task and every task a span.
//!
//! That is stricter than matching in the order of ends, and on purpose. Take two spans that end `d` apart and tasks
//! that follow with lags `a` and `b`. Exchanging them gives the lags `b + d` and `a - d`; their sum is the same, so no
//! cost that adds up tells the two assignments apart. Nor does the smaller largest lag: when the world stops between
//! the ends and the tasks' ends, either order comes out. What does decide is that a lag cannot be negative: if `d`
//! exceeds `a` by more than the error of the clock, the exchange is impossible. So the order of ends is followed exactly
//! where no other order is possible.
//!
//! A graph with a single complete matching always has a vertex with a single edge; taking such pairs off one by one
//! either finds the matching or shows that there is none or several.

use super::edges::Edge;
use super::levels::Level;
use super::solve::{EdgeIndex, Graph};
use super::user_tasks::RowIndex;
use crate::spans::SpanIndex;

/// Most spans in a group. Larger ones are not tried: a chain of forced choices that long rests on every one of them.
const GROUP_MAX: usize = 256;

#[derive(Clone, Copy)]
enum Vertex {
    Span(SpanIndex),
    Row(RowIndex),
}

/// The pairs of all groups, at one level, with a single complete matching whose pairs `accepts` all accepts.
pub(super) fn forced_pairs(graph: &Graph, level: Level, accepts: impl Fn(&Edge) -> bool) -> Vec<Edge> {
    let mut groups = Groups::new(graph, level);
    let mut pairs = Vec::new();
    for span in 0..graph.span_degree.len() {
        if graph.span_degree[span] == 0 || groups.span_seen[span] {
            continue;
        }
        let group = groups.around(span);
        if group.spans != group.rows || group.spans > GROUP_MAX {
            continue;
        }
        if let Some(forced) = groups.single_matching(&group)
            && forced.iter().all(&accepts)
            && groups.leaves_a_choice(&forced)
        {
            pairs.extend(forced);
        }
    }
    pairs
}

struct Group {
    vertices: Vec<Vertex>,
    spans: usize,
    rows: usize,
}

/// The graph at one level.
struct Groups<'a> {
    graph: &'a Graph,
    level: Level,
    span_seen: Vec<bool>,
    row_seen: Vec<bool>,
    // Edges to vertices of the group that are not taken yet; zero for what is taken.
    span_degree: Vec<u32>,
    row_degree: Vec<u32>,
}

impl<'a> Groups<'a> {
    fn new(graph: &'a Graph, level: Level) -> Self {
        let (spans, rows) = (graph.span_degree.len(), graph.row_degree.len());
        Self {
            graph,
            level,
            span_seen: vec![false; spans],
            row_seen: vec![false; rows],
            span_degree: vec![0; spans],
            row_degree: vec![0; rows],
        }
    }

    fn of_span(&self, span: SpanIndex) -> impl Iterator<Item = EdgeIndex> + use<'a> {
        let (graph, level) = (self.graph, self.level);
        graph.of_span(span).filter(move |edge| level.sees(&graph.edges[*edge]))
    }

    fn of_row(&self, row: RowIndex) -> impl Iterator<Item = EdgeIndex> + use<'a> {
        let (graph, level) = (self.graph, self.level);
        graph.of_row(row).filter(move |edge| level.sees(&graph.edges[*edge]))
    }

    /// The group of `start`. Counts the degrees of its vertices.
    fn around(&mut self, start: SpanIndex) -> Group {
        let mut group = Group {
            vertices: vec![Vertex::Span(start)],
            spans: 0,
            rows: 0,
        };
        self.span_seen[start] = true;
        let mut next = 0;
        while let Some(vertex) = group.vertices.get(next).copied() {
            next += 1;
            match vertex {
                Vertex::Span(span) => {
                    group.spans += 1;
                    for row in self.of_span(span).map(|edge| self.graph.edges[edge].row) {
                        self.span_degree[span] += 1;
                        if !std::mem::replace(&mut self.row_seen[row], true) {
                            group.vertices.push(Vertex::Row(row));
                        }
                    }
                }
                Vertex::Row(row) => {
                    group.rows += 1;
                    for span in self.of_row(row).map(|edge| self.graph.edges[edge].span) {
                        self.row_degree[row] += 1;
                        if !std::mem::replace(&mut self.span_seen[span], true) {
                            group.vertices.push(Vertex::Span(span));
                        }
                    }
                }
            }
        }
        group
    }

    /// The only complete matching of the group; `None` if there is none or another one.
    fn single_matching(&mut self, group: &Group) -> Option<Vec<Edge>> {
        let mut pairs = Vec::with_capacity(group.spans);
        let mut vertices = group.vertices.clone();
        while let Some(vertex) = vertices.pop() {
            let edge = match vertex {
                Vertex::Span(span) if self.span_degree[span] == 1 => self
                    .of_span(span)
                    .find(|edge| self.row_degree[self.graph.edges[*edge].row] > 0),
                Vertex::Row(row) if self.row_degree[row] == 1 => self
                    .of_row(row)
                    .find(|edge| self.span_degree[self.graph.edges[*edge].span] > 0),
                Vertex::Span(_) | Vertex::Row(_) => continue,
            };
            let pair = self.graph.edges[edge?];
            pairs.push(pair);
            self.take(&pair, &mut vertices);
        }
        (pairs.len() == group.spans).then_some(pairs)
    }

    /// Takes both ends of a pair out, and lists the neighbors that lost an edge.
    fn take(&mut self, pair: &Edge, lost_an_edge: &mut Vec<Vertex>) {
        self.span_degree[pair.span] = 0;
        self.row_degree[pair.row] = 0;
        for row in self.of_span(pair.span).map(|edge| self.graph.edges[edge].row) {
            if self.row_degree[row] > 0 {
                self.row_degree[row] -= 1;
                lost_an_edge.push(Vertex::Row(row));
            }
        }
        for span in self.of_row(pair.row).map(|edge| self.graph.edges[edge].span) {
            if self.span_degree[span] > 0 {
                self.span_degree[span] -= 1;
                lost_an_edge.push(Vertex::Span(span));
            }
        }
    }

    /// Whether every span that these pairs take a task from, beyond the window of the level, keeps another one.
    fn leaves_a_choice(&self, pairs: &[Edge]) -> bool {
        pairs.iter().all(|pair| {
            let rivals = self.graph.of_row(pair.row).map(|edge| self.graph.edges[edge].span);
            rivals.into_iter().all(|rival| {
                let in_group = || pairs.iter().any(|pair| pair.span == rival);
                self.graph.span_degree[rival] > 1 || in_group()
            })
        })
    }
}

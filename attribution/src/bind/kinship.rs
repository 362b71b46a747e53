//! Whether the tree of user tasks agrees with the tree of spans.
//!
//! The SDK puts the task of a span into the same context as the span, so the parent of a child span's task is the
//! parent span's task, with these exceptions, each allowed for:
//!
//! * a program's own task may lie between; no span can be its, so it is passed over;
//! * the parent span began while nothing was recorded: it has no task, or one whose beginning is unknown;
//! * the parent span is not known (not yet received, not sampled); its task is, and no known span can be its.

use super::edges::Edge;
use super::passes::Matching;
use super::solve::Graph;
use super::user_tasks::RowIndex;
use crate::spans::SpanIndex;

/// Most generations that are climbed. Deeper trees are compared up to there only, which allows more.
const GENERATIONS_MAX: usize = 64;

/// The nearest ancestor of a task that can be the task of a span.
enum TaskAncestor {
    None,
    /// Its beginning is not recorded, and no child has shown which span it belongs to.
    Unseen,
    /// The task of this span. `passed` if ancestors in between are no span's.
    Of {
        span: SpanIndex,
        passed: bool,
    },
    /// The task of one of several spans.
    Open(RowIndex),
}

/// Whether the parents of the edge's task and span may be a pair. With `complete` edges, a span that has edges has its
/// task among them; before the last level a true edge may still stand beside false ones only by chance.
pub(super) fn fits(matching: &Matching<'_>, graph: &Graph, complete: bool, edge: &Edge) -> bool {
    let node = matching.spans.node(edge.span);
    let ancestor = task_ancestor(matching, graph, edge.row);
    let Some(parent) = node.parent else {
        let parent_unknown = node.span.parent_span_id.is_some();
        return match ancestor {
            TaskAncestor::None | TaskAncestor::Unseen => true,
            TaskAncestor::Open(_) => parent_unknown,
            TaskAncestor::Of { span, passed } => {
                parent_unknown && passed && matching.spans.trace_id(span) == node.span.trace_id
            }
        };
    };
    let parent_has_task = matching.task_of[parent].is_some();
    let parent_has_edges = complete && graph.span_degree[parent] > 0;
    match ancestor {
        TaskAncestor::None => !parent_has_edges && paired_ancestor(matching, edge.span).is_none(),
        TaskAncestor::Unseen => !parent_has_task,
        TaskAncestor::Of { span, passed } => {
            paired_ancestor(matching, edge.span) == Some(span) && (span == parent || passed || !parent_has_edges)
        }
        TaskAncestor::Open(row) => !parent_has_task && (!complete || nearest_may_have(matching, graph, parent, row)),
    }
}

/// Whether a relative that is already paired names this pair.
pub(super) fn is_confirmed(matching: &Matching<'_>, edge: &Edge) -> bool {
    let parent = matching.spans.node(edge.span).parent;
    let parent_task = parent.and_then(|parent| matching.task_of[parent]);
    let by_parent = parent_task.is_some() && parent_task == matching.table.row(edge.row).parent;
    by_parent || is_confirmed_by_child(matching, edge)
}

/// Whether a child of the task belongs to a child of the span.
pub(super) fn is_confirmed_by_child(matching: &Matching<'_>, edge: &Edge) -> bool {
    let tasks = matching
        .spans
        .children(edge.span)
        .iter()
        .filter_map(|child| matching.task_of[*child]);
    tasks
        .into_iter()
        .any(|task| matching.table.row(task).parent == Some(edge.row))
}

fn task_ancestor(matching: &Matching<'_>, graph: &Graph, row: RowIndex) -> TaskAncestor {
    let mut next = matching.table.row(row).parent;
    let mut passed = false;
    for _ in 0..GENERATIONS_MAX {
        let Some(row) = next else {
            return TaskAncestor::None;
        };
        if let Some(span) = matching.span_of[row] {
            return TaskAncestor::Of { span, passed };
        }
        if graph.row_degree[row] > 0 || graph.row_may_have_more(row) {
            return TaskAncestor::Open(row);
        }
        if matching.table.row(row).begin.is_none() {
            return TaskAncestor::Unseen;
        }
        passed = true;
        next = matching.table.row(row).parent;
    }
    TaskAncestor::Unseen
}

fn ancestors<'a>(matching: &'a Matching<'_>, span: SpanIndex) -> impl Iterator<Item = SpanIndex> + 'a {
    std::iter::successors(Some(span), |span| matching.spans.node(*span).parent).take(GENERATIONS_MAX)
}

fn paired_ancestor(matching: &Matching<'_>, span: SpanIndex) -> Option<SpanIndex> {
    ancestors(matching, span)
        .skip(1)
        .find(|ancestor| matching.task_of[*ancestor].is_some())
}

/// Whether the nearest of `span` and its ancestors that can have a task can have `row`.
fn nearest_may_have(matching: &Matching<'_>, graph: &Graph, span: SpanIndex, row: RowIndex) -> bool {
    ancestors(matching, span)
        .find(|span| matching.task_of[*span].is_some() || graph.span_degree[*span] > 0)
        .is_none_or(|span| {
            matching.task_of[span].is_none() && (graph.has_edge(span, row) || graph.span_may_have_more(span))
        })
}

//! The tree of the spans, as a list.

use std::collections::BTreeMap;

use super::Span;

/// Parents before children. Spans whose parent is not there, or that are their own ancestors, stand at the top.
pub(super) fn parents_first(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|a, b| (a.start_ns, &a.span_id).cmp(&(b.start_ns, &b.span_id)));
    let mut children: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    let ids: std::collections::BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    for (at, span) in spans.iter().enumerate() {
        let parent = span.parent_span_id.clone();
        let parent = parent.filter(|parent| ids.contains(parent.as_str()) && *parent != span.span_id);
        children.entry(parent).or_default().push(at);
    }
    let mut slots: Vec<Option<Span>> = spans.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(slots.len());
    let mut pending: Vec<(usize, usize)> = Vec::new();
    let mut tops = children.remove(&None).unwrap_or_default().into_iter();
    loop {
        let Some((at, depth)) = pending.pop().or_else(|| tops.next().map(|at| (at, 0))) else {
            // What is left are circles: any span of them may be the top.
            let Some(at) = slots.iter().position(Option::is_some) else {
                return ordered;
            };
            pending.push((at, 0));
            continue;
        };
        let Some(mut span) = slots[at].take() else { continue };
        let inner = children.remove(&Some(span.span_id.clone())).unwrap_or_default();
        pending.extend(inner.into_iter().rev().map(|child| (child, depth + 1)));
        span.depth = depth;
        ordered.push(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, start_ns: i64) -> Span {
        Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            start_ns,
            ..Span::default()
        }
    }

    fn order(spans: Vec<Span>) -> Vec<(String, usize)> {
        let ordered = parents_first(spans).into_iter();
        ordered.map(|span| (span.span_id, span.depth)).collect()
    }

    fn shown(of: &[(&str, usize)]) -> Vec<(String, usize)> {
        of.iter().map(|(id, depth)| ((*id).to_owned(), *depth)).collect()
    }

    #[test]
    fn children_follow_their_parent_in_the_order_of_their_starts() {
        let spans = vec![
            span("d", Some("b"), 4),
            span("c", Some("a"), 3),
            span("b", Some("a"), 2),
            span("a", None, 1),
            span("e", Some("gone"), 0),
        ];
        assert_eq!(order(spans), shown(&[("e", 0), ("a", 0), ("b", 1), ("d", 2), ("c", 1)]));
    }

    #[test]
    fn spans_in_a_circle_are_shown_once() {
        let spans = vec![
            span("a", Some("b"), 1),
            span("b", Some("a"), 2),
            span("c", Some("c"), 3),
        ];
        assert_eq!(order(spans), shown(&[("c", 0), ("a", 0), ("b", 1)]));
    }
}

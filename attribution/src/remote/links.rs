//! Which spans called which servers.

use std::collections::HashMap;

use spandrel_model::{Span, SpanKind};

use crate::spans::{SpanIndex, SpanSet};
use crate::{Analysis, SpanKey};

/// A span among those of several processes: the position of the process, and the span there.
pub(super) type Place = (usize, SpanIndex);

/// A call that left its process, or went over the network to the same one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The span that called.
    pub(super) client: Place,
    /// The span that it started on the other side.
    pub(super) server: Place,
    /// Links from here up to the root of the trace, this one included. More than [`HOPS_MAX`] are not counted.
    pub(super) hops: usize,
}

/// Calls that are nested deeper are not followed. Also ends the walk where corrupt parents form a circle.
pub(super) const HOPS_MAX: usize = 64;

/// Whether `child`, of the same process as its parent, was called over the network.
pub(crate) fn is_call(parent: &Span, child: &Span) -> bool {
    let takes = matches!(child.kind, SpanKind::Server | SpanKind::Consumer);
    takes && matches!(parent.kind, SpanKind::Client | SpanKind::Producer)
}

/// Whether the client does not wait: its message is stored in between.
pub(super) fn is_message(client: &Span, server: &Span) -> bool {
    client.kind == SpanKind::Producer || server.kind == SpanKind::Consumer
}

/// All links, those of one client together, in an order that does not depend on that of processes.
pub(super) fn find(analyses: &[Analysis<'_>]) -> Vec<Link> {
    let mut pairs: Vec<(Place, Place)> = Vec::new();
    let mut orphans: Vec<(SpanKey, Place)> = Vec::new();
    for (process, analysis) in analyses.iter().enumerate() {
        let spans = analysis.spans();
        for index in 0..spans.len() {
            let node = spans.node(index);
            match (node.parent, node.span.parent_span_id) {
                (Some(parent), _) if is_call(spans.span(parent), node.span) => {
                    pairs.push(((process, parent), (process, index)));
                }
                (None, Some(span_id)) => {
                    let trace_id = node.span.trace_id;
                    orphans.push((SpanKey { trace_id, span_id }, (process, index)));
                }
                _ => {}
            }
        }
    }
    if analyses.len() > 1 && !orphans.is_empty() {
        pairs.extend(adopt(analyses, &orphans));
    }
    pairs.sort_by_cached_key(|(client, (process, index))| {
        let server = analyses[*process].spans().span(*index);
        (*client, SpanKey::of(server), server.process.clone())
    });
    with_hops(analyses, &pairs)
}

/// Finds the parents of `orphans` in other processes. Of several spans with the same id, one that calls is preferred.
fn adopt(analyses: &[Analysis<'_>], orphans: &[(SpanKey, Place)]) -> Vec<(Place, Place)> {
    let mut parents: HashMap<SpanKey, Option<Place>> = orphans.iter().map(|(key, _)| (*key, None)).collect();
    let span = |(process, index): Place| analyses[process].spans().span(index);
    let rank = |place: Place| {
        let span = span(place);
        let calls = matches!(span.kind, SpanKind::Client | SpanKind::Producer);
        (!calls, span.interval, &span.process)
    };
    for (process, analysis) in analyses.iter().enumerate() {
        for index in 0..analysis.spans().len() {
            if let Some(parent) = parents.get_mut(&SpanKey::of(span((process, index))))
                && parent.is_none_or(|known| rank((process, index)) < rank(known))
            {
                *parent = Some((process, index));
            }
        }
    }
    let pairs = orphans
        .iter()
        .filter_map(|(key, orphan)| Some((parents[key]?, *orphan)));
    pairs.filter(|(parent, orphan)| parent.0 != orphan.0).collect()
}

fn with_hops(analyses: &[Analysis<'_>], pairs: &[(Place, Place)]) -> Vec<Link> {
    let mut entered_by: Vec<Option<Vec<Option<usize>>>> = vec![None; analyses.len()];
    for (link, (_, (process, index))) in pairs.iter().enumerate() {
        let of_process = entered_by[*process].get_or_insert_with(|| vec![None; analyses[*process].spans().len()]);
        of_process[*index] = Some(link);
    }
    for (process, of_process) in entered_by.iter_mut().enumerate() {
        if let Some(of_process) = of_process {
            inherit(analyses[process].spans(), of_process);
        }
    }
    let above = |link: usize| {
        let (process, index) = pairs[link].0;
        entered_by[process].as_ref().and_then(|of_process| of_process[index])
    };
    let hops = |link: usize| {
        std::iter::successors(Some(link), |link| above(*link))
            .take(HOPS_MAX + 1)
            .count()
    };
    let links = pairs.iter().enumerate();
    links
        .map(|(link, (client, server))| Link {
            client: *client,
            server: *server,
            hops: hops(link),
        })
        .collect()
}

/// Gives each span without a value that of its parent.
fn inherit(spans: &SpanSet<'_>, values: &mut [Option<usize>]) {
    for index in spans.downwards() {
        if values[index].is_none() {
            values[index] = spans.node(index).parent.and_then(|parent| values[parent]);
        }
    }
}

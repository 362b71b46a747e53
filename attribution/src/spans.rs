//! The spans of one process, each once, with their tree.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use spandrel_model::{Interval, ProcessIdentity, Span, SpanId, SpanKind, TraceId};

/// What to attribute: the spans of one process.
#[derive(Clone, Debug)]
pub struct ProcessSpans<'a> {
    /// The process.
    pub process: Arc<ProcessIdentity>,
    /// Spans that yield rows.
    pub spans: Vec<&'a Span>,
    /// Spans that take part in binding and ownership but yield no rows, because they already have: parents, children
    /// and neighbors of `spans`. A span in both lists yields none.
    pub context: Vec<&'a Span>,
}

/// Identity of a span: its id is unique within its trace only, and tracers with 64-bit trace ids reuse ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanKey {
    /// Trace that the span belongs to.
    pub trace_id: TraceId,
    /// Id within the trace.
    pub span_id: SpanId,
}

impl SpanKey {
    /// The key of `span`.
    pub fn of(span: &Span) -> Self {
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
        }
    }
}

/// Index of a span in [`SpanSet`].
pub(crate) type SpanIndex = usize;

/// The spans of one process without duplicates, sorted by (start, end, key), so that nothing depends on the order of
/// arrival.
pub(crate) struct SpanSet<'a> {
    nodes: Vec<SpanNode<'a>>,
    // By span: whether it yields rows.
    emits: Vec<bool>,
    by_key: HashMap<SpanKey, SpanIndex>,
    as_given: Vec<SpanIndex>,
    // Children of node n: children[first_child[n]..first_child[n + 1]].
    first_child: Vec<usize>,
    children: Vec<SpanIndex>,
}

/// What is asked of a span most often is here, since spans lie all over the place.
pub(crate) struct SpanNode<'a> {
    pub(crate) span: &'a Span,
    interval: Interval,
    key: SpanKey,
    /// Parent in the same process.
    pub(crate) parent: Option<SpanIndex>,
    /// Distance from its root in the process.
    pub(crate) depth: u32,
    /// Whether work enters the process with it.
    pub(crate) is_request: bool,
}

impl SpanNode<'_> {
    /// A span at which work enters the process. Where the SDK does not say whether the parent is remote, an unknown
    /// parent or a kind that takes requests decides.
    fn takes_request(&self) -> bool {
        match (self.span.parent_span_id, self.span.parent_is_remote) {
            (None, _) => true,
            (Some(_), Some(is_remote)) => is_remote,
            (Some(_), None) => self.parent.is_none() || matches!(self.span.kind, SpanKind::Server | SpanKind::Consumer),
        }
    }
}

impl<'a> SpanSet<'a> {
    pub(crate) fn new(spans: &ProcessSpans<'a>) -> Self {
        let all = || spans.spans.iter().chain(&spans.context);
        let emits = |place: u32| (place as usize) < spans.spans.len();
        let keys: Vec<SpanKey> = all().map(|span| SpanKey::of(span)).collect();
        let intervals = all().map(|span| span.interval);
        let mut sorted: Vec<(Interval, u32)> = intervals.zip(0..).collect();
        sorted.sort_unstable_by(|left, right| {
            let key = |place: u32| (keys[place as usize], emits(place));
            left.0.cmp(&right.0).then_with(|| key(left.1).cmp(&key(right.1)))
        });

        let mut set = Self {
            nodes: Vec::with_capacity(keys.len()),
            emits: Vec::with_capacity(keys.len()),
            by_key: HashMap::with_capacity(keys.len()),
            as_given: Vec::new(),
            first_child: Vec::new(),
            children: Vec::new(),
        };
        let mut index_of = vec![None; keys.len()];
        for (interval, place) in sorted {
            let (emits, place, next) = (emits(place), place as usize, set.nodes.len());
            let index = *set.by_key.entry(keys[place]).or_insert(next);
            match set.emits.get_mut(index) {
                Some(known) => *known &= emits,
                None => {
                    index_of[place] = Some(index);
                    set.emits.push(emits);
                    set.nodes.push(SpanNode {
                        span: match emits {
                            true => spans.spans[place],
                            false => spans.context[place - spans.spans.len()],
                        },
                        interval,
                        key: keys[place],
                        parent: None,
                        depth: 0,
                        is_request: false,
                    });
                }
            }
        }
        set.as_given.extend(index_of.into_iter().flatten());
        set.link();
        set
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, index: SpanIndex) -> &SpanNode<'a> {
        &self.nodes[index]
    }

    pub(crate) fn span(&self, index: SpanIndex) -> &'a Span {
        self.nodes[index].span
    }

    /// The spans in the order in which they were given. Often that is their order in memory, in which many are read
    /// several times as fast as in the order of time.
    pub(crate) fn as_given(&self) -> impl Iterator<Item = SpanIndex> {
        self.as_given.iter().copied()
    }

    /// The time of the span.
    pub(crate) fn interval(&self, index: SpanIndex) -> Interval {
        self.nodes[index].interval
    }

    /// The trace of the span.
    pub(crate) fn trace_id(&self, index: SpanIndex) -> TraceId {
        self.nodes[index].key.trace_id
    }

    /// The identity of the span.
    pub(crate) fn key(&self, index: SpanIndex) -> SpanKey {
        self.nodes[index].key
    }

    /// Whether the span yields rows.
    pub(crate) fn emits(&self, index: SpanIndex) -> bool {
        self.emits[index]
    }

    pub(crate) fn find(&self, key: SpanKey) -> Option<SpanIndex> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn children(&self, index: SpanIndex) -> &[SpanIndex] {
        &self.children[self.first_child[index]..self.first_child[index + 1]]
    }

    /// By span: the request that it is part of, which is the nearest one on its way up; `None` where the parents are not
    /// known.
    pub(crate) fn requests(&self) -> Vec<Option<SpanIndex>> {
        let mut requests = vec![None; self.len()];
        for span in self.downwards() {
            let node = &self.nodes[span];
            requests[span] = match node.is_request {
                true => Some(span),
                false => node.parent.and_then(|parent| requests[parent]),
            };
        }
        requests
    }

    /// All spans, parents before their children.
    pub(crate) fn downwards(&self) -> Vec<SpanIndex> {
        let mut downwards = Vec::with_capacity(self.len());
        downwards.extend((0..self.len()).filter(|span| self.nodes[*span].parent.is_none()));
        let mut next = 0;
        while let Some(span) = downwards.get(next) {
            downwards.extend_from_slice(self.children(*span));
            next += 1;
        }
        downwards
    }

    /// Finds parents, depths and children. A cycle of parents, which only corrupt input has, is cut where the walk
    /// closes it.
    fn link(&mut self) {
        for index in 0..self.nodes.len() {
            let span = self.nodes[index].span;
            self.nodes[index].parent = span.parent_span_id.and_then(|span_id| {
                self.find(SpanKey {
                    trace_id: span.trace_id,
                    span_id,
                })
            });
        }
        self.measure_depths();
        for node in &mut self.nodes {
            node.is_request = node.takes_request();
        }
        let mut count = vec![0; self.nodes.len() + 1];
        for parent in self.nodes.iter().filter_map(|node| node.parent) {
            count[parent + 1] += 1;
        }
        for index in 1..count.len() {
            count[index] += count[index - 1];
        }
        self.children = vec![0; count[self.nodes.len()]];
        self.first_child = count.clone();
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(parent) = node.parent {
                self.children[count[parent]] = index;
                count[parent] += 1;
            }
        }
    }

    fn measure_depths(&mut self) {
        #[derive(Clone, Copy, PartialEq)]
        enum Walk {
            New,
            OnPath,
            Done,
        }
        let mut walks = vec![Walk::New; self.nodes.len()];
        let mut path = Vec::new();
        for start in 0..self.nodes.len() {
            let mut next = Some(start);
            while let Some(index) = next.filter(|index| walks[*index] == Walk::New) {
                walks[index] = Walk::OnPath;
                path.push(index);
                next = self.nodes[index].parent;
            }
            if let (Some(top), Some(closing)) = (path.last(), next)
                && walks[closing] == Walk::OnPath
            {
                self.nodes[*top].parent = None;
            }
            while let Some(index) = path.pop() {
                let parent = self.nodes[index].parent;
                self.nodes[index].depth = parent.map_or(0, |parent| self.nodes[parent].depth.saturating_add(1));
                walks[index] = Walk::Done;
            }
        }
    }
}

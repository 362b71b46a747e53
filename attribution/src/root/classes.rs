//! Owners as a span sees them: what matters of one is its trace, its layer, and the operation that it is a part of.

use std::hash::Hash;

use foldhash::HashMap;
use spandrel_model::TraceId;

use crate::layering::Layering;
use crate::remote::Calls;
use crate::spans::{SpanIndex, SpanSet};

/// The owner of a task at the end of a chain, told apart as far as cells do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// Spans of one trace, operation and layer, whose waits for the network belong to the same call.
    OfTrace(usize),
    /// Spans of one operation and layer, not of the trace of the spans that ask. A lock under load
    /// is held by hundreds of traces, but by few operations.
    Other(usize),
}

/// Owners by number.
pub(crate) struct OwnerClasses {
    of_trace: Classes,
    other: Classes,
    // By span: the one with which its request entered the process.
    request_of: Vec<SpanIndex>,
}

struct Classes {
    of_span: Vec<usize>,
    // A span of each class.
    examples: Vec<SpanIndex>,
}

impl OwnerClasses {
    pub(crate) fn new(spans: &SpanSet<'_>, layers: &Layering, calls: &Calls) -> Self {
        let request_of = requests(spans);
        let operations = operations(spans, &request_of);
        let other = Classes::few(spans, |index| (operations[request_of[index]], layers.of_span(index)));
        let of_trace = Classes::of_each_trace(spans, |index| (other.of_span[index], calls.of_span(index)));
        Self {
            of_trace,
            other,
            request_of,
        }
    }

    /// The owner `span`, seen from spans that are all of trace `asking`; `None` if they are of several.
    pub(super) fn owner(&self, spans: &SpanSet<'_>, span: SpanIndex, asking: Option<TraceId>) -> Owner {
        match asking {
            Some(asking) if spans.trace_id(span) != asking => Owner::Other(self.other.of_span[span]),
            _ => Owner::OfTrace(self.of_trace.of_span[span]),
        }
    }

    /// The owner `span`, seen from spans of other traces.
    pub(super) fn other(&self, span: SpanIndex) -> Owner {
        Owner::Other(self.other.of_span[span])
    }

    /// The span whose name is the operation of all spans of the class.
    pub(super) fn request(&self, owner: Owner) -> SpanIndex {
        self.request_of[self.example(owner)]
    }

    /// A span of the class: its layer is that of all.
    pub(super) fn example(&self, owner: Owner) -> SpanIndex {
        match owner {
            Owner::OfTrace(class) => self.of_trace.examples[class],
            Owner::Other(class) => self.other.examples[class],
        }
    }

    /// Number of the operation and layer that all spans of the class have.
    pub(super) fn operation(&self, owner: Owner) -> usize {
        match owner {
            Owner::OfTrace(class) => self.other.of_span[self.of_trace.examples[class]],
            Owner::Other(class) => class,
        }
    }

    /// A span of the class, if all of it are of the trace of the spans that asked; their call is the same.
    pub(super) fn caller(&self, owner: Owner) -> Option<SpanIndex> {
        match owner {
            Owner::OfTrace(class) => Some(self.of_trace.examples[class]),
            Owner::Other(_) => None,
        }
    }

    /// Whether the class is of trace `trace_id`, that of a span that asked.
    pub(super) fn is_of(&self, spans: &SpanSet<'_>, owner: Owner, trace_id: TraceId) -> bool {
        matches!(owner, Owner::OfTrace(_)) && spans.trace_id(self.example(owner)) == trace_id
    }
}

/// By span: the nearest request among it and its ancestors, or the last known ancestor.
fn requests(spans: &SpanSet<'_>) -> Vec<SpanIndex> {
    let mut request_of: Vec<SpanIndex> = (0..spans.len()).collect();
    for span in spans.downwards() {
        let node = spans.node(span);
        if let (Some(parent), false) = (node.parent, node.is_request) {
            request_of[span] = request_of[parent];
        }
    }
    request_of
}

/// By span: the number of its trace, which that of its parent is, too; and how many traces there are.
fn traces(spans: &SpanSet<'_>) -> (Vec<usize>, usize) {
    let mut numbers: HashMap<TraceId, usize> = HashMap::default();
    let mut traces = vec![0; spans.len()];
    for span in spans.downwards() {
        traces[span] = match spans.node(span).parent {
            Some(parent) => traces[parent],
            None => {
                let next = numbers.len();
                *numbers.entry(spans.trace_id(span)).or_insert(next)
            }
        };
    }
    (traces, numbers.len())
}

/// All spans, those of a trace together, in the order of time.
fn trace_by_trace(spans: &SpanSet<'_>) -> (Vec<SpanIndex>, Vec<usize>) {
    let (traces, count) = traces(spans);
    let mut next = vec![0; count + 1];
    for trace in &traces {
        next[trace + 1] += 1;
    }
    for trace in 0..count {
        next[trace + 1] += next[trace];
    }
    let mut together = vec![0; spans.len()];
    for (span, trace) in traces.iter().enumerate() {
        together[next[*trace]] = span;
        next[*trace] += 1;
    }
    // Each has moved to where the next one began.
    (together, next)
}

/// By span that is a request of others: the number of its name.
fn operations(spans: &SpanSet<'_>, request_of: &[SpanIndex]) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::default();
    let number = |(span, request): (SpanIndex, &SpanIndex)| match span == *request {
        true => {
            let next = numbers.len();
            *numbers.entry(&*spans.span(span).name).or_insert(next)
        }
        false => 0,
    };
    request_of.iter().enumerate().map(number).collect()
}

impl Classes {
    /// Spans of the same key are of one class; there are few.
    fn few<K: Eq + Hash>(spans: &SpanSet<'_>, key: impl Fn(SpanIndex) -> K) -> Self {
        let mut numbers: HashMap<K, usize> = HashMap::default();
        let mut examples = Vec::new();
        let of_span = (0..spans.len())
            .map(|span| {
                *numbers.entry(key(span)).or_insert_with(|| {
                    examples.push(span);
                    examples.len() - 1
                })
            })
            .collect();
        Self { of_span, examples }
    }

    /// Spans of the same trace and key are of one class. There may be as many as spans, but few of a trace, so each trace
    /// is sorted by itself.
    fn of_each_trace<K: Ord>(spans: &SpanSet<'_>, key: impl Fn(SpanIndex) -> K) -> Self {
        let (mut together, ends) = trace_by_trace(spans);
        let mut classes = Self {
            of_span: vec![0; spans.len()],
            examples: Vec::new(),
        };
        let mut start = 0;
        for end in ends {
            let trace = &mut together[start..end];
            trace.sort_unstable_by_key(|span| (key(*span), *span));
            for same in trace.chunk_by(|left, right| key(*left) == key(*right)) {
                for span in same {
                    classes.of_span[*span] = classes.examples.len();
                }
                classes.examples.push(same[0]);
            }
            start = end;
        }
        classes
    }
}

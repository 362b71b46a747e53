//! Samples of CPU profiles: which functions the profiler saw run for a request, by labels that name spans.
//!
//! ```text
//! profile   [----------------- window -----------------)
//! requests     |a------|  |b---|   |c-------|        |d------|
//! samples of    a  a  a    b        c  c  c          d  d          each says for whom and where, not when
//! count for     a          b        c                              d is not all inside
//! ```
//!
//! A sample counts for the request of the span that its label names, in the layer of that span, if the request lies in
//! the window of the profile: of one that is only partly inside, the functions of a part would stand for the whole.
//! Go's runtime puts the samples of its profiler into an execution trace, too, with task and time; so where a
//! recording has samples within the profile, those of requests that were recorded are known better from there, and the
//! profile's do not count twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use spandrel_model::{CpuProfile, LabeledSpan, Names, SpanId};

use crate::layering::{LayerNumber, Layering};
use crate::samples::innermost;
use crate::spans::{SpanIndex, SpanKey, SpanSet};
use crate::{SampledBy, SampledFunction, StackLayers, Timeline};

/// What the labels of CPU profiles say of each request.
#[derive(Debug, Default)]
pub(crate) struct LabeledSamples {
    // Sorted by request.
    functions: Vec<(SpanIndex, SampledFunction)>,
}

/// What is counted together.
type Key = (SpanIndex, SampledBy, LayerNumber, LayerNumber, Arc<str>);

impl LabeledSamples {
    /// Those of `profiles` of one process, in any order. Profiles that are given twice count once.
    pub(crate) fn new(
        profiles: &[&CpuProfile],
        spans: &SpanSet<'_>,
        timeline: &Timeline,
        layers: &Layering,
        stack_layers: &StackLayers,
    ) -> Self {
        let profiles = in_order(profiles);
        let requests = spans.requests();
        let chosen = chosen(&profiles, spans, &requests, timeline);
        let ids = Ids::of(spans);
        let mut counts: BTreeMap<Key, u32> = BTreeMap::new();
        for (number, profile) in profiles.iter().enumerate() {
            let places = stack_layers.places(&profile.stacks, &profile.names);
            for samples in &profile.samples {
                let Some(span) = samples.span.and_then(|label| ids.find(spans, label)) else {
                    continue;
                };
                let Some(request) = requests[span].filter(|request| chosen.get(request) == Some(&number)) else {
                    continue;
                };
                let by = match span == request {
                    true => SampledBy::Request,
                    false => SampledBy::InnerSpan,
                };
                let function = innermost(&profile.stacks, &profile.names, samples.stack).unwrap_or(Names::EMPTY);
                let function = profile.names.resolve(function).clone();
                let function_layer = layers.of_time(span, places.of(samples.stack).layer());
                let key = (request, by, layers.of_span(span), function_layer, function);
                let n = counts.entry(key).or_default();
                *n = n.saturating_add(u32::try_from(samples.count).unwrap_or(u32::MAX));
            }
        }
        let function = |((request, by, layer, function_layer, function), n)| {
            let seen = SampledFunction {
                by,
                layer: layers.layer(layer).clone(),
                function_layer: layers.layer(function_layer).clone(),
                function,
                n,
            };
            (request, seen)
        };
        Self {
            functions: counts.into_iter().map(function).collect(),
        }
    }

    /// Those of a request.
    pub(crate) fn of(&self, request: SpanIndex) -> impl Iterator<Item = &SampledFunction> {
        let first = self.functions.partition_point(|(of, _)| *of < request);
        let of_request = self.functions[first..].iter().take_while(move |(of, _)| *of == request);
        of_request.map(|(_, function)| function)
    }
}

/// By the start of their windows, of those that start together the longest first.
fn in_order<'p>(profiles: &[&'p CpuProfile]) -> Vec<&'p CpuProfile> {
    let mut profiles = profiles.to_vec();
    profiles.sort_by_key(|profile| {
        let window = profile.window;
        (window.start(), std::cmp::Reverse(window.end()), profile.source.clone())
    });
    profiles
}

/// The profile whose samples count for each request: the first one that covers it, unless a recording has them already.
fn chosen(
    profiles: &[&CpuProfile],
    spans: &SpanSet<'_>,
    requests: &[Option<SpanIndex>],
    timeline: &Timeline,
) -> HashMap<SpanIndex, usize> {
    let are_recorded: Vec<bool> = (profiles.iter())
        .map(|profile| timeline.samples().any_within(profile.window))
        .collect();
    let mut chosen = HashMap::new();
    for request in (0..spans.len()).filter(|span| requests[*span] == Some(*span) && spans.node(*span).emits) {
        let interval = spans.span(request).interval;
        let begun = profiles.partition_point(|profile| profile.window.start() <= interval.start());
        let Some(covering) = (profiles[..begun].iter()).position(|profile| interval.end() <= profile.window.end())
        else {
            continue;
        };
        if !are_recorded[covering] || timeline.covered_ns(interval) == 0 {
            chosen.insert(request, covering);
        }
    }
    chosen
}

/// Spans by the ids that labels have.
struct Ids {
    // `None` where spans of several traces have the id, so that it says nothing without a trace.
    by_span_id: HashMap<SpanId, Option<SpanIndex>>,
}

impl Ids {
    fn of(spans: &SpanSet<'_>) -> Self {
        let mut by_span_id = HashMap::with_capacity(spans.len());
        for span in 0..spans.len() {
            let known = by_span_id.entry(spans.span(span).span_id);
            known.and_modify(|known| *known = None).or_insert(Some(span));
        }
        Self { by_span_id }
    }

    fn find(&self, spans: &SpanSet<'_>, label: LabeledSpan) -> Option<SpanIndex> {
        let span_id = label.span_id;
        match label.trace_id {
            Some(trace_id) => spans.find(SpanKey { trace_id, span_id }),
            None => self.by_span_id.get(&span_id).copied().flatten(),
        }
    }
}

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

use std::cmp::Reverse;
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
    /// Those of `profiles` that may be of one process, in any order.
    ///
    /// A request takes its samples from one profile, so that a profile that is given twice counts once: the first that
    /// covers it and has samples of it. What covers it only in time may be of another replica, and says nothing of it.
    pub(crate) fn new(
        profiles: &[&CpuProfile],
        spans: &SpanSet<'_>,
        timeline: &Timeline,
        layers: &Layering,
        stack_layers: &StackLayers,
    ) -> Self {
        let profiles = in_order(profiles);
        let requests = spans.requests();
        let ids = Ids::of(spans);
        let mut chosen: HashMap<SpanIndex, Option<usize>> = HashMap::new();
        let mut counts: BTreeMap<Key, u32> = BTreeMap::new();
        for (number, profile) in profiles.iter().enumerate() {
            let places = stack_layers.places(&profile.stacks, &profile.names);
            let is_recorded = timeline.samples().any_within(profile.window);
            let counting = |request: SpanIndex| {
                let is_known_better = is_recorded && timeline.covered_ns(spans.interval(request)) > 0;
                (!is_known_better).then_some(number)
            };
            for samples in &profile.samples {
                let Some(span) = samples.span.and_then(|label| ids.find(spans, label)) else {
                    continue;
                };
                let Some(request) = requests[span].filter(|request| covers(profile, spans, *request)) else {
                    continue;
                };
                if *chosen.entry(request).or_insert_with(|| counting(request)) != Some(number) {
                    continue;
                }
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

/// By the start of their windows, of those that start together the longest first. Profiles that tie are the same.
fn in_order<'p>(profiles: &[&'p CpuProfile]) -> Vec<&'p CpuProfile> {
    let order = |profile: &'p CpuProfile| {
        let window = profile.window;
        (
            window.start(),
            Reverse(window.end()),
            &profile.source,
            &profile.process,
            &profile.samples,
        )
    };
    let mut profiles = profiles.to_vec();
    profiles.sort_by(|a, b| order(a).cmp(&order(b)));
    profiles
}

/// Whether all of an emitted request lies in the window of a profile.
fn covers(profile: &CpuProfile, spans: &SpanSet<'_>, request: SpanIndex) -> bool {
    let (interval, window) = (spans.interval(request), profile.window);
    spans.emits(request) && window.start() <= interval.start() && interval.end() <= window.end()
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

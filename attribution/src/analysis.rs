//! The steps of attribution in order: merge the recordings, bind the spans, find the owners, give out the time.

use std::sync::OnceLock;

use spandrel_model::{
    Binding, BindingKind, Cell, CpuProfile, Evidence, Interval, State, TaskId, TaskRecording, UnixNanos, UnknownReason,
    View,
};

use crate::bind;
use crate::conservation::conserved;
use crate::helper_time::helper_time;
use crate::inferred::WaitedFor;
use crate::labeled_samples::LabeledSamples;
use crate::layering::Layering;
use crate::owner::Owners;
use crate::remote::{self, Calls};
use crate::root::{Culprits, OwnerClasses, RootView};
use crate::self_view::Evidences;
use crate::spans::{SpanIndex, SpanSet};
use crate::stretches::{Bindings, Stretch};
use crate::{
    Attributed, InFlight, Piece, ProcessSpans, RootPiece, Rules, SampledFunction, SpanAttribution, SpanKey,
    StackLayers, TaskSpan, Timeline,
};

/// Attributes the spans of one process, given all recordings of it that are at hand, in any order. Spans and recordings
/// that are given twice count once. Neither reads a clock nor fails: what is not known becomes unknown time.
/// [`attribute_together`](crate::attribute_together) does so for several processes that call each other.
pub fn attribute(spans: &ProcessSpans<'_>, recordings: &[&TaskRecording], rules: &Rules) -> Attributed {
    let mut analysis = [Analysis::new(spans, recordings, rules)];
    remote::follow_calls(&mut analysis);
    analysis[0].attributed()
}

/// A step of [`Analysis::new`], in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The spans are sorted and have their parents.
    Tree,
    /// The recordings are one line of time.
    Timeline,
    /// Every span is bound or has a reason why not.
    Binding,
    /// Every task has its owners.
    Owners,
    /// Every span has its layer.
    Layers,
}

/// Everything that [`attribute`] finds out, to be asked for in detail.
pub struct Analysis<'a> {
    spans: SpanSet<'a>,
    timeline: Timeline,
    bindings: Bindings,
    owners: Owners,
    layers: Layering,
    calls: Calls,
    // Of the root view alone, made when that is asked for.
    classes: OnceLock<OwnerClasses>,
    labeled_samples: LabeledSamples,
    chain_limit: u32,
}

impl<'a> Analysis<'a> {
    /// Binds the spans and finds the owners. See [`attribute`] for the arguments. Servers are not followed:
    /// [`analyze_together`](crate::analyze_together) does that.
    pub fn new(spans: &ProcessSpans<'a>, recordings: &[&TaskRecording], rules: &Rules) -> Self {
        Self::stepwise(spans, recordings, rules, |_| {})
    }

    /// As [`Self::new`]; tells when each step is done, for those who measure: nothing here reads a clock.
    pub fn stepwise(
        spans: &ProcessSpans<'a>,
        recordings: &[&TaskRecording],
        rules: &Rules,
        mut done: impl FnMut(Step),
    ) -> Self {
        let spans = SpanSet::new(spans);
        done(Step::Tree);
        let timeline = Timeline::new(recordings, &rules.stack_layers);
        done(Step::Timeline);
        let bindings = bind::bind(&spans, &timeline, &rules.windows);
        done(Step::Binding);
        let owners = Owners::new(&spans, &timeline, &bindings);
        done(Step::Owners);
        let layers = Layering::new(&spans, rules);
        let calls = Calls::unknown(&spans);
        done(Step::Layers);
        Self {
            spans,
            timeline,
            bindings,
            owners,
            layers,
            calls,
            classes: OnceLock::new(),
            labeled_samples: LabeledSamples::default(),
            chain_limit: rules.chain_limit,
        }
    }

    /// Takes the samples of CPU profiles of the process, all that are at hand, with layers by the same rules.
    pub(crate) fn add_cpu_profiles(&mut self, profiles: &[&CpuProfile], stack_layers: &StackLayers) {
        if !profiles.is_empty() {
            let Self {
                spans,
                timeline,
                layers,
                ..
            } = self;
            self.labeled_samples = LabeledSamples::new(profiles, spans, timeline, layers, stack_layers);
        }
    }

    /// The merged recordings.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// How the span is bound; `None` for a span that is not of the process.
    pub fn binding(&self, span: SpanKey) -> Option<Binding> {
        self.spans.find(span).map(|span| self.bindings.of(span))
    }

    /// On which tasks the span was, and when: stretches that tile it, none if it is not bound, or not of the process.
    pub fn stretches(&self, span: SpanKey) -> Vec<Stretch> {
        let span = self.spans.find(span);
        let stretches = span.map(|span| self.bindings.stretches(&self.spans, span));
        stretches.into_iter().flatten().collect()
    }

    /// The span for which `task` was at work at the instant: the innermost one bound to it, else the one inherited from
    /// its creator, else none.
    pub fn owner_at(&self, task: TaskId, at: UnixNanos) -> Option<SpanKey> {
        let owner = self.owners.at(&self.spans, &self.timeline, task, at)?;
        Some(self.spans.key(owner))
    }

    /// The stretches in which a span bound to `task` owns it, in the order of time, without overlap. A stretch may be
    /// followed by another one of the same span.
    pub fn owned(&self, task: TaskId) -> Vec<(Interval, SpanKey)> {
        let pieces = self.owners.find(task).map_or(&[][..], |task| self.owners.pieces(task));
        let key = |span: SpanIndex| self.spans.key(span);
        pieces.iter().map(|piece| (piece.interval, key(piece.span))).collect()
    }

    /// The self view of one span over time: stretches of one cell each, maximal, tiling the span. `None` for a span that
    /// is not of the process.
    pub fn pieces(&self, span: SpanKey) -> Option<Vec<Piece>> {
        self.spans.find(span).map(|span| self.evidences().pieces(span))
    }

    /// The root view of one span over time: stretches of one cell and one task each, maximal, tiling the span. `None` for
    /// a span that is not of the process.
    pub fn root_pieces(&self, span: SpanKey) -> Option<Vec<RootPiece>> {
        self.spans.find(span).map(|span| self.root_view().pieces(span))
    }

    /// The cells of the self view alone, of every span that yields rows.
    pub fn self_cells(&self) -> Vec<(SpanKey, Vec<Cell>)> {
        let cells = self.evidences().cells().into_iter().enumerate();
        cells
            .filter(|(span, _)| self.spans.emits(*span))
            .map(|(span, cells)| (self.spans.key(span), cells))
            .collect()
    }

    /// The result for every span that yields rows.
    pub fn attributed(&self) -> Attributed {
        let (root_cells, walks) = self.root_view().cells();
        let helper_running_ns = helper_time(&self.spans, &self.timeline, &self.bindings, &self.owners);
        let mut result = Attributed {
            spans: Vec::with_capacity(self.spans.len()),
            walks,
            calls: self.calls.counts,
            ..Attributed::default()
        };
        for (span, (mut cells, root_cells)) in self.evidences().cells().into_iter().zip(root_cells).enumerate() {
            if !self.spans.emits(span) {
                continue;
            }
            cells.extend(root_cells);
            let attribution = self.attribution(span, cells, helper_running_ns[span]);
            match conserved(&attribution) {
                Ok(()) => result.spans.push(attribution),
                Err(violation) => result.violations.push(violation),
            }
        }
        result
    }

    pub(crate) fn spans(&self) -> &SpanSet<'a> {
        &self.spans
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn calls_mut(&mut self) -> &mut Calls {
        &mut self.calls
    }

    pub(crate) fn set_calls(&mut self, calls: Calls) {
        self.calls = calls;
        self.classes = OnceLock::new();
    }

    fn evidences(&self) -> Evidences<'_> {
        Evidences {
            spans: &self.spans,
            timeline: &self.timeline,
            bindings: &self.bindings,
            owners: &self.owners,
            layers: &self.layers,
        }
    }

    pub(crate) fn root_view(&self) -> RootView<'_> {
        RootView {
            evidences: self.evidences(),
            classes: (self.classes).get_or_init(|| OwnerClasses::new(&self.spans, &self.layers, &self.calls)),
            calls: &self.calls,
            chain_limit: self.chain_limit,
            culprits: Culprits::default(),
        }
    }

    fn attribution(&self, index: SpanIndex, cells: Vec<Cell>, helper_running_ns: i64) -> SpanAttribution {
        let node = self.spans.node(index);
        let span = node.span;
        let total = |view, wanted: &dyn Fn(&Cell) -> bool| {
            let cells = cells.iter().filter(|cell| cell.view == view && wanted(cell));
            cells.fold(0_i64, |sum, cell| sum.saturating_add(cell.ns))
        };
        let truncated =
            |cell: &Cell| cell.state == State::Unknown && *cell.sub_state == *UnknownReason::ChainTooLong.as_str();
        let mut on_tasks = self.task_spans(index);
        SpanAttribution {
            trace_id: span.trace_id,
            span_id: span.span_id,
            process: span.process.clone(),
            operation: span.name.clone(),
            interval: span.interval,
            is_request: node.is_request,
            layer: self.layers.layer(self.layers.of_span(index)).clone(),
            binding: self.bindings.of(index),
            recorded_ns: self.timeline.covered_ns(span.interval),
            exact_ns: total(View::SelfView, &|cell| cell.evidence == Evidence::Exact),
            inferred_ns: total(View::Root, &|cell| cell.evidence == Evidence::Inferred),
            unknown_ns: total(View::SelfView, &|cell| cell.evidence == Evidence::None),
            truncated_ns: total(View::Root, &truncated),
            clock_error_ns: self.timeline.clock_error_ns(span.interval),
            boundaries: self.boundaries(index),
            detached_ns: self.calls.detached_ns(index),
            offset_lo_ns: self.calls.offset(index).map(|offset| offset.lo_ns),
            offset_hi_ns: self.calls.offset(index).map(|offset| offset.hi_ns),
            in_flight: self.in_flight(index),
            on_task: on_tasks.next(),
            handed_over: on_tasks.collect(),
            functions: self.functions(index),
            helper_running_ns,
            cells,
        }
    }

    /// How long the messages of the span's call took; `None` unless it waited for one server from its start to its end.
    fn in_flight(&self, index: SpanIndex) -> Option<InFlight> {
        let server = self.calls.only_server(index)?;
        let root_view = self.root_view();
        let sections = root_view.parts().waits(index).into_iter();
        let of_server = sections.filter(|(_, who)| matches!(who, WaitedFor::Server(_)));
        let waited_ns: i64 = of_server.map(|(section, _)| section.duration_ns()).sum();
        let open = server.interval.intersection(self.spans.interval(index));
        let is_whole = waited_ns == open.map_or(0, Interval::duration_ns);
        is_whole.then(|| InFlight::new(&root_view.call_waits(index), server))
    }

    /// How many starts and ends of spans lie in the stretches of the span; `None` if it has none.
    fn boundaries(&self, index: SpanIndex) -> Option<i64> {
        let stretches = self.bindings.stretches(&self.spans, index);
        stretches
            .map(|stretch| self.owners.boundaries_in(stretch))
            .reduce(i64::saturating_add)
    }

    fn functions(&self, index: SpanIndex) -> Vec<SampledFunction> {
        match self.spans.node(index).is_request {
            true => {
                let mut functions = self.evidences().functions(index);
                functions.extend(self.labeled_samples.of(index).cloned());
                functions
            }
            false => Vec::new(),
        }
    }

    fn task_spans(&self, index: SpanIndex) -> impl Iterator<Item = TaskSpan> {
        let kind = match self.bindings.of(index) {
            Binding::Bound { kind, .. } => Some(kind),
            Binding::Unbound(_) => None,
        };
        let stretches = self.bindings.stretches(&self.spans, index);
        stretches.filter_map(move |stretch| self.task_span(stretch, kind?))
    }

    fn task_span(&self, Stretch { task, interval }: Stretch, kind: BindingKind) -> Option<TaskSpan> {
        let line = self.timeline.task(task);
        let birth = line.and_then(|line| line.birth).unwrap_or(interval.start());
        let death = line.and_then(|line| line.death).unwrap_or(interval.end());
        let start = interval.start().max(birth).min(interval.end());
        Some(TaskSpan {
            task,
            interval: Interval::new(start, interval.end().min(death).max(start))?,
            kind,
        })
    }
}

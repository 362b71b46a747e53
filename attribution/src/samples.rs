//! CPU samples in recordings: what a task was running when the profiler looked. Those of CPU profiles, which know
//! neither task nor time, are in `labeled_samples`.
//!
//! The states of tasks say exactly for how long a task ran, and not what. The profiler looks a hundred times for each
//! second of processor time, and says what, so rarely that it says nothing of a single span. Over many requests the
//! samples divide the exact running time: see [`RunningFunctionRow`](crate::RunningFunctionRow).

use std::collections::BTreeMap;
use std::sync::Arc;

use spandrel_model::{
    Interval, Layer, NameId, Names, RuntimeEvent, RuntimeEventKind, Stack, StackId, State, TaskId, TaskRecording,
    UnixNanos,
};

use crate::layering::LayerNumber;
use crate::self_view::Evidences;
use crate::spans::SpanIndex;
use crate::stack_layers::{Place, Places};

/// Functions of the runtime that the scheduler puts on top of the one that it stops: what runs is the one below.
const PREEMPTION: &str = "runtime.asyncPreempt";

/// How often the profiler saw a request run one function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampledFunction {
    /// How it is known to be of the request.
    pub by: SampledBy,
    /// Layer of the span that owned the task, or that the labels name: that of the cell whose time it is.
    pub layer: Layer,
    /// Layer of the library on the stack, if there is one and the span is no call itself; else `layer`.
    pub function_layer: Layer,
    /// The innermost function, but for the scheduler's interruption of it; empty if the sample has no stack.
    pub function: Arc<str>,
    /// Samples.
    pub n: u32,
}

/// How a sample is known to be of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampledBy {
    /// By its task and time, in an execution trace.
    Task,
    /// By a label that names a span inside the request.
    InnerSpan,
    /// By a label that names the request's own span. A profiler that is told the innermost span means the layer of the
    /// request; one that is told the first span of the process, any layer.
    Request,
}

/// The samples of a timeline.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    // Sorted by task and time once `sort` was called.
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    task: TaskId,
    at: UnixNanos,
    function: NameId,
    place: Place,
}

impl Samples {
    /// Takes those of a recording that lie in `part`; `rename` takes their names over.
    pub(crate) fn add(
        &mut self,
        recording: &TaskRecording,
        part: Interval,
        places: &Places,
        mut rename: impl FnMut(NameId) -> NameId,
    ) {
        let is_inside =
            |event: &&RuntimeEvent| event.kind == RuntimeEventKind::CpuSample && part.contains(event.interval.start());
        for event in recording.runtime_events.iter().filter(is_inside) {
            let Some(task) = event.task else {
                continue;
            };
            self.samples.push(Sample {
                task,
                at: event.interval.start(),
                function: innermost(&recording.stacks, &recording.names, event.stack).map_or(Names::EMPTY, &mut rename),
                place: places.of(event.stack),
            });
        }
    }

    pub(crate) fn sort(&mut self) {
        self.samples.sort_by_key(|sample| (sample.task, sample.at));
    }

    /// Whether there is any in `interval`, of whatever task.
    pub(crate) fn any_within(&self, interval: Interval) -> bool {
        self.samples.iter().any(|sample| interval.contains(sample.at))
    }

    fn of(&self, task: TaskId, interval: Interval) -> &[Sample] {
        let before = |at: UnixNanos| {
            self.samples
                .partition_point(|sample| (sample.task, sample.at) < (task, at))
        };
        &self.samples[before(interval.start())..before(interval.end())]
    }
}

/// The function that ran, by a stack of `stacks`, which are sorted by id.
pub(crate) fn innermost(stacks: &[Stack], names: &Names, stack: Option<StackId>) -> Option<NameId> {
    let stack = stack?;
    let at = stacks.binary_search_by_key(&stack, |known| known.id).ok()?;
    let mut functions = stacks[at].frames.iter().map(|frame| frame.function);
    functions.find(|function| !names.resolve(*function).starts_with(PREEMPTION))
}

impl Evidences<'_> {
    /// What the profiler saw the task of `span` run while the span was open on it; nothing if it is not bound. Where
    /// the recorded state is not running, the sample contradicts it by a little, and does not count.
    pub(crate) fn functions(&self, span: SpanIndex) -> Vec<SampledFunction> {
        let mut counts: BTreeMap<(LayerNumber, LayerNumber, NameId), u32> = BTreeMap::new();
        let Self {
            spans,
            timeline,
            owners,
            layers,
            bindings,
        } = self;
        let stretches = bindings.stretches(spans, span);
        let samples = stretches.flat_map(|stretch| timeline.samples().of(stretch.task, stretch.interval));
        for sample in samples {
            let runs = timeline.state_at(sample.task, sample.at) == Some(State::Running);
            if let (Some(owner), true) = (owners.at(spans, timeline, sample.task, sample.at), runs) {
                let key = (
                    layers.of_span(owner),
                    layers.of_time(owner, sample.place.layer()),
                    sample.function,
                );
                *counts.entry(key).or_default() += 1;
            }
        }
        let function = |((layer, function_layer, function), n)| SampledFunction {
            by: SampledBy::Task,
            layer: layers.layer(layer).clone(),
            function_layer: layers.layer(function_layer).clone(),
            function: timeline.name(function).clone(),
            n,
        };
        let mut functions: Vec<SampledFunction> = counts.into_iter().map(function).collect();
        functions.sort_unstable();
        functions
    }
}

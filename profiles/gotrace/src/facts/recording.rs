//! A trace folded into its facts, all of them in memory.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::visitor::{Lookup, Visitor, visit};
use super::{
    CpuSample, Goroutine, Metric, RuntimeRange, StateInterval, Summary, Symbols, UserLog, UserRegion, UserTask,
    WaitReason,
};
use crate::clock::{ClockSync, TraceNanos, UnixNanos};
use crate::decoder::GenerationInfo;
use crate::error::{TraceError, Warnings};
use crate::header::Version;
use crate::ids::{StackId, StringId, index};
use crate::stream::ExecTrace;
use crate::tables::Frame;

/// A decoded trace.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Format of the trace.
    pub version: Version,
    /// Start of the first generation. All intervals lie in `[start, end)`.
    pub start: TraceNanos,
    /// One nanosecond after the last event.
    pub end: TraceNanos,
    /// Time of the first event (not counting the start of a generation); `None` if there is none.
    pub first_event: Option<TraceNanos>,
    /// Time of the last event.
    pub last_event: Option<TraceNanos>,
    /// The generations that were decoded, in order.
    pub generations: Vec<GenerationInfo>,
    /// Maps trace time to wall time.
    pub clock: ClockSync,
    /// Goroutines, by id; an id that the runtime reused has one entry per life.
    pub goroutines: Vec<Goroutine>,
    /// State intervals, by goroutine as in `goroutines`, then by start.
    pub states: Vec<StateInterval>,
    /// Stop-the-world, mark phases, mark assists and sweeps, by start; of those that start together the longest first.
    pub ranges: Vec<RuntimeRange>,
    /// User tasks, in the order in which the trace first shows each.
    pub tasks: Vec<UserTask>,
    /// User regions, by the order of their ends; those that never end come last.
    pub regions: Vec<UserRegion>,
    /// User log entries, by time.
    pub logs: Vec<UserLog<'static>>,
    /// CPU profile samples, by time.
    pub cpu_samples: Vec<CpuSample>,
    /// Numbers that the runtime told, by time.
    pub metrics: Vec<Metric>,
    /// Number of events by name ("GoStart"); kinds that do not occur are absent.
    pub event_counts: BTreeMap<&'static str, u64>,
    /// What was odd or missing.
    pub warnings: Warnings,
    symbols: Symbols,
}

impl Recording {
    /// Decodes a whole trace.
    ///
    /// Damaged generations are left out with a warning each.
    ///
    /// # Errors
    /// If the bytes are not a trace of Go 1.22 or later, or if no generation of it is whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, TraceError> {
        Self::of(ExecTrace::open(bytes)?)
    }

    /// As [`Recording::decode`], from a source that gives a whole file; its bytes are held a generation at a time.
    ///
    /// # Errors
    /// As [`Recording::decode`], and if the source fails before the header, or any generation, is read.
    pub fn read(source: impl std::io::Read + Send) -> Result<Self, TraceError> {
        Self::of(ExecTrace::read(source)?)
    }

    /// As [`Recording::decode`], of a trace that has been opened.
    ///
    /// # Errors
    /// If no generation of it is whole.
    pub fn of(trace: ExecTrace<'_>) -> Result<Self, TraceError> {
        collect(trace)
    }

    /// The text of a string id; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self, id: StringId) -> Cow<'_, str> {
        self.symbols.text(id)
    }

    /// The bytes of a string id.
    pub fn bytes(&self, id: StringId) -> &[u8] {
        self.symbols.bytes(id)
    }

    /// The frames of a stack, leaf first.
    pub fn frames(&self, id: StackId) -> &[Frame] {
        self.symbols.frames(id)
    }

    /// The strings and stacks that the recording refers to.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// All stacks, each once.
    pub fn stacks(&self) -> impl Iterator<Item = (StackId, &[Frame])> {
        self.symbols.stacks()
    }

    /// The intervals of one goroutine, by start.
    pub fn states_of(&self, goroutine: &Goroutine) -> &[StateInterval] {
        self.states.get(Range::clone(&goroutine.states)).unwrap_or_default()
    }

    /// The name of a wait reason: the runtime's own word, "" where the runtime gave none.
    pub fn wait_reason(&self, reason: WaitReason) -> Cow<'_, str> {
        self.symbols.wait_reason(reason)
    }

    /// Wall time of a moment; `None` if the trace has no clock snapshot (before Go 1.25).
    pub fn unix(&self, at: TraceNanos) -> Option<UnixNanos> {
        self.clock.unix(at)
    }
}

fn collect(trace: ExecTrace<'_>) -> Result<Recording, TraceError> {
    let mut collector = Collector::default();
    let summary = visit(trace, &mut collector)?;
    Ok(collector.into_recording(summary))
}

/// Keeps every fact.
#[derive(Default)]
struct Collector {
    goroutines: Vec<Goroutine>,
    /// By life: a goroutine's intervals are written where its last one was, which the cache still has.
    states: Vec<Vec<StateInterval>>,
    ranges: Vec<RuntimeRange>,
    tasks: Vec<UserTask>,
    regions: Vec<UserRegion>,
    logs: Vec<UserLog<'static>>,
    cpu_samples: Vec<CpuSample>,
    metrics: Vec<Metric>,
}

impl Visitor for Collector {
    fn state(&mut self, interval: &StateInterval, _: Lookup<'_>) {
        let life = index(interval.life);
        if life >= self.states.len() {
            self.states.resize_with(life.saturating_add(1), Vec::new);
        }
        if let Some(states) = self.states.get_mut(life) {
            states.push(*interval);
        }
    }

    fn goroutine(&mut self, goroutine: &Goroutine, _: Lookup<'_>) {
        self.goroutines.push(goroutine.clone());
    }

    fn range(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.ranges.push(*range);
    }

    fn task(&mut self, task: &UserTask, _: Lookup<'_>) {
        self.tasks.push(*task);
    }

    fn region(&mut self, region: &UserRegion, _: Lookup<'_>) {
        self.regions.push(*region);
    }

    fn log(&mut self, log: &UserLog<'_>, _: Lookup<'_>) {
        self.logs.push(log.clone().into_owned());
    }

    fn cpu_sample(&mut self, sample: &CpuSample, _: Lookup<'_>) {
        self.cpu_samples.push(*sample);
    }

    fn metric(&mut self, metric: &Metric, _: Lookup<'_>) {
        self.metrics.push(*metric);
    }
}

impl Collector {
    fn into_recording(mut self, summary: Summary) -> Recording {
        self.goroutines.sort_by_key(|goroutine| (goroutine.id, goroutine.first));
        let states = in_order(&mut self.goroutines, self.states);
        self.ranges.sort_by_key(|range| (range.start, Reverse(range.end)));
        Recording {
            version: summary.version,
            start: summary.start,
            end: summary.end,
            first_event: summary.first_event,
            last_event: summary.last_event,
            generations: summary.generations,
            clock: summary.clock,
            goroutines: self.goroutines,
            states,
            ranges: self.ranges,
            tasks: each_once(self.tasks),
            regions: ended_first(self.regions),
            logs: self.logs,
            cpu_samples: self.cpu_samples,
            metrics: self.metrics,
            event_counts: summary.event_counts,
            warnings: summary.warnings,
            symbols: summary.symbols,
        }
    }
}

/// Puts the intervals of all lives next to each other, in the order of `goroutines`, which learn their places.
fn in_order(goroutines: &mut [Goroutine], mut by_life: Vec<Vec<StateInterval>>) -> Vec<StateInterval> {
    let mut states = Vec::with_capacity(by_life.iter().map(Vec::len).sum());
    for goroutine in goroutines {
        let start = states.len();
        if let Some(of_life) = by_life.get_mut(index(goroutine.life)) {
            states.extend(std::mem::take(of_life));
        }
        goroutine.states = start..states.len();
    }
    states
}

/// In the order in which the trace first shows each. Further ends of a task say nothing new.
fn each_once(mut tasks: Vec<UserTask>) -> Vec<UserTask> {
    let shown = |task: &UserTask| task.begin.or(task.end).map(|edge| edge.time);
    tasks.sort_by_key(shown);
    let mut known = HashSet::new();
    tasks.retain(|task| known.insert(task.id) || task.begin.is_some());
    tasks
}

/// Those that never end come last.
fn ended_first(regions: Vec<UserRegion>) -> Vec<UserRegion> {
    let (mut ended, open): (Vec<_>, Vec<_>) = regions.into_iter().partition(|region| region.end.is_some());
    ended.extend(open);
    ended
}

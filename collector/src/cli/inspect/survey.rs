//! What the facts of a trace add up to, gathered while it is read.
//!
//! Whether a goroutine is one of the runtime's own is known for certain when it has ended. Until then its times wait in a
//! [`Life`]: some hundred bytes for each goroutine that is alive. Lengths are those of the trace's own clock, which is
//! monotonic: a wall clock that is set meanwhile changes none of them.

use std::collections::HashMap;

use gotrace::{
    CpuSample, GenerationInfo, Goroutine, GoroutineState, Lookup, Metric, MetricKind, RangeKind, RunnableCause,
    RuntimeRange, StateInterval, StringId, TraceNanos, UserTask, Visitor,
};
use spandrel_model::State;
use spandrel_profiles::go_execution_trace::{LiveRefiner, StateRules, SubStateId};

use super::goroutines::Goroutines;
use super::lengths::Lengths;

/// A refined state: the state, and the finer word.
pub(super) type Word = (State, SubStateId);

/// Takes the facts of one trace.
pub(super) struct Survey<'a> {
    refiner: LiveRefiner<'a>,
    /// By number of life; empty for those that have ended.
    lives: Vec<Option<Box<Life>>>,
    /// Times of each goroutine, if they are wanted.
    pub(super) goroutines: Option<Goroutines>,
    pub(super) totals: Totals,
}

/// Sums over the whole trace.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) population: Population,
    /// Times of the goroutines that are not the runtime's own.
    pub(super) application: Times,
    /// All goroutines, by the function that they started with.
    pub(super) groups: HashMap<Option<StringId>, Group>,
    /// Parts of mark phases: a gap in the trace cuts one in two.
    pub(super) marks: Lengths,
    pub(super) assists: Lengths,
    pub(super) sweeps: Lengths,
    /// By what the world was stopped for.
    pub(super) stops: HashMap<StringId, Lengths>,
    /// Tasks whose beginning and end were seen, by name.
    pub(super) user_tasks: HashMap<StringId, Lengths>,
    /// Tasks of which the trace shows only the beginning, or only the end.
    pub(super) partial_user_tasks: u64,
    pub(super) gomaxprocs: Option<Range>,
    pub(super) heap_alloc_bytes: Option<Range>,
    pub(super) heap_goal_bytes: Option<Range>,
    pub(super) cpu_samples: u64,
}

/// How many goroutines there are, counting each life of a reused id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Population {
    pub(super) total: u64,
    /// Created in the trace.
    pub(super) born: u64,
    /// Ended in the trace.
    pub(super) ended: u64,
    /// The runtime's own.
    pub(super) system: u64,
}

/// Times of one goroutine or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Stretches in each refined state; few words, in the order in which they come.
    pub(super) states: Vec<(Word, Lengths)>,
    /// Time from being made runnable (created, unblocked or preempted) to running.
    pub(super) scheduling: Lengths,
}

/// Goroutines that started with one function. Times are those of the states before the runtime's work cuts them:
/// `running_ns` includes marking and sweeping, and `runnable_ns` a stopped world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) goroutines: u64,
    pub(super) running_ns: i64,
    pub(super) runnable_ns: i64,
    pub(super) syscall_ns: i64,
    pub(super) waiting_ns: i64,
}

/// Values that a number had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) last: u64,
}

/// A goroutine that has not ended.
#[derive(Debug, Default)]
struct Life {
    times: Times,
    group: Group,
}

impl<'a> Survey<'a> {
    pub(super) fn new(rules: &'a StateRules, goroutines: Option<Goroutines>) -> Self {
        Self {
            refiner: LiveRefiner::new(rules),
            lives: Vec::new(),
            goroutines,
            totals: Totals::default(),
        }
    }
}

impl Visitor for Survey<'_> {
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        let position = interval.life as usize;
        if position >= self.lives.len() {
            self.lives.resize_with(position + 1, || None);
        }
        let life = self.lives[position].get_or_insert_default();
        let goroutines = &mut self.goroutines;
        life.group.add(interval);
        if is_scheduling(interval.state) {
            life.times.scheduling.add(interval.duration_ns());
        }
        self.refiner.refine(interval, lookup, |piece| {
            let word = (piece.state, piece.sub_state_id);
            life.times.of(word).add(piece.end.0.saturating_sub(piece.start.0));
            if let Some(goroutines) = goroutines {
                goroutines.refined(interval.life, word, (piece.start, piece.end), lookup);
            }
        });
        if let Some(goroutines) = goroutines {
            goroutines.raw(interval, lookup);
        }
    }

    fn goroutine(&mut self, goroutine: &Goroutine, _: Lookup<'_>) {
        self.refiner.goroutine_ends(goroutine.id);
        let life = self.lives.get_mut(goroutine.life as usize).and_then(Option::take);
        let life = life.unwrap_or_default();
        let totals = &mut self.totals;
        totals.population.add(goroutine);
        if !goroutine.is_system {
            totals.application.merge(&life.times);
        }
        totals
            .groups
            .entry(goroutine.start_function)
            .or_default()
            .merge(&life.group);
        if let Some(goroutines) = &mut self.goroutines {
            goroutines.ended(goroutine);
        }
    }

    fn range_begins(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.refiner.range_begins(range);
    }

    fn range(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.refiner.range_ends(range);
        let totals = &mut self.totals;
        let lengths = match range.kind {
            RangeKind::StopTheWorld { kind } => totals.stops.entry(kind).or_default(),
            RangeKind::GcMark => &mut totals.marks,
            RangeKind::MarkAssist => &mut totals.assists,
            RangeKind::Sweep { .. } => &mut totals.sweeps,
            _ => return,
        };
        lengths.add(range.end.0.saturating_sub(range.start.0));
    }

    fn task(&mut self, task: &UserTask, _: Lookup<'_>) {
        match (task.begin, task.end) {
            (Some(begin), Some(end)) => {
                let lengths = self.totals.user_tasks.entry(task.name).or_default();
                lengths.add(end.time.0.saturating_sub(begin.time.0));
            }
            _ => self.totals.partial_user_tasks += 1,
        }
    }

    fn cpu_sample(&mut self, _: &CpuSample, _: Lookup<'_>) {
        self.totals.cpu_samples += 1;
    }

    fn metric(&mut self, metric: &Metric, _: Lookup<'_>) {
        let range = match metric.kind {
            MetricKind::Gomaxprocs => &mut self.totals.gomaxprocs,
            MetricKind::HeapAlloc => &mut self.totals.heap_alloc_bytes,
            MetricKind::HeapGoal => &mut self.totals.heap_goal_bytes,
            _ => return,
        };
        Range::add(range, metric.value);
    }

    fn generation(&mut self, _: &GenerationInfo, runnable_since: TraceNanos, _: Lookup<'_>) {
        self.refiner.generation_begins(runnable_since);
    }
}

impl Totals {
    /// All stops of the world.
    pub(super) fn all_stops(&self) -> Lengths {
        let mut all = Lengths::default();
        self.stops.values().for_each(|lengths| all.merge(lengths));
        all
    }
}

impl Population {
    fn add(&mut self, goroutine: &Goroutine) {
        self.total += 1;
        self.born += u64::from(goroutine.birth.is_some());
        self.ended += u64::from(goroutine.death.is_some());
        self.system += u64::from(goroutine.is_system);
    }
}

impl Times {
    fn of(&mut self, word: Word) -> &mut Lengths {
        let position = self.states.iter().position(|(known, _)| *known == word);
        let position = position.unwrap_or_else(|| {
            self.states.push((word, Lengths::default()));
            self.states.len() - 1
        });
        &mut self.states[position].1
    }

    fn merge(&mut self, others: &Self) {
        for (word, lengths) in &others.states {
            self.of(*word).merge(lengths);
        }
        self.scheduling.merge(&others.scheduling);
    }
}

impl Group {
    fn add(&mut self, interval: &StateInterval) {
        let total_ns = match interval.state {
            GoroutineState::Undetermined => return,
            GoroutineState::Running { .. } => &mut self.running_ns,
            GoroutineState::Runnable { .. } => &mut self.runnable_ns,
            GoroutineState::Syscall | GoroutineState::SyscallBlocked => &mut self.syscall_ns,
            GoroutineState::Waiting { .. } => &mut self.waiting_ns,
        };
        *total_ns = total_ns.saturating_add(interval.duration_ns());
    }

    /// Adds a goroutine.
    fn merge(&mut self, goroutine: &Self) {
        self.goroutines += 1;
        self.running_ns = self.running_ns.saturating_add(goroutine.running_ns);
        self.runnable_ns = self.runnable_ns.saturating_add(goroutine.runnable_ns);
        self.syscall_ns = self.syscall_ns.saturating_add(goroutine.syscall_ns);
        self.waiting_ns = self.waiting_ns.saturating_add(goroutine.waiting_ns);
    }
}

impl Range {
    fn add(range: &mut Option<Self>, value: u64) {
        let (min, max) = range.map_or((value, value), |range| (range.min.min(value), range.max.max(value)));
        *range = Some(Self { min, max, last: value });
    }
}

/// Whether the scheduler is asked for a proc anew. One that yields, or comes out of a system call, had one just before.
pub(super) fn is_scheduling(state: GoroutineState) -> bool {
    let GoroutineState::Runnable { cause } = state else {
        return false;
    };
    matches!(
        cause,
        RunnableCause::Created | RunnableCause::Unblocked | RunnableCause::Preempted
    )
}

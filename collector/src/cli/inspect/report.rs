//! What is said of a trace, with names and quantiles: the JSON form, and all that the text form shows.

use std::collections::{BTreeMap, HashMap};

use gotrace::{StringId, Summary, TraceNanos, Warning, WarningKind};
use serde::Serialize;
use spandrel_model::State;
use spandrel_profiles::go_execution_trace::StateRules;

use super::lengths::Lengths;
use super::survey::{Group, Range, Totals, Word};
use crate::report::number::counted;

/// The JSON form.
///
/// Instants (`first_ns`, `last_ns`, births and deaths) are Unix nanoseconds where the trace has a wall clock, else
/// nanoseconds of the trace's own clock; `clock` says which. The trace covers `[first_ns, last_ns)`, and the states of a
/// goroutine sum to the part of its life in there: `raw_states_ns` in the runtime's words, `states_ns` in those of
/// docs/states.md, as `state` or `state/sub_state`. All other lengths are by the trace's own clock, which nobody sets: they
/// differ from those by what the wall clock was corrected.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: &'static str,
    pub(super) go_version: String,
    pub(super) clock: &'static str,
    pub(super) clock_steps: Vec<ClockStep>,
    pub(super) generations: usize,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) duration_ns: i64,
    pub(super) events: BTreeMap<&'static str, u64>,
    pub(super) goroutine_counts: GoroutineCounts,
    pub(super) gomaxprocs: Option<Values>,
    pub(super) heap_alloc_bytes: Option<Values>,
    pub(super) heap_goal_bytes: Option<Values>,
    /// Of application goroutines, longest total first.
    pub(super) states: Vec<StateLengths>,
    /// Of application goroutines: from created, unblocked or preempted to running.
    pub(super) scheduler_latency: Distribution,
    pub(super) gc: GarbageCollection,
    /// All goroutines by the function that they started with, longest running first.
    pub(super) groups: Vec<GroupTimes>,
    pub(super) user_tasks: UserTasks,
    pub(super) cpu_samples: u64,
    pub(super) losses: Vec<Loss>,
    pub(super) warnings: Vec<String>,
    /// By id. Not gathered for the text form.
    pub(super) goroutines: Vec<GoroutineTimes>,
}

/// The wall clock was set, forward or (negative) backward; seen in instants before the step.
#[derive(Debug, Serialize)]
pub(super) struct ClockStep {
    pub(super) seen_ns: i64,
    pub(super) step_ns: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct GoroutineCounts {
    pub(super) total: u64,
    pub(super) born: u64,
    pub(super) ended: u64,
    pub(super) alive_at_end: u64,
    pub(super) system: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Values {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) last: u64,
}

/// Number, sum and spread of lengths. Quantiles are less than 1/32 above those by nearest rank, and never below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Distribution {
    pub(super) count: u64,
    pub(super) total_ns: i64,
    pub(super) p50_ns: i64,
    pub(super) p90_ns: i64,
    pub(super) p99_ns: i64,
    pub(super) p999_ns: i64,
    pub(super) max_ns: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct StateLengths {
    pub(super) state: &'static str,
    pub(super) sub_state: String,
    #[serde(flatten)]
    pub(super) lengths: Distribution,
}

/// What the garbage collector did, and every other stop of the world.
#[derive(Debug, Serialize)]
pub(super) struct GarbageCollection {
    /// Mark phases; one that a gap in the trace cuts counts twice.
    pub(super) marks: Distribution,
    pub(super) assists: Distribution,
    pub(super) sweeps: Distribution,
    pub(super) stops: Distribution,
    /// Longest total first.
    pub(super) stops_by_kind: Vec<Named>,
    pub(super) cost: GcCost,
}

/// What the garbage collector took of the time of application goroutines in which they had work for a
/// processor.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct GcCost {
    /// In the states `gc_assist`, `gc_stw`, `gc_sweep`, `gc_other`.
    pub(super) cost_ns: i64,
    /// That, and running and ready to run: neither waits nor system calls.
    pub(super) busy_ns: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) lengths: Distribution,
}

/// `running_ns` includes work for the garbage collector, and `runnable_ns` a stopped world.
#[derive(Debug, Serialize)]
pub(super) struct GroupTimes {
    pub(super) start_function: Option<String>,
    pub(super) goroutines: u64,
    pub(super) running_ns: i64,
    pub(super) runnable_ns: i64,
    pub(super) syscall_ns: i64,
    pub(super) waiting_ns: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct UserTasks {
    /// Of which the trace shows beginning and end.
    pub(super) whole: u64,
    /// Of which it shows only one.
    pub(super) partial: u64,
    /// The whole ones, longest total first.
    pub(super) by_name: Vec<Named>,
}

/// Damage, and the byte where it shows.
#[derive(Debug, Serialize)]
pub(super) struct Loss {
    pub(super) what: LossKind,
    pub(super) generation: Option<u64>,
    pub(super) offset_bytes: Option<u64>,
    pub(super) lost_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LossKind {
    /// A generation is left out.
    GenerationLeftOut,
    /// A generation ends early.
    GenerationCut,
    /// Generations that should be there are not.
    GenerationsMissing,
    /// Bytes between generations mean nothing.
    BytesUnreadable,
    /// The file ends early, for the reader.
    ReadFailed,
}

#[derive(Debug, Serialize)]
pub(super) struct GoroutineTimes {
    pub(super) id: u64,
    pub(super) start_function: Option<String>,
    pub(super) created_by: Option<u64>,
    pub(super) birth_ns: Option<i64>,
    pub(super) death_ns: Option<i64>,
    pub(super) raw_states_ns: BTreeMap<String, i64>,
    pub(super) states_ns: BTreeMap<String, i64>,
}

impl Report {
    pub(super) fn new(totals: &Totals, goroutines: Vec<GoroutineTimes>, summary: &Summary, rules: &StateRules) -> Self {
        let instant = |at: TraceNanos| summary.clock.unix(at).map_or(at.0, |unix| unix.0);
        let text = |name| summary.symbols.text(name).into_owned();
        let named = |lengths: &HashMap<StringId, Lengths>| {
            let named = lengths.iter().map(|(name, lengths)| Named {
                name: text(*name),
                lengths: lengths.into(),
            });
            sorted(named.collect(), |named| (-named.lengths.total_ns, named.name.clone()))
        };
        let has_wall_clock = summary.clock.unix(summary.start).is_some();
        Self {
            format: "go.execution_trace",
            go_version: summary.version.name().to_owned(),
            clock: if has_wall_clock { "unix" } else { "trace" },
            clock_steps: clock_steps(summary),
            generations: summary.generations.len(),
            first_ns: instant(summary.start),
            last_ns: instant(summary.end),
            duration_ns: summary.end.0.saturating_sub(summary.start.0),
            events: summary.event_counts.clone(),
            goroutine_counts: GoroutineCounts {
                total: totals.population.total,
                born: totals.population.born,
                ended: totals.population.ended,
                alive_at_end: totals.population.total - totals.population.ended,
                system: totals.population.system,
            },
            gomaxprocs: totals.gomaxprocs.map(Values::from),
            heap_alloc_bytes: totals.heap_alloc_bytes.map(Values::from),
            heap_goal_bytes: totals.heap_goal_bytes.map(Values::from),
            states: states(totals, rules),
            scheduler_latency: (&totals.application.scheduling).into(),
            gc: GarbageCollection {
                marks: (&totals.marks).into(),
                assists: (&totals.assists).into(),
                sweeps: (&totals.sweeps).into(),
                stops: (&totals.all_stops()).into(),
                stops_by_kind: named(&totals.stops),
                cost: gc_cost(totals),
            },
            groups: groups(totals, text),
            user_tasks: UserTasks {
                whole: totals.user_tasks.values().map(Lengths::count).sum(),
                partial: totals.partial_user_tasks,
                by_name: named(&totals.user_tasks),
            },
            cpu_samples: totals.cpu_samples,
            losses: summary.warnings.as_slice().iter().filter_map(loss).collect(),
            warnings: warnings(summary),
            goroutines,
        }
    }
}

impl From<Range> for Values {
    fn from(range: Range) -> Self {
        let Range { min, max, last } = range;
        Self { min, max, last }
    }
}

impl From<&Lengths> for Distribution {
    fn from(lengths: &Lengths) -> Self {
        Self {
            count: lengths.count(),
            total_ns: lengths.total_ns(),
            p50_ns: lengths.quantile_ns(500),
            p90_ns: lengths.quantile_ns(900),
            p99_ns: lengths.quantile_ns(990),
            p999_ns: lengths.quantile_ns(999),
            max_ns: lengths.max_ns(),
        }
    }
}

/// A refined state as `state`, or `state/sub_state`.
pub(super) fn word((state, sub_state): Word, rules: &StateRules) -> String {
    match rules.sub_state(sub_state) {
        "" => state.to_string(),
        sub_state => format!("{state}/{sub_state}"),
    }
}

fn sorted<T, K: Ord>(mut values: Vec<T>, key: impl FnMut(&T) -> K) -> Vec<T> {
    values.sort_by_cached_key(key);
    values
}

fn clock_steps(summary: &Summary) -> Vec<ClockStep> {
    let steps = summary.clock.steps().map(|step| ClockStep {
        seen_ns: summary.clock.unix(step.seen).map_or(step.seen.0, |unix| unix.0),
        step_ns: step.step_ns,
    });
    steps.collect()
}

fn states(totals: &Totals, rules: &StateRules) -> Vec<StateLengths> {
    let states = totals.application.states.iter();
    let states = states.map(|((state, sub_state), lengths)| StateLengths {
        state: state.as_str(),
        sub_state: rules.sub_state(*sub_state).to_owned(),
        lengths: lengths.into(),
    });
    sorted(states.collect(), |state| {
        (-state.lengths.total_ns, state.state, state.sub_state.clone())
    })
}

fn gc_cost(totals: &Totals) -> GcCost {
    const COST: [State; 4] = [State::GcAssist, State::GcStw, State::GcSweep, State::GcOther];
    let sum = |states: &[State]| {
        let states = (totals.application.states.iter()).filter(|((state, _), _)| states.contains(state));
        states.fold(0_i64, |sum, (_, lengths)| sum.saturating_add(lengths.total_ns()))
    };
    let cost_ns = sum(&COST);
    GcCost {
        cost_ns,
        busy_ns: cost_ns.saturating_add(sum(&[State::Running, State::Runnable])),
    }
}

fn groups(totals: &Totals, text: impl Fn(StringId) -> String) -> Vec<GroupTimes> {
    let groups = totals.groups.iter().map(|(function, group)| {
        let Group {
            goroutines,
            running_ns,
            runnable_ns,
            syscall_ns,
            waiting_ns,
        } = *group;
        GroupTimes {
            start_function: function.map(&text),
            goroutines,
            running_ns,
            runnable_ns,
            syscall_ns,
            waiting_ns,
        }
    });
    sorted(groups.collect(), |group| {
        (-group.running_ns, group.start_function.clone())
    })
}

fn loss(warning: &Warning) -> Option<Loss> {
    let (what, lost_bytes) = match &warning.kind {
        WarningKind::GenerationDropped(_) => (LossKind::GenerationLeftOut, None),
        WarningKind::GenerationShortened { .. } => (LossKind::GenerationCut, None),
        WarningKind::GenerationsMissing { .. } => (LossKind::GenerationsMissing, None),
        WarningKind::BytesUnreadable { lost_bytes, .. } => (LossKind::BytesUnreadable, Some(*lost_bytes)),
        WarningKind::SourceFailed { .. } => (LossKind::ReadFailed, None),
        _ => return None,
    };
    Some(Loss {
        what,
        generation: warning.generation,
        offset_bytes: warning.kind.offset_bytes(),
        lost_bytes,
    })
}

fn warnings(summary: &Summary) -> Vec<String> {
    let mut warnings: Vec<String> = summary.warnings.as_slice().iter().map(ToString::to_string).collect();
    if summary.warnings.dropped_count() > 0 {
        warnings.push(format!(
            "and {}",
            counted(summary.warnings.dropped_count(), "more warning")
        ));
    }
    warnings
}

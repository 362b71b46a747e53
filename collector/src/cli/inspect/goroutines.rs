//! The times of each goroutine, for the JSON form: one record a goroutine, kept to the end.
//!
//! Times are differences of the instants that the report shows: of the wall clock where there is one. Neighboring
//! intervals share an instant, so that the times of a goroutine sum to the part of its life inside the trace.

use std::collections::BTreeMap;

use gotrace::{Goroutine, GoroutineState, Lookup, StateInterval, Summary, TraceNanos, UnixCursor, WaitReason};
use spandrel_profiles::go_execution_trace::StateRules;

use super::report::{GoroutineTimes, word};
use super::survey::Word;

/// Gathers the times of goroutines.
#[derive(Debug, Default)]
pub(super) struct Goroutines {
    starts: UnixCursor,
    ends: UnixCursor,
    /// By number of life.
    records: Vec<Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// `None` until it has ended.
    goroutine: Option<Goroutine>,
    raw_ns: Vec<(RawState, i64)>,
    refined_ns: Vec<(Word, i64)>,
}

/// A state in the runtime's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RawState {
    Undetermined,
    Runnable,
    Running,
    Syscall,
    Waiting(WaitReason),
}

impl Goroutines {
    pub(super) fn raw(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        let state = match interval.state {
            GoroutineState::Undetermined => RawState::Undetermined,
            GoroutineState::Runnable { .. } => RawState::Runnable,
            GoroutineState::Running { .. } => RawState::Running,
            GoroutineState::Syscall | GoroutineState::SyscallBlocked => RawState::Syscall,
            GoroutineState::Waiting { reason, .. } => RawState::Waiting(reason),
        };
        let ns = self.length_ns((interval.start, interval.end), lookup);
        add(&mut self.record(interval.life).raw_ns, state, ns);
    }

    pub(super) fn refined(&mut self, life: u32, state: Word, piece: (TraceNanos, TraceNanos), lookup: Lookup<'_>) {
        let ns = self.length_ns(piece, lookup);
        add(&mut self.record(life).refined_ns, state, ns);
    }

    pub(super) fn ended(&mut self, goroutine: &Goroutine) {
        self.record(goroutine.life).goroutine = Some(goroutine.clone());
    }

    fn record(&mut self, life: u32) -> &mut Record {
        let position = life as usize;
        if position >= self.records.len() {
            self.records.resize_with(position + 1, Record::default);
        }
        &mut self.records[position]
    }

    fn length_ns(&mut self, (start, end): (TraceNanos, TraceNanos), lookup: Lookup<'_>) -> i64 {
        let start_ns = self.starts.unix(lookup.clock, start).map_or(start.0, |unix| unix.0);
        let end_ns = self.ends.unix(lookup.clock, end).map_or(end.0, |unix| unix.0);
        end_ns.saturating_sub(start_ns)
    }

    /// The goroutines by id, lives of one id by time.
    pub(super) fn finish(mut self, summary: &Summary, rules: &StateRules) -> Vec<GoroutineTimes> {
        let order = |record: &Record| {
            record
                .goroutine
                .as_ref()
                .map(|goroutine| (goroutine.id, goroutine.first))
        };
        self.records.sort_by_key(order);
        let shown = |record: Record| record.shown(summary, rules);
        self.records.into_iter().filter_map(shown).collect()
    }
}

impl Record {
    fn shown(self, summary: &Summary, rules: &StateRules) -> Option<GoroutineTimes> {
        let goroutine = self.goroutine?;
        let instant = |at: TraceNanos| summary.clock.unix(at).map_or(at.0, |unix| unix.0);
        let mut raw_states_ns = BTreeMap::new();
        for (state, ns) in self.raw_ns {
            let total_ns = raw_states_ns.entry(raw_name(state, summary)).or_insert(0_i64);
            *total_ns = total_ns.saturating_add(ns);
        }
        Some(GoroutineTimes {
            id: goroutine.id.get(),
            start_function: (goroutine.start_function).map(|name| summary.symbols.text(name).into_owned()),
            created_by: goroutine.creator.map(|creator| creator.get()),
            birth_ns: goroutine.birth.map(instant),
            death_ns: goroutine.death.map(instant),
            raw_states_ns,
            states_ns: (self.refined_ns.into_iter())
                .map(|(state, ns)| (word(state, rules), ns))
                .collect(),
        })
    }
}

fn add<T: PartialEq>(totals: &mut Vec<(T, i64)>, state: T, ns: i64) {
    match totals.iter_mut().find(|(known, _)| *known == state) {
        Some((_, total_ns)) => *total_ns = total_ns.saturating_add(ns),
        None => totals.push((state, ns)),
    }
}

fn raw_name(state: RawState, summary: &Summary) -> String {
    match state {
        RawState::Undetermined => "Undetermined".to_owned(),
        RawState::Runnable => "Runnable".to_owned(),
        RawState::Running => "Running".to_owned(),
        RawState::Syscall => "Syscall".to_owned(),
        RawState::Waiting(reason) => format!("Waiting:{}", summary.symbols.wait_reason(reason)),
    }
}

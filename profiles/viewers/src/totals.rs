//! Time summed by state, reason and stack, and CPU samples by stack: what flame graphs are drawn from.
//!
//! A goroutine is named, and known to be the runtime's own, only when it has ended. Until then its sums are kept apart.

use std::collections::HashMap;
use std::hash::Hash;

use gotrace::{
    CpuSample, ExecTrace, Frame, GenerationInfo, Goroutine, GoroutineId, GoroutineState, Lookup, RunnableCause,
    RuntimeRange, StackId, StateInterval, StringId, Summary, Symbols, TraceError, TraceNanos, Visitor,
};
use spandrel_model::{NameId, Names, State};
use spandrel_profiles::go_execution_trace::{LiveRefiner, raw_reason};

use crate::Options;
use crate::group::Group;

/// The totals of one trace, in an order that depends on the trace only.
pub(crate) struct Totals {
    /// Sub-states.
    names: Names,
    /// Time that goroutines spent.
    pub(crate) times: Vec<(Spent, Time)>,
    /// Number of CPU samples by place.
    pub(crate) cpu_samples: Vec<(Place, i64)>,
    /// How many goroutines of the runtime were left out.
    pub(crate) left_out_count: usize,
}

/// Where in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Stack, where the trace has it.
    pub(crate) stack: Option<StackId>,
    /// Function that the goroutine started with.
    pub(crate) entry: Option<StringId>,
}

/// What time was spent on, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spent {
    pub(crate) group: Group,
    pub(crate) state: State,
    sub_state: NameId,
    /// The runtime's own word.
    reason: Option<StringId>,
    pub(crate) place: Place,
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    /// How many times.
    pub(crate) count: i64,
    /// How long in total.
    pub(crate) ns: i64,
}

/// One line of a stack as a flame graph shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Frame(&'a Frame),
    /// All that is known is the function that the goroutine started with.
    Entry(StringId),
    /// Nothing is known.
    Unrecorded,
}

/// What stands for a stack and an entry function that the trace does not have.
pub(crate) const UNRECORDED: &str = "(stack not recorded)";

/// The reason of waits that the runtime itself calls idle. Some goroutines of the standard library have them, too: the
/// reader of the execution trace.
const IDLE: &[u8] = b"system goroutine wait";

impl Totals {
    /// Reads a trace to its end and sums it up.
    pub(crate) fn read(trace: ExecTrace<'_>, options: &Options<'_>) -> Result<(Self, Summary), TraceError> {
        let mut adder = Adder::new(options);
        let summary = trace.visit_in_background(&mut adder)?;
        Ok((adder.finish(), summary))
    }

    pub(crate) fn sub_state(&self, spent: &Spent) -> &str {
        self.names.resolve(spent.sub_state)
    }
}

/// Adds up what a trace tells.
struct Adder<'a> {
    system: bool,
    refiner: LiveRefiner<'a>,
    names: Names,
    /// Goroutines that live, or that nothing but samples is known of.
    open: HashMap<GoroutineId, Open>,
    /// Goroutines that have ended in this generation, and in the one before: samples of their last moments come later.
    ended: HashMap<GoroutineId, Ended>,
    ended_before: HashMap<GoroutineId, Ended>,
    times: HashMap<Spent, Time>,
    cpu_samples: HashMap<Place, i64>,
    left_out_count: usize,
}

/// What a goroutine has done so far. Its places do not know yet what it began with.
#[derive(Default)]
struct Open {
    before: Option<StateInterval>,
    times: HashMap<Spent, Time>,
    cpu_samples: HashMap<Place, i64>,
}

/// How a goroutine that has ended is counted.
#[derive(Clone, Copy)]
struct Ended {
    entry: Option<StringId>,
    is_left_out: bool,
}

impl<'a> Adder<'a> {
    fn new(options: &Options<'a>) -> Self {
        Self {
            system: options.system,
            refiner: LiveRefiner::new(options.rules),
            names: Names::new(),
            open: HashMap::new(),
            ended: HashMap::new(),
            ended_before: HashMap::new(),
            times: HashMap::new(),
            cpu_samples: HashMap::new(),
            left_out_count: 0,
        }
    }

    /// Adds the sums of a goroutine that began with `entry`.
    fn close(&mut self, open: Open, entry: Option<StringId>) {
        let at = |place: Place| Place { entry, ..place };
        for (spent, time) in sorted(open.times) {
            let place = at(spent.place);
            let total = self.times.entry(Spent { place, ..spent }).or_default();
            total.count += time.count;
            total.ns += time.ns;
        }
        for (place, count) in sorted(open.cpu_samples) {
            *self.cpu_samples.entry(at(place)).or_default() += count;
        }
    }

    fn finish(mut self) -> Totals {
        // Samples outside goroutines, and of such as the trace does not show otherwise, are the scheduler's.
        for (_, open) in sorted(std::mem::take(&mut self.open)) {
            if self.system {
                self.close(open, None);
            }
        }
        Totals {
            names: self.names,
            times: sorted(self.times),
            cpu_samples: sorted(self.cpu_samples),
            left_out_count: self.left_out_count,
        }
    }
}

impl Visitor for Adder<'_> {
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        let Self {
            system,
            refiner,
            names,
            open,
            ..
        } = self;
        let Open { before, times, .. } = open.entry(interval.goroutine).or_default();
        let place = Place {
            stack: stack(interval, before.replace(*interval).as_ref()),
            entry: None,
        };
        let reason = raw_reason(interval.state);
        if !*system && reason.is_some_and(|reason| lookup.symbols.bytes(reason) == IDLE) {
            return;
        }
        refiner.refine(interval, lookup, |piece| {
            let spent = Spent {
                group: Group::of(interval.state),
                state: piece.state,
                sub_state: names.intern(piece.sub_state),
                reason,
                place,
            };
            let time = times.entry(spent).or_default();
            time.count += 1;
            time.ns += piece.end.0 - piece.start.0;
        });
    }

    fn goroutine(&mut self, goroutine: &Goroutine, _: Lookup<'_>) {
        self.refiner.goroutine_ends(goroutine.id);
        let open = self.open.remove(&goroutine.id).unwrap_or_default();
        let entry = goroutine.start_function;
        let is_left_out = goroutine.is_system && !self.system;
        match is_left_out {
            true => self.left_out_count += 1,
            false => self.close(open, entry),
        }
        self.ended.insert(goroutine.id, Ended { entry, is_left_out });
    }

    fn cpu_sample(&mut self, sample: &CpuSample, _: Lookup<'_>) {
        let Self {
            open,
            ended,
            ended_before,
            cpu_samples,
            ..
        } = self;
        let mut entry = None;
        let counts = match sample.goroutine {
            None if self.system => cpu_samples,
            None => return,
            Some(id) => match ended.get(&id).or_else(|| ended_before.get(&id)) {
                Some(ended) if !open.contains_key(&id) => {
                    if ended.is_left_out {
                        return;
                    }
                    entry = ended.entry;
                    cpu_samples
                }
                _ => &mut open.entry(id).or_default().cpu_samples,
            },
        };
        let stack = sample.stack;
        *counts.entry(Place { stack, entry }).or_default() += 1;
    }

    fn range_begins(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.refiner.range_begins(range);
    }

    fn range(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.refiner.range_ends(range);
    }

    fn generation(&mut self, _: &GenerationInfo, runnable_since: TraceNanos, _: Lookup<'_>) {
        self.refiner.generation_begins(runnable_since);
        self.ended_before = std::mem::take(&mut self.ended);
    }
}

impl Spent {
    /// The runtime's own word for a wait; empty if it gave none.
    pub(crate) fn reason<'a>(&self, symbols: &'a Symbols) -> std::borrow::Cow<'a, str> {
        self.reason.map_or("".into(), |reason| symbols.text(reason))
    }
}

impl Place {
    /// The stack from the innermost frame to the goroutine's entry; never empty.
    pub(crate) fn lines<'a>(&self, symbols: &'a Symbols) -> Vec<Line<'a>> {
        let frames = self.stack.map_or(&[][..], |stack| symbols.frames(stack));
        match (frames, self.entry) {
            ([], Some(entry)) => vec![Line::Entry(entry)],
            ([], None) => vec![Line::Unrecorded],
            (frames, _) => frames.iter().map(Line::Frame).collect(),
        }
    }
}

/// The stack of an interval. A goroutine that has become runnable still stands where it waited.
fn stack(interval: &StateInterval, before: Option<&StateInterval>) -> Option<StackId> {
    match interval.state {
        GoroutineState::Runnable {
            cause: RunnableCause::Unblocked | RunnableCause::SyscallExit,
        } => interval.stack.or(before?.stack),
        _ => interval.stack,
    }
}

fn sorted<K: Ord + Hash + Copy, V>(totals: HashMap<K, V>) -> Vec<(K, V)> {
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_unstable_by_key(|(key, _)| *key);
    totals
}

#[cfg(test)]
mod tests {
    use gotrace::Recording;
    use spandrel_profiles::go_execution_trace::StateRules;

    use super::*;

    const MIX: &[u8] = include_bytes!("../../gotrace/tests/fixtures/mix.trace");

    fn recording() -> Recording {
        Recording::decode(MIX).unwrap()
    }

    fn totals(system: bool) -> (Totals, Summary) {
        let options = Options {
            title: "mix",
            system,
            rules: StateRules::built_in(),
        };
        Totals::read(ExecTrace::open(MIX).unwrap(), &options).unwrap()
    }

    fn ns(totals: &Totals) -> i64 {
        totals.times.iter().map(|(_, time)| time.ns).sum()
    }

    #[test]
    fn every_nanosecond_of_every_goroutine_is_counted() {
        let recording = recording();
        let whole: i64 = recording.states.iter().map(StateInterval::duration_ns).sum();
        let (totals, _) = totals(true);
        assert_eq!(ns(&totals), whole);
        assert_eq!(totals.left_out_count, 0);
    }

    #[test]
    fn goroutines_of_the_runtime_and_idle_waits_are_left_out() {
        let recording = recording();
        let of_runtime: Vec<&Goroutine> = recording.goroutines.iter().filter(|life| life.is_system).collect();
        let (without, summary) = totals(false);
        assert_eq!(without.left_out_count, of_runtime.len());
        let is_idle = |spent: &Spent| spent.reason(&summary.symbols).as_bytes() == IDLE;
        assert!(!without.times.iter().any(|(spent, _)| is_idle(spent)));
        let entry_of_runtime = |spent: &Spent| {
            of_runtime
                .iter()
                .any(|life| life.start_function.is_some() && life.start_function == spent.place.entry)
        };
        assert!(!without.times.iter().any(|(spent, _)| entry_of_runtime(spent)));
        assert!(ns(&without) < ns(&totals(true).0));
    }

    #[test]
    fn a_goroutine_that_was_woken_stands_where_it_waited() {
        let (totals, _) = totals(false);
        let woken = totals
            .times
            .iter()
            .filter(|(spent, _)| totals.sub_state(spent) == "unblocked");
        let (with_stack, without) = woken.partition::<Vec<&(Spent, Time)>, _>(|(spent, _)| spent.place.stack.is_some());
        assert!(
            with_stack.len() > 10 * without.len(),
            "{} and {}",
            with_stack.len(),
            without.len()
        );
    }

    #[test]
    fn a_sample_that_comes_behind_the_end_of_its_goroutine_is_counted_there() {
        let recording = recording();
        let lookup = Lookup {
            symbols: recording.symbols(),
            clock: &recording.clock,
        };
        for system in [false, true] {
            let options = Options {
                title: "mix",
                system,
                rules: StateRules::built_in(),
            };
            let mut adder = Adder::new(&options);
            let sampled = recording.goroutines.iter().filter(|life| life.start_function.is_some());
            for life in sampled.clone() {
                adder.goroutine(life, lookup);
                adder.cpu_sample(
                    &CpuSample {
                        time: life.last,
                        thread: None,
                        proc: None,
                        goroutine: Some(life.id),
                        stack: None,
                    },
                    lookup,
                );
            }
            let counted = |life: &&Goroutine| system || !life.is_system;
            let samples = adder.finish().cpu_samples;
            assert!(samples.iter().all(|(place, _)| place.entry.is_some()));
            let total: i64 = samples.iter().map(|(_, count)| count).sum();
            assert_eq!(usize::try_from(total).unwrap(), sampled.filter(counted).count());
        }
    }

    #[test]
    fn what_has_no_stack_has_its_entry_function_or_a_word_for_it() {
        let recording = recording();
        let symbols = recording.symbols();
        let entry = recording
            .goroutines
            .iter()
            .find_map(|life| life.start_function)
            .unwrap();
        let lines = |stack, entry| Place { stack, entry }.lines(symbols);
        assert_eq!(lines(None, Some(entry)), [Line::Entry(entry)]);
        assert_eq!(lines(None, None), [Line::Unrecorded]);
        let (stack, frames) = recording.stacks().next().unwrap();
        assert_eq!(lines(Some(stack), Some(entry)).len(), frames.len());
    }
}

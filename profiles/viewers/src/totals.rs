//! Time summed by state, reason and stack, and CPU samples by stack: what flame graphs are drawn from.

use std::collections::HashMap;
use std::hash::Hash;

use gotrace::{Frame, Goroutine, GoroutineState, Recording, RunnableCause, StackId, StateInterval, StringId};
use spandrel_model::{NameId, Names, State};
use spandrel_profiles::go_execution_trace::{Refiner, raw_reason};

use crate::Options;
use crate::goroutines;
use crate::group::Group;

/// The totals of one recording, in an order that depends on the recording only.
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
    /// Sums a recording. Calls `progress` with the number of state intervals that have been read.
    pub(crate) fn of(recording: &Recording, options: &Options<'_>, progress: &mut dyn FnMut(u64)) -> Self {
        let system = options.system;
        let mut names = Names::new();
        let mut refiner = Refiner::with_rules(recording, options.rules);
        let mut times: HashMap<Spent, Time> = HashMap::new();
        let mut left_out_count = 0;
        for goroutine in &recording.goroutines {
            progress(goroutine.states.end as u64);
            if goroutine.is_system && !system {
                left_out_count += 1;
                continue;
            }
            let mut before = None;
            for interval in recording.states_of(goroutine) {
                let place = Place {
                    stack: stack(interval, before),
                    entry: goroutine.start_function,
                };
                before = Some(interval);
                let reason = raw_reason(interval.state);
                if !system && reason.is_some_and(|reason| recording.bytes(reason) == IDLE) {
                    continue;
                }
                refiner.refine(interval, |piece| {
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
        }
        Self {
            names,
            times: sorted(times),
            cpu_samples: cpu_samples(recording, system),
            left_out_count,
        }
    }

    pub(crate) fn sub_state(&self, spent: &Spent) -> &str {
        self.names.resolve(spent.sub_state)
    }
}

impl Spent {
    /// The runtime's own word for a wait; empty if it gave none.
    pub(crate) fn reason<'a>(&self, recording: &'a Recording) -> std::borrow::Cow<'a, str> {
        self.reason.map_or("".into(), |reason| recording.text(reason))
    }
}

impl Place {
    /// The stack from the innermost frame to the goroutine's entry; never empty.
    pub(crate) fn lines<'a>(&self, recording: &'a Recording) -> Vec<Line<'a>> {
        let frames = self.stack.map_or(&[][..], |stack| recording.frames(stack));
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

fn cpu_samples(recording: &Recording, system: bool) -> Vec<(Place, i64)> {
    let mut counts: HashMap<Place, i64> = HashMap::new();
    for sample in &recording.cpu_samples {
        let goroutine: Option<&Goroutine> = sample
            .goroutine
            .and_then(|id| goroutines::position(recording, id, sample.time))
            .map(|position| &recording.goroutines[position]);
        // Samples outside goroutines are the scheduler's.
        if system || goroutine.is_some_and(|goroutine| !goroutine.is_system) {
            let place = Place {
                stack: sample.stack,
                entry: goroutine.and_then(|goroutine| goroutine.start_function),
            };
            *counts.entry(place).or_default() += 1;
        }
    }
    sorted(counts)
}

fn sorted<K: Ord + Hash + Copy, V>(totals: HashMap<K, V>) -> Vec<(K, V)> {
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_unstable_by_key(|(key, _)| *key);
    totals
}

#[cfg(test)]
mod tests {
    use spandrel_profiles::go_execution_trace::StateRules;

    use super::*;

    fn recording() -> Recording {
        Recording::decode(include_bytes!("../../gotrace/tests/fixtures/mix.trace")).unwrap()
    }

    fn options(system: bool) -> Options<'static> {
        Options {
            title: "mix",
            system,
            rules: StateRules::built_in(),
        }
    }

    fn ns(totals: &Totals) -> i64 {
        totals.times.iter().map(|(_, time)| time.ns).sum()
    }

    #[test]
    fn every_nanosecond_of_every_goroutine_is_counted() {
        let recording = recording();
        let whole: i64 = recording.states.iter().map(StateInterval::duration_ns).sum();
        let mut read = 0;
        let totals = Totals::of(&recording, &options(true), &mut |done| read = done);
        assert_eq!(ns(&totals), whole);
        assert_eq!(totals.left_out_count, 0);
        assert_eq!(read, recording.states.len() as u64);
    }

    #[test]
    fn goroutines_of_the_runtime_and_idle_waits_are_left_out() {
        let recording = recording();
        let of_runtime: Vec<&Goroutine> = recording.goroutines.iter().filter(|life| life.is_system).collect();
        let totals = Totals::of(&recording, &options(false), &mut |_| {});
        assert_eq!(totals.left_out_count, of_runtime.len());
        assert!(
            totals
                .times
                .iter()
                .all(|(spent, _)| spent.reason(&recording).as_bytes() != IDLE)
        );
        let entry_of_runtime = |spent: &Spent| {
            of_runtime
                .iter()
                .any(|life| life.start_function.is_some() && life.start_function == spent.place.entry)
        };
        assert!(!totals.times.iter().any(|(spent, _)| entry_of_runtime(spent)));
        assert!(ns(&totals) < ns(&Totals::of(&recording, &options(true), &mut |_| {})));
    }

    #[test]
    fn a_goroutine_that_was_woken_stands_where_it_waited() {
        let recording = recording();
        let totals = Totals::of(&recording, &options(false), &mut |_| {});
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
    fn what_has_no_stack_has_its_entry_function_or_a_word_for_it() {
        let recording = recording();
        let entry = recording
            .goroutines
            .iter()
            .find_map(|life| life.start_function)
            .unwrap();
        let lines = |stack, entry| Place { stack, entry }.lines(&recording);
        assert_eq!(lines(None, Some(entry)), [Line::Entry(entry)]);
        assert_eq!(lines(None, None), [Line::Unrecorded]);
        let (stack, frames) = recording.stacks().next().unwrap();
        assert_eq!(lines(Some(stack), Some(entry)).len(), frames.len());
    }
}

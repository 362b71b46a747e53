//! Compares the order of events, lane by lane.
//!
//! A lane is what one goroutine, proc or thread took part in, as actor or as subject, or else what happened nowhere. Each
//! lane must hold the same events in the same order in both readings. Between lanes the order may differ where clocks
//! tie: threads write ticks of 64 ns, and of events on the same tick that nothing else orders, each reader hands out
//! some first. A time that does not lie after the event before is moved to one nanosecond after it, so that ties also
//! move times, by one nanosecond for each of them.

use std::collections::{BTreeMap, HashMap};

use crate::steps::{Step, Subject};

/// How far times may differ, in nanoseconds: one tick.
pub(crate) const TIE_NS: i64 = 64;

/// A resource whose events are compared in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Lane {
    Goroutine(i64),
    Proc(i64),
    Thread(i64),
    /// CPU samples of a thread: taken by a signal, they are ordered among themselves only.
    Samples(i64),
    Nowhere,
}

/// By how many nanoseconds the readers differ in total over the events of a resource.
#[derive(Debug, Default)]
pub(crate) struct Shifts {
    goroutines: HashMap<i64, i64>,
    /// Over all procs.
    procs_ns: i64,
    /// Over everything.
    pub(crate) all_ns: i64,
}

impl Shifts {
    /// By how much the time of a goroutine in one state may differ: by the moments at which it changed state, also
    /// because its proc was taken away.
    pub(crate) fn of_goroutine_ns(&self, id: i64) -> i64 {
        self.goroutines.get(&id).copied().unwrap_or(0) + self.procs_ns
    }
}

/// Panics where the readings differ.
pub(crate) fn compare(ours: &[Step], theirs: &[Step]) -> Shifts {
    let (ours, theirs) = (by_lane(ours), by_lane(theirs));
    let mut shifts = Shifts::default();
    for (lane, steps) in &ours {
        let expected = theirs.get(lane).map_or(&[][..], Vec::as_slice);
        let shift_ns = compare_lane(*lane, steps, expected);
        match lane {
            Lane::Goroutine(id) => {
                shifts.goroutines.insert(*id, shift_ns);
            }
            Lane::Proc(_) => shifts.procs_ns += shift_ns,
            _ => {}
        }
        shifts.all_ns += shift_ns;
    }
    for (lane, steps) in &theirs {
        assert!(ours.contains_key(lane), "{lane:?} is missing, with {:?}", steps.first());
    }
    shifts
}

/// Sorts steps by lane; each is in the lane of everything that it touches.
fn by_lane(steps: &[Step]) -> BTreeMap<Lane, Vec<&Step>> {
    let mut lanes: BTreeMap<Lane, Vec<&Step>> = BTreeMap::new();
    for step in steps {
        if step.is_sample() {
            lanes.entry(Lane::Samples(step.thread)).or_default().push(step);
            continue;
        }
        let subject = match step.subject {
            Subject::Goroutine(id) => Some(Lane::Goroutine(id)),
            Subject::Proc(id) => Some(Lane::Proc(id)),
            Subject::None => None,
        };
        let of = |id: i64, lane: fn(i64) -> Lane| (id != -1).then(|| lane(id));
        let goroutine = of(step.goroutine, Lane::Goroutine);
        let proc = of(step.proc, Lane::Proc);
        let thread = of(step.thread, Lane::Thread);
        let mut touched: Vec<Lane> = [subject, goroutine, proc, thread].into_iter().flatten().collect();
        touched.sort();
        touched.dedup();
        if touched.is_empty() {
            touched.push(Lane::Nowhere);
        }
        for lane in touched {
            lanes.entry(lane).or_default().push(step);
        }
    }
    lanes
}

/// Returns the sum of the differences in time.
fn compare_lane(lane: Lane, ours: &[&Step], theirs: &[&Step]) -> i64 {
    let mut shift_ns = 0;
    for (position, (our, their)) in ours.iter().zip(theirs).enumerate() {
        let difference_ns = (our.time_ns - their.time_ns).abs();
        let same = Step {
            time_ns: their.time_ns,
            ..Step::clone(our)
        } == **their;
        assert!(
            same && difference_ns <= TIE_NS,
            "{lane:?} differs at its event {position}:\nours:\n{}\nGo's:\n{}",
            excerpt(ours, position),
            excerpt(theirs, position)
        );
        shift_ns += difference_ns;
    }
    assert_eq!(ours.len(), theirs.len(), "{lane:?}: number of events");
    shift_ns
}

/// The steps around a position, one a line.
fn excerpt(steps: &[&Step], position: usize) -> String {
    let around = position.saturating_sub(3)..steps.len().min(position + 3);
    let lines = around.map(|at| format!("{} {:?}", if at == position { '>' } else { ' ' }, steps[at]));
    lines.collect::<Vec<_>>().join("\n")
}

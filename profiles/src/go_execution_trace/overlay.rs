//! What the runtime did on top of a goroutine's base state.
//!
//! An overlay refines an interval; it never adds time. Stop-the-world refines only runnable time: a goroutine that
//! waits for the network during a pause waits for the network, and one that runs does so until it is stopped. Mark
//! assist refines running time, and sweeping what assist leaves of it.

use foldhash::HashMap;
use gotrace::{GoroutineId, RangeKind, Recording, RuntimeRange, TraceNanos};
use spandrel_model::State;

/// Sorted, disjoint stretches of time. The last may be open: its end is the end of time.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    stretches: Vec<(TraceNanos, TraceNanos)>,
    /// How many ranges are open: overlapping ranges make one stretch.
    open: u32,
}

const END_OF_TIME: TraceNanos = TraceNanos(i64::MAX);

impl Stretches {
    /// Joins stretches that touch or overlap.
    fn new(mut stretches: Vec<(TraceNanos, TraceNanos)>) -> Self {
        stretches.sort_unstable();
        let mut joined: Vec<(TraceNanos, TraceNanos)> = Vec::with_capacity(stretches.len());
        for (start, end) in stretches {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        Self {
            stretches: joined,
            open: 0,
        }
    }

    /// A range begins, after all that has happened so far.
    fn begin(&mut self, at: TraceNanos) {
        if self.open == 0 {
            self.stretches.push((at, END_OF_TIME));
        }
        self.open += 1;
    }

    /// A range ends.
    fn end(&mut self, at: TraceNanos) {
        self.open = self.open.saturating_sub(1);
        if let Some(last) = self.stretches.last_mut().filter(|_| self.open == 0) {
            last.1 = last.1.min(at);
        }
    }

    /// Forgets what has ended by then.
    fn forget_before(&mut self, then: TraceNanos) {
        self.stretches.retain(|stretch| stretch.1 > then);
    }

    /// Cuts `[start, end)` at the borders of the stretches. Calls `piece` for each part, in order, saying whether it
    /// lies inside one. The parts tile `[start, end)`.
    pub(super) fn cut(&self, start: TraceNanos, end: TraceNanos, mut piece: impl FnMut(TraceNanos, TraceNanos, bool)) {
        let mut at = start;
        let first = self.stretches.partition_point(|stretch| stretch.1 <= start);
        for &(inside_start, inside_end) in self.stretches.iter().skip(first).take_while(|stretch| stretch.0 < end) {
            if at < inside_start {
                piece(at, inside_start, false);
            }
            let from = at.max(inside_start);
            at = inside_end.min(end);
            piece(from, at, true);
        }
        if at < end {
            piece(at, end, false);
        }
    }
}

/// The overlays of one recording.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    stop_the_world: Stretches,
    assists: HashMap<GoroutineId, Stretches>,
    sweeps: HashMap<GoroutineId, Stretches>,
    none: Stretches,
}

impl Overlays {
    /// All at once.
    pub(super) fn of(recording: &Recording) -> Self {
        let mut stop_the_world = Vec::new();
        let mut assists: HashMap<GoroutineId, Vec<_>> = HashMap::default();
        let mut sweeps: HashMap<GoroutineId, Vec<_>> = HashMap::default();
        for range in &recording.ranges {
            let stretch = (range.start, range.end);
            match (range.kind, range.goroutine) {
                (RangeKind::StopTheWorld { .. }, _) => stop_the_world.push(stretch),
                (RangeKind::MarkAssist, Some(goroutine)) => assists.entry(goroutine).or_default().push(stretch),
                (RangeKind::Sweep { .. }, Some(goroutine)) => sweeps.entry(goroutine).or_default().push(stretch),
                _ => {}
            }
        }
        let disjoint = |stretches: HashMap<GoroutineId, Vec<_>>| {
            stretches
                .into_iter()
                .map(|(goroutine, stretches)| (goroutine, Stretches::new(stretches)))
                .collect()
        };
        Self {
            stop_the_world: Stretches::new(stop_the_world),
            assists: disjoint(assists),
            sweeps: disjoint(sweeps),
            none: Stretches::default(),
        }
    }

    /// A range begins, in the order of events.
    pub(super) fn begin(&mut self, range: &RuntimeRange) {
        if let Some(stretches) = self.stretches_of(range) {
            stretches.begin(range.start);
        }
    }

    /// A range that began ends, in the order of events.
    pub(super) fn end(&mut self, range: &RuntimeRange) {
        if let Some(stretches) = self.stretches_of(range) {
            stretches.end(range.end);
        }
    }

    fn stretches_of(&mut self, range: &RuntimeRange) -> Option<&mut Stretches> {
        match (range.kind, range.goroutine) {
            (RangeKind::StopTheWorld { .. }, _) => Some(&mut self.stop_the_world),
            (RangeKind::MarkAssist, Some(goroutine)) => Some(self.assists.entry(goroutine).or_default()),
            (RangeKind::Sweep { .. }, Some(goroutine)) => Some(self.sweeps.entry(goroutine).or_default()),
            _ => None,
        }
    }

    /// No runnable interval that is still to come begins before.
    pub(super) fn forget_stops_before(&mut self, then: TraceNanos) {
        self.stop_the_world.forget_before(then);
    }

    /// No running interval of the goroutine that is still to come begins before.
    pub(super) fn forget_work_before(&mut self, goroutine: GoroutineId, then: TraceNanos) {
        for stretches in [&mut self.assists, &mut self.sweeps] {
            if let Some(of_goroutine) = stretches.get_mut(&goroutine) {
                of_goroutine.forget_before(then);
                if of_goroutine.stretches.is_empty() {
                    stretches.remove(&goroutine);
                }
            }
        }
    }

    /// Whether [`Self::cut`] may cut anything of a goroutine in this state since `from`.
    #[inline]
    pub(super) fn may_cut(&self, base: State, from: TraceNanos) -> bool {
        match base {
            State::Runnable => self.stop_the_world.stretches.last().is_some_and(|last| last.1 > from),
            State::Running => !(self.assists.is_empty() && self.sweeps.is_empty()),
            _ => false,
        }
    }

    /// Cuts an interval of a goroutine in a base state. Calls `piece` for each part, in order. The parts tile it.
    pub(super) fn cut(
        &self,
        goroutine: GoroutineId,
        base: State,
        (from, to): (TraceNanos, TraceNanos),
        mut piece: impl FnMut(TraceNanos, TraceNanos, State),
    ) {
        match base {
            State::Runnable => self.stop_the_world.cut(from, to, |start, end, stopped| {
                piece(start, end, if stopped { State::GcStw } else { base });
            }),
            State::Running => {
                let sweeps = self.sweeps.get(&goroutine).unwrap_or(&self.none);
                let assists = self.assists.get(&goroutine).unwrap_or(&self.none);
                assists.cut(from, to, |start, end, assisting| {
                    if assisting {
                        return piece(start, end, State::GcAssist);
                    }
                    sweeps.cut(start, end, |start, end, sweeping| {
                        piece(start, end, if sweeping { State::GcSweep } else { base });
                    });
                });
            }
            _ => piece(from, to, base),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(stretches: &[(i64, i64)], start: i64, end: i64) -> Vec<(i64, i64, bool)> {
        let stretches = stretches
            .iter()
            .map(|(start, end)| (TraceNanos(*start), TraceNanos(*end)))
            .collect();
        let mut pieces = Vec::new();
        Stretches::new(stretches).cut(TraceNanos(start), TraceNanos(end), |from, to, inside| {
            pieces.push((from.0, to.0, inside))
        });
        pieces
    }

    #[test]
    fn parts_tile_the_interval() {
        assert_eq!(cut(&[], 0, 9), [(0, 9, false)]);
        assert_eq!(
            cut(&[(2, 4), (6, 20)], 0, 9),
            [(0, 2, false), (2, 4, true), (4, 6, false), (6, 9, true)]
        );
        assert_eq!(cut(&[(0, 20)], 3, 9), [(3, 9, true)]);
        assert_eq!(cut(&[(0, 3), (9, 12)], 3, 9), [(3, 9, false)]);
    }

    #[test]
    fn overlapping_stretches_count_once() {
        assert_eq!(
            cut(&[(2, 5), (4, 6), (6, 7)], 0, 9),
            [(0, 2, false), (2, 7, true), (7, 9, false)]
        );
    }

    #[test]
    fn ranges_that_come_one_by_one_make_the_same_stretches() {
        let mut stretches = Stretches::default();
        stretches.begin(TraceNanos(2));
        stretches.begin(TraceNanos(4));
        stretches.end(TraceNanos(5));
        stretches.end(TraceNanos(7));
        stretches.begin(TraceNanos(8));
        let mut pieces = Vec::new();
        stretches.cut(TraceNanos(0), TraceNanos(9), |from, to, inside| {
            pieces.push((from.0, to.0, inside))
        });
        assert_eq!(pieces, [(0, 2, false), (2, 7, true), (7, 8, false), (8, 9, true)]);
        stretches.forget_before(TraceNanos(7));
        assert_eq!(stretches.stretches, [(TraceNanos(8), END_OF_TIME)]);
    }
}

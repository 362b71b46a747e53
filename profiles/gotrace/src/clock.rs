//! The three clocks of a trace and the only bridges between them.
//!
//! ```text
//! ticks       as written; `Frequency` per second, 64 ns each except on Windows      private to the decoder
//! TraceNanos  ticks in nanoseconds; on Linux and macOS the runtime's monotonic clock  per trace
//! UnixNanos   wall clock                                                          through a ClockSnapshot (Go >= 1.25)
//! ```

/// Nanoseconds on the trace's own clock: the runtime's monotonic clock cut to whole ticks (runtime/tracetime.go).
/// Comparable between traces of one boot of one machine (not on Windows); meaningless as a date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceNanos(pub i64);

/// Nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

/// One near-simultaneous reading of the trace's clock and the wall clock: each generation of Go 1.25 and later has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSnapshot {
    /// The reading on the trace's clock.
    pub trace: TraceNanos,
    /// The runtime's monotonic clock (`nanotime`), in nanoseconds.
    pub monotonic_ns: u64,
    /// The wall clock.
    pub unix: UnixNanos,
}

/// Times beyond this are refused, so that breaking ties (plus one nanosecond an event) can never overflow.
const TRACE_NS_MAX: u64 = 1 << 62;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// Converts ticks to nanoseconds, in integers: exact where the frequency divides 10^9 (15,625,000 on Linux and macOS),
/// rounded down once per timestamp elsewhere. Go's reader rounds down per event and in floating point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TickRate {
    WholeNanos { ns_per_tick: u64 },
    Ratio { ticks_per_second: u64 },
}

impl TickRate {
    /// `None` for a frequency of 0.
    pub(crate) fn new(ticks_per_second: u64) -> Option<Self> {
        if NS_PER_SECOND.checked_rem(ticks_per_second)? == 0 {
            let ns_per_tick = NS_PER_SECOND.checked_div(ticks_per_second)?;
            return Some(Self::WholeNanos { ns_per_tick });
        }
        Some(Self::Ratio { ticks_per_second })
    }

    /// The largest time in ticks that is not beyond [`TRACE_NS_MAX`].
    pub(crate) fn ticks_max(self) -> u64 {
        match self {
            Self::WholeNanos { ns_per_tick } => TRACE_NS_MAX.checked_div(ns_per_tick).unwrap_or(0),
            Self::Ratio { ticks_per_second } => {
                let scaled = u128::from(TRACE_NS_MAX).saturating_mul(u128::from(ticks_per_second));
                u64::try_from(scaled.checked_div(u128::from(NS_PER_SECOND)).unwrap_or(0)).unwrap_or(u64::MAX - 1)
            }
        }
    }

    /// The time of ticks up to [`TickRate::ticks_max`].
    #[inline(always)]
    pub(crate) fn nanos_within(self, ticks: u64) -> TraceNanos {
        match self {
            Self::WholeNanos { ns_per_tick } => TraceNanos(ticks.wrapping_mul(ns_per_tick).cast_signed()),
            Self::Ratio { .. } => self.nanos(ticks).unwrap_or(TraceNanos(i64::MAX >> 1)),
        }
    }

    /// `None` beyond [`TRACE_NS_MAX`].
    #[inline]
    pub(crate) fn nanos(self, ticks: u64) -> Option<TraceNanos> {
        let ns = match self {
            Self::WholeNanos { ns_per_tick } => ticks.checked_mul(ns_per_tick)?,
            Self::Ratio { ticks_per_second } => {
                let scaled = u128::from(ticks).checked_mul(u128::from(NS_PER_SECOND))?;
                u64::try_from(scaled.checked_div(u128::from(ticks_per_second))?).ok()?
            }
        };
        if ns > TRACE_NS_MAX {
            return None;
        }
        i64::try_from(ns).ok().map(TraceNanos)
    }
}

/// The wall clock's largest rate of correction without a step: 500 parts per million (Linux `adjtimex`, NTP).
const SLEW_PPM_MAX: i128 = 500;

/// Maps trace time to wall time through the snapshots of a trace's generations.
///
/// Between two snapshots the wall clock's drift is spread evenly, so the mapping is continuous and never runs
/// backwards: intervals that touch in trace time touch in wall time. A difference that no slewing explains (a step
/// of the clock, see [`ClockSync::steps`]) is not spread: times before the later snapshot keep the earlier one's offset.
///
/// While a trace is read, what this says of a moment that events have reached never changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockSync {
    // Invariant: strictly increasing in trace time. Only `add` writes.
    snapshots: Vec<ClockSnapshot>,
    // Invariant: strictly increasing in `from`. Empty only if there is no snapshot.
    stretches: Vec<Stretch>,
    steps: Vec<ClockStep>,
    /// How often anything was added or taken back.
    changes_count: u64,
}

/// A stretch of time over which the wall clock drifts evenly. It lasts to the next one; the first holds before it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from: TraceNanos,
    /// Wall time minus trace time at its start. Within 64 bits in sum with any moment is for `unix` to check.
    offset_ns: i128,
    /// How much is added to the offset in the course of `span_ns`, and then stays.
    drift_ns: i64,
    span_ns: i64,
}

/// The wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// The first moment known to lie behind the step, which was made in the generation before it.
    pub seen: TraceNanos,
    /// How far the clock was set forward; negative for backward.
    pub step_ns: i64,
}

impl ClockSync {
    /// Adds the snapshot of a generation that begins at `start`, which lies behind all moments that were asked for so far,
    /// and that of the generation behind it, where it is known.
    ///
    /// A snapshot that lies before one of an earlier generation is damaged, or that one is: the earlier one is taken back
    /// if it does not even lie before `start`, else the new one adds nothing.
    pub(crate) fn add(&mut self, start: TraceNanos, snapshot: ClockSnapshot, next: Option<ClockSnapshot>) {
        self.changes_count = self.changes_count.wrapping_add(1);
        let from = start.max(snapshot.trace);
        if let Some(offset_ns) = self.take_back(from) {
            self.add_step(from, offset_ns, &snapshot);
        }
        if self.snapshots.last().is_some_and(|last| last.trace > snapshot.trace) {
            return;
        }
        self.add_snapshot(snapshot);
        if self.stretches.last().is_some_and(|last| last.from >= from) {
            return;
        }
        let (drift_ns, span_ns) = next.map_or((0, 1), |next| slew(&snapshot, &next, from));
        self.stretches.push(Stretch {
            from,
            offset_ns: offset_ns(&snapshot),
            drift_ns,
            span_ns,
        });
        if let Some(next) = next {
            self.add_snapshot(next);
        }
    }

    /// Takes back what earlier generations say of times behind `from`, for which nobody has asked yet. If nothing is left,
    /// the earlier times keep the offset that is returned.
    fn take_back(&mut self, from: TraceNanos) -> Option<i128> {
        while self.snapshots.pop_if(|last| last.trace > from).is_some() {}
        while self.steps.pop_if(|last| last.seen > from).is_some() {}
        while let [_, .., last] = &self.stretches[..]
            && last.from > from
        {
            self.stretches.pop();
        }
        let [only] = &mut self.stretches[..] else { return None };
        if only.from <= from {
            return None;
        }
        (only.from, only.drift_ns) = (TraceNanos(i64::MIN), 0);
        Some(only.offset_ns)
    }

    fn add_snapshot(&mut self, snapshot: ClockSnapshot) {
        match self.snapshots.last() {
            Some(last) if last.trace >= snapshot.trace => return,
            Some(last) if !is_slew(last, &snapshot) => self.add_step(snapshot.trace, offset_ns(last), &snapshot),
            _ => {}
        }
        self.snapshots.push(snapshot);
    }

    fn add_step(&mut self, seen: TraceNanos, before_ns: i128, after: &ClockSnapshot) {
        let step_ns = offset_ns(after) - before_ns;
        self.steps.push(ClockStep {
            seen,
            step_ns: i64::try_from(step_ns).unwrap_or(if step_ns < 0 { i64::MIN } else { i64::MAX }),
        });
    }

    /// The snapshots, in order of trace time. Empty before Go 1.25.
    pub fn snapshots(&self) -> &[ClockSnapshot] {
        &self.snapshots
    }

    /// Where the wall clock was set, in order; also where a damaged snapshot ceases to hold on which times were based.
    pub fn steps(&self) -> impl Iterator<Item = ClockStep> {
        self.steps.iter().copied()
    }

    /// The wall time of a moment; `None` if the trace has no snapshot (before Go 1.25) or the time leaves 64 bits.
    pub fn unix(&self, at: TraceNanos) -> Option<UnixNanos> {
        self.stretch(at)?.unix(at)
    }

    fn stretch(&self, at: TraceNanos) -> Option<&Stretch> {
        let later = self.stretches.partition_point(|stretch| stretch.from <= at);
        self.stretches.get(later.saturating_sub(1))
    }
}

impl Stretch {
    fn unix(&self, at: TraceNanos) -> Option<UnixNanos> {
        i64::try_from(i128::from(at.0) + self.offset_at(at)).ok().map(UnixNanos)
    }

    fn offset_at(&self, at: TraceNanos) -> i128 {
        self.offset_ns + i128::from(self.drift_at(at))
    }

    fn drift_at(&self, at: TraceNanos) -> i64 {
        let elapsed_ns = at.0.saturating_sub(self.from.0).clamp(0, self.span_ns);
        match self.drift_ns.checked_mul(elapsed_ns) {
            Some(product) => product.div_euclid(self.span_ns),
            None => {
                let drift = (i128::from(self.drift_ns) * i128::from(elapsed_ns)).div_euclid(i128::from(self.span_ns));
                i64::try_from(drift).unwrap_or(self.drift_ns)
            }
        }
    }
}

fn offset_ns(snapshot: &ClockSnapshot) -> i128 {
    i128::from(snapshot.unix.0) - i128::from(snapshot.trace.0)
}

/// Whether the clock can have got from one snapshot to the next one without a step.
fn is_slew(before: &ClockSnapshot, after: &ClockSnapshot) -> bool {
    let span_ns = i128::from(after.trace.0) - i128::from(before.trace.0);
    let drift_ns = offset_ns(after) - offset_ns(before);
    drift_ns.abs() * 1_000_000 <= span_ns * SLEW_PPM_MAX
}

/// How much the clock drifts from a moment at or after `snapshot` to `next`, and the time in between; no drift if there is
/// no time or it was a step.
fn slew(snapshot: &ClockSnapshot, next: &ClockSnapshot, from: TraceNanos) -> (i64, i64) {
    let span_ns = next.trace.0.saturating_sub(from.0);
    if span_ns <= 0 || !is_slew(snapshot, next) {
        return (0, 1);
    }
    match i64::try_from(offset_ns(next) - offset_ns(snapshot)) {
        Ok(drift_ns) => (drift_ns, span_ns),
        Err(_) => (0, 1),
    }
}

/// Looks up the wall time of many moments, most of them close to the one before: the offset of the wall clock changes by
/// one nanosecond at a time, and stays the same for microseconds at least.
#[derive(Clone, Debug, Default)]
pub struct UnixCursor {
    offset_ns: i64,
    /// Where that offset holds. Empty at first.
    from_ns: i64,
    to_ns: i64,
    /// The clock's own count: a new stretch may begin where this offset would have held.
    changes_count: u64,
}

impl UnixCursor {
    /// As [`ClockSync::unix`]. All moments are looked up on one clock.
    #[inline]
    pub fn unix(&mut self, clock: &ClockSync, at: TraceNanos) -> Option<UnixNanos> {
        if at.0 < self.from_ns || at.0 >= self.to_ns || self.changes_count != clock.changes_count {
            return self.seek(clock, at);
        }
        at.0.checked_add(self.offset_ns).map(UnixNanos)
    }

    #[inline(never)]
    fn seek(&mut self, clock: &ClockSync, at: TraceNanos) -> Option<UnixNanos> {
        let stretch = clock.stretch(at)?;
        let unix = stretch.unix(at)?;
        self.offset_ns = unix.0.checked_sub(at.0)?;
        self.changes_count = clock.changes_count;
        self.from_ns = at.0;
        self.to_ns = at.0.saturating_add(1);
        // The drift is a monotonic step function of time: where it is the same at both ends of a piece, it is throughout.
        let drift_ns = stretch.drift_at(at);
        let next = clock.stretches.partition_point(|stretch| stretch.from <= at);
        let next_from = clock.stretches.get(next).map(|stretch| stretch.from.0);
        let mut reach_ns = 1_i64 << 30;
        while reach_ns > 64 {
            let end = at.0.saturating_add(reach_ns);
            let is_inside = next_from.is_none_or(|from| end <= from);
            if is_inside && stretch.drift_at(TraceNanos(end)) == drift_ns {
                self.to_ns = end;
                break;
            }
            reach_ns >>= 2;
        }
        Some(unix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(trace: i64, unix: i64) -> ClockSnapshot {
        ClockSnapshot {
            trace: TraceNanos(trace),
            monotonic_ns: 0,
            unix: UnixNanos(unix),
        }
    }

    fn sync(snapshots: &[ClockSnapshot]) -> ClockSync {
        let mut sync = ClockSync::default();
        for (position, snapshot) in snapshots.iter().enumerate() {
            sync.add(snapshot.trace, *snapshot, snapshots.get(position + 1).copied());
        }
        sync
    }

    #[test]
    fn linux_ticks_are_64_nanoseconds() {
        let rate = TickRate::new(15_625_000).unwrap();
        assert_eq!(rate.nanos(3), Some(TraceNanos(192)));
    }

    #[test]
    fn odd_frequencies_do_not_accumulate_rounding() {
        let rate = TickRate::new(3_000_000_000).unwrap();
        assert_eq!(rate.nanos(2), Some(TraceNanos(0)));
        assert_eq!(rate.nanos(3_000_000_000_000), Some(TraceNanos(1_000_000_000_000)));
    }

    #[test]
    fn refuses_a_frequency_of_zero_and_times_that_overflow() {
        assert!(TickRate::new(0).is_none());
        assert_eq!(TickRate::new(15_625_000).unwrap().nanos(u64::MAX), None);
        assert_eq!(TickRate::new(1).unwrap().nanos(1 << 40), None);
    }

    #[test]
    fn without_a_snapshot_there_is_no_wall_time() {
        assert_eq!(ClockSync::default().unix(TraceNanos(5)), None);
    }

    #[test]
    fn one_snapshot_shifts_all_times() {
        let sync = sync(&[snapshot(100, 1_000_100)]);
        assert_eq!(sync.unix(TraceNanos(40)), Some(UnixNanos(1_000_040)));
        assert_eq!(sync.unix(TraceNanos(160)), Some(UnixNanos(1_000_160)));
    }

    #[test]
    fn drift_between_snapshots_is_spread_and_meets_the_next_one() {
        let sync = sync(&[snapshot(0, 500), snapshot(1_000_000, 1_000_520)]);
        assert_eq!(sync.unix(TraceNanos(500_000)), Some(UnixNanos(500_510)));
        assert_eq!(sync.unix(TraceNanos(999_999)), Some(UnixNanos(1_000_518)));
        assert_eq!(sync.unix(TraceNanos(1_000_000)), Some(UnixNanos(1_000_520)));
    }

    #[test]
    fn a_step_of_the_wall_clock_is_not_spread() {
        let sync = sync(&[snapshot(0, 0), snapshot(1_000, 5_000_000)]);
        assert_eq!(sync.unix(TraceNanos(999)), Some(UnixNanos(999)));
        assert_eq!(sync.unix(TraceNanos(1_000)), Some(UnixNanos(5_000_000)));
    }

    #[test]
    fn a_step_of_the_wall_clock_is_reported() {
        let drifting = sync(&[snapshot(0, 500), snapshot(1_000_000, 1_000_520)]);
        assert_eq!(drifting.steps().count(), 0);
        let stepped = sync(&[snapshot(0, 0), snapshot(1_000, 1_000), snapshot(2_000, 500)]);
        let step = ClockStep {
            seen: TraceNanos(2_000),
            step_ns: -1_500,
        };
        assert_eq!(stepped.steps().collect::<Vec<_>>(), [step]);
    }

    #[test]
    fn a_generation_that_begins_late_changes_nothing_before_its_start() {
        let mut sync = ClockSync::default();
        let (first, second, third) = (snapshot(0, 0), snapshot(10_000, 10_004), snapshot(20_000, 20_000));
        sync.add(TraceNanos(0), first, Some(second));
        let before: Vec<_> = (0..10_500).map(|at| sync.unix(TraceNanos(at))).collect();
        sync.add(TraceNanos(10_500), second, Some(third));
        let after: Vec<_> = (0..10_500).map(|at| sync.unix(TraceNanos(at))).collect();
        assert_eq!(before, after);
        let all: Vec<_> = (0..25_000).map(|at| sync.unix(TraceNanos(at)).unwrap()).collect();
        assert!(all.is_sorted());
        assert_eq!(all[20_000], UnixNanos(20_000));
    }

    #[test]
    fn a_snapshot_that_later_generations_contradict_is_taken_back() {
        let good = [1_000, 2_000, 3_000, 4_000].map(|at| snapshot(at, at + 500));
        for damaged in 0..2 {
            let mut snapshots = good;
            snapshots[damaged] = snapshot(1 << 50, 1_000_500);
            let mut sync = ClockSync::default();
            let mut cursor = UnixCursor::default();
            let mut said: Vec<Option<UnixNanos>> = Vec::new();
            for (position, start) in good.map(|snapshot| snapshot.trace).into_iter().enumerate() {
                sync.add(start, snapshots[position], snapshots.get(position + 1).copied());
                let reached = 0..start.0 + 1_000;
                let now: Vec<_> = reached.map(|at| sync.unix(TraceNanos(at))).collect();
                assert_eq!(now[..said.len()], said, "generation {position} changes what was said");
                let last = TraceNanos(start.0 + 999);
                assert_eq!(cursor.unix(&sync, last), sync.unix(last));
                said = now;
            }
            assert_eq!(sync.unix(TraceNanos(4_999)), Some(UnixNanos(5_499)), "{damaged}");
            // What was said of the first moments was wrong, and stays so.
            let steps = [ClockStep {
                seen: TraceNanos(2_000),
                step_ns: 500 - (1_000_500 - (1 << 50)),
            }];
            let expected = if damaged == 0 { &steps[..] } else { &[] };
            assert_eq!(sync.steps().collect::<Vec<_>>(), expected, "{damaged}");
            assert_eq!(sync.snapshots().len(), 3);
        }
    }

    #[test]
    fn a_snapshot_before_that_of_an_earlier_generation_adds_nothing() {
        let mut sync = sync(&[snapshot(1_000, 1_500), snapshot(2_000, 2_500)]);
        sync.add(TraceNanos(3_000), snapshot(7, 1_000_000), None);
        assert_eq!(sync.unix(TraceNanos(3_999)), Some(UnixNanos(4_499)));
        assert_eq!(sync.snapshots().len(), 2);
    }

    #[test]
    fn a_cursor_says_what_the_clock_says() {
        let snapshots = [
            snapshot(100, 1_100),
            snapshot(100_100, 101_140),
            snapshot(300_000, 301_000),
        ];
        let mut sync = ClockSync::default();
        let mut cursor = UnixCursor::default();
        assert_eq!(cursor.unix(&sync, TraceNanos(7)), None);
        for (position, known) in snapshots.iter().enumerate() {
            sync.add(known.trace, *known, snapshots.get(position + 1).copied());
            for at in (0..100)
                .chain((0..400_000).step_by(37))
                .chain((0..400_000).rev().step_by(1_009))
            {
                assert_eq!(cursor.unix(&sync, TraceNanos(at)), sync.unix(TraceNanos(at)), "at {at}");
            }
        }
    }
}

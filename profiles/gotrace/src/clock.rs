//! The three clocks of a trace and the only bridges between them.
//!
//! ```text
//! ticks       as written; `Frequency` per second, 64 ns each except on Windows      private to the decoder
//! TraceNanos  ticks in nanoseconds; on Linux and macOS the runtime's monotonic clock  per trace
//! UnixNanos   wall clock                                                          through a ClockSnapshot (Go >= 1.25)
//! ```

/// Nanoseconds on the trace's own clock: the runtime's monotonic clock cut to whole ticks (runtime/tracetime.go).
/// Comparable between traces of one boot of one machine (not on Windows); meaningless as a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
/// of the clock) is not spread: times before the later snapshot keep the earlier one's offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockSync {
    // Invariant: strictly increasing in trace time. Only `add` writes.
    snapshots: Vec<ClockSnapshot>,
}

impl ClockSync {
    /// Adds a snapshot; one that does not lie after all others adds nothing.
    pub(crate) fn add(&mut self, snapshot: ClockSnapshot) {
        if self.snapshots.last().is_none_or(|last| last.trace < snapshot.trace) {
            self.snapshots.push(snapshot);
        }
    }

    /// The snapshots, in order of trace time. Empty before Go 1.25.
    pub fn snapshots(&self) -> &[ClockSnapshot] {
        &self.snapshots
    }

    /// The wall time of a moment; `None` if the trace has no snapshot (before Go 1.25) or the time leaves 64 bits.
    pub fn unix(&self, at: TraceNanos) -> Option<UnixNanos> {
        let later = self.snapshots.partition_point(|snapshot| snapshot.trace <= at);
        let base = later
            .checked_sub(1)
            .and_then(|i| self.snapshots.get(i))
            .or(self.snapshots.first())?;
        let elapsed = i128::from(at.0) - i128::from(base.trace.0);
        let mut unix = i128::from(base.unix.0) + elapsed;
        if let Some(next) = self.snapshots.get(later).filter(|_| elapsed >= 0) {
            unix += drift_within(base, next, elapsed);
        }
        i64::try_from(unix).ok().map(UnixNanos)
    }
}

/// How far the wall clock has drifted `elapsed` nanoseconds after `base`, on its way to `next`.
fn drift_within(base: &ClockSnapshot, next: &ClockSnapshot, elapsed: i128) -> i128 {
    let trace_span = i128::from(next.trace.0) - i128::from(base.trace.0);
    let drift = i128::from(next.unix.0) - i128::from(base.unix.0) - trace_span;
    if drift.abs() * 1_000_000 > trace_span * SLEW_PPM_MAX {
        return 0;
    }
    (drift * elapsed).div_euclid(trace_span)
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
        snapshots.iter().for_each(|snapshot| sync.add(*snapshot));
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
}

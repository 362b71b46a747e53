//! What the runtime did on top of a goroutine's base state.
//!
//! An overlay refines an interval; it never adds time. Stop-the-world refines only runnable time: a goroutine that
//! waits for the network during a pause waits for the network, and one that runs does so until it is stopped. Mark
//! assist refines running time, and sweeping what assist leaves of it.

use std::collections::HashMap;

use gotrace::{GoroutineId, RangeKind, Recording, TraceNanos};

/// Sorted, disjoint stretches of time.
#[derive(Debug, Default)]
pub(super) struct Stretches(Vec<(TraceNanos, TraceNanos)>);

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
        Self(joined)
    }

    /// Cuts `[start, end)` at the borders of the stretches. Calls `piece` for each part, in order, saying whether it
    /// lies inside one. The parts tile `[start, end)`.
    pub(super) fn cut(&self, start: TraceNanos, end: TraceNanos, mut piece: impl FnMut(TraceNanos, TraceNanos, bool)) {
        let mut at = start;
        let first = self.0.partition_point(|stretch| stretch.1 <= start);
        for &(inside_start, inside_end) in self.0.iter().skip(first).take_while(|stretch| stretch.0 < end) {
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
    pub(super) stop_the_world: Stretches,
    assists: HashMap<GoroutineId, Stretches>,
    sweeps: HashMap<GoroutineId, Stretches>,
    none: Stretches,
}

impl Overlays {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut stop_the_world = Vec::new();
        let mut assists: HashMap<GoroutineId, Vec<_>> = HashMap::new();
        let mut sweeps: HashMap<GoroutineId, Vec<_>> = HashMap::new();
        for range in &recording.ranges {
            let stretch = (range.start, range.end);
            match (range.kind, range.goroutine) {
                (RangeKind::StopTheWorld { .. }, _) => stop_the_world.push(stretch),
                (RangeKind::MarkAssist, Some(goroutine)) => assists.entry(goroutine).or_default().push(stretch),
                (RangeKind::Sweep { .. }, Some(goroutine)) => sweeps.entry(goroutine).or_default().push(stretch),
                (RangeKind::MarkAssist | RangeKind::Sweep { .. }, None) | (RangeKind::GcMark, _) => {}
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

    pub(super) fn assists_of(&self, goroutine: GoroutineId) -> &Stretches {
        self.assists.get(&goroutine).unwrap_or(&self.none)
    }

    pub(super) fn sweeps_of(&self, goroutine: GoroutineId) -> &Stretches {
        self.sweeps.get(&goroutine).unwrap_or(&self.none)
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
}

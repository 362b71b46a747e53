//! Time: integer nanoseconds since the Unix epoch, and half-open stretches of it.

/// Nanoseconds since the Unix epoch, UTC. Reaches from the year 1677 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// Nanoseconds from `earlier` to `self`; negative if `earlier` is the later one. Saturates.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant moved by `delta_ns`. Saturates.
    pub const fn plus(self, delta_ns: i64) -> Self {
        Self(self.0.saturating_add(delta_ns))
    }
}

/// A half-open stretch of time, `[start, end)`: neighbors share an instant but no time, so cutting keeps the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    // Invariant: start <= end. Only `new` builds one.
    start: UnixNanos,
    end: UnixNanos,
}

impl Interval {
    /// Returns `None` if `end` lies before `start`.
    pub fn new(start: UnixNanos, end: UnixNanos) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// The first instant inside.
    pub const fn start(self) -> UnixNanos {
        self.start
    }

    /// The first instant after.
    pub const fn end(self) -> UnixNanos {
        self.end
    }

    /// The length in nanoseconds, never negative.
    pub const fn duration_ns(self) -> i64 {
        self.end.since(self.start)
    }

    /// Whether no time lies inside.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `at` lies inside.
    pub fn contains(self, at: UnixNanos) -> bool {
        self.start <= at && at < self.end
    }

    /// The interval moved by `delta_ns`. Saturates.
    pub const fn shifted(self, delta_ns: i64) -> Self {
        Self {
            start: self.start.plus(delta_ns),
            end: self.end.plus(delta_ns),
        }
    }

    /// The time that lies in both; `None` where they share no nanosecond.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(Self { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: i64, end: i64) -> Interval {
        Interval::new(UnixNanos(start), UnixNanos(end)).unwrap()
    }

    #[test]
    fn an_end_before_the_start_is_no_interval() {
        assert_eq!(Interval::new(UnixNanos(2), UnixNanos(1)), None);
    }

    #[test]
    fn neighbors_share_no_time() {
        assert_eq!(interval(0, 5).intersection(interval(5, 9)), None);
        assert_eq!(interval(0, 5).intersection(interval(3, 9)), Some(interval(3, 5)));
        assert!(!interval(0, 5).contains(UnixNanos(5)));
    }
}

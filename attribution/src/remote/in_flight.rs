//! How long the messages of a call were in flight, and how much of that was the request: ranges, as the offset of the two
//! clocks is one.
//!
//! Each offset places the server elsewhere in the time of its client. The client's waits before it were for the request,
//! those after it for the response:
//!
//! ```text
//! waits of the client        |-----------------------|   |------------|
//! server, greatest offset        |-----------|                            least request
//! server, least offset                      |-----------|                 greatest request
//! ```
//!
//! While the server lies within one wait, what it leaves of the waits is the same at every offset.

use spandrel_model::{Interval, UnixNanos};

use super::calls::Server;

/// Waits of a client in which no server was at work, over all offsets of the clocks that are possible. The response is what
/// is not the request.
///
/// `0 <= request_min_ns <= min_ns <= max_ns` and `request_min_ns <= request_max_ns <= max_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// The least time, nanoseconds.
    pub min_ns: i64,
    /// The greatest, nanoseconds: the same for a server that lies within one wait at every offset.
    pub max_ns: i64,
    /// The least part of it before the server began, nanoseconds.
    pub request_min_ns: i64,
    /// The greatest, nanoseconds.
    pub request_max_ns: i64,
}

impl InFlight {
    /// `waits` of the client for its call are in the order of time, without overlap.
    pub(crate) fn new(waits: &[Interval], server: &Server) -> Self {
        let waits = Waits::new(waits);
        let (earliest_ns, latest_ns) = (
            server.ahead_ns.saturating_sub(server.offset.hi_ns),
            server.ahead_ns.saturating_sub(server.offset.lo_ns),
        );
        let request_ns = |shift_ns| waits.before_ns(server.interval.start().plus(shift_ns));
        // Between these shifts, what is in flight grows or shrinks evenly.
        let bends = waits.borders().flat_map(|border| {
            [
                border.since(server.interval.start()),
                border.since(server.interval.end()),
            ]
        });
        let inside = bends.filter(|shift_ns| (earliest_ns..latest_ns).contains(shift_ns));
        let (mut min_ns, mut max_ns) = (i64::MAX, 0);
        for shift_ns in inside.chain([earliest_ns, latest_ns]) {
            let in_flight_ns = waits.without_ns(server.interval.shifted(shift_ns));
            min_ns = min_ns.min(in_flight_ns);
            max_ns = max_ns.max(in_flight_ns);
        }
        Self {
            min_ns,
            max_ns,
            request_min_ns: request_ns(earliest_ns),
            request_max_ns: request_ns(latest_ns),
        }
    }
}

/// Stretches of time, to be measured.
struct Waits<'a> {
    stretches: &'a [Interval],
    // Of each: how long those before it are.
    before_ns: Vec<i64>,
    total_ns: i64,
}

impl<'a> Waits<'a> {
    fn new(stretches: &'a [Interval]) -> Self {
        let mut total_ns = 0_i64;
        let add = |stretch: &Interval| {
            let before_ns = total_ns;
            total_ns = total_ns.saturating_add(stretch.duration_ns());
            before_ns
        };
        Self {
            stretches,
            before_ns: stretches.iter().map(add).collect(),
            total_ns,
        }
    }

    fn borders(&self) -> impl Iterator<Item = UnixNanos> {
        self.stretches
            .iter()
            .flat_map(|stretch| [stretch.start(), stretch.end()])
    }

    /// How much of them lies before `at`.
    fn before_ns(&self, at: UnixNanos) -> i64 {
        let begun = self.stretches.partition_point(|stretch| stretch.start() < at);
        begun.checked_sub(1).map_or(0, |last| {
            let stretch = self.stretches[last];
            self.before_ns[last] + stretch.end().min(at).since(stretch.start())
        })
    }

    /// How much of them lies outside of `part`.
    fn without_ns(&self, part: Interval) -> i64 {
        self.total_ns - (self.before_ns(part.end()) - self.before_ns(part.start()))
    }
}

//! How long the messages of a call took, as ranges: the clocks of two hosts are only known to be a range apart.

use serde::Serialize;

use super::super::super::answers::Value;
use crate::report::duration::human;

/// Its columns of `span_quality`, in this order.
pub(super) const COLUMNS: &str = "in_flight_min_ns, in_flight_max_ns, request_min_ns, request_max_ns";

/// What of a call's waits was no server's time. The response is what is not the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct InFlight {
    pub(super) min_ns: i64,
    pub(super) max_ns: i64,
    pub(super) request_min_ns: i64,
    pub(super) request_max_ns: i64,
}

impl InFlight {
    /// From the [`COLUMNS`]; `None` where they are null: it is not known.
    pub(super) fn of(columns: &[Value]) -> Option<Self> {
        match columns {
            [
                Value::Int(min_ns),
                Value::Int(max_ns),
                Value::Int(request_min_ns),
                Value::Int(request_max_ns),
            ] => Some(Self {
                min_ns: *min_ns,
                max_ns: *max_ns,
                request_min_ns: *request_min_ns,
                request_max_ns: *request_max_ns,
            }),
            _ => None,
        }
    }

    /// `in flight 1.20 ms: request 300 us to 900 us`.
    pub(super) fn shown(self) -> String {
        format!(
            "in flight {}: request {}",
            range(self.min_ns, self.max_ns),
            range(self.request_min_ns, self.request_max_ns)
        )
    }
}

fn range(min_ns: i64, max_ns: i64) -> String {
    match (human(min_ns), human(max_ns)) {
        (min, max) if min == max => min,
        (min, max) => format!("{min} to {max}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_the_same_at_every_offset_is_no_range() {
        let exact = InFlight {
            min_ns: 1_200_000,
            max_ns: 1_200_000,
            request_min_ns: 300_000,
            request_max_ns: 900_000,
        };
        assert_eq!(exact.shown(), "in flight 1.20 ms: request 300 us to 900 us");
        let widest = InFlight {
            max_ns: 1_300_000,
            request_min_ns: 0,
            ..exact
        };
        assert_eq!(widest.shown(), "in flight 1.20 ms to 1.30 ms: request 0 to 900 us");
    }
}

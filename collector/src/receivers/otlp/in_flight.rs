//! How much of its senders' data the receiver holds at once.
//!
//! A request takes a slot before its body is read, and bytes before they are read or decompressed; both return when it
//! has been answered. Nobody waits for them: a sender that is told to come back keeps its data in its own memory.

use std::sync::Arc;

use prometheus::{IntGauge, Opts};
use spandrel_pipeline::{BuildContext, BuildError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rejection::Rejection;
use crate::receivers::metrics::registered;

/// The two budgets, shared by both transports of a receiver.
pub(super) struct InFlight {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    requests_held: IntGauge,
    bytes_held: IntGauge,
}

impl InFlight {
    pub(super) fn register(max_requests: usize, max_bytes: usize, context: &BuildContext) -> Result<Self, BuildError> {
        let gauge = |name: &str, help: &str| {
            IntGauge::with_opts(Opts::new(name, help).const_label("receiver", context.id.to_string()))
                .and_then(|gauge| registered(&context.registry, gauge))
                .map_err(|error| BuildError::caused_by(format!("cannot register the metric `{name}`"), error))
        };
        Ok(Self {
            requests: Arc::new(Semaphore::new(max_requests)),
            bytes: Arc::new(Semaphore::new(max_bytes)),
            requests_held: gauge("spandrel_receiver_in_flight_requests", "Requests not yet answered.")?,
            bytes_held: gauge(
                "spandrel_receiver_in_flight_bytes",
                "Bytes reserved for requests not yet answered.",
            )?,
        })
    }

    /// Admits one more request, which holds no bytes yet.
    pub(super) fn admit(&self) -> Result<Slot, Rejection> {
        let request = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| Rejection::Busy {
                exhausted: "max_concurrent_requests",
            })?;
        self.requests_held.inc();
        Ok(Slot {
            _request: request,
            budget: Arc::clone(&self.bytes),
            bytes: None,
            requests_held: self.requests_held.clone(),
            bytes_held: self.bytes_held.clone(),
        })
    }
}

/// A request's share of the budgets, returned on drop.
pub(super) struct Slot {
    _request: OwnedSemaphorePermit,
    budget: Arc<Semaphore>,
    bytes: Option<OwnedSemaphorePermit>,
    requests_held: IntGauge,
    bytes_held: IntGauge,
}

impl Slot {
    /// Takes `count` more bytes from the budget.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), Rejection> {
        let exhausted = Rejection::Busy {
            exhausted: "max_in_flight_size",
        };
        let Ok(permits) = u32::try_from(count) else {
            return Err(exhausted);
        };
        let Ok(more) = Arc::clone(&self.budget).try_acquire_many_owned(permits) else {
            return Err(exhausted);
        };
        self.bytes_held.add(i64::from(permits));
        match &mut self.bytes {
            Some(held) => held.merge(more),
            None => self.bytes = Some(more),
        }
        Ok(())
    }

    fn held_bytes(&self) -> i64 {
        let held = self.bytes.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        i64::try_from(held).expect("a semaphore has fewer than 2^61 permits")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.requests_held.dec();
        self.bytes_held.sub(self.held_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(max_requests: usize, max_bytes: usize) -> InFlight {
        let context = BuildContext {
            id: "otlp".into(),
            registry: prometheus::Registry::new(),
        };
        InFlight::register(max_requests, max_bytes, &context).unwrap()
    }

    #[test]
    fn bytes_return_with_the_answer() {
        let in_flight = in_flight(2, 10);
        let mut first = in_flight.admit().unwrap();
        let mut second = in_flight.admit().unwrap();
        assert!(first.reserve(4).is_ok() && first.reserve(4).is_ok());
        assert!(matches!(
            second.reserve(3),
            Err(Rejection::Busy {
                exhausted: "max_in_flight_size"
            })
        ));
        assert_eq!(in_flight.bytes_held.get(), 8);
        drop(first);
        assert!(second.reserve(10).is_ok());
        drop(second);
        assert_eq!((in_flight.bytes_held.get(), in_flight.requests_held.get()), (0, 0));
    }

    #[test]
    fn one_request_too_many_is_told_to_come_back() {
        let in_flight = in_flight(1, 10);
        let slot = in_flight.admit().unwrap();
        assert!(matches!(
            in_flight.admit(),
            Err(Rejection::Busy {
                exhausted: "max_concurrent_requests"
            })
        ));
        drop(slot);
        assert!(in_flight.admit().is_ok());
    }
}

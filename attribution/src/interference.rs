//! Interference: which operations made the requests of which others wait, and by doing what.
//!
//! The same nanoseconds seen from two sides: what the victims lost is what the culprits caused. Only requests count as
//! victims, for the time of a span lies in the spans around it too.

use std::collections::BTreeMap;
use std::sync::Arc;

use spandrel_model::{Culprit, State, View};

use crate::SpanAttribution;

/// Collects requests and yields the time that they waited for work of other traces.
#[derive(Debug, Default)]
pub struct Interference {
    totals: BTreeMap<Key, Total>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    service_name: Arc<str>,
    victim_operation: Arc<str>,
    culprit_operation: Arc<str>,
    culprit_state: State,
}

#[derive(Debug, Default)]
struct Total {
    victims: i64,
    ns: i64,
}

/// Requests of one operation that waited for another one (or for other requests of the same) while that was in one
/// state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterferenceRow {
    /// Service of both.
    pub service_name: Arc<str>,
    /// Span name of the requests that waited.
    pub victim_operation: Arc<str>,
    /// Operation that they waited for: the name of the span with which its request entered the process.
    pub culprit_operation: Arc<str>,
    /// State of that work meanwhile.
    pub culprit_state: State,
    /// Requests that waited so.
    pub victims: i64,
    /// Time that they waited so, all together, nanoseconds. Saturates.
    pub ns: i64,
}

impl Interference {
    /// Counts a request. A span that is not one ([`SpanAttribution::is_request`]) is passed over.
    pub fn add(&mut self, request: &SpanAttribution) {
        if !request.is_request {
            return;
        }
        let mut caused: BTreeMap<(&Arc<str>, State), i64> = BTreeMap::new();
        for cell in request.cells.iter().filter(|cell| cell.view == View::Root) {
            if let Some(Culprit { operation, state, .. }) = &cell.culprit {
                let ns = caused.entry((operation, *state)).or_default();
                *ns = ns.saturating_add(cell.ns);
            }
        }
        for ((operation, culprit_state), ns) in caused {
            let key = Key {
                service_name: request.process.service_name.clone(),
                victim_operation: request.operation.clone(),
                culprit_operation: operation.clone(),
                culprit_state,
            };
            let total = self.totals.entry(key).or_default();
            total.victims += 1;
            total.ns = total.ns.saturating_add(ns);
        }
    }

    /// The rows, sorted by service, victim, culprit and state.
    pub fn rows(&self) -> Vec<InterferenceRow> {
        let row = |(key, total): (&Key, &Total)| InterferenceRow {
            service_name: key.service_name.clone(),
            victim_operation: key.victim_operation.clone(),
            culprit_operation: key.culprit_operation.clone(),
            culprit_state: key.culprit_state,
            victims: total.victims,
            ns: total.ns,
        };
        self.totals.iter().map(row).collect()
    }
}

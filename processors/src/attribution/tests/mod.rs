//! The connector from the outside, and what it makes of things that come late, twice or in another order.

mod connector;
mod cpu_profiles;
mod disk;
mod harmful_profiles;
mod kept_recordings;
mod late;
mod memory_store;
mod order;
mod otlp;
mod pprof;
mod program;
#[allow(dead_code, reason = "the tests of the attribution crate need the rest")]
#[path = "../../../../attribution/tests/attribution/random.rs"]
mod random;
mod restart;
mod running;
#[allow(dead_code, reason = "the tests of the attribution crate need the rest")]
#[path = "../../../../attribution/tests/attribution/simulator.rs"]
mod simulator;
mod stream;
#[allow(dead_code, reason = "the tests of the attribution crate need the rest")]
#[path = "../../../../attribution/tests/attribution/world.rs"]
mod world;

use super::join::Join;
use super::pending::Pending;
use super::relatives::Place;
use super::slots::Round;

/// The join of a slot, with all that it needs.
pub(super) fn join_of(pending: &mut Pending, place: Place, round: &Round) -> Join {
    let mut gathering = pending.begin_join(place, round).expect("the slot is there");
    while pending.gather(&mut gathering) {}
    gathering.into_join()
}

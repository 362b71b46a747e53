//! The connector from the outside, and what it makes of things that come late, twice or in another order.

mod connector;
mod late;
mod order;
mod program;
#[allow(dead_code, reason = "the tests of the attribution crate need the rest")]
#[path = "../../../../attribution/tests/attribution/random.rs"]
mod random;
#[allow(dead_code, reason = "the tests of the attribution crate need the rest")]
#[path = "../../../../attribution/tests/attribution/simulator.rs"]
mod simulator;
mod stream;
#[allow(dead_code, reason = "the tests of the attribution crate need the rest")]
#[path = "../../../../attribution/tests/attribution/world.rs"]
mod world;

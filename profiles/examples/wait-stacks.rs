//! Prints where the goroutines of a trace of `tests/programs/waits` stood still, as `tests/wait_kinds/stacks` keeps it.
//!
//! ```text
//! cd profiles/tests/programs/waits
//! GOTOOLCHAIN=go1.25.5 go build -o /tmp/waits . && /tmp/waits -out /tmp/waits.trace
//! cargo run -p spandrel-profiles --example wait-stacks -- /tmp/waits.trace > ../../wait_kinds/stacks/go1.25.txt
//! ```

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "these modules belong to the tests, which use the rest of them"
)]

#[path = "../tests/wait_kinds/cases.rs"]
mod cases;
#[path = "../tests/wait_kinds/observed.rs"]
mod observed;
#[path = "../tests/wait_kinds/stacks.rs"]
mod stacks;

use gotrace::Recording;
use spandrel_profiles::go_execution_trace::StateRules;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: wait-stacks TRACE")?;
    let recording = Recording::decode(&std::fs::read(path)?)?;
    let observed = observed::observed(&recording, StateRules::built_in());
    print!(
        "{}",
        stacks::render(observed.into_values().map(|observed| observed.stack))
    );
    Ok(())
}

//! Requests that come at once and go through one lock, one after the other.
//!
//! ```text
//! first    |run |run, holds the lock |run
//! second   |run |mutex, ended by first    |run, holds it |run
//! third      |run |mutex, ended by second                |run, holds it |run
//! ```

use spandrel_model::{SpanKind, State};

use super::Input;
use super::script::{Evidence, Goroutine, Opened, Script};

/// All requests come within this time.
const ARRIVALS_NS: i64 = 1_000_000;
const HELD_NS: (i64, i64) = (5_000, 15_000);

pub(super) fn convoy(requests: usize) -> Input {
    let mut script = Script::new(Evidence::LoggedId);
    let mut holder: Option<Goroutine> = None;
    for _ in 0..requests {
        let goroutine = script.old();
        let arrival = script.random.between(1, ARRIVALS_NS);
        script.spend(goroutine, arrival, State::Running, "");
        let request = open(&mut script, goroutine, "POST /reservations", SpanKind::Server, None);
        script.spend(goroutine, 2_000, State::Running, "");
        let locked = open(&mut script, goroutine, "reserve", SpanKind::Internal, Some(request));
        script.spend(goroutine, 1_000, State::Running, "");
        if let Some(holder) = holder {
            let free_at = script.now(holder);
            script.wait(goroutine, free_at, (State::Mutex, ""), Script::waker(holder));
        }
        let held = script.random.between(HELD_NS.0, HELD_NS.1);
        script.spend(goroutine, held, State::Running, "");
        let end = script.now(goroutine);
        script.close(locked, goroutine, end);
        script.close(request, goroutine, end);
        holder = Some(goroutine);
    }
    script.finish()
}

fn open(script: &mut Script, goroutine: Goroutine, name: &str, kind: SpanKind, parent: Option<usize>) -> usize {
    let span = Opened {
        name,
        kind,
        attributes: &[],
        parent,
    };
    script.open(goroutine, script.now(goroutine), &span)
}

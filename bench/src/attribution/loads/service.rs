//! Requests one after the other on connections: five nested spans each, and a hundred states.
//!
//! ```text
//! handler     [---------------------------------------------)   in one of eight, middleware starts in the same instant
//! middleware    [-----------------------------------------)
//! service           [---------------------------------)
//! cache                [--------)
//! db                                  [--------)                 in one of ten on a goroutine of its own
//! states      run|net|run|mutex|run|...                  |run
//! ```

use spandrel_model::{Attribute, AttributeValue, SpanKind, State, Waker};

use super::Input;
use super::script::{Evidence, Goroutine, Opened, Script};

/// Connections, each with a goroutine.
const CONNECTIONS: usize = 2_000;
/// Between two requests: 2,000 requests a second, so that a longer input is a longer time under the same load.
const ARRIVAL_NS: i64 = 500_000;
/// States of a request; those of even number are running.
const STATES: usize = 101;
const STATE_NS_MAX: i64 = 40_000;

/// What a goroutine does when it does not run.
const OTHERWISE: [(State, &str); 8] = [
    (State::Network, ""),
    (State::Network, ""),
    (State::Runnable, "unblocked"),
    (State::Runnable, "preempted"),
    (State::Mutex, ""),
    (State::Channel, "recv"),
    (State::Syscall, ""),
    (State::GcAssist, ""),
];

/// Instants at which a span may start or end: one in each running state.
type Marks = Vec<i64>;

pub(super) fn bound_by_logged_ids(requests: usize) -> Input {
    service(requests, Evidence::LoggedId)
}

pub(super) fn bound_by_user_tasks(requests: usize) -> Input {
    service(requests, Evidence::UserTask)
}

fn service(requests: usize, evidence: Evidence) -> Input {
    let mut script = Script::new(evidence);
    let connections: Vec<Goroutine> = (0..CONNECTIONS).map(|_| script.old()).collect();
    for request in 0..requests {
        // Neighbors in time are no neighbors in id.
        let connection = connections[request * 7_919 % CONNECTIONS];
        let arrival = ARRIVAL_NS * i64::try_from(request).expect("requests are few");
        script.wait(connection, arrival, (State::Network, "http_idle"), Waker::External);
        serve(&mut script, connection, evidence);
    }
    script.finish()
}

fn serve(script: &mut Script, connection: Goroutine, evidence: Evidence) {
    let marks = live(script, connection, STATES);
    // User tasks that begin at once would show in which order.
    let at_once = |script: &mut Script, count| evidence == Evidence::LoggedId && script.random.once_in(count);
    let handler = open(script, connection, marks[0], ("GET /item", SpanKind::Server, &[]), None);
    let start = if at_once(script, 8) { marks[0] } else { marks[1] };
    let inside = |name| (name, SpanKind::Internal, &[][..]);
    let middleware = open(script, connection, start, inside("middleware auth"), Some(handler));
    let load = open(script, connection, marks[3], inside("item.load"), Some(middleware));
    let cache = [system("redis")];
    let get = open(
        script,
        connection,
        marks[5],
        ("redis GET", SpanKind::Client, &cache),
        Some(load),
    );
    script.close(get, connection, marks[15]);
    let database = [system("postgresql")];
    let select = ("SELECT", SpanKind::Client, &database[..]);
    if script.random.once_in(10) {
        let helper = script.spawn(connection);
        let marks = live(script, helper, STATES / 4);
        script.end(helper);
        let select = open(script, helper, marks[1], select, Some(load));
        script.close(select, helper, marks[marks.len() - 1]);
    } else {
        let start = if at_once(script, 16) { marks[5] } else { marks[20] };
        let select = open(script, connection, start, select, Some(load));
        script.close(select, connection, marks[42]);
    }
    for (span, end) in [(load, 47), (middleware, 49), (handler, 50)] {
        script.close(span, connection, marks[end]);
    }
}

/// Lets the goroutine run and wait in turn.
fn live(script: &mut Script, goroutine: Goroutine, states: usize) -> Marks {
    let mut marks = Marks::new();
    for state in 0..states {
        let ns = script.random.between(2_000, STATE_NS_MAX);
        if state % 2 == 0 {
            marks.push(script.now(goroutine) + script.random.between(1, ns - 1));
            script.spend(goroutine, ns, State::Running, "");
        } else {
            let (state, sub_state) = OTHERWISE[script.random.below(OTHERWISE.len())];
            let waker = if state == State::Network {
                Waker::External
            } else {
                Waker::None
            };
            script.wait(goroutine, script.now(goroutine) + ns, (state, sub_state), waker);
        }
    }
    marks
}

fn open(
    script: &mut Script,
    goroutine: Goroutine,
    start: i64,
    (name, kind, attributes): (&str, SpanKind, &[Attribute]),
    parent: Option<usize>,
) -> usize {
    let span = Opened {
        name,
        kind,
        attributes,
        parent,
    };
    script.open(goroutine, start, &span)
}

fn system(name: &str) -> Attribute {
    ("db.system.name".to_owned(), AttributeValue::String(name.to_owned()))
}

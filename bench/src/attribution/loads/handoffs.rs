//! Requests that hand work to other goroutines and wait for them: every wait of theirs is ended by a goroutine.
//!
//! ```text
//! connection   |run |select, ended by w1         |run |mutex, ended by another connection |run
//! w1 (pool)    |channel, ended by connection|run |select, ended by w2  |run|channel ...
//! w2 (pool)         |channel, ended by w1        |run                  |channel ...
//! reader       |network |run, ends the wait of a connection|network ...
//! ```
//!
//! Chains are two to six goroutines long, longer where a worker or a lock is busy with another request. One link in four is
//! a goroutine made for the purpose instead of one of a pool.

use spandrel_model::{SpanKind, State, Waker};

use super::Input;
use super::script::{Evidence, Goroutine, Opened, Script};

const CONNECTIONS: usize = 1_000;
const READERS: usize = 16;
const ARRIVAL_NS: i64 = 500_000;
const CALLS: usize = 6;
const DEPTH_MAX: usize = 6;
/// Workers of the pool at each depth.
const WORKERS: usize = 64;
/// How many workers are asked before one that is busy must do.
const ASKED: usize = 4;
const LOCKS: usize = 4;

/// In what a goroutine waits for another one to do its work.
const CALLS_WAIT_IN: [(State, &str); 4] = [
    (State::Select, ""),
    (State::Channel, "recv"),
    (State::WaitGroup, ""),
    (State::Cond, ""),
];

struct Pool {
    workers: Vec<Goroutine>,
    next: usize,
}

/// A lock: who had it last, and until when.
#[derive(Clone, Copy)]
struct Lock {
    holder: Option<Goroutine>,
    free_at: i64,
}

struct Handoffs {
    script: Script,
    // By depth.
    pools: Vec<Pool>,
    locks: [Lock; LOCKS],
}

pub(super) fn handoffs(requests: usize) -> Input {
    let mut script = Script::new(Evidence::LoggedId);
    let connections: Vec<Goroutine> = (0..CONNECTIONS).map(|_| script.old()).collect();
    let readers: Vec<Goroutine> = (0..READERS).map(|_| script.old()).collect();
    let mut pool = |_| Pool {
        workers: (0..WORKERS).map(|_| script.old()).collect(),
        next: 0,
    };
    let pools = (0..=DEPTH_MAX).map(&mut pool).collect();
    let unheld = Lock {
        holder: None,
        free_at: 0,
    };
    let mut handoffs = Handoffs {
        script,
        pools,
        locks: [unheld; LOCKS],
    };
    for request in 0..requests {
        let arrival = ARRIVAL_NS * i64::try_from(request).expect("requests are few");
        handoffs.serve(
            connections[request * 7_919 % CONNECTIONS],
            readers[request % READERS],
            arrival,
        );
    }
    handoffs.script.finish()
}

impl Handoffs {
    fn serve(&mut self, connection: Goroutine, reader: Goroutine, arrival: i64) {
        let arrival = arrival.max(self.script.now(connection));
        self.script.wait(reader, arrival, (State::Network, ""), Waker::External);
        self.run(reader);
        let read_at = self.script.now(reader);
        let idle = (State::Select, "");
        self.script.wait(connection, read_at, idle, Script::waker(reader));
        self.ready(connection);
        let mut path = vec![self.open(connection, "POST /order", SpanKind::Server, None)];
        self.run(connection);
        path.push(self.open(connection, "order.place", SpanKind::Internal, path.last().copied()));
        for call in 0..CALLS {
            let span = match call {
                1 | 3 => Some(self.open(connection, "order.step", SpanKind::Internal, path.last().copied())),
                _ => None,
            };
            self.run(connection);
            let depth = 1 + self.script.random.below(DEPTH_MAX);
            // The worker of one call says what it does, in the trace of the request.
            let parent = path.last().copied().filter(|_| call == 2);
            self.call(connection, depth, parent);
            if self.script.random.once_in(4) {
                self.lock(connection);
            }
            if let Some(span) = span {
                self.close(connection, span);
            }
        }
        while let Some(span) = path.pop() {
            self.run(connection);
            self.close(connection, span);
        }
        self.run(connection);
    }

    /// Has a chain of `depth` goroutines work for the caller, and waits.
    fn call(&mut self, caller: Goroutine, depth: usize, parent: Option<usize>) {
        let worker = if self.script.random.once_in(4) {
            self.script.spawn(caller)
        } else {
            self.worker(depth, self.script.now(caller))
        };
        let sent_at = self.script.now(caller);
        let queue = (State::Channel, "recv");
        self.script.wait(worker, sent_at, queue, Script::waker(caller));
        self.ready(worker);
        let span = parent.map(|parent| self.open(worker, "order.work", SpanKind::Internal, Some(parent)));
        self.run(worker);
        match depth {
            1 => self.ready(worker),
            _ => self.call(worker, depth - 1, None),
        }
        self.run(worker);
        if let Some(span) = span {
            self.close(worker, span);
        }
        let wait = CALLS_WAIT_IN[self.script.random.below(CALLS_WAIT_IN.len())];
        self.script
            .wait(caller, self.script.now(worker), wait, Script::waker(worker));
        self.ready(caller);
    }

    /// A worker of the pool that is free at `at`, or one that is busy.
    fn worker(&mut self, depth: usize, at: i64) -> Goroutine {
        let pool = &mut self.pools[depth];
        for _ in 0..ASKED {
            pool.next = (pool.next + 1) % WORKERS;
            if self.script.now(pool.workers[pool.next]) <= at {
                break;
            }
        }
        pool.workers[pool.next]
    }

    fn lock(&mut self, goroutine: Goroutine) {
        let number = self.script.random.below(LOCKS);
        let Lock { holder, free_at } = self.locks[number];
        if let Some(holder) = holder {
            self.script
                .wait(goroutine, free_at, (State::Mutex, ""), Script::waker(holder));
        }
        self.run(goroutine);
        self.locks[number] = Lock {
            holder: Some(goroutine),
            free_at: self.script.now(goroutine),
        };
        self.run(goroutine);
    }

    fn run(&mut self, goroutine: Goroutine) {
        let ns = self.script.random.between(2_000, 30_000);
        self.script.spend(goroutine, ns, State::Running, "");
    }

    fn ready(&mut self, goroutine: Goroutine) {
        let ns = self.script.random.between(500, 5_000);
        self.script.spend(goroutine, ns, State::Runnable, "unblocked");
    }

    fn open(&mut self, goroutine: Goroutine, name: &str, kind: SpanKind, parent: Option<usize>) -> usize {
        let span = Opened {
            name,
            kind,
            attributes: &[],
            parent,
        };
        self.script.open(goroutine, self.script.now(goroutine), &span)
    }

    fn close(&mut self, goroutine: Goroutine, span: usize) {
        self.script.close(span, goroutine, self.script.now(goroutine));
    }
}

//! A small scheduler that runs random programs, and what OpenTelemetry's Go SDK would report of them.
//!
//! Goroutines share processors in slices, sleep, wait for the network, take locks, start other goroutines and wait for
//! them, and let servers do things: goroutines that work for one after the other and for no span. Spans are opened and
//! closed as the SDK does it: the clock is read, some time passes (the lag), the user task begins or ends. Some are made
//! after the fact, and some are ended by a goroutine that the first one starts for that. Lags follow the distribution measured with the real SDK. The span clock is a little off, and the times
//! of the recording are multiples of 64 ns, as on Linux.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use spandrel_model::*;

use super::random::Random;
use super::world::*;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) processors: usize,
    pub(crate) requests: u64,
    /// Share of server spans that get another name before they end.
    pub(crate) renamed_percent: u64,
    /// Share of spans that never reach us.
    pub(crate) lost_percent: u64,
    /// Servers; every second one belongs to the runtime.
    pub(crate) servers: u64,
    pub(crate) unusual: Unusual,
}

/// Shares of what is rare, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unusual {
    /// Lags in which the goroutine loses its processor for 5 to 60 ms.
    pub(crate) stalled: u64,
    /// Spans between whose two clocks (the wall clock, then the monotonic one) the thread stands still for up to 100 us.
    pub(crate) torn: u64,
    /// Steps of a request that make a span when they are over.
    pub(crate) after_the_fact: u64,
    /// Steps of a request that are a span which another goroutine ends.
    pub(crate) handed_over: u64,
}

/// The world, and the goroutine each span truly started on (in the order of `world.spans`), and where it went from there.
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) truth: Vec<TaskId>,
    /// Of spans that were handed over, in the order of `world.spans`: the goroutine that ended it.
    pub(crate) ended_by: Vec<Option<TaskId>>,
    /// How much the span clock is ahead of the recording's.
    pub(crate) clock_error_ns: i64,
}

#[derive(Clone, Debug)]
enum Op {
    Run(i64),
    Resume(i64),
    Wait(State, i64),
    Lock(usize),
    Unlock(usize),
    Start(&'static str),
    /// Reads the clock for a span that is made later.
    Note,
    StartNoted(&'static str),
    /// Starts a goroutine that goes on with the innermost span.
    HandOver(Vec<Op>),
    BeginTask,
    End,
    EndTask,
    Spawn(Vec<Op>),
    Join,
    Call(usize),
    Serve,
    Reply(usize),
}

struct Goroutine {
    program: VecDeque<Op>,
    creator: Option<usize>,
    birth: i64,
    death: Option<i64>,
    state: (State, &'static str, i64),
    // Open spans and user tasks, the inherited ones first.
    spans: Vec<usize>,
    user_tasks: Vec<u64>,
    noted: i64,
    children: usize,
    joining: bool,
    user_task_ending: Option<u64>,
    // Who ended the wait that is about to end.
    waker: Waker,
    // Of servers: who waits to be served, in order, and whether that is waited for.
    kind: TaskKind,
    calls: VecDeque<usize>,
    idle: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(usize),
    Slice(usize),
}

struct Machine {
    random: Random,
    now: i64,
    sequence: u64,
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    ready: VecDeque<usize>,
    idle: usize,
    goroutines: Vec<Goroutine>,
    locks: BTreeMap<usize, (bool, VecDeque<usize>)>,
    clock_error: i64,
    world: World,
    truth: Vec<TaskId>,
    ended_by: Vec<Option<TaskId>>,
    // By span: how much its end will be early.
    torn: Vec<i64>,
    next_user_task: u64,
    servers: usize,
    unusual: Unusual,
}

const SLICE: i64 = 200_000;
const SPAN_NAMES: [&str; 3] = ["cache.get", "SELECT", "auth"];

/// Runs a random program.
pub(crate) fn simulate(setup: Setup) -> Simulation {
    let mut random = Random(setup.seed);
    let clock_error = random.between(-1_000, 1_000);
    let mut machine = Machine {
        random,
        now: 1_000_000_000,
        sequence: 0,
        events: BinaryHeap::new(),
        ready: VecDeque::new(),
        idle: setup.processors,
        goroutines: Vec::new(),
        locks: BTreeMap::new(),
        clock_error,
        world: World {
            process: Arc::new(ProcessIdentity {
                service_name: Arc::from("shop"),
                ..ProcessIdentity::default()
            }),
            ..World::default()
        },
        truth: Vec::new(),
        ended_by: Vec::new(),
        torn: Vec::new(),
        next_user_task: 1,
        servers: usize::try_from(setup.servers).unwrap(),
        unusual: setup.unusual,
    };
    for server in 0..machine.servers {
        machine.create(None, vec![Op::Serve]);
        machine.goroutines[server].kind = [TaskKind::Application, TaskKind::System][server % 2];
        machine.schedule(machine.now, Event::Ready(server));
    }
    for _ in 0..setup.requests {
        let program = machine.request();
        let goroutine = machine.create(None, program);
        let at = machine.now
            + machine
                .random
                .between(0, 300_000 * i64::try_from(setup.requests).unwrap());
        machine.goroutines[goroutine].birth = at;
        machine.schedule(at, Event::Ready(goroutine));
    }
    machine.run();
    machine.finish(setup)
}

impl Machine {
    /// A handler with middleware, a lock, queries, and perhaps a fan-out of equal workers.
    fn request(&mut self) -> Vec<Op> {
        let mut ops = vec![Op::Run(self.random.between(500, 20_000))];
        let body = self.body(0);
        ops.extend(spanned("HTTP", body));
        ops.push(Op::Run(self.random.between(500, 5_000)));
        ops
    }

    fn body(&mut self, depth: u32) -> Vec<Op> {
        let mut ops = Vec::new();
        for _ in 0..self.random.between(1, 4) {
            ops.push(Op::Run(self.random.between(500, 60_000)));
            if self.servers > 0 && self.random.chance(30) {
                let server = self.random.below(u64::try_from(self.servers).unwrap());
                ops.push(Op::Call(usize::try_from(server).unwrap()));
            }
            if depth < 3 && self.happens(self.unusual.after_the_fact) {
                ops.extend([Op::Note, Op::Run(300)]);
                ops.extend(self.body(3));
                ops.extend([Op::Run(2_000), Op::StartNoted("sql"), Op::BeginTask]);
                ops.extend([Op::Run(300), Op::End, Op::EndTask]);
            }
            if depth < 3 && self.happens(self.unusual.handed_over) {
                ops.extend([Op::Start("job"), Op::BeginTask]);
                ops.extend(self.body(3));
                let mut rest = vec![Op::Run(300)];
                rest.extend(self.body(3));
                rest.extend([Op::Run(300), Op::End, Op::EndTask, Op::Run(200)]);
                ops.push(Op::HandOver(rest));
            }
            match self.random.below(if depth < 3 { 6 } else { 3 }) {
                0 => ops.push(Op::Wait(State::Sleep, self.random.between(1_000, 500_000))),
                1 => ops.push(Op::Wait(State::Network, self.random.between(20_000, 800_000))),
                2 => {
                    let lock = usize::try_from(self.random.below(2)).unwrap();
                    let held = Op::Run(self.random.between(1_000, 80_000));
                    ops.extend([Op::Lock(lock), held, Op::Unlock(lock)]);
                }
                3 | 4 => {
                    let name = SPAN_NAMES[usize::try_from(self.random.below(3)).unwrap()];
                    let body = self.body(depth + 1);
                    ops.extend(spanned(name, body));
                }
                _ => ops.extend(self.fan_out(depth)),
            }
        }
        ops
    }

    /// Draws no number for what never happens, so that programs without it stay the same.
    fn happens(&mut self, percent: u64) -> bool {
        percent > 0 && self.random.chance(percent)
    }

    fn stall(&mut self) -> i64 {
        if self.happens(self.unusual.stalled) {
            return self.random.between(5_000_000, 60_000_000);
        }
        0
    }

    /// Workers that do the same at the same time, as far as possible.
    fn fan_out(&mut self, depth: u32) -> Vec<Op> {
        let same = self.random.chance(50);
        let nap = self.random.between(5_000, 300_000);
        let mut ops = Vec::new();
        for _ in 0..self.random.between(2, 6) {
            let body = if same {
                vec![Op::Run(1_000), Op::Wait(State::Sleep, nap), Op::Run(500)]
            } else {
                self.body(depth + 2)
            };
            let mut worker = vec![Op::Run(300)];
            worker.extend(spanned("worker", body));
            worker.push(Op::Run(200));
            ops.extend([Op::Run(400), Op::Spawn(worker)]);
        }
        ops.push(Op::Join);
        ops
    }

    fn create(&mut self, creator: Option<usize>, program: Vec<Op>) -> usize {
        let (spans, user_tasks) = creator.map_or((Vec::new(), Vec::new()), |creator| {
            let creator = &self.goroutines[creator];
            (creator.spans.clone(), creator.user_tasks.clone())
        });
        self.goroutines.push(Goroutine {
            program: program.into(),
            creator,
            birth: self.now,
            death: None,
            state: (State::Runnable, "created", self.now),
            spans,
            user_tasks,
            noted: 0,
            children: 0,
            joining: false,
            user_task_ending: None,
            waker: Waker::None,
            kind: TaskKind::Application,
            calls: VecDeque::new(),
            idle: false,
        });
        self.goroutines.len() - 1
    }

    fn schedule(&mut self, at: i64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn run(&mut self) {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            match event {
                Event::Ready(goroutine) => {
                    if self.goroutines[goroutine].birth == at && self.goroutines[goroutine].creator.is_none() {
                        self.goroutines[goroutine].state.2 = at;
                    } else {
                        self.enter(goroutine, State::Runnable, "unblocked");
                    }
                    self.ready.push_back(goroutine);
                }
                Event::Slice(goroutine) => self.step(goroutine),
            }
            while self.idle > 0
                && let Some(goroutine) = self.ready.pop_front()
            {
                self.idle -= 1;
                self.enter(goroutine, State::Running, "");
                self.schedule(self.now + 100, Event::Slice(goroutine));
            }
        }
    }

    fn enter(&mut self, goroutine: usize, state: State, sub_state: &'static str) {
        let (old, old_sub, since) = self.goroutines[goroutine].state;
        let (start, end) = (tick(since), tick(self.now));
        if start < end {
            self.world.states.push(WorldState {
                task: id_of(goroutine).0,
                interval: interval(start, end),
                state: old,
                sub_state: old_sub.to_owned(),
                waker: self.goroutines[goroutine].waker,
                stack: Vec::new(),
            });
        }
        self.goroutines[goroutine].waker = Waker::None;
        self.goroutines[goroutine].state = (state, sub_state, self.now);
    }

    /// Lets a running goroutine go on until it takes time.
    fn step(&mut self, goroutine: usize) {
        loop {
            let Some(op) = self.goroutines[goroutine].program.pop_front() else {
                return self.die(goroutine);
            };
            match op {
                Op::Resume(ns) if !self.ready.is_empty() => return self.preempt(goroutine, ns),
                Op::Run(ns) | Op::Resume(ns) => return self.run_slice(goroutine, ns),
                Op::Wait(state, ns) => {
                    self.enter(goroutine, state, "");
                    self.goroutines[goroutine].waker = Waker::External;
                    self.schedule(self.now + ns, Event::Ready(goroutine));
                    self.idle += 1;
                    return;
                }
                Op::Lock(lock) => {
                    let (held, waiting) = self.locks.entry(lock).or_default();
                    if *held {
                        waiting.push_back(goroutine);
                        self.enter(goroutine, State::Mutex, "");
                        self.idle += 1;
                        return;
                    }
                    *held = true;
                }
                Op::Unlock(lock) => {
                    let (held, waiting) = self.locks.get_mut(&lock).unwrap();
                    let next = waiting.pop_front();
                    *held = next.is_some();
                    next.into_iter().for_each(|next| self.wake(next, goroutine));
                }
                Op::Join => {
                    if self.goroutines[goroutine].children > 0 {
                        self.goroutines[goroutine].joining = true;
                        self.enter(goroutine, State::WaitGroup, "");
                        self.idle += 1;
                        return;
                    }
                }
                Op::Call(server) => {
                    self.goroutines[server].calls.push_back(goroutine);
                    if std::mem::take(&mut self.goroutines[server].idle) {
                        self.wake(server, goroutine);
                    }
                    self.enter(goroutine, State::Select, "");
                    self.idle += 1;
                    return;
                }
                Op::Serve => {
                    let Some(caller) = self.goroutines[goroutine].calls.pop_front() else {
                        self.goroutines[goroutine].idle = true;
                        self.goroutines[goroutine].program.push_front(Op::Serve);
                        self.enter(goroutine, State::Channel, "recv");
                        self.idle += 1;
                        return;
                    };
                    self.serve(goroutine, caller);
                }
                Op::Reply(caller) => self.wake(caller, goroutine),
                Op::Spawn(program) => {
                    let child = self.create(Some(goroutine), program);
                    self.goroutines[goroutine].children += 1;
                    self.schedule(self.now, Event::Ready(child));
                }
                Op::Start(name) => {
                    let lag = self.random.begin_lag() + self.stall();
                    self.start_span(goroutine, name, self.now);
                    let mut torn = 0;
                    if self.happens(self.unusual.torn) {
                        torn = self.random.between(5_000, 100_000);
                        *self.torn.last_mut().unwrap() = torn;
                    }
                    self.goroutines[goroutine].program.push_front(Op::Run(torn + lag));
                }
                Op::Note => self.goroutines[goroutine].noted = self.now,
                Op::StartNoted(name) => {
                    let lag = self.random.begin_lag();
                    self.start_span(goroutine, name, self.goroutines[goroutine].noted);
                    self.goroutines[goroutine].program.push_front(Op::Run(lag));
                }
                Op::HandOver(rest) => {
                    let child = self.create(Some(goroutine), rest);
                    self.goroutines[goroutine].children += 1;
                    self.goroutines[goroutine].user_tasks.pop();
                    let span = self.goroutines[goroutine].spans.pop().unwrap();
                    self.ended_by[span] = Some(id_of(child));
                    self.schedule(self.now, Event::Ready(child));
                }
                Op::BeginTask => self.begin_task(goroutine),
                Op::End => {
                    let lag = self.random.end_lag() + self.stall();
                    self.end_span(goroutine);
                    self.goroutines[goroutine].program.push_front(Op::Run(lag));
                }
                Op::EndTask => self.end_task(goroutine),
            }
        }
    }

    fn wake(&mut self, sleeper: usize, waker: usize) {
        self.goroutines[sleeper].waker = Waker::Task(id_of(waker));
        self.schedule(self.now, Event::Ready(sleeper));
    }

    /// What a server does for a caller.
    fn serve(&mut self, server: usize, caller: usize) {
        let mut ops = vec![Op::Run(self.random.between(300, 3_000))];
        if self.random.chance(70) {
            ops.push(Op::Wait(State::Network, self.random.between(5_000, 200_000)));
        }
        ops.extend([
            Op::Run(self.random.between(300, 9_000)),
            Op::Reply(caller),
            Op::Run(200),
        ]);
        let program = &mut self.goroutines[server].program;
        ops.push(Op::Serve);
        ops.into_iter().rev().for_each(|op| program.push_front(op));
    }

    fn run_slice(&mut self, goroutine: usize, ns: i64) {
        let slice = ns.min(SLICE);
        if ns > slice {
            self.goroutines[goroutine].program.push_front(Op::Resume(ns - slice));
        }
        self.schedule(self.now + slice, Event::Slice(goroutine));
    }

    /// At the end of a slice others go first.
    fn preempt(&mut self, goroutine: usize, ns: i64) {
        self.enter(goroutine, State::Runnable, "preempted");
        self.goroutines[goroutine].program.push_front(Op::Run(ns));
        self.ready.push_back(goroutine);
        self.idle += 1;
    }

    fn die(&mut self, goroutine: usize) {
        self.enter(goroutine, State::Running, "");
        self.goroutines[goroutine].death = Some(self.now);
        self.idle += 1;
        if let Some(creator) = self.goroutines[goroutine].creator {
            let parent = &mut self.goroutines[creator];
            parent.children -= 1;
            if parent.joining && parent.children == 0 {
                parent.joining = false;
                self.wake(creator, goroutine);
            }
        }
    }

    fn start_span(&mut self, goroutine: usize, name: &str, at: i64) {
        let parent = self.goroutines[goroutine]
            .spans
            .last()
            .map(|span| &self.world.spans[*span]);
        let number = self.random.next();
        let start = at + self.clock_error;
        let span = Span {
            trace_id: parent.map_or(TraceId::new((u128::from(number) << 1).to_be_bytes()), |parent| {
                parent.trace_id
            }),
            span_id: SpanId::new(number.to_be_bytes()),
            parent_span_id: parent.map(|parent| parent.span_id),
            parent_is_remote: None,
            process: self.world.process.clone(),
            name: Arc::from(name),
            kind: if name == "HTTP" {
                SpanKind::Server
            } else {
                SpanKind::Internal
            },
            scope_name: Arc::from(""),
            interval: interval(start, start),
            attributes: vec![("attribution.layer".to_owned(), AttributeValue::String(name.to_owned()))],
        };
        self.goroutines[goroutine].spans.push(self.world.spans.len());
        self.world.spans.push(span);
        self.truth.push(id_of(goroutine));
        self.ended_by.push(None);
        self.torn.push(0);
    }

    fn begin_task(&mut self, goroutine: usize) {
        let span = *self.goroutines[goroutine].spans.last().unwrap();
        let id = self.next_user_task;
        self.next_user_task += 1;
        self.world.user_tasks.push(WorldUserTask {
            id,
            parent: self.goroutines[goroutine].user_tasks.last().copied(),
            name: self.world.spans[span].name.to_string(),
            begin: (id_of(goroutine).0, tick(self.now)),
            end: None,
        });
        self.goroutines[goroutine].user_tasks.push(id);
    }

    fn end_span(&mut self, goroutine: usize) {
        let index = self.goroutines[goroutine].spans.pop().unwrap();
        let span = &mut self.world.spans[index];
        let end = self.now + self.clock_error - self.torn[index];
        span.interval = Interval::new(span.interval.start(), UnixNanos(end)).unwrap();
        self.goroutines[goroutine].user_task_ending = self.goroutines[goroutine].user_tasks.pop();
    }

    fn end_task(&mut self, goroutine: usize) {
        let id = self.goroutines[goroutine].user_task_ending.take().unwrap();
        let index = usize::try_from(id - 1).unwrap();
        self.world.user_tasks[index].end = Some((id_of(goroutine).0, tick(self.now)));
    }

    fn finish(mut self, setup: Setup) -> Simulation {
        for (index, goroutine) in self.goroutines.iter().enumerate() {
            self.world.tasks.push(WorldTask {
                id: id_of(index).0,
                creator: goroutine.creator.map(|creator| id_of(creator).0),
                birth: tick(goroutine.birth),
                death: goroutine.death.map(tick),
                kind: goroutine.kind,
            });
        }
        let spans = std::mem::take(&mut self.world.spans);
        let truth = std::mem::take(&mut self.truth);
        let ended_by = std::mem::take(&mut self.ended_by);
        for ((mut span, task), ended_by) in spans.into_iter().zip(truth).zip(ended_by) {
            if self.random.chance(setup.lost_percent) {
                continue;
            }
            if &*span.name == "HTTP" && self.random.chance(setup.renamed_percent) {
                span.name = Arc::from("GET /item");
            }
            self.world.spans.push(span);
            self.truth.push(task);
            self.ended_by.push(ended_by);
        }
        Simulation {
            world: self.world,
            truth: self.truth,
            ended_by: self.ended_by,
            clock_error_ns: self.clock_error,
        }
    }
}

/// The body inside a span.
fn spanned(name: &'static str, body: Vec<Op>) -> Vec<Op> {
    let mut ops = vec![Op::Start(name), Op::BeginTask];
    ops.extend(body);
    ops.extend([Op::Run(300), Op::End, Op::EndTask]);
    ops
}

fn id_of(goroutine: usize) -> TaskId {
    TaskId(u64::try_from(goroutine + 1).unwrap())
}

/// The recording's clock: multiples of 64 ns.
fn tick(at: i64) -> i64 {
    at - at.rem_euclid(64)
}

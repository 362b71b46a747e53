//! Random programs of several processes over half a minute, with long spans, gaps between recordings, and children that
//! begin after their parents have ended.

use std::sync::Arc;
use std::time::Duration;

use spandrel_attribution::SpanKey;
use spandrel_model::*;

use super::random::Random;
use super::simulator::{Setup, Unusual, simulate};
use super::world::{World, WorldState, WorldTask, interval};

const SECOND: i64 = 1_000_000_000;
/// Bursts of requests of one process.
const BURSTS: i64 = 9;
/// From one burst to the next.
const BURST_PERIOD_NS: i64 = 1_700_000_000;

/// What arrives.
#[derive(Clone)]
pub(super) enum Arrival {
    Spans(Vec<Span>),
    Recording(Box<TaskRecording>),
    CpuProfile(Box<CpuProfile>),
}

/// All that processes report.
pub(super) struct Program {
    pub(super) spans: Vec<Span>,
    pub(super) recordings: Vec<TaskRecording>,
    pub(super) cpu_profiles: Vec<CpuProfile>,
}

impl Program {
    pub(super) fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let (mut spans, mut recordings) = (Vec::new(), Vec::new());
        for instance in ["1", "2"] {
            let world = process(instance, &mut random);
            let windows = windows(&mut random);
            recordings.extend(world.record(&windows));
            spans.extend(world.spans);
        }
        call(&mut spans, &mut random);
        spans.sort_by_key(|span| (span.interval, SpanKey::of(span)));
        let cpu_profiles = cpu_profiles(&spans, &mut random);
        Self {
            spans,
            recordings,
            cpu_profiles,
        }
    }

    fn profiles(&self) -> impl Iterator<Item = Arrival> {
        let recordings = self.recordings.iter().cloned().map(Box::new).map(Arrival::Recording);
        recordings.chain(self.cpu_profiles.iter().cloned().map(Box::new).map(Arrival::CpuProfile))
    }

    /// Everything at once, in the order of time.
    pub(super) fn sorted(&self) -> Vec<(Duration, Arrival)> {
        let all = std::iter::once(Arrival::Spans(self.spans.clone())).chain(self.profiles());
        all.map(|arrival| (Duration::ZERO, arrival)).collect()
    }

    /// The same in any order, in small batches over `period`, some of them twice.
    pub(super) fn shuffled(&self, random: &mut Random, period: Duration) -> Vec<(Duration, Arrival)> {
        let mut spans = self.spans.clone();
        for index in (1..spans.len()).rev() {
            let other = random.below(index as u64 + 1) as usize;
            spans.swap(index, other);
        }
        let mut arrivals = Vec::new();
        let mut rest = &spans[..];
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(rest.len().min(1 + random.below(60) as usize));
            for _ in 0..1 + random.below(2) {
                arrivals.push(Arrival::Spans(batch.to_vec()));
            }
            rest = others;
        }
        arrivals.extend(self.profiles());
        let millis = u64::try_from(period.as_millis()).unwrap();
        let mut arrivals: Vec<(Duration, Arrival)> = (arrivals.into_iter())
            .map(|arrival| (Duration::from_millis(random.below(millis)), arrival))
            .collect();
        arrivals.sort_by_key(|(at, _)| *at);
        arrivals
    }
}

/// One process: bursts of requests, and a slow job.
fn process(instance: &str, random: &mut Random) -> World {
    let process = Arc::new(ProcessIdentity {
        service_name: Arc::from("shop"),
        service_instance_id: Some(Arc::from(instance)),
        ..ProcessIdentity::default()
    });
    let mut world = World {
        process: process.clone(),
        ..World::default()
    };
    for burst in 0..BURSTS {
        let setup = Setup {
            seed: random.next(),
            processors: 2,
            requests: 3 + random.below(5),
            renamed_percent: 10,
            lost_percent: 5,
            servers: 2,
            unusual: Unusual::default(),
        };
        let simulated = simulate(setup).world;
        append(&mut world, simulated, burst);
    }
    slow_job(&mut world, random);
    for span in &mut world.spans {
        span.process = process.clone();
    }
    world
}

/// Adds a burst as if it had happened later, with ids of its own.
fn append(world: &mut World, other: World, burst: i64) {
    let (by_ns, ids) = (burst * BURST_PERIOD_NS, 10_000 * (burst as u64 + 1));
    world.tasks.extend(other.tasks.into_iter().map(|task| WorldTask {
        id: task.id + ids,
        creator: task.creator.map(|id| id + ids),
        birth: task.birth + by_ns,
        death: task.death.map(|at| at + by_ns),
        ..task
    }));
    world.states.extend(other.states.into_iter().map(|state| WorldState {
        task: state.task + ids,
        interval: state.interval.shifted(by_ns),
        waker: match state.waker {
            Waker::Task(task) => Waker::Task(TaskId(task.0 + ids)),
            none => none,
        },
        ..state
    }));
    for mut task in other.user_tasks {
        task.id += ids;
        task.parent = task.parent.map(|id| id + ids);
        task.begin = (task.begin.0 + ids, task.begin.1 + by_ns);
        task.end = task.end.map(|(id, at)| (id + ids, at + by_ns));
        world.user_tasks.push(task);
    }
    for mut span in other.spans {
        span.interval = span.interval.shifted(by_ns);
        world.spans.push(span);
    }
}

/// A goroutine that lives through everything, in spans of many lengths: a long one, in which the others lie, and some that
/// begin after their parent has ended.
fn slow_job(world: &mut World, random: &mut Random) {
    const TASK: u64 = 7;
    let (birth, death) = (SECOND, 20 * SECOND);
    world.tasks.push(WorldTask {
        id: TASK,
        creator: None,
        birth,
        death: Some(death),
        kind: TaskKind::Application,
    });
    let mut at = birth;
    while at < death {
        let end = (at + random.between(100_000_000, 900_000_000)).min(death);
        let state = [State::Running, State::Network, State::Sleep][random.below(3) as usize];
        world.states.push(WorldState {
            task: TASK,
            interval: interval(at, end),
            state,
            sub_state: String::new(),
            waker: Waker::External,
            stack: Vec::new(),
        });
        at = end;
    }
    let trace_id = TraceId::new(u128::from(random.next()).to_be_bytes());
    let mut ids: Vec<SpanId> = Vec::new();
    for index in 0..12 {
        let start = random.between(birth, death - SECOND);
        let lengths = [SECOND / 1_000, SECOND / 2, 6 * SECOND, 15 * SECOND];
        let end = (start + random.between(0, lengths[index % 4])).min(death);
        let span_id = SpanId::new(random.next().to_be_bytes());
        let parent = random.below(ids.len() as u64 + 1) as usize;
        world.spans.push(Span {
            trace_id,
            span_id,
            parent_span_id: ids.get(parent).copied(),
            parent_is_remote: None,
            process: world.process.clone(),
            name: Arc::from(["job", "step"][index % 2]),
            kind: SpanKind::Internal,
            scope_name: Arc::from(""),
            interval: interval(start, end),
            attributes: vec![
                ("go.goroutine.id".to_owned(), AttributeValue::Int(7)),
                (
                    "attribution.layer".to_owned(),
                    AttributeValue::String(format!("layer {index}")),
                ),
            ],
        });
        ids.push(span_id);
    }
}

/// Lets clients of the first process call servers of the second one, which run on the goroutine of its slow job; some of
/// these call back.
fn call(spans: &mut Vec<Span>, random: &mut Random) {
    let instance = |span: &Span, wanted: &str| span.process.service_instance_id.as_deref() == Some(wanted);
    let second = spans
        .iter()
        .find(|span| instance(span, "2"))
        .map(|span| span.process.clone());
    let mut servers = Vec::new();
    for client in spans.iter_mut().filter(|span| instance(span, "1")) {
        if client.parent_span_id.is_none() || client.interval.duration_ns() < 4_000 || !random.chance(40) {
            continue;
        }
        client.kind = SpanKind::Client;
        let in_flight_ns = client.interval.duration_ns() / 4;
        let time = interval(
            client.interval.start().0 + in_flight_ns,
            client.interval.end().0 - in_flight_ns,
        );
        let server = Span {
            span_id: SpanId::new(random.next().to_be_bytes()),
            parent_span_id: Some(client.span_id),
            process: second.clone().unwrap(),
            name: Arc::from("serve"),
            kind: SpanKind::Server,
            interval: time,
            attributes: vec![("go.goroutine.id".to_owned(), AttributeValue::Int(7))],
            ..client.clone()
        };
        if random.chance(30) {
            servers.push(Span {
                span_id: SpanId::new(random.next().to_be_bytes()),
                parent_span_id: Some(server.span_id),
                process: client.process.clone(),
                name: Arc::from("call back"),
                interval: interval(time.start().0 + 1_000, time.end().0),
                ..server.clone()
            });
        }
        servers.push(server);
    }
    spans.extend(servers);
}

/// Profiles of five seconds, of the first process only, with the labels of every third span.
fn cpu_profiles(spans: &[Span], random: &mut Random) -> Vec<CpuProfile> {
    const FUNCTIONS: [&str; 3] = ["main.sort", "main.encode", "database/sql.(*DB).conn"];
    let mut names = Names::new();
    let stacks = (1..).zip(FUNCTIONS).map(|(id, function)| Stack {
        id: StackId(id),
        frames: vec![Frame {
            function: names.intern(function),
            file: Names::EMPTY,
            line: 1,
        }],
    });
    let stacks: Vec<Stack> = stacks.collect();
    let first = |span: &&Span| span.process.service_instance_id.as_deref() == Some("1");
    let mut profiles = Vec::new();
    for second in (0..20).step_by(5) {
        let window = interval(second * SECOND, (second + 5) * SECOND);
        let mut samples = Vec::new();
        for span in spans.iter().filter(first) {
            if span.interval.intersection(window).is_some() && random.chance(33) {
                samples.push(CpuSamples {
                    stack: Some(StackId(1 + random.below(3))),
                    count: random.between(1, 5),
                    cpu_ns: 1,
                    span: Some(LabeledSpan {
                        trace_id: Some(span.trace_id),
                        span_id: span.span_id,
                    }),
                });
            }
        }
        let process = spans.iter().find(first).map(|span| span.process.clone());
        profiles.push(CpuProfile {
            process: process.expect("the first process has spans"),
            source: Arc::from("cpu.pprof"),
            window,
            period_ns: 1,
            names: names.clone(),
            stacks: stacks.clone(),
            samples,
        });
    }
    profiles
}

/// Recordings of a second or more, with and without gaps, and two that overlap.
fn windows(random: &mut Random) -> Vec<Interval> {
    let mut windows = vec![interval(2 * SECOND, 2 * SECOND + SECOND / 2)];
    let mut at = SECOND;
    while at < 18 * SECOND {
        let end = at + random.between(SECOND, 4 * SECOND);
        windows.push(interval(at, end));
        at = end + [0, SECOND / 3][random.below(2) as usize];
    }
    windows
}

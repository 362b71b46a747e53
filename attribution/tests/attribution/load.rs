//! Services under all sorts of load, as a recording without a wall clock and their spans show them.

use std::sync::Arc;

use spandrel_attribution::{NoOffset, ProcessSpans, estimate_offset};
use spandrel_model::*;

use crate::random::Random;
use crate::world::interval;

pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const YEAR: i64 = 31_556_952 * SECOND;

/// A service that sends requests, and a recording of a part of it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    /// Requests that come at random times.
    pub(crate) random: usize,
    /// Requests that come at regular times: number, distance, and how far each is off, at most.
    pub(crate) periodic: usize,
    pub(crate) period: i64,
    pub(crate) jitter: i64,
    /// Names to choose from; requests with the same name look alike.
    pub(crate) names: u64,
    /// How long requests take, at least and at most.
    pub(crate) durations: (i64, i64),
    /// Spans that are made one after the other within a request.
    pub(crate) children: i64,
    /// Time in which requests come, and the part of it that is recorded.
    pub(crate) length: i64,
    pub(crate) recorded: (i64, i64),
    /// Time of which spans have arrived, and the share that is lost on the way.
    pub(crate) arrived: (i64, i64),
    pub(crate) lost_percent: u64,
    /// Requests that start together.
    pub(crate) burst: usize,
    /// How many times as long as measured lags are.
    pub(crate) slowness: i64,
    /// What every end lag has on top.
    pub(crate) end_lag_min: i64,
    /// How much the wall clock is set forward in the middle of the recording.
    pub(crate) step: i64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            seed: 1,
            random: 0,
            periodic: 0,
            period: 10_000_000,
            jitter: 0,
            names: 3,
            durations: (100_000, 5_000_000),
            children: 2,
            length: 12 * SECOND,
            recorded: (4 * SECOND, 7 * SECOND),
            arrived: (0, 12 * SECOND),
            lost_percent: 0,
            burst: 1,
            slowness: 1,
            end_lag_min: 0,
            step: 0,
        }
    }
}

/// What is known of a load, and the true offset.
pub(crate) struct Observed {
    pub(crate) spans: Vec<Span>,
    pub(crate) recording: UnanchoredRecording,
    pub(crate) offset: i64,
}

impl Observed {
    pub(crate) fn process_spans(&self, process: &Arc<ProcessIdentity>) -> ProcessSpans<'_> {
        ProcessSpans {
            process: process.clone(),
            spans: self.spans.iter().collect(),
            context: Vec::new(),
        }
    }

    /// The estimate, which must not be off by more than it says.
    pub(crate) fn estimate(&self) -> Result<OffsetEstimate, NoOffset> {
        let result = estimate_offset(&self.process_spans(&Arc::default()), &self.recording);
        if let Ok(estimate) = result {
            let error = self.offset - estimate.offset_ns;
            assert!(error.abs() <= estimate.error_ns, "off by {error} ns: {estimate}");
        }
        result
    }
}

/// Writes down what a load does.
struct Recorder {
    random: Random,
    load: Load,
    offset: i64,
    names: Names,
    spans: Vec<Span>,
    user_tasks: Vec<UserTask>,
}

impl Load {
    pub(crate) fn observed(&self) -> Observed {
        let mut random = Random(self.seed);
        let offset = random.between(-50 * YEAR, 50 * YEAR);
        let mut recorder = Recorder {
            random,
            load: self.clone(),
            offset,
            names: Names::new(),
            spans: Vec::new(),
            user_tasks: Vec::new(),
        };
        let mut starts = Vec::new();
        let first = recorder.random.between(0, self.period);
        for index in 0..self.periodic {
            let at = first + i64::try_from(index).unwrap() * self.period;
            starts.push(at + recorder.random.between(0, self.jitter));
        }
        for _ in 0..self.random {
            starts.push(recorder.random.between(0, self.length));
        }
        starts.sort_unstable();
        for start in starts.into_iter().filter(|start| *start < self.length) {
            (0..self.burst).for_each(|_| recorder.request(start));
        }
        recorder.observed()
    }
}

impl Recorder {
    fn request(&mut self, start: i64) {
        let (shortest, longest) = self.load.durations;
        let name = format!("GET {}", self.random.below(self.load.names));
        let duration = self.random.between(shortest, longest);
        let (parent, begun) = self.begin(&name, start, None);
        let mut at = begun;
        let mut children = Vec::new();
        for _ in 0..self.load.children {
            let (child, begun) = self.begin("SELECT", at + 5_000, Some(parent));
            at = begun + duration / (self.load.children + 1);
            at = self.end(child, at);
            children.push(child);
        }
        self.end(parent, at.max(start + duration) + 1_000);
    }

    /// Begins a span and its task; returns the task's index and when it began.
    fn begin(&mut self, name: &str, start: i64, parent: Option<usize>) -> (usize, i64) {
        let index = self.spans.len();
        let number = u64::try_from(index + 1).unwrap();
        let trace = parent.map_or(TraceId::new(u128::from(number).to_be_bytes()), |parent| {
            self.spans[parent].trace_id
        });
        self.spans.push(Span {
            trace_id: trace,
            span_id: SpanId::new(number.to_be_bytes()),
            parent_span_id: parent.map(|parent| self.spans[parent].span_id),
            parent_is_remote: None,
            process: Arc::default(),
            name: name.into(),
            kind: SpanKind::Internal,
            scope_name: "".into(),
            interval: interval(start, start),
            attributes: Vec::new(),
        });
        let begun = start + self.random.begin_lag() * self.load.slowness;
        self.user_tasks.push(UserTask {
            id: number,
            parent: parent.map(|parent| self.user_tasks[parent].id),
            name: Some(self.names.intern(name)),
            begin: Some((TaskId(1), UnixNanos(begun))),
            end: None,
        });
        (index, begun)
    }

    fn end(&mut self, index: usize, at: i64) -> i64 {
        self.spans[index].interval = interval(self.spans[index].interval.start().0, at);
        let ended = at + self.load.end_lag_min + self.random.end_lag() * self.load.slowness;
        self.user_tasks[index].end = Some((TaskId(1), UnixNanos(ended)));
        ended
    }

    fn observed(mut self) -> Observed {
        let load = &self.load;
        let (from, to) = load.recorded;
        let offset = self.offset;
        let recorded = |event: Option<(TaskId, UnixNanos)>| {
            let (task, at) = event?;
            let trace_time = at.0 - at.0.rem_euclid(64) - offset;
            (from <= at.0 && at.0 < to).then_some((task, UnixNanos(trace_time)))
        };
        let user_tasks = (self.user_tasks.into_iter())
            .map(|task| UserTask {
                begin: recorded(task.begin),
                end: recorded(task.end),
                ..task
            })
            .filter(|task| task.begin.is_some() || task.end.is_some())
            .collect();
        let middle = (from + to) / 2;
        let mut spans = self.spans;
        spans.retain(|span| {
            let at = span.interval.end().0;
            load.arrived.0 <= at && at < load.arrived.1 && !self.random.chance(load.lost_percent)
        });
        for span in &mut spans {
            if span.interval.start().0 >= middle {
                span.interval = span.interval.shifted(load.step);
            }
        }
        let recording = TaskRecording {
            process: Arc::default(),
            source: "made up".into(),
            window: interval(from - offset, to - offset),
            clock: RecordingClock::Recorded,
            names: self.names,
            tasks: Vec::new(),
            states: Vec::new(),
            user_tasks,
            user_logs: Vec::new(),
            stacks: Vec::new(),
            runtime_events: Vec::new(),
            warnings: Vec::new(),
        };
        Observed {
            spans,
            recording: UnanchoredRecording::new(recording),
            offset,
        }
    }
}

/// Any load that a service may have, and some that none has; spans may be lost, late, or not of that time at all.
pub(crate) fn any_load(random: &mut Random) -> Load {
    fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
        from[usize::try_from(random.below(from.len() as u64)).unwrap()]
    }
    let mut load = Load {
        seed: random.next(),
        random: pick(random, &[0, 5, 50, 500, 2_000]),
        periodic: pick(random, &[0, 30, 120, 1_200, 5_000]),
        jitter: pick(random, &[0, 100, 500, 2_000, 10_000, 50_000, 500_000]),
        names: pick(random, &[1, 3, 30]),
        durations: pick(
            random,
            &[
                (5_000, 5_000),
                (50_000, 60_000),
                (100_000, 5_000_000),
                (1_000_000, 300_000_000),
            ],
        ),
        children: random.between(0, 3),
        arrived: pick(random, &[(0, 12), (6, 12), (7, 12), (0, 5), (4, 7), (5, 6), (7, 10)]),
        lost_percent: pick(random, &[0, 0, 10, 50, 90]),
        slowness: pick(random, &[1, 1, 3]),
        ..Load::default()
    };
    if load.periodic > 0 {
        load.period = load.length / i64::try_from(load.periodic).unwrap();
    }
    load.arrived = (load.arrived.0 * SECOND, load.arrived.1 * SECOND);
    if random.chance(20) {
        load.burst = 20;
        load.periodic /= 20;
        load.random /= 20;
    }
    if random.chance(25) {
        load.spin(pick(random, &[2_000, 3_000, 5_000, 20_000]));
    }
    load
}

impl Load {
    /// Makes it one tight loop of short requests, in a fortieth of the time.
    fn spin(&mut self, period: i64) {
        const SHORTER: i64 = 40;
        self.period = period;
        self.periodic = 10_000;
        self.random /= 10;
        self.burst = 1;
        self.children = self.children.min(1);
        self.durations = (300, 1_500);
        self.length /= SHORTER;
        self.recorded = (self.recorded.0 / SHORTER, self.recorded.1 / SHORTER);
        self.arrived = (self.arrived.0 / SHORTER, self.arrived.1 / SHORTER);
    }
}

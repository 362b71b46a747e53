//! The facts of a trace as rows: refined, in wall time, with names and stacks of their own.

use foldhash::HashSet;
use gotrace::{
    CpuSample, GenerationInfo, Goroutine, GoroutineId, GoroutineState, Lookup, Metric, MetricKind, RangeKind,
    RuntimeRange, StateInterval, StringId, Summary, Symbols, TaskEdge, TraceNanos, UnixCursor, UserRegion, Visitor,
};
use spandrel_model::{
    Frame, Interval, NameId, Names, RuntimeEvent, RuntimeEventKind, Stack, StackId, Task, TaskId, TaskKind, TaskState,
    UnixNanos, UserLog, UserTask, Waker,
};

use super::refine::{LiveRefiner, raw_reason};
use super::rows::{Converted, Rows};
use super::rules::StateRules;
use crate::stack_hash::StackHash;

/// Converts the facts of one trace while it is read.
#[derive(Debug)]
pub(super) struct Converter<'a, R> {
    pub(super) rows: R,
    refiner: LiveRefiner<'a>,
    clock: WallClock,
    names: Names,
    /// By [`SubStateId::index`](super::SubStateId::index).
    sub_states: Vec<NameId>,
    /// By [`StringId::index`].
    known_names: Vec<Option<NameId>>,
    /// By [`gotrace::StackId::index`].
    known_stacks: Vec<Option<StackId>>,
    stacks: HashSet<StackId>,
    gc_mark: NameId,
    metrics: [NameId; 3],
}

/// Moments of a trace on the wall clock, or on the trace's own if it has no other.
#[derive(Debug, Default)]
struct WallClock {
    has_wall_clock: bool,
    cursor: UnixCursor,
    /// By life: where its latest state ended. The next one starts there.
    ends: Vec<(TraceNanos, UnixNanos)>,
    /// Intervals of which the wall clock, set back in between, says that they end before they start.
    inverted: u64,
}

impl WallClock {
    /// `None` if it ends before it starts.
    #[inline]
    fn interval(&mut self, start: TraceNanos, end: TraceNanos, lookup: Lookup<'_>) -> Option<Interval> {
        if !self.has_wall_clock {
            return Interval::new(UnixNanos(start.0), UnixNanos(end.0));
        }
        let start = lookup.clock.unix(start).map(|start| UnixNanos(start.0))?;
        let end = self.unix(end, lookup)?;
        self.ordered(start, end)
    }

    /// As [`Self::interval`], of a state.
    #[inline]
    fn state(&mut self, state: &StateInterval, lookup: Lookup<'_>) -> Option<Interval> {
        if !self.has_wall_clock {
            return Interval::new(UnixNanos(state.start.0), UnixNanos(state.end.0));
        }
        let end = self.unix(state.end, lookup)?;
        let life = usize::try_from(state.life).unwrap_or(usize::MAX);
        let start = match self.ends.get_mut(life) {
            Some(before) if before.0 == state.start => std::mem::replace(before, (state.end, end)).1,
            _ => self.first_start(state, end, lookup)?,
        };
        self.ordered(start, end)
    }

    /// The start of the first state of a life.
    #[inline(never)]
    fn first_start(&mut self, state: &StateInterval, end: UnixNanos, lookup: Lookup<'_>) -> Option<UnixNanos> {
        let life = usize::try_from(state.life).unwrap_or(usize::MAX);
        if life >= self.ends.len() {
            self.ends.resize(life + 1, (TraceNanos(i64::MIN), UnixNanos(0)));
        }
        self.ends[life] = (state.end, end);
        lookup.clock.unix(state.start).map(|start| UnixNanos(start.0))
    }

    #[inline]
    fn unix(&mut self, at: TraceNanos, lookup: Lookup<'_>) -> Option<UnixNanos> {
        self.cursor.unix(lookup.clock, at).map(|at| UnixNanos(at.0))
    }

    #[inline]
    fn ordered(&mut self, start: UnixNanos, end: UnixNanos) -> Option<Interval> {
        let interval = Interval::new(start, end);
        self.inverted += u64::from(interval.is_none());
        interval
    }

    #[inline]
    fn instant(&mut self, at: TraceNanos, lookup: Lookup<'_>) -> Option<UnixNanos> {
        if !self.has_wall_clock {
            return Some(UnixNanos(at.0));
        }
        self.unix(at, lookup)
    }
}

impl<'a, R: Rows> Converter<'a, R> {
    pub(super) fn new(rules: &'a StateRules, rows: R) -> Self {
        let mut names = Names::new();
        Self {
            rows,
            refiner: LiveRefiner::new(rules),
            clock: WallClock::default(),
            sub_states: rules.sub_states().iter().map(|word| names.intern(word)).collect(),
            known_names: Vec::new(),
            known_stacks: Vec::new(),
            stacks: HashSet::default(),
            gc_mark: names.intern("concurrent mark"),
            metrics: ["heap_alloc_bytes", "heap_goal_bytes", "gomaxprocs"].map(|name| names.intern(name)),
            names,
        }
    }

    /// Says what there is to say of the whole. `None` if the wall clock went back by more than the trace lasts, or lies
    /// beyond what 64 bits hold.
    pub(super) fn finish(mut self, summary: &Summary, source: &str) -> Option<(R, Converted)> {
        let lookup = Lookup {
            symbols: &summary.symbols,
            clock: &summary.clock,
        };
        let window = self.clock.interval(summary.start, summary.end, lookup)?;
        let converted = Converted {
            window,
            has_wall_clock: self.clock.has_wall_clock,
            names: self.names,
            warnings: warnings(summary, self.clock.inverted, source),
        };
        Some((self.rows, converted))
    }

    #[inline]
    fn name(&mut self, id: StringId, symbols: &Symbols) -> NameId {
        match self.known_names.get(id.index()) {
            Some(Some(name)) => *name,
            _ => self.add_name(id, symbols),
        }
    }

    #[inline(never)]
    fn add_name(&mut self, id: StringId, symbols: &Symbols) -> NameId {
        let name = self.names.intern(&symbols.text(id));
        remember(&mut self.known_names, id.index(), name);
        name
    }

    #[inline]
    fn stack(&mut self, id: Option<gotrace::StackId>, symbols: &Symbols) -> Option<StackId> {
        let id = id?;
        match self.known_stacks.get(id.index()) {
            Some(Some(stack)) => Some(*stack),
            _ => Some(self.add_stack(id, symbols)),
        }
    }

    #[inline(never)]
    fn add_stack(&mut self, known: gotrace::StackId, symbols: &Symbols) -> StackId {
        let frames = symbols.frames(known);
        let id = hash(symbols, frames);
        remember(&mut self.known_stacks, known.index(), id);
        if self.stacks.insert(id) {
            let frame = |frame: &gotrace::Frame| Frame {
                function: self.name(frame.function, symbols),
                file: self.name(frame.file, symbols),
                line: u32::try_from(frame.line).unwrap_or(u32::MAX),
            };
            let frames = frames.iter().map(frame).collect();
            self.rows.stack(Stack { id, frames }, &self.names);
        }
        id
    }

    /// Hands on a state, cut by what the runtime did meanwhile.
    #[inline(never)]
    fn cut(&mut self, interval: &StateInterval, whole: TaskState, lookup: Lookup<'_>) {
        let Self {
            refiner,
            clock,
            rows,
            names,
            ..
        } = self;
        refiner.cut(interval, whole.state, |start, end, state| {
            if let Some(piece) = clock.interval(start, end, lookup).filter(|piece| !piece.is_empty()) {
                let part = TaskState {
                    interval: piece,
                    state,
                    ..whole
                };
                rows.state(interval.life, &part, names);
            }
        });
    }

    fn event(&mut self, kind: RuntimeEventKind, detail: NameId, interval: Option<Interval>) -> Option<RuntimeEvent> {
        Some(RuntimeEvent::new(kind, detail, interval?))
    }

    /// A stretch of which an edge may not have been seen.
    fn seen(&mut self, start: Option<TraceNanos>, end: Option<TraceNanos>, lookup: Lookup<'_>) -> Option<Interval> {
        match (start, end) {
            (Some(start), Some(end)) => self.clock.interval(start, end, lookup),
            (Some(at), None) | (None, Some(at)) => self.clock.interval(at, at, lookup),
            (None, None) => None,
        }
    }

    /// A region whose name is the id of a span, `traceid-spanid` in hexadecimal digits, says as much as a log of that id.
    fn log_named_span(&mut self, region: &UserRegion, lookup: Lookup<'_>) {
        let name = lookup.symbols.text(region.name);
        let (Some(goroutine), Some(start)) = (region.goroutine, region.start) else {
            return;
        };
        if !is_span_name(&name) {
            return;
        }
        let message = name.as_bytes().into();
        if let Some(at) = self.clock.instant(start, lookup) {
            let category = self.names.intern("region");
            self.rows.user_log(UserLog {
                task: task(goroutine),
                user_task: foreground(region.task),
                at,
                category,
                message,
            });
        }
    }
}

fn is_span_name(name: &str) -> bool {
    const TRACE_ID_DIGITS: usize = 32;
    const SPAN_ID_DIGITS: usize = 16;
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.len() == TRACE_ID_DIGITS + 1 + SPAN_ID_DIGITS
        && name
            .split_once('-')
            .is_some_and(|(trace_id, span_id)| trace_id.len() == TRACE_ID_DIGITS && is_hex(trace_id) && is_hex(span_id))
}

impl<R: Rows> Visitor for Converter<'_, R> {
    #[inline]
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        let symbols = lookup.symbols;
        let refined = self.refiner.base_state(interval, lookup);
        let Some(wall) = self.clock.state(interval, lookup) else {
            return;
        };
        let reason = match raw_reason(interval.state) {
            Some(reason) => self.name(reason, symbols),
            None => Names::EMPTY,
        };
        let state = TaskState {
            task: task(interval.goroutine),
            interval: wall,
            state: refined.state,
            sub_state: self
                .sub_states
                .get(refined.sub_state.index())
                .copied()
                .unwrap_or(Names::EMPTY),
            reason,
            stack: self.stack(interval.stack, symbols),
            waker: waker(interval.state),
        };
        if self.refiner.may_cut(refined.state, interval.start) {
            return self.cut(interval, state, lookup);
        }
        // Two moments of the trace may fall on one nanosecond of a wall clock that runs slower: the neighbors share it.
        if !wall.is_empty() {
            self.rows.state(interval.life, &state, &self.names);
        }
    }

    fn goroutine(&mut self, goroutine: &Goroutine, lookup: Lookup<'_>) {
        let entry_function = match goroutine.start_function {
            Some(function) => self.name(function, lookup.symbols),
            None => Names::EMPTY,
        };
        let row = Task {
            id: task(goroutine.id),
            entry_function,
            creator: goroutine.creator.map(task),
            birth: goroutine.birth.and_then(|at| self.clock.instant(at, lookup)),
            death: goroutine.death.and_then(|at| self.clock.instant(at, lookup)),
            kind: match goroutine.is_system {
                true => TaskKind::System,
                false => TaskKind::Application,
            },
        };
        self.refiner.goroutine_ends(goroutine.id);
        self.rows.task(goroutine.life, row, &self.names);
    }

    fn range_begins(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.refiner.range_begins(range);
    }

    fn range(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.refiner.range_ends(range);
        let (kind, detail) = match range.kind {
            RangeKind::StopTheWorld { kind } => (RuntimeEventKind::Stw, self.name(kind, lookup.symbols)),
            RangeKind::GcMark => (RuntimeEventKind::Gc, self.gc_mark),
            _ => return,
        };
        let interval = self.clock.interval(range.start, range.end, lookup);
        let stack = self.stack(range.stack, lookup.symbols);
        if let Some(event) = self.event(kind, detail, interval) {
            let task = range.goroutine.map(task);
            self.rows
                .runtime_event(RuntimeEvent { task, stack, ..event }, &self.names);
        }
    }

    fn task(&mut self, user_task: &gotrace::UserTask, lookup: Lookup<'_>) {
        let name = self.name(user_task.name, lookup.symbols);
        let mut edge = |edge: Option<TaskEdge>| {
            let edge = edge?;
            Some((task(edge.goroutine?), self.clock.instant(edge.time, lookup)?))
        };
        let row = UserTask {
            id: user_task.id.get(),
            parent: user_task.parent.map(|parent| parent.get()),
            name: user_task.begin.map(|_| name),
            begin: edge(user_task.begin),
            end: edge(user_task.end),
        };
        let times = [user_task.begin, user_task.end].map(|edge| edge.map(|edge| edge.time));
        let interval = self.seen(times[0], times[1], lookup);
        let first = user_task.begin.or(user_task.end);
        let stack = self.stack(first.and_then(|edge| edge.stack), lookup.symbols);
        if let Some(event) = self.event(RuntimeEventKind::UserTask, name, interval) {
            let event = RuntimeEvent {
                task: first.and_then(|edge| edge.goroutine).map(task),
                user_task: Some(row.id),
                parent_user_task: row.parent,
                stack,
                ..event
            };
            self.rows.runtime_event(event, &self.names);
        }
        self.rows.user_task(row);
    }

    fn region(&mut self, region: &UserRegion, lookup: Lookup<'_>) {
        let name = self.name(region.name, lookup.symbols);
        let interval = self.seen(region.start, region.end, lookup);
        let stack = self.stack(region.stack, lookup.symbols);
        if let Some(event) = self.event(RuntimeEventKind::UserRegion, name, interval) {
            let event = RuntimeEvent {
                task: region.goroutine.map(task),
                user_task: foreground(region.task),
                stack,
                ..event
            };
            self.rows.runtime_event(event, &self.names);
        }
        self.log_named_span(region, lookup);
    }

    fn log(&mut self, log: &gotrace::UserLog<'_>, lookup: Lookup<'_>) {
        let category = self.name(log.key, lookup.symbols);
        let Some(at) = self.clock.instant(log.time, lookup) else {
            return;
        };
        let stack = self.stack(log.stack, lookup.symbols);
        let event = RuntimeEvent {
            task: log.goroutine.map(task),
            text: Some(String::from_utf8_lossy(&log.message).into()),
            user_task: foreground(log.task),
            stack,
            ..RuntimeEvent::new(RuntimeEventKind::UserLog, category, instant(at))
        };
        self.rows.runtime_event(event, &self.names);
        if let Some(goroutine) = log.goroutine {
            self.rows.user_log(UserLog {
                task: task(goroutine),
                user_task: foreground(log.task),
                at,
                category,
                message: log.message.as_ref().into(),
            });
        }
    }

    fn cpu_sample(&mut self, sample: &CpuSample, lookup: Lookup<'_>) {
        let stack = self.stack(sample.stack, lookup.symbols);
        if let Some(at) = self.clock.instant(sample.time, lookup) {
            let event = RuntimeEvent {
                task: sample.goroutine.map(task),
                stack,
                ..RuntimeEvent::new(RuntimeEventKind::CpuSample, Names::EMPTY, instant(at))
            };
            self.rows.runtime_event(event, &self.names);
        }
    }

    fn metric(&mut self, metric: &Metric, lookup: Lookup<'_>) {
        let [heap_alloc, heap_goal, gomaxprocs] = self.metrics;
        let name = match metric.kind {
            MetricKind::HeapAlloc => heap_alloc,
            MetricKind::HeapGoal => heap_goal,
            MetricKind::Gomaxprocs => gomaxprocs,
            _ => return,
        };
        if let Some(at) = self.clock.instant(metric.time, lookup) {
            let event = RuntimeEvent {
                value: Some(i64::try_from(metric.value).unwrap_or(i64::MAX)),
                ..RuntimeEvent::new(RuntimeEventKind::Metric, name, instant(at))
            };
            self.rows.runtime_event(event, &self.names);
        }
    }

    fn generation(&mut self, generation: &GenerationInfo, runnable_since: TraceNanos, _: Lookup<'_>) {
        self.clock.has_wall_clock |= generation.clock.is_some();
        self.refiner.generation_begins(runnable_since);
    }

    fn is_done(&self) -> bool {
        self.rows.is_done()
    }
}

/// Puts a value at a position, however far behind the end that is.
fn remember<T: Copy>(known: &mut Vec<Option<T>>, position: usize, value: T) {
    if position >= known.len() {
        known.resize(position + 1, None);
    }
    known[position] = Some(value);
}

fn task(goroutine: GoroutineId) -> TaskId {
    TaskId(goroutine.get())
}

fn instant(at: UnixNanos) -> Interval {
    Interval::new(at, at).expect("an instant does not end before it starts")
}

/// The user task of a context; `None` in the background.
fn foreground(task: gotrace::TaskId) -> Option<u64> {
    Some(task.get()).filter(|task| *task != 0)
}

fn warnings(summary: &Summary, inverted: u64, source: &str) -> Vec<String> {
    let kept = summary.warnings.as_slice().iter();
    let mut texts: Vec<String> = kept.map(|warning| format!("{source}: {warning}")).collect();
    if summary.warnings.dropped_count() > 0 {
        texts.push(format!(
            "{source}: and {} more warnings",
            summary.warnings.dropped_count()
        ));
    }
    for step in summary.clock.steps() {
        texts.push(format!(
            "{source}: the wall clock was set by {} ns before {} ns of the trace: spans that were open then do not match \
             the states at that time",
            step.step_ns, step.seen.0
        ));
    }
    if inverted > 0 {
        texts.push(format!(
            "{source}: {inverted} intervals are left out, during which the wall clock was set back by more than they \
             lasted"
        ));
    }
    texts
}

/// Waits are never cut, so every wait meets its waker once.
#[inline]
fn waker(state: GoroutineState) -> Waker {
    match state {
        GoroutineState::Waiting { waker, .. } => match waker {
            gotrace::Waker::Goroutine(goroutine) => Waker::Task(task(goroutine)),
            gotrace::Waker::External => Waker::External,
            gotrace::Waker::None => Waker::None,
        },
        GoroutineState::Undetermined
        | GoroutineState::Runnable { .. }
        | GoroutineState::Running { .. }
        | GoroutineState::Syscall
        | GoroutineState::SyscallBlocked => Waker::None,
    }
}

fn hash(symbols: &Symbols, frames: &[gotrace::Frame]) -> StackId {
    let mut hash = StackHash::new();
    for frame in frames {
        hash.frame(symbols.bytes(frame.function), symbols.bytes(frame.file), frame.line);
    }
    hash.id()
}

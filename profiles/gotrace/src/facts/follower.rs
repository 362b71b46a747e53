//! Follows the events and tells the facts. All contradictions that the order of events lets pass become warnings here.

use super::ranges::{OpenRanges, RangeScope};
use super::states::{Birth, Sink, StateBuilder, is_system_function, root_function};
use super::user::OpenAnnotations;
use super::{
    CpuSample, Goroutine, GoroutineState, Lookup, Metric, MetricKind, RangeKind, RunnableCause, RuntimeRange,
    StateInterval, Symbols, TaskEdge, UserLog, UserRegion, Visitor, WaitReason, Waker,
};
use crate::clock::TraceNanos;
use crate::decoder::Tables;
use crate::error::{WarningKind, Warnings};
use crate::event::{EventKind, GoEvent, GoStatus};
use crate::ids::{StackId, StringId, TaskId};
use crate::order::Slot;

/// What is open at the latest event.
#[derive(Debug, Default)]
pub(super) struct Follower {
    pub(super) symbols: Symbols,
    warnings: Warnings,
    /// Start of the first generation.
    start: Option<TraceNanos>,
    first_event: Option<TraceNanos>,
    last_event: Option<TraceNanos>,
    /// The latest start of a generation, or gap.
    last_mark: TraceNanos,
    generation: Option<u64>,
    generation_start: TraceNanos,
    /// Whether the generation before the coming one has been read to its end.
    is_unbroken: bool,
    states: StateBuilder,
    ranges: OpenRanges,
    annotations: OpenAnnotations,
    stop_reasons: StopReasons,
}

/// From when to when a trace goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) start: TraceNanos,
    /// One after the latest event of any kind.
    pub(super) end: TraceNanos,
    pub(super) first_event: Option<TraceNanos>,
    pub(super) last_event: Option<TraceNanos>,
}

/// The reasons of `GoStop` that have a cause of their own, once they have been seen.
#[derive(Debug, Default)]
struct StopReasons {
    preempted: Option<StringId>,
    yielded: Option<StringId>,
}

impl StopReasons {
    /// The words are those of runtime/traceruntime.go.
    fn cause(&mut self, reason: StringId, symbols: &Symbols) -> RunnableCause {
        if self.preempted == Some(reason) {
            return RunnableCause::Preempted;
        }
        if self.yielded == Some(reason) {
            return RunnableCause::Yield;
        }
        match symbols.bytes(reason) {
            b"preempted" => {
                self.preempted = Some(reason);
                RunnableCause::Preempted
            }
            b"runtime.Gosched" => {
                self.yielded = Some(reason);
                RunnableCause::Yield
            }
            _ => RunnableCause::Stopped(reason),
        }
    }
}

/// Hands intervals and goroutines on, together with what their ids refer to.
struct Telling<'a, V> {
    visitor: &'a mut V,
    lookup: Lookup<'a>,
}

impl<V: Visitor> Sink for Telling<'_, V> {
    #[inline(always)]
    fn state(&mut self, interval: &StateInterval) {
        self.visitor.state(interval, self.lookup);
    }

    fn goroutine(&mut self, goroutine: &Goroutine) {
        self.visitor.goroutine(goroutine, self.lookup);
    }
}

impl Follower {
    /// Takes the next event. `subject` is the slot of the goroutine that it is about, `tables` are those of its generation.
    #[inline(always)]
    pub(super) fn apply(&mut self, event: &GoEvent, subject: Slot, tables: &Tables, visitor: &mut impl Visitor) {
        if matches!(event.kind, EventKind::GenerationStart { .. } | EventKind::Gap) {
            return self.apply_mark(event, tables, visitor);
        }
        let at = event.time;
        self.last_event = Some(at);
        let stack = match event.stack {
            Some(stack) => self.symbols.stack(stack, tables),
            None => None,
        };
        let reason = match event.kind {
            EventKind::GoBlock {
                reason: Some(reason), ..
            }
            | EventKind::GoStop { reason, .. } => self.symbols.string(reason, tables),
            _ => StringId::EMPTY,
        };
        let sink = &mut Telling {
            visitor: &mut *visitor,
            lookup: Lookup {
                symbols: &self.symbols,
                clock: &tables.clock,
            },
        };
        let state = match event.kind {
            EventKind::GoStart { .. } | EventKind::GoSyscallEnd { .. } => running(event),
            EventKind::GoBlock { reason: Some(_), .. } => waiting(WaitReason::Runtime(reason)),
            EventKind::GoStop { .. } => GoroutineState::Runnable {
                cause: self.stop_reasons.cause(reason, &self.symbols),
            },
            EventKind::GoSyscallBegin { .. } => GoroutineState::Syscall,
            EventKind::GoUnblock { .. } => {
                return self.states.woken(subject, at, event.context.goroutine, stack, sink);
            }
            _ => return self.apply_seldom(event, subject, stack, tables, visitor),
        };
        self.states.changed(subject, at, state, stack, sink);
        self.seen_on(subject, stack);
    }

    #[inline(always)]
    fn seen_on(&mut self, subject: Slot, stack: Option<StackId>) {
        if let Some(stack) = stack {
            self.states.seen_on(subject, stack, &self.symbols);
        }
    }

    /// Other changes of goroutines.
    #[inline(never)]
    fn apply_seldom(
        &mut self,
        event: &GoEvent,
        subject: Slot,
        stack: Option<StackId>,
        tables: &Tables,
        visitor: &mut impl Visitor,
    ) {
        let at = event.time;
        // The first event is a status: all others need to know of one.
        self.first_event.get_or_insert(at);
        let entry = match event.kind {
            EventKind::GoCreate { entry: Some(entry), .. } => self.symbols.stack(entry, tables),
            _ => None,
        };
        let sink = &mut Telling {
            visitor: &mut *visitor,
            lookup: Lookup {
                symbols: &self.symbols,
                clock: &tables.clock,
            },
        };
        match event.kind {
            EventKind::GoBlock { .. } => {
                let state = waiting(WaitReason::CoroutineSwitch);
                self.states.changed(subject, at, state, stack, sink);
                self.seen_on(subject, stack);
            }
            EventKind::GoSyscallEndBlocked { .. } => {
                let cause = RunnableCause::SyscallExit;
                self.states
                    .changed(subject, at, GoroutineState::Runnable { cause }, None, sink);
            }
            EventKind::ProcSteal { .. } | EventKind::ProcStop { .. } => self.states.lost_proc(subject, at, sink),
            EventKind::GoCreate { goroutine, blocked, .. } => {
                let state = match blocked {
                    true => waiting(WaitReason::CoroutineSwitch),
                    false => GoroutineState::Runnable {
                        cause: RunnableCause::Created,
                    },
                };
                let function = entry.and_then(|entry| root_function(entry, &self.symbols));
                let birth = Birth {
                    at: Some(at),
                    creator: event.context.goroutine,
                    stack,
                    entry,
                    function: function.map(|name| (name, is_system_function(Some(self.symbols.bytes(name))))),
                };
                let since = self.generation_start;
                self.states.born(subject, goroutine, (since, at), state, birth, sink);
            }
            EventKind::GoCreateSyscall { goroutine } => {
                let birth = Birth {
                    at: Some(at),
                    ..Birth::default()
                };
                let since = self.generation_start;
                self.states
                    .born(subject, goroutine, (since, at), in_syscall(event), birth, sink);
            }
            EventKind::GoDestroy { goroutine } | EventKind::GoDestroySyscall { goroutine } => {
                self.states.died(subject, at, sink);
                for region in self.annotations.goroutine_ends(goroutine) {
                    sink.visitor.region(&region, sink.lookup);
                }
            }
            EventKind::GoStatus { .. } => self.apply_status(event, subject, stack, tables, visitor),
            _ => self.apply_other(event, stack, tables, visitor),
        }
    }

    /// Starts of generations, and gaps. They are not events of the program.
    fn apply_mark(&mut self, event: &GoEvent, tables: &Tables, visitor: &mut impl Visitor) {
        let at = event.time;
        self.last_mark = at;
        let EventKind::GenerationStart { generation } = event.kind else {
            return self.apply_gap(at, tables, visitor);
        };
        let lookup = Lookup {
            symbols: &self.symbols,
            clock: &tables.clock,
        };
        if self.start.is_none() {
            self.start = Some(at);
            self.states.start(at);
        }
        if self.is_unbroken {
            let mut sink = Telling {
                visitor: &mut *visitor,
                lookup,
            };
            self.states.generation_ends(self.generation_start, &mut sink);
        }
        if let Some(info) = tables.generations.last() {
            visitor.generation(info, self.states.runnable_since(at, info.length_bytes), lookup);
        }
        self.is_unbroken = true;
        self.generation = Some(generation);
        self.generation_start = at;
        self.annotations.generation_begins();
        self.symbols.begin_generation(tables);
    }

    fn apply_gap(&mut self, at: TraceNanos, tables: &Tables, visitor: &mut impl Visitor) {
        self.is_unbroken = false;
        let lookup = Lookup {
            symbols: &self.symbols,
            clock: &tables.clock,
        };
        for region in self.annotations.forget_regions() {
            visitor.region(&region, lookup);
        }
        for range in self.ranges.cut(at) {
            visitor.range(&range, lookup);
        }
        let mut sink = Telling { visitor, lookup };
        if tables.is_whole {
            self.states.generation_ends(self.generation_start, &mut sink);
        }
        self.states.gap(at, &mut sink);
    }

    fn apply_status(
        &mut self,
        event: &GoEvent,
        subject: Slot,
        stack: Option<StackId>,
        tables: &Tables,
        visitor: &mut impl Visitor,
    ) {
        let EventKind::GoStatus {
            goroutine,
            status,
            first,
        } = event.kind
        else {
            return;
        };
        if first {
            let state = match status {
                GoStatus::Runnable => GoroutineState::Runnable {
                    cause: RunnableCause::Unknown,
                },
                GoStatus::Running => running(event),
                GoStatus::Syscall => in_syscall(event),
                GoStatus::Waiting => waiting(WaitReason::Unknown),
            };
            let lookup = Lookup {
                symbols: &self.symbols,
                clock: &tables.clock,
            };
            let mut sink = Telling { visitor, lookup };
            self.states
                .found(subject, goroutine, self.generation_start, state, stack, &mut sink);
        }
        if let Some(stack) = stack {
            self.states.seen_on(subject, stack, &self.symbols);
            self.states.still_on(subject, stack);
        }
    }

    /// Ranges, annotations, samples and numbers; what is left says nothing about time spent.
    fn apply_other(&mut self, event: &GoEvent, stack: Option<StackId>, tables: &Tables, visitor: &mut impl Visitor) {
        let GoEvent { time, context, .. } = *event;
        match event.kind {
            EventKind::UserTaskBegin { .. }
            | EventKind::UserTaskEnd { .. }
            | EventKind::UserRegionBegin { .. }
            | EventKind::UserRegionEnd { .. }
            | EventKind::UserLog { .. } => self.apply_annotation(event, stack, tables, visitor),
            EventKind::CpuSample => {
                let sample = CpuSample {
                    time,
                    thread: context.thread,
                    proc: context.proc,
                    goroutine: context.goroutine,
                    stack,
                };
                visitor.cpu_sample(&sample, self.lookup(tables));
            }
            EventKind::HeapAlloc { bytes } => self.tell(MetricKind::HeapAlloc, bytes, time, tables, visitor),
            EventKind::HeapGoal { bytes } => self.tell(MetricKind::HeapGoal, bytes, time, tables, visitor),
            EventKind::ProcsChange { gomaxprocs } => {
                self.tell(MetricKind::Gomaxprocs, gomaxprocs, time, tables, visitor);
            }
            _ => self.apply_range(event, stack, tables, visitor),
        }
    }

    fn tell(&self, kind: MetricKind, value: u64, time: TraceNanos, tables: &Tables, visitor: &mut impl Visitor) {
        visitor.metric(&Metric { time, kind, value }, self.lookup(tables));
    }

    fn apply_annotation(
        &mut self,
        event: &GoEvent,
        stack: Option<StackId>,
        tables: &Tables,
        visitor: &mut impl Visitor,
    ) {
        let (time, goroutine) = (event.time, event.context.goroutine);
        let edge = TaskEdge { time, goroutine, stack };
        let region = |task: TaskId, name: StringId| UserRegion {
            goroutine,
            task,
            name,
            start: None,
            end: None,
            stack,
        };
        match event.kind {
            EventKind::UserTaskBegin { task, parent, name } => {
                let name = self.symbols.string(name, tables);
                if let Some(before) = self.annotations.task_begins(task, parent, name, edge) {
                    self.contradiction(event, "a user task begins that has not ended");
                    visitor.task(&before, self.lookup(tables));
                }
            }
            EventKind::UserTaskEnd { task } => {
                if let Some(task) = self.annotations.task_ends(task, edge) {
                    visitor.task(&task, self.lookup(tables));
                }
            }
            EventKind::UserRegionBegin { task, name } => {
                let name = self.symbols.string(name, tables);
                let start = Some(time);
                self.annotations.region_begins(UserRegion {
                    start,
                    ..region(task, name)
                });
            }
            EventKind::UserRegionEnd { task, name } => {
                let name = self.symbols.string(name, tables);
                let lookup = Lookup {
                    symbols: &self.symbols,
                    clock: &tables.clock,
                };
                let ended = UserRegion {
                    end: Some(time),
                    stack: None,
                    ..region(task, name)
                };
                let is_innermost = (self.annotations).region_ends(ended, |region| visitor.region(region, lookup));
                if !is_innermost {
                    self.contradiction(event, "a user region ends that is not the innermost one");
                }
            }
            EventKind::UserLog { task, key, value } => {
                let log = UserLog {
                    time,
                    goroutine,
                    task,
                    key: self.symbols.string(key, tables),
                    message: tables.strings.bytes(value).into(),
                    stack,
                };
                visitor.log(&log, self.lookup(tables));
            }
            _ => {}
        }
    }

    fn apply_range(&mut self, event: &GoEvent, stack: Option<StackId>, tables: &Tables, visitor: &mut impl Visitor) {
        let stw = RangeScope::StopTheWorld(event.context.goroutine);
        let sweep = RangeKind::Sweep {
            swept_bytes: 0,
            reclaimed_bytes: 0,
        };
        let edge = match event.kind {
            EventKind::StwBegin { kind } => {
                let kind = self.symbols.string(kind, tables);
                RangeEdge::Begin(stw, RangeKind::StopTheWorld { kind })
            }
            EventKind::StwEnd => RangeEdge::End(stw, None),
            EventKind::GcActive => RangeEdge::Active(RangeScope::GcMark, RangeKind::GcMark),
            EventKind::GcBegin => RangeEdge::Begin(RangeScope::GcMark, RangeKind::GcMark),
            EventKind::GcEnd => RangeEdge::End(RangeScope::GcMark, None),
            EventKind::MarkAssistActive { goroutine } => {
                RangeEdge::Active(RangeScope::MarkAssist(goroutine), RangeKind::MarkAssist)
            }
            EventKind::MarkAssistBegin { goroutine } => {
                RangeEdge::Begin(RangeScope::MarkAssist(goroutine), RangeKind::MarkAssist)
            }
            EventKind::MarkAssistEnd { goroutine } => RangeEdge::End(RangeScope::MarkAssist(goroutine), None),
            EventKind::SweepActive { proc } => RangeEdge::Active(RangeScope::Sweep(proc), sweep),
            EventKind::SweepBegin { proc } => RangeEdge::Begin(RangeScope::Sweep(proc), sweep),
            EventKind::SweepEnd {
                proc,
                swept_bytes,
                reclaimed_bytes,
            } => {
                let kind = RangeKind::Sweep {
                    swept_bytes,
                    reclaimed_bytes,
                };
                RangeEdge::End(RangeScope::Sweep(proc), Some(kind))
            }
            _ => return,
        };
        let (began, ended) = match edge {
            RangeEdge::Begin(scope, kind) => {
                let (began, ended) = self.ranges.begin(scope, kind, event, stack);
                (Some(began), ended)
            }
            RangeEdge::Active(scope, kind) => (self.ranges.active(scope, kind, self.generation_start), None),
            RangeEdge::End(scope, kind) => (None, self.ranges.end(scope, kind, event.time)),
        };
        let fits = match edge {
            RangeEdge::Begin(..) => ended.is_none(),
            RangeEdge::Active(..) => true,
            RangeEdge::End(..) => ended.is_some(),
        };
        if !fits {
            self.contradiction(event, "a runtime range begins twice or ends without having begun");
        }
        self.tell_ranges(began, ended, tables, visitor);
    }

    fn tell_ranges(
        &self,
        began: Option<RuntimeRange>,
        ended: Option<RuntimeRange>,
        tables: &Tables,
        visitor: &mut impl Visitor,
    ) {
        if let Some(range) = ended {
            visitor.range(&range, self.lookup(tables));
        }
        if let Some(range) = began {
            visitor.range_begins(&range, self.lookup(tables));
        }
    }

    fn lookup<'a>(&'a self, tables: &'a Tables) -> Lookup<'a> {
        Lookup {
            symbols: &self.symbols,
            clock: &tables.clock,
        }
    }

    #[cold]
    fn contradiction(&mut self, event: &GoEvent, what: &'static str) {
        let kind = WarningKind::Contradiction {
            at: event.time,
            goroutine: event.context.goroutine,
            what,
        };
        self.warnings.push(self.generation, kind);
    }

    /// What was odd so far among the events.
    pub(super) fn warnings(&self) -> Warnings {
        let mut warnings = self.warnings.clone();
        if let Some(at) = self.states.left_out_since() {
            warnings.push(None, WarningKind::TooManyGoroutines { at });
        }
        warnings
    }

    /// From when to when the trace goes so far. `None` before its first generation.
    pub(super) fn extent(&self) -> Option<Extent> {
        let last = self.last_event.unwrap_or(self.last_mark).max(self.last_mark);
        Some(Extent {
            start: self.start?,
            end: TraceNanos(last.0.saturating_add(1)),
            first_event: self.first_event,
            last_event: self.last_event,
        })
    }

    /// The trace ends. `None` if it held no generation.
    pub(super) fn finish(&mut self, tables: &Tables, visitor: &mut impl Visitor) -> Option<Extent> {
        let extent = self.extent()?;
        let lookup = Lookup {
            symbols: &self.symbols,
            clock: &tables.clock,
        };
        for task in self.annotations.forget_tasks() {
            visitor.task(&task, lookup);
        }
        for region in self.annotations.forget_regions() {
            visitor.region(&region, lookup);
        }
        for range in self.ranges.cut(extent.end) {
            visitor.range(&range, lookup);
        }
        let mut sink = Telling { visitor, lookup };
        if tables.is_whole {
            self.states.generation_ends(self.generation_start, &mut sink);
        }
        self.states.finish(extent.end, &mut sink);
        Some(extent)
    }
}

/// What an event says of a range.
#[derive(Clone, Copy, Debug)]
enum RangeEdge {
    Begin(RangeScope, RangeKind),
    Active(RangeScope, RangeKind),
    End(RangeScope, Option<RangeKind>),
}

#[inline(always)]
fn running(event: &GoEvent) -> GoroutineState {
    GoroutineState::Running {
        proc: event.context.proc,
        thread: event.context.thread,
    }
}

#[inline(always)]
fn waiting(reason: WaitReason) -> GoroutineState {
    GoroutineState::Waiting {
        reason,
        waker: Waker::None,
        waker_stack: None,
    }
}

/// Whether a goroutine in a system call still has a proc depends on its thread.
fn in_syscall(event: &GoEvent) -> GoroutineState {
    match event.context.proc {
        Some(_) => GoroutineState::Syscall,
        None => GoroutineState::SyscallBlocked,
    }
}

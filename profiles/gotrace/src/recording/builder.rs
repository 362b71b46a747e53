//! Folds the event stream into a [`Recording`]. All contradictions that the stream lets pass become warnings here.

use super::ranges::{RangeBuilder, RangeScope};
use super::states::{Birth, StateBuilder, root_function};
use super::symbols::Symbols;
use super::user::UserBuilder;
use super::{CpuSample, GoroutineState, RangeKind, Recording, RunnableCause, UserLog, WaitReason, Waker};
use crate::clock::TraceNanos;
use crate::decoder::{Decoder, Tables};
use crate::error::{DecodeErrorKind, TraceError, WarningKind, Warnings};
use crate::event::{EventKind, GoEvent, GoStatus};
use crate::header::HEADER_BYTES;
use crate::ids::{GoroutineId, StackId, StringId};
use crate::reader::error_at;
use crate::stream::ExecTrace;
use crate::tables::{StackTable, StringTable};

/// Decodes a whole trace.
pub(super) fn build(trace: ExecTrace<'_>) -> Result<Recording, TraceError> {
    let mut decoder = trace.into_decoder();
    let mut builder = None;
    let mut symbols = Symbols::default();
    while decoder.run(u64::MAX, |event, _, tables| {
        let builder = builder.get_or_insert_with(|| Builder::new(event.time));
        feed(builder, &mut symbols, &event, tables);
    }) {}
    let Some(builder) = builder else {
        let nothing = || error_at(HEADER_BYTES, DecodeErrorKind::Missing { what: "batches" });
        let first = decoder.warnings.first_error().cloned().unwrap_or_else(nothing);
        return Err(TraceError::NoGeneration { first });
    };
    Ok(builder.finish(decoder, symbols))
}

#[inline]
fn feed(builder: &mut Builder, symbols: &mut Symbols, event: &GoEvent, tables: &Tables) {
    if matches!(event.kind, EventKind::GenerationStart { .. }) {
        symbols.begin_generation(tables);
    }
    let event = symbols.translate(event, tables);
    builder.apply(&event, &symbols.strings, &symbols.stacks);
}

struct Builder {
    start: TraceNanos,
    /// Time of the latest event of any kind.
    now: TraceNanos,
    first_event: Option<TraceNanos>,
    last_event: Option<TraceNanos>,
    generation: Option<u64>,
    generation_start: TraceNanos,
    states: StateBuilder,
    ranges: RangeBuilder,
    user: UserBuilder,
    logs: Vec<UserLog>,
    cpu_samples: Vec<CpuSample>,
    warnings: Warnings,
    stop_reasons: StopReasons,
}

/// The reasons of `GoStop` that have a cause of their own, once they have been seen.
#[derive(Default)]
struct StopReasons {
    preempted: Option<StringId>,
    yielded: Option<StringId>,
}

impl StopReasons {
    /// The words are those of runtime/traceruntime.go.
    fn cause(&mut self, reason: StringId, strings: &StringTable) -> RunnableCause {
        if self.preempted == Some(reason) {
            return RunnableCause::Preempted;
        }
        if self.yielded == Some(reason) {
            return RunnableCause::Yield;
        }
        match strings.bytes(reason) {
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

impl Builder {
    fn new(start: TraceNanos) -> Self {
        Self {
            start,
            now: start,
            first_event: None,
            last_event: None,
            generation: None,
            generation_start: start,
            states: StateBuilder::new(start),
            ranges: RangeBuilder::default(),
            user: UserBuilder::default(),
            logs: Vec::new(),
            cpu_samples: Vec::new(),
            warnings: Warnings::default(),
            stop_reasons: StopReasons::default(),
        }
    }

    #[inline]
    fn apply(&mut self, event: &GoEvent, strings: &StringTable, stacks: &StackTable) {
        self.now = event.time;
        match event.kind {
            EventKind::GenerationStart { generation } => {
                self.generation = Some(generation);
                self.generation_start = event.time;
                return;
            }
            EventKind::Gap => {
                self.states.gap(event.time);
                self.ranges.gap(event.time);
                return;
            }
            _ => {}
        }
        self.first_event.get_or_insert(event.time);
        self.last_event = Some(event.time);
        self.apply_goroutine(event, strings, stacks);
    }

    fn apply_goroutine(&mut self, event: &GoEvent, strings: &StringTable, stacks: &StackTable) {
        let (at, context) = (event.time, event.context);
        let running = GoroutineState::Running {
            proc: context.proc,
            thread: context.thread,
        };
        let runnable = |cause| GoroutineState::Runnable { cause };
        match event.kind {
            EventKind::GoStart { goroutine } | EventKind::GoSyscallEnd { goroutine } => {
                self.states.changed(goroutine, at, running, None);
            }
            EventKind::GoUnblock { goroutine } => {
                self.states.woken(goroutine, at, context.goroutine, event.stack);
            }
            EventKind::GoBlock { goroutine, reason } => {
                let reason = reason.map_or(WaitReason::CoroutineSwitch, WaitReason::Runtime);
                self.changed_with_stack(goroutine, event, waiting(reason), stacks);
            }
            EventKind::GoStop { goroutine, reason } => {
                let cause = self.stop_reasons.cause(reason, strings);
                self.changed_with_stack(goroutine, event, runnable(cause), stacks);
            }
            EventKind::GoSyscallBegin { goroutine } => {
                self.changed_with_stack(goroutine, event, GoroutineState::Syscall, stacks);
            }
            EventKind::GoSyscallEndBlocked { goroutine } => {
                self.states
                    .changed(goroutine, at, runnable(RunnableCause::SyscallExit), None);
            }
            EventKind::ProcSteal { victim, .. } => self.lost_proc(victim, at),
            EventKind::ProcStop { .. } => self.lost_proc(context.goroutine, at),
            EventKind::GoCreate {
                goroutine,
                entry,
                blocked,
            } => {
                let state = if blocked {
                    waiting(WaitReason::CoroutineSwitch)
                } else {
                    runnable(RunnableCause::Created)
                };
                let function = entry.and_then(|entry| root_function(entry, stacks));
                let birth = Birth {
                    creator: context.goroutine,
                    stack: event.stack,
                    entry,
                    function,
                };
                self.states.born(goroutine, at, state, birth);
            }
            EventKind::GoCreateSyscall { goroutine } => {
                self.states.born(goroutine, at, in_syscall(event), Birth::default());
            }
            EventKind::GoDestroy { goroutine } | EventKind::GoDestroySyscall { goroutine } => {
                self.states.died(goroutine, at);
                self.user.goroutine_ends(goroutine);
            }
            EventKind::GoStatus {
                goroutine,
                status,
                first,
            } => {
                self.apply_status(event, goroutine, status, first, stacks);
            }
            _ => self.apply_other(event),
        }
    }

    fn changed_with_stack(&mut self, id: GoroutineId, event: &GoEvent, state: GoroutineState, stacks: &StackTable) {
        self.states.changed(id, event.time, state, event.stack);
        if let Some(stack) = event.stack {
            self.states.seen_on(id, stack, stacks);
        }
    }

    fn lost_proc(&mut self, goroutine: Option<GoroutineId>, at: TraceNanos) {
        if let Some(goroutine) = goroutine {
            self.states.lost_proc(goroutine, at);
        }
    }

    fn apply_status(&mut self, event: &GoEvent, id: GoroutineId, status: GoStatus, first: bool, stacks: &StackTable) {
        if first {
            let state = match status {
                GoStatus::Runnable => GoroutineState::Runnable {
                    cause: RunnableCause::Unknown,
                },
                GoStatus::Running => GoroutineState::Running {
                    proc: event.context.proc,
                    thread: event.context.thread,
                },
                GoStatus::Syscall => in_syscall(event),
                GoStatus::Waiting => waiting(WaitReason::Unknown),
            };
            self.states.found(id, self.generation_start, state, event.stack);
        }
        if let Some(stack) = event.stack {
            self.states.seen_on(id, stack, stacks);
            self.states.still_on(id, stack);
        }
    }

    /// Ranges, annotations and samples; what is left says nothing about time spent.
    fn apply_other(&mut self, event: &GoEvent) {
        match event.kind {
            EventKind::StwBegin { .. }
            | EventKind::StwEnd
            | EventKind::GcActive
            | EventKind::GcBegin
            | EventKind::GcEnd
            | EventKind::MarkAssistActive { .. }
            | EventKind::MarkAssistBegin { .. }
            | EventKind::MarkAssistEnd { .. }
            | EventKind::SweepActive { .. }
            | EventKind::SweepBegin { .. }
            | EventKind::SweepEnd { .. } => self.apply_range(event),
            EventKind::UserTaskBegin { task, parent, name } => {
                let is_new = self.user.task_begins(task, parent, name, event);
                self.check(is_new, event, "a user task begins that has not ended");
            }
            EventKind::UserTaskEnd { task } => self.user.task_ends(task, event),
            EventKind::UserRegionBegin { task, name } => self.user.region_begins(task, name, event),
            EventKind::UserRegionEnd { task, name } => {
                let is_innermost = self.user.region_ends(task, name, event);
                self.check(is_innermost, event, "a user region ends that is not the innermost one");
            }
            EventKind::UserLog { task, key, value } => {
                let GoEvent {
                    time, context, stack, ..
                } = *event;
                self.logs.push(UserLog {
                    time,
                    goroutine: context.goroutine,
                    task,
                    key,
                    value,
                    stack,
                });
            }
            EventKind::CpuSample => {
                let GoEvent {
                    time, context, stack, ..
                } = *event;
                let (thread, proc, goroutine) = (context.thread, context.proc, context.goroutine);
                self.cpu_samples.push(CpuSample {
                    time,
                    thread,
                    proc,
                    goroutine,
                    stack,
                });
            }
            _ => {}
        }
    }

    fn apply_range(&mut self, event: &GoEvent) {
        let stw = RangeScope::StopTheWorld(event.context.goroutine);
        let sweep = RangeKind::Sweep {
            swept_bytes: 0,
            reclaimed_bytes: 0,
        };
        let (since, at) = (self.generation_start, event.time);
        let fits = match event.kind {
            EventKind::StwBegin { kind } => self.ranges.begin(stw, RangeKind::StopTheWorld { kind }, event),
            EventKind::StwEnd => self.ranges.end(stw, None, at),
            EventKind::GcActive => {
                self.ranges.active(RangeScope::GcMark, RangeKind::GcMark, since);
                true
            }
            EventKind::GcBegin => self.ranges.begin(RangeScope::GcMark, RangeKind::GcMark, event),
            EventKind::GcEnd => self.ranges.end(RangeScope::GcMark, None, at),
            EventKind::MarkAssistActive { goroutine } => {
                self.ranges
                    .active(RangeScope::MarkAssist(goroutine), RangeKind::MarkAssist, since);
                true
            }
            EventKind::MarkAssistBegin { goroutine } => {
                self.ranges
                    .begin(RangeScope::MarkAssist(goroutine), RangeKind::MarkAssist, event)
            }
            EventKind::MarkAssistEnd { goroutine } => self.ranges.end(RangeScope::MarkAssist(goroutine), None, at),
            EventKind::SweepActive { proc } => {
                self.ranges.active(RangeScope::Sweep(proc), sweep, since);
                true
            }
            EventKind::SweepBegin { proc } => self.ranges.begin(RangeScope::Sweep(proc), sweep, event),
            EventKind::SweepEnd {
                proc,
                swept_bytes,
                reclaimed_bytes,
            } => {
                let kind = RangeKind::Sweep {
                    swept_bytes,
                    reclaimed_bytes,
                };
                self.ranges.end(RangeScope::Sweep(proc), Some(kind), at)
            }
            _ => true,
        };
        self.check(fits, event, "a runtime range begins twice or ends without having begun");
    }

    fn check(&mut self, holds: bool, event: &GoEvent, what: &'static str) {
        if !holds {
            let kind = WarningKind::Contradiction {
                at: event.time,
                goroutine: event.context.goroutine,
                what,
            };
            self.warnings.push(self.generation, kind);
        }
    }

    fn finish(self, decoder: Decoder<'_>, symbols: Symbols) -> Recording {
        let end = TraceNanos(self.now.0.saturating_add(1));
        let event_counts = decoder.event_counts().collect();
        let Symbols { strings, stacks, .. } = symbols;
        let Decoder {
            version,
            clock,
            generations,
            mut warnings,
            ..
        } = decoder;
        warnings.append(self.warnings);
        let (goroutines, states) = self.states.finish(end, &strings);
        let (tasks, regions) = self.user.finish();
        Recording {
            version,
            start: self.start,
            end,
            first_event: self.first_event,
            last_event: self.last_event,
            generations,
            clock,
            goroutines,
            states,
            ranges: self.ranges.finish(end),
            tasks,
            regions,
            logs: self.logs,
            cpu_samples: self.cpu_samples,
            event_counts,
            warnings,
            strings,
            stacks,
        }
    }
}

fn waiting(reason: WaitReason) -> GoroutineState {
    GoroutineState::Waiting {
        reason,
        waker: Waker::None,
        waker_stack: None::<StackId>,
    }
}

/// Whether a goroutine in a system call still has a proc depends on its thread.
fn in_syscall(event: &GoEvent) -> GoroutineState {
    match event.context.proc {
        Some(_) => GoroutineState::Syscall,
        None => GoroutineState::SyscallBlocked,
    }
}

//! The tracer of the simulated runtime: writes events, and before the first event about a goroutine or a proc in a
//! generation its status (runtime/tracestatus.go, runtime/traceruntime.go, `traceAdvance` in runtime/trace.go).

use gotrace::{GoStatus, ProcStatus, WireEvent};

use super::machine::{Doing, Known, Machine, Proc, ProcState, Thread};
use super::record::Record;
use super::script::Choices;
use super::text::{stack_text, text_arg};
use super::truth::{Moment, Place, Scope};
use super::view::{Line, State, Subject};
use crate::support::writer::{Arg, NONE, Stack};

/// Go writes stacks of statuses since this version.
const GO_WITH_STATUS_STACKS: u32 = 23;

impl Line {
    pub(super) fn about_goroutine(self, id: u64) -> Self {
        let subject = Subject::Goroutine(id);
        Self { subject, ..self }
    }

    pub(super) fn about_proc(self, proc: Proc) -> Self {
        let subject = Subject::Proc(proc as u64);
        Self { subject, ..self }
    }

    pub(super) fn saying(self, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { detail, ..self }
    }

    pub(super) fn at(self, stack: Option<&Stack>) -> Self {
        let stack = stack_text(stack);
        Self { stack, ..self }
    }
}

pub(super) fn number(value: u64) -> Arg {
    Arg::Number(value)
}

pub(super) fn stack_arg(stack: Option<&Stack>) -> Arg {
    Arg::Stack(stack.cloned())
}

impl Machine {
    /// Writes an event that a reader sees as it is.
    pub(super) fn write(&mut self, thread: Thread, event: WireEvent, args: Vec<Arg>, line: Line) -> Moment {
        self.write_as(thread, event, args, vec![line])
    }

    /// Writes an event that a reader sees as several.
    pub(super) fn write_as(&mut self, thread: Thread, event: WireEvent, args: Vec<Arg>, lines: Vec<Line>) -> Moment {
        self.now_ticks += 1;
        let id = self.threads[thread].id;
        self.record.event(Some(id), self.now_ticks, event, args, lines)
    }

    /// Writes an event of a running goroutine that changes no state, and tells where that was.
    pub(super) fn write_user(
        &mut self,
        thread: Thread,
        event: WireEvent,
        mut args: Vec<Arg>,
        line: Line,
        choices: Option<&mut Choices>,
    ) -> Place {
        let stack = choices.and_then(|choices| self.stack_on(thread, choices));
        if event_has_stack(event) {
            args.push(stack_arg(stack.as_ref()));
        }
        let (proc, goroutine) = (line.proc, line.goroutine);
        let at = self.write(thread, event, args, line.at(stack.as_ref()));
        Place {
            at,
            proc,
            goroutine,
            stack,
        }
    }

    /// Before an event of a thread: the statuses that its proc and its goroutine have just before it.
    pub(super) fn announce(&mut self, thread: Thread, go: GoStatus, proc: ProcStatus) {
        if let Some(held) = self.threads[thread].proc {
            self.announce_proc(thread, held, proc);
        }
        if let Some(id) = self.threads[thread].goroutine {
            self.announce_goroutine(thread, id, go);
        }
    }

    /// As before most events.
    pub(super) fn announce_running(&mut self, thread: Thread) {
        self.announce(thread, GoStatus::Running, ProcStatus::Running);
    }

    /// Writes the status of a proc, if this generation does not have it.
    pub(super) fn announce_proc(&mut self, writer: Thread, proc: Proc, status: ProcStatus) {
        let before = self.procs[proc].known;
        if std::mem::replace(&mut self.procs[proc].announced, true) {
            return;
        }
        let mut line = self.line(Some(writer), "ProcStatus");
        let mut shown = status_name(status);
        let mut known = Known::Everything;
        if status == ProcStatus::SyscallAbandoned {
            match (before, self.procs[proc].state) {
                // The reader knows more than the thief who writes this.
                (Known::Everything, ProcState::Syscall(holder)) => {
                    line = self.line(Some(holder), "ProcStatus");
                    shown = status_name(ProcStatus::Syscall);
                }
                (Known::Nothing, ProcState::Syscall(_)) => known = Known::AbandonedBySomebody,
                _ => {}
            }
        }
        let news = if before == Known::Nothing { "first" } else { "known" };
        let line = line.about_proc(proc).saying(format!("{shown}, {news}"));
        let args = vec![number(proc as u64), number(wire_proc_status(status))];
        self.write(writer, WireEvent::ProcStatus, args, line);
        self.procs[proc].known = known;
        if self.procs[proc].sweeping {
            let line = self.line(Some(writer), "GCSweepActive").about_proc(proc);
            self.write(writer, WireEvent::GcSweepActive, vec![number(proc as u64)], line);
            let since = self.generation_start();
            self.record.truth.range_active(Scope::Sweep(proc as u64), since);
        }
    }

    /// Writes the status of a goroutine, if this generation has neither that nor its creation.
    pub(super) fn announce_goroutine(&mut self, writer: Thread, id: u64, status: GoStatus) {
        if std::mem::replace(&mut self.goroutine(id).announced, true) {
            return;
        }
        let line = self.line(Some(writer), "GoStatus");
        let thread = match status {
            GoStatus::Waiting => NONE,
            _ => self.threads[writer].id,
        };
        let state = match status {
            GoStatus::Runnable => State::Runnable("unknown".to_owned()),
            GoStatus::Running => State::Running {
                proc: line.proc,
                thread: line.thread,
            },
            GoStatus::Syscall if line.proc.is_some() => State::Syscall,
            GoStatus::Syscall => State::SyscallBlocked,
            GoStatus::Waiting => State::Waiting("unknown".to_owned()),
        };
        let args = vec![number(id), number(thread), number(wire_go_status(status))];
        let line = self.status_line(line, id, status);
        self.write(writer, WireEvent::GoStatus, args, line);
        self.note_status(id, state, None);
        if self.goroutines[&id].assisting {
            let line = self.line(Some(writer), "GCMarkAssistActive").about_goroutine(id);
            self.write(writer, WireEvent::GcMarkAssistActive, vec![number(id)], line);
            self.note_assist(id);
        }
    }

    fn status_line(&self, line: Line, id: u64, status: GoStatus) -> Line {
        let status = match status {
            GoStatus::Runnable => "runnable",
            GoStatus::Running => "running",
            GoStatus::Syscall => "syscall",
            GoStatus::Waiting => "waiting",
        };
        let news = if self.goroutines[&id].known { "known" } else { "first" };
        line.about_goroutine(id).saying(format!("{status}, {news}"))
    }

    fn note_status(&mut self, id: u64, state: State, stack: Option<&Stack>) {
        let since = self.generation_start();
        let goroutine = self.goroutine(id);
        if !std::mem::replace(&mut goroutine.known, true) {
            self.record.truth.found(id, since, state, stack);
        } else if let Some(stack) = stack {
            self.record.truth.still_at(id, stack);
        }
    }

    fn note_assist(&mut self, id: u64) {
        let since = self.generation_start();
        self.record.truth.range_active(Scope::Assist(id), since);
    }

    /// Starts the next generation on the behalf of a running goroutine, as `traceAdvance` does.
    pub(super) fn advance_generation(&mut self, choices: &mut Choices) {
        let thread = self.running_thread(choices);
        self.end_generation(thread, choices);
        self.generation += 1;
        self.now_ticks += 1;
        self.record.begin_generation(self.now_ticks);
        self.procs.iter_mut().for_each(|proc| {
            proc.announced = false;
            proc.sequence = 0;
        });
        self.goroutines.values_mut().for_each(|goroutine| {
            goroutine.announced = false;
            goroutine.sequence = 0;
        });
        if self.forgotten_generations > 0 {
            self.forget();
        }
        self.had_marked = self.has_marked;
        self.announce_running(thread);
        let count = self.procs_count as u64;
        let line = self.line(Some(thread), "ProcsChange").saying(count.to_string());
        self.write_user(thread, WireEvent::ProcsChange, vec![number(count)], line, Some(choices));
        if self.marking {
            let sequence = self.next_gc_sequence();
            let line = self.line(Some(thread), "GCActive");
            self.write(thread, WireEvent::GcActive, vec![number(sequence)], line);
            let since = self.generation_start();
            self.record.truth.range_active(Scope::Marking, since);
            self.has_marked = true;
        }
    }

    /// The trace begins here: nothing that was written before is kept.
    fn forget(&mut self) {
        self.record = Record::new(self.now_ticks);
        // Positions count from the first generation that is kept.
        self.generation = 0;
        self.forgotten_generations -= 1;
        self.has_marked = false;
        self.procs.iter_mut().for_each(|proc| proc.known = Known::Nothing);
        self.goroutines
            .values_mut()
            .for_each(|goroutine| goroutine.known = false);
    }

    /// Sees to it that the generation has the status of everything, as `traceAdvance` does.
    pub(super) fn end_generation(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        for other in self.threads_that(|machine, other| other != thread && machine.runs(other)) {
            let id = self.on(other);
            if !self.goroutines[&id].announced {
                self.end_sweep(other);
                self.block(other, "preempted", choices);
                self.unblock(thread, id, choices);
            }
        }
        for proc in 0..self.procs_count {
            match self.procs[proc].state {
                _ if self.procs[proc].announced => {}
                ProcState::Idle => self.announce_proc(thread, proc, ProcStatus::Idle),
                ProcState::Running(holder) => {
                    self.end_sweep(holder);
                    self.announce_proc(holder, proc, ProcStatus::Running);
                }
                ProcState::Syscall(_) | ProcState::Abandoned => self.steal(thread, proc),
            }
        }
        // The last statuses are written when other threads are in the next generation already.
        let mut ticks = self.now_ticks + choices.below(8) * 40;
        for id in self.goroutines_that(|goroutine| !goroutine.announced) {
            self.announce_unmentioned(id, &mut ticks, choices);
        }
        self.record.open().end_ticks = ticks + 1;
    }

    /// Writes the status of a goroutine that the generation has not mentioned, on no thread's behalf.
    fn announce_unmentioned(&mut self, id: u64, ticks: &mut u64, choices: &mut Choices) {
        let mut line = self.line(None, "GoStatus");
        let mut thread = NONE;
        let (status, state) = match self.goroutines[&id].doing {
            Doing::Runnable => (GoStatus::Runnable, State::Runnable("unknown".to_owned())),
            Doing::Waiting | Doing::Suspended => (GoStatus::Waiting, State::Waiting("unknown".to_owned())),
            Doing::Syscall(on) => {
                line = self.line(Some(on), "GoStatus");
                thread = self.threads[on].id;
                (GoStatus::Syscall, State::SyscallBlocked)
            }
            Doing::Running(_) => unreachable!("running goroutines have been preempted"),
        };
        let root = self.goroutines[&id].root;
        let stack = super::text::stack(root, choices).filter(|_| self.minor >= GO_WITH_STATUS_STACKS);
        let mut args = vec![number(id), number(thread), number(wire_go_status(status))];
        let event = if stack.is_some() {
            args.push(stack_arg(stack.as_ref()));
            WireEvent::GoStatusStack
        } else {
            WireEvent::GoStatus
        };
        let line = self.status_line(line, id, status).at(stack.as_ref());
        *ticks += 1;
        self.record.event(None, *ticks, event, args, vec![line]);
        self.goroutine(id).announced = true;
        self.note_status(id, state, stack.as_ref());
        if self.goroutines[&id].assisting {
            let line = self.line(None, "GCMarkAssistActive").about_goroutine(id);
            *ticks += 1;
            let args = vec![number(id)];
            self.record
                .event(None, *ticks, WireEvent::GcMarkAssistActive, args, vec![line]);
            self.note_assist(id);
        }
    }

    pub(super) fn next_gc_sequence(&mut self) -> u64 {
        self.gc_sequence += 1;
        self.gc_sequence
    }

    /// The stack of the goroutine on a thread, or of the thread itself.
    pub(super) fn stack_on(&self, thread: Thread, choices: &mut Choices) -> Option<Stack> {
        let root = self.threads[thread]
            .goroutine
            .map_or("runtime.mcall", |id| self.goroutines[&id].root);
        super::text::stack(root, choices)
    }

    /// A reason or a name as an argument.
    pub(super) fn named(name: &str) -> Arg {
        text_arg(name)
    }
}

fn event_has_stack(event: WireEvent) -> bool {
    WireEvent::spec_of(event.byte()).is_some_and(|spec| spec.args.last() == Some(&"stack"))
}

fn status_name(status: ProcStatus) -> &'static str {
    match status {
        ProcStatus::Running => "running",
        ProcStatus::Idle => "idle",
        ProcStatus::Syscall => "syscall",
        ProcStatus::SyscallAbandoned => "abandoned",
    }
}

/// internal/trace/tracev2/events.go.
fn wire_proc_status(status: ProcStatus) -> u64 {
    match status {
        ProcStatus::Running => 1,
        ProcStatus::Idle => 2,
        ProcStatus::Syscall => 3,
        ProcStatus::SyscallAbandoned => 4,
    }
}

/// internal/trace/tracev2/events.go.
fn wire_go_status(status: GoStatus) -> u64 {
    match status {
        GoStatus::Runnable => 1,
        GoStatus::Running => 2,
        GoStatus::Syscall => 3,
        GoStatus::Waiting => 4,
    }
}

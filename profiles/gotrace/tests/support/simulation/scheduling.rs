//! Goroutines and procs on threads that run Go code (runtime/proc.go, runtime/coro.go).

use gotrace::{GoStatus, ProcStatus, WireEvent};

use super::machine::{Doing, Machine, Proc, ProcState, Thread};
use super::script::Choices;
use super::tracer::{number, stack_arg};
use super::truth::{Moment, Place};
use super::view::State;

/// Bounds of a simulated program.
const GOROUTINES_MAX: usize = 40;
const THREADS_MAX: usize = 9;

impl Machine {
    /// A thread takes an idle proc.
    pub(super) fn start_proc(&mut self, thread: Thread, proc: Proc) {
        self.announce_proc(thread, proc, ProcStatus::Idle);
        if let Some(id) = self.threads[thread].goroutine {
            self.announce_goroutine(thread, id, GoStatus::Syscall);
        }
        let sequence = self.next_proc_sequence(proc);
        let line = self.line(Some(thread), "ProcStart").about_proc(proc);
        let args = vec![number(proc as u64), number(sequence)];
        self.write(thread, WireEvent::ProcStart, args, line);
        self.procs[proc].state = ProcState::Running(thread);
        self.threads[thread].proc = Some(proc);
    }

    /// A thread gives up its proc.
    pub(super) fn stop_proc(&mut self, thread: Thread) -> Moment {
        self.announce(thread, GoStatus::Syscall, ProcStatus::Running);
        let proc = self.threads[thread].proc.expect("the thread has a proc");
        let line = self.line(Some(thread), "ProcStop").about_proc(proc);
        let at = self.write(thread, WireEvent::ProcStop, Vec::new(), line);
        self.procs[proc].state = ProcState::Idle;
        self.threads[thread].proc = None;
        at
    }

    pub(super) fn next_proc_sequence(&mut self, proc: Proc) -> u64 {
        self.procs[proc].sequence += 1;
        self.procs[proc].sequence
    }

    fn next_goroutine_sequence(&mut self, id: u64) -> u64 {
        let goroutine = self.goroutine(id);
        goroutine.sequence += 1;
        goroutine.sequence
    }

    /// A thread with a proc creates a goroutine: runnable, or a coroutine that waits to be switched to.
    pub(super) fn create(&mut self, thread: Thread, suspended: bool, choices: &mut Choices) -> u64 {
        self.announce_running(thread);
        let root = super::text::root(choices);
        let entry = super::text::entry(root, choices);
        let stack = self.stack_on(thread, choices);
        let (event, name, doing, state) = if suspended {
            let state = State::Waiting("coroutine switch".to_owned());
            (WireEvent::GoCreateBlocked, "GoCreateBlocked", Doing::Suspended, state)
        } else {
            let state = State::Runnable("created".to_owned());
            (WireEvent::GoCreate, "GoCreate", Doing::Runnable, state)
        };
        let line = self.line(Some(thread), name).at(stack.as_ref());
        let (proc, goroutine) = (line.proc, line.goroutine);
        let id = self.add_goroutine(doing, root);
        let line = line.about_goroutine(id).saying(super::text::stack_text(entry.as_ref()));
        let args = vec![number(id), stack_arg(entry.as_ref()), stack_arg(stack.as_ref())];
        let at = self.write(thread, event, args, line);
        let by = Place {
            at,
            proc,
            goroutine,
            stack,
        };
        self.record.truth.born(id, state, entry.as_ref(), &by);
        let new = self.goroutine(id);
        new.known = true;
        new.announced = true;
        id
    }

    /// A thread with a proc starts a runnable goroutine.
    pub(super) fn start(&mut self, thread: Thread, id: u64) {
        if let Some(proc) = self.threads[thread].proc {
            self.announce_proc(thread, proc, ProcStatus::Running);
        }
        self.announce_goroutine(thread, id, GoStatus::Runnable);
        let sequence = self.next_goroutine_sequence(id);
        let line = self.line(Some(thread), "GoStart").about_goroutine(id);
        let at = self.write(thread, WireEvent::GoStart, vec![number(id), number(sequence)], line);
        self.begin_running(thread, id, at);
    }

    fn begin_running(&mut self, thread: Thread, id: u64, at: Moment) {
        self.threads[thread].goroutine = Some(id);
        self.goroutine(id).doing = Doing::Running(thread);
        self.note_running(thread, id, at);
    }

    pub(super) fn note_running(&mut self, thread: Thread, id: u64, at: Moment) {
        let proc = self.threads[thread].proc.map(|proc| proc as u64);
        let thread = Some(self.threads[thread].id);
        self.record.truth.enter(id, at, State::Running { proc, thread }, None);
    }

    /// The goroutine on a thread blocks.
    pub(super) fn block(&mut self, thread: Thread, reason: &str, choices: &mut Choices) {
        let state = State::Waiting(reason.to_owned());
        self.leave(
            thread,
            WireEvent::GoBlock,
            "GoBlock",
            reason,
            Doing::Waiting,
            state,
            choices,
        );
    }

    /// The goroutine on a thread stops and stays runnable.
    pub(super) fn stop(&mut self, thread: Thread, reason: &str, choices: &mut Choices) {
        let state = State::Runnable(reason.to_owned());
        self.leave(
            thread,
            WireEvent::GoStop,
            "GoStop",
            reason,
            Doing::Runnable,
            state,
            choices,
        );
    }

    #[allow(clippy::too_many_arguments, reason = "two callers, above")]
    fn leave(
        &mut self,
        thread: Thread,
        event: WireEvent,
        name: &'static str,
        reason: &str,
        doing: Doing,
        state: State,
        choices: &mut Choices,
    ) {
        self.announce_running(thread);
        let id = self.on(thread);
        let line = self.line(Some(thread), name).about_goroutine(id).saying(reason);
        let place = self.write_user(thread, event, vec![Self::named(reason)], line, Some(choices));
        self.threads[thread].goroutine = None;
        self.goroutine(id).doing = doing;
        self.record.truth.enter_at(id, place.at, state, place.stack.as_ref());
    }

    /// The goroutine on a thread ends.
    pub(super) fn destroy(&mut self, thread: Thread) {
        self.announce_running(thread);
        let id = self.on(thread);
        let line = self.line(Some(thread), "GoDestroy").about_goroutine(id);
        let at = self.write(thread, WireEvent::GoDestroy, Vec::new(), line);
        self.threads[thread].goroutine = None;
        self.goroutines.remove(&id);
        self.record.truth.died(id, at);
    }

    /// A thread makes a waiting goroutine runnable. Threads without goroutine or proc do so for the poller and timers.
    pub(super) fn unblock(&mut self, thread: Thread, id: u64, choices: &mut Choices) {
        self.announce_goroutine(thread, id, GoStatus::Waiting);
        self.announce_running(thread);
        let sequence = self.next_goroutine_sequence(id);
        let line = self.line(Some(thread), "GoUnblock").about_goroutine(id);
        let args = vec![number(id), number(sequence)];
        let place = self.write_user(thread, WireEvent::GoUnblock, args, line, Some(choices));
        self.goroutine(id).doing = Doing::Runnable;
        self.record.truth.woken(id, &place);
    }

    /// The goroutine on a thread hands the thread to a suspended one, and is suspended itself, or ends.
    pub(super) fn switch(&mut self, thread: Thread, to: u64, ends: bool) {
        self.announce_goroutine(thread, to, GoStatus::Waiting);
        self.announce_running(thread);
        let from = self.on(thread);
        let sequence = self.next_goroutine_sequence(to);
        let unblocked = self.line(Some(thread), "GoUnblock").about_goroutine(to);
        let by = Place {
            at: Moment::End,
            proc: unblocked.proc,
            goroutine: unblocked.goroutine,
            stack: None,
        };
        let left = self.line(Some(thread), if ends { "GoDestroy" } else { "GoBlock" });
        let mut started = self.line(Some(thread), "GoStart").about_goroutine(to);
        started.goroutine = None;
        let lines = vec![unblocked, left.about_goroutine(from), started];
        let event = if ends {
            WireEvent::GoSwitchDestroy
        } else {
            WireEvent::GoSwitch
        };
        let at = self.write_as(thread, event, vec![number(to), number(sequence)], lines);
        let (at_left, at_started) = (at.after(1), at.after(2));
        self.record.truth.woken(to, &Place { at, ..by });
        if ends {
            self.goroutines.remove(&from);
            self.record.truth.died(from, at_left);
        } else {
            self.goroutine(from).doing = Doing::Suspended;
            let state = State::Waiting("coroutine switch".to_owned());
            self.record.truth.enter_at(from, at_left, state, None);
        }
        self.begin_running(thread, to, at_started);
    }

    /// A thread that runs a goroutine which may be interrupted: one is made if there is none.
    pub(super) fn running_thread(&mut self, choices: &mut Choices) -> Thread {
        let running = self.threads_that(Self::runs);
        if let Some(thread) = choices.one_of(&running) {
            self.end_sweep(thread);
            return thread;
        }
        let scheduling = self.threads_that(Self::schedules);
        let thread = choices
            .one_of(&scheduling)
            .unwrap_or_else(|| self.thread_with_proc(choices));
        self.end_sweep(thread);
        let runnable = self.startable_on(thread);
        let id = choices
            .one_of(&runnable)
            .unwrap_or_else(|| self.make_runnable(thread, choices));
        self.start(thread, id);
        thread
    }

    /// A free thread that takes an idle proc, or one of a thread in a system call.
    fn thread_with_proc(&mut self, choices: &mut Choices) -> Thread {
        let thread = self.free_thread();
        let idle = self.procs_that(|state| state == ProcState::Idle);
        let proc = choices.one_of(&idle).unwrap_or_else(|| {
            let held = self.procs_that(|state| state != ProcState::Idle);
            let proc = choices.one_of(&held).expect("no thread has a proc and runs Go code");
            self.steal(thread, proc);
            proc
        });
        self.start_proc(thread, proc);
        thread
    }

    fn make_runnable(&mut self, thread: Thread, choices: &mut Choices) -> u64 {
        let waiting =
            self.goroutines_that(|goroutine| goroutine.doing == Doing::Waiting && goroutine.callback_of.is_none());
        let Some(id) = choices.one_of(&waiting) else {
            return self.create(thread, false, choices);
        };
        self.unblock(thread, id, choices);
        id
    }

    /// Runnable goroutines that a thread may start: those of callbacks are bound to their thread.
    pub(super) fn startable_on(&self, thread: Thread) -> Vec<u64> {
        self.goroutines_that(|goroutine| {
            goroutine.doing == Doing::Runnable && goroutine.callback_of.is_none_or(|bound| bound == thread)
        })
    }

    pub(super) fn has_room_for_goroutines(&self) -> bool {
        self.goroutines.len() < GOROUTINES_MAX
    }

    /// A thread that is free, as long as there may be more.
    pub(super) fn spare_thread(&mut self, choices: &mut Choices) -> Option<Thread> {
        let free = self.threads_that(Self::is_free);
        let may_add = self.threads.len() < THREADS_MAX;
        if free.is_empty() || may_add && choices.once_in(4) {
            return may_add.then(|| self.add_thread());
        }
        choices.one_of(&free)
    }
}

impl Moment {
    /// The moment of a later part of the same event.
    pub(super) fn after(self, parts: usize) -> Self {
        match self {
            Self::Event(position) => Self::Event(position + parts),
            other => other,
        }
    }
}

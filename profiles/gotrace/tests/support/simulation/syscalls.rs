//! System calls, stolen procs, and calls from C into Go (`entersyscall`, `exitsyscall`, `needm` and `dropm` in
//! runtime/proc.go).

use gotrace::{GoStatus, ProcStatus, WireEvent};

use super::machine::{Doing, Known, Machine, Proc, ProcState, Thread};
use super::script::Choices;
use super::tracer::number;
use super::truth::Place;
use super::view::State;

impl Machine {
    /// The goroutine on a thread enters a system call, and gives up its proc at once if the call is known to block.
    pub(super) fn begin_syscall(&mut self, thread: Thread, blocks: bool, choices: &mut Choices) {
        self.announce_running(thread);
        let id = self.on(thread);
        let proc = self.threads[thread].proc.expect("a running goroutine has a proc");
        let sequence = self.next_proc_sequence(proc);
        let line = self.line(Some(thread), "GoSyscallBegin").about_goroutine(id);
        let args = vec![number(sequence)];
        let place = self.write_user(thread, WireEvent::GoSyscallBegin, args, line, Some(choices));
        self.goroutine(id).doing = Doing::Syscall(thread);
        self.procs[proc].state = ProcState::Syscall(thread);
        self.procs[proc].syscall_thread = self.threads[thread].id;
        let stack = place.stack.as_ref();
        self.record.truth.enter_at(id, place.at, State::Syscall, stack);
        if blocks {
            let at = self.stop_proc(thread);
            self.record.truth.lost_proc(id, at);
        }
    }

    /// The goroutine on a thread leaves its system call, in one of the ways that are open to it.
    pub(super) fn end_syscall(&mut self, thread: Thread, choices: &mut Choices) {
        let idle = self.procs_that(|state| state == ProcState::Idle);
        let id = self.on(thread);
        match self.threads[thread].proc {
            Some(_) if !choices.once_in(4) => self.end_syscall_with_proc(thread),
            // The runtime pretends that it took the proc away from itself.
            Some(proc) => {
                self.steal(thread, proc);
                self.start_proc(thread, proc);
                self.end_syscall_without_proc(thread);
                self.start(thread, id);
            }
            None => {
                let proc = match choices.below(3) {
                    0 => choices.one_of(&idle),
                    1 => self.take_from_syscall(thread, choices),
                    _ => None,
                };
                if let Some(proc) = proc {
                    self.start_proc(thread, proc);
                }
                self.end_syscall_without_proc(thread);
                if proc.is_some() {
                    self.start(thread, id);
                }
            }
        }
    }

    fn take_from_syscall(&mut self, thread: Thread, choices: &mut Choices) -> Option<Proc> {
        let proc = choices.one_of(&self.stealable())?;
        self.steal(thread, proc);
        Some(proc)
    }

    fn end_syscall_with_proc(&mut self, thread: Thread) {
        self.announce(thread, GoStatus::Syscall, ProcStatus::Syscall);
        let id = self.on(thread);
        let line = self.line(Some(thread), "GoSyscallEnd").about_goroutine(id);
        let at = self.write(thread, WireEvent::GoSyscallEnd, Vec::new(), line);
        let proc = self.threads[thread].proc.expect("the thread kept its proc");
        self.procs[proc].state = ProcState::Running(thread);
        self.goroutine(id).doing = Doing::Running(thread);
        self.note_running(thread, id, at);
    }

    fn end_syscall_without_proc(&mut self, thread: Thread) {
        self.announce(thread, GoStatus::Syscall, ProcStatus::Running);
        let id = self.on(thread);
        let line = self.line(Some(thread), "GoSyscallEndBlocked").about_goroutine(id);
        let at = self.write(thread, WireEvent::GoSyscallEndBlocked, Vec::new(), line);
        self.threads[thread].goroutine = None;
        self.goroutine(id).doing = Doing::Runnable;
        let state = State::Runnable("syscall exit".to_owned());
        self.record.truth.enter(id, at, state, None);
    }

    /// Procs that may be taken away.
    pub(super) fn stealable(&self) -> Vec<Proc> {
        self.procs_that(|state| matches!(state, ProcState::Syscall(_) | ProcState::Abandoned))
    }

    /// A thread takes a proc away from a thread in a system call, and leaves it idle.
    pub(super) fn steal(&mut self, thief: Thread, proc: Proc) {
        self.announce_proc(thief, proc, ProcStatus::SyscallAbandoned);
        if self.is_in_syscall(thief) {
            self.announce(thief, GoStatus::Syscall, ProcStatus::SyscallAbandoned);
        } else {
            self.announce_running(thief);
        }
        let info = &self.procs[proc];
        let holder = match info.state {
            ProcState::Syscall(holder) => Some(holder),
            _ => None,
        };
        let victim = holder
            .filter(|_| info.known == Known::Everything)
            .and_then(|holder| self.known_goroutine(holder));
        let from = info.syscall_thread;
        let sequence = self.next_proc_sequence(proc);
        let shown = victim.map_or("from nobody".to_owned(), |id| format!("from g{id}"));
        let line = self.line(Some(thief), "ProcSteal").about_proc(proc).saying(shown);
        let args = vec![number(proc as u64), number(sequence), number(from)];
        let at = self.write(thief, WireEvent::ProcSteal, args, line);
        if let Some(holder) = holder {
            self.threads[holder].proc = None;
        }
        if let Some(victim) = victim {
            self.record.truth.lost_proc(victim, at);
        }
        self.procs[proc].state = ProcState::Idle;
        self.procs[proc].known = Known::Everything;
    }

    /// C code on a free thread calls Go: a goroutine appears, in a system call.
    pub(super) fn begin_callback(&mut self, thread: Thread, choices: &mut Choices) {
        let may_use =
            |(on, id): &&(Thread, u64)| (self.clocks_agree || *on == thread) && !self.goroutines.contains_key(id);
        let used: Vec<u64> = self.ended_callbacks.iter().filter(may_use).map(|(_, id)| *id).collect();
        let again = if choices.once_in(2) {
            choices.one_of(&used)
        } else {
            None
        };
        let root = super::text::root(choices);
        let doing = Doing::Syscall(thread);
        let line = self.line(Some(thread), "GoCreateSyscall");
        let id = match again {
            Some(id) => {
                self.insert_goroutine(id, doing, root);
                id
            }
            None => self.add_goroutine(doing, root),
        };
        let line = line.about_goroutine(id);
        let at = self.write(thread, WireEvent::GoCreateSyscall, vec![number(id)], line);
        self.threads[thread].goroutine = Some(id);
        let goroutine = self.goroutine(id);
        goroutine.known = true;
        goroutine.announced = true;
        goroutine.callback_of = Some(thread);
        let by = Place {
            at,
            proc: None,
            goroutine: None,
            stack: None,
        };
        self.record.truth.born(id, State::SyscallBlocked, None, &by);
    }

    /// A callback has returned to C, and its goroutine disappears. A proc that its thread still has is left behind.
    pub(super) fn end_callback(&mut self, thread: Thread) {
        let id = self.on(thread);
        self.announce_goroutine(thread, id, GoStatus::Syscall);
        let proc = self.threads[thread].proc;
        let destroyed = self.line(Some(thread), "GoDestroySyscall").about_goroutine(id);
        let mut lines = vec![destroyed];
        if let Some(proc) = self.known_proc(thread) {
            let line = self.line(Some(thread), "ProcSteal").about_proc(proc);
            lines.insert(0, line.saying(format!("from g{id}")));
        }
        let parts = lines.len() - 1;
        let at = self.write_as(thread, WireEvent::GoDestroySyscall, Vec::new(), lines);
        if parts > 0 {
            self.record.truth.lost_proc(id, at);
        }
        self.record.truth.died(id, at.after(parts));
        if let Some(proc) = proc {
            self.procs[proc].state = ProcState::Abandoned;
        }
        self.threads[thread].proc = None;
        self.threads[thread].goroutine = None;
        self.goroutines.remove(&id);
        self.ended_callbacks.retain(|(_, ended)| *ended != id);
        self.ended_callbacks.push((thread, id));
    }
}

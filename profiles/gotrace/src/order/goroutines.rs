//! Rules for goroutines.

use super::pool::Slot;
use super::{Answer, At, Held, NO_THREAD, Order, Refusal, Resource, Sink, named};
use crate::error::DecodeErrorKind;
use crate::event::{Context, EventKind, GoStatus, ProcStatus};
use crate::ids::{GoroutineId, StackId, StringId, ThreadId};
use crate::spec::WireEvent;

impl Order {
    /// Runnable to running.
    #[inline]
    pub(super) fn go_start(&mut self, at: &At, id: u64, number: u64, sink: &mut impl Sink) -> Answer {
        let id = named(GoroutineId::new(id), at.event, "a goroutine")?;
        let slot = self.goroutines.slot(id)?;
        let sequence = self.sequence(number);
        let goroutine = self.goroutines.get(slot);
        if goroutine.status != Some(GoStatus::Runnable) || !sequence.follows(goroutine.sequence) {
            return Ok(Some(Resource::Goroutine(slot)));
        }
        at.on_proc()?;
        if at.goroutine.is_some() {
            return Err(at.expected("a thread that runs no goroutine"));
        }
        self.goroutines.set(slot, GoStatus::Running, sequence, &mut self.woken);
        self.thread_mut(at.thread).goroutine = Some(Held { id, slot });
        self.emit(at, None, EventKind::GoStart { goroutine: id }, slot, sink);
        Ok(None)
    }

    /// Waiting to runnable. Anything may do this, also a thread without goroutine or proc.
    #[inline]
    pub(super) fn go_unblock(
        &mut self,
        at: &At,
        id: u64,
        number: u64,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) -> Answer {
        let id = named(GoroutineId::new(id), at.event, "a goroutine")?;
        let slot = self.goroutines.slot(id)?;
        let sequence = self.sequence(number);
        let goroutine = self.goroutines.get(slot);
        if goroutine.status != Some(GoStatus::Waiting) || !sequence.follows(goroutine.sequence) {
            return Ok(Some(Resource::Goroutine(slot)));
        }
        self.goroutines.set(slot, GoStatus::Runnable, sequence, &mut self.woken);
        self.emit(at, stack, EventKind::GoUnblock { goroutine: id }, slot, sink);
        Ok(None)
    }

    /// Running to waiting: the goroutine leaves its thread.
    #[inline]
    pub(super) fn go_block(
        &mut self,
        at: &At,
        reason: StringId,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) -> Answer {
        let Held { id, slot } = self.leave(at, GoStatus::Waiting)?;
        let kind = EventKind::GoBlock {
            goroutine: id,
            reason: Some(reason),
        };
        self.emit(at, stack, kind, slot, sink);
        Ok(None)
    }

    /// Running to runnable.
    #[inline]
    pub(super) fn go_stop(
        &mut self,
        at: &At,
        reason: StringId,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) -> Answer {
        let Held { id, slot } = self.leave(at, GoStatus::Runnable)?;
        self.emit(at, stack, EventKind::GoStop { goroutine: id, reason }, slot, sink);
        Ok(None)
    }

    #[inline(always)]
    fn leave(&mut self, at: &At, status: GoStatus) -> Result<Held<GoroutineId>, Refusal> {
        let code = at.user_code()?;
        self.must_be(at, code.goroutine, GoStatus::Running)?;
        self.goroutines.set_status(code.goroutine.slot, status, &mut self.woken);
        self.thread_mut(code.thread).goroutine = None;
        Ok(code.goroutine)
    }

    #[inline(never)]
    pub(super) fn go_destroy(&mut self, at: &At, sink: &mut impl Sink) -> Answer {
        let code = at.user_code()?;
        let Held { id, slot } = code.goroutine;
        self.must_be(at, code.goroutine, GoStatus::Running)?;
        self.goroutines.remove(slot, &mut self.woken);
        self.thread_mut(code.thread).goroutine = None;
        self.emit(at, None, EventKind::GoDestroy { goroutine: id }, slot, sink);
        Ok(None)
    }

    /// A goroutine is born, on a proc; the runtime itself may create one without a goroutine.
    #[inline(never)]
    pub(super) fn go_create(
        &mut self,
        at: &At,
        id: u64,
        entry: Option<StackId>,
        stack: Option<StackId>,
        blocked: bool,
        sink: &mut impl Sink,
    ) -> Answer {
        at.on_proc()?;
        if let Some(creator) = at.goroutine {
            self.must_be(at, creator, GoStatus::Running)?;
        }
        let status = if blocked { GoStatus::Waiting } else { GoStatus::Runnable };
        let Held { id, slot } = self.add_goroutine(at, id, status)?;
        let kind = EventKind::GoCreate {
            goroutine: id,
            entry,
            blocked,
        };
        self.emit(at, stack, kind, slot, sink);
        Ok(None)
    }

    /// C code calls Go: a goroutine appears, in a system call.
    pub(super) fn go_create_syscall(&mut self, at: &At, id: u64, sink: &mut impl Sink) -> Answer {
        let thread = at.on_thread()?;
        if at.goroutine.is_some() {
            return Err(at.expected("a thread that runs no goroutine"));
        }
        let held = self.add_goroutine(at, id, GoStatus::Syscall)?;
        self.thread_mut(thread).goroutine = Some(held);
        self.emit(
            at,
            None,
            EventKind::GoCreateSyscall { goroutine: held.id },
            held.slot,
            sink,
        );
        Ok(None)
    }

    fn add_goroutine(&mut self, at: &At, id: u64, status: GoStatus) -> Result<Held<GoroutineId>, Refusal> {
        let id = named(GoroutineId::new(id), at.event, "a goroutine")?;
        let slot = self.goroutines.slot(id)?;
        if self.goroutines.get(slot).status.is_some() {
            return Err(self.wrong_goroutine(at.event, slot, "not to exist"));
        }
        let sequence = self.sequence(0);
        self.goroutines.set(slot, status, sequence, &mut self.woken);
        Ok(Held { id, slot })
    }

    /// The goroutine of a call from C disappears. Its thread's id may be reused at once, so its proc counts as lost
    /// too, as if the thread had stolen it from itself.
    pub(super) fn go_destroy_syscall(&mut self, at: &At, sink: &mut impl Sink) -> Answer {
        let thread = at.on_thread()?;
        let held = at.goroutine.ok_or_else(|| at.expected("a goroutine"))?;
        self.must_be(at, held, GoStatus::Syscall)?;
        if let Some(proc) = at.proc {
            if self.procs.get(proc.slot).status != Some(ProcStatus::Syscall) {
                return Err(self.wrong_proc(at.event, proc.slot, "in a system call"));
            }
            self.procs
                .set_status(proc.slot, ProcStatus::SyscallAbandoned, &mut self.woken);
            let kind = EventKind::ProcSteal {
                proc: proc.id,
                victim: Some(held.id),
            };
            self.emit(at, None, kind, held.slot, sink);
        }
        self.goroutines.remove(held.slot, &mut self.woken);
        let state = self.thread_mut(thread);
        state.goroutine = None;
        state.proc = None;
        self.emit(
            at,
            None,
            EventKind::GoDestroySyscall { goroutine: held.id },
            held.slot,
            sink,
        );
        Ok(None)
    }

    /// Running to system call. The event carries the proc's number, so that a theft of the proc can tell this call from
    /// an earlier one; it is a check, not something to wait for.
    #[inline]
    pub(super) fn go_syscall_begin(
        &mut self,
        at: &At,
        number: u64,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) -> Answer {
        let code = at.user_code()?;
        self.must_be(at, code.goroutine, GoStatus::Running)?;
        let sequence = self.sequence(number);
        let proc = self.procs.get(code.proc.slot);
        if !sequence.follows(proc.sequence) {
            return Err(Box::new(DecodeErrorKind::ProcSequence {
                event: at.event.name(),
                proc: code.proc.id.get(),
                found: number,
                expected: proc.sequence.number.saturating_add(1),
            }));
        }
        self.goroutines
            .set_status(code.goroutine.slot, GoStatus::Syscall, &mut self.woken);
        self.procs
            .set(code.proc.slot, ProcStatus::Syscall, sequence, &mut self.woken);
        let Held { id, slot } = code.goroutine;
        self.emit(at, stack, EventKind::GoSyscallBegin { goroutine: id }, slot, sink);
        Ok(None)
    }

    /// System call to running, proc kept.
    #[inline]
    pub(super) fn go_syscall_end(&mut self, at: &At, sink: &mut impl Sink) -> Answer {
        let code = at.user_code()?;
        self.must_be(at, code.goroutine, GoStatus::Syscall)?;
        if self.procs.get(code.proc.slot).status != Some(ProcStatus::Syscall) {
            return Err(self.wrong_proc(at.event, code.proc.slot, "in a system call"));
        }
        self.goroutines
            .set_status(code.goroutine.slot, GoStatus::Running, &mut self.woken);
        self.procs
            .set_status(code.proc.slot, ProcStatus::Running, &mut self.woken);
        let Held { id, slot } = code.goroutine;
        self.emit(at, None, EventKind::GoSyscallEnd { goroutine: id }, slot, sink);
        Ok(None)
    }

    /// System call to runnable, proc lost. While the thread holds a proc that can be stolen, the theft is still to come.
    pub(super) fn go_syscall_end_blocked(&mut self, at: &At, sink: &mut impl Sink) -> Answer {
        if let Some(proc) = at.proc
            && self.procs.get(proc.slot).status == Some(ProcStatus::Syscall)
        {
            return Ok(Some(Resource::Proc(proc.slot)));
        }
        let thread = at.on_thread()?;
        let held = at.goroutine.ok_or_else(|| at.expected("a goroutine"))?;
        self.must_be(at, held, GoStatus::Syscall)?;
        self.goroutines
            .set_status(held.slot, GoStatus::Runnable, &mut self.woken);
        self.thread_mut(thread).goroutine = None;
        self.emit(
            at,
            None,
            EventKind::GoSyscallEndBlocked { goroutine: held.id },
            held.slot,
            sink,
        );
        Ok(None)
    }

    /// The running goroutine hands its thread to a waiting one: three events.
    pub(super) fn go_switch(&mut self, at: &At, id: u64, number: u64, destroy: bool, sink: &mut impl Sink) -> Answer {
        let code = at.user_code()?;
        self.must_be(at, code.goroutine, GoStatus::Running)?;
        let id = named(GoroutineId::new(id), at.event, "a goroutine")?;
        let slot = self.goroutines.slot(id)?;
        let sequence = self.sequence(number);
        let next = self.goroutines.get(slot);
        if next.status != Some(GoStatus::Waiting) || !sequence.follows(next.sequence) {
            return Ok(Some(Resource::Goroutine(slot)));
        }
        let from = code.goroutine;
        self.emit(at, None, EventKind::GoUnblock { goroutine: id }, slot, sink);
        let left = if destroy {
            self.goroutines.remove(from.slot, &mut self.woken);
            EventKind::GoDestroy { goroutine: from.id }
        } else {
            self.goroutines
                .set_status(from.slot, GoStatus::Waiting, &mut self.woken);
            EventKind::GoBlock {
                goroutine: from.id,
                reason: None,
            }
        };
        self.emit(at, None, left, from.slot, sink);
        self.goroutines.set(slot, GoStatus::Running, sequence, &mut self.woken);
        self.thread_mut(code.thread).goroutine = Some(Held { id, slot });
        let mut at = *at;
        at.context.goroutine = None;
        self.emit(&at, None, EventKind::GoStart { goroutine: id }, slot, sink);
        Ok(None)
    }

    /// Announces a goroutine before its first event in a generation, or at the end of one without any.
    pub(super) fn go_status(
        &mut self,
        at: &At,
        id: u64,
        thread: u64,
        status: u64,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) -> Answer {
        let id = named(GoroutineId::new(id), at.event, "a goroutine")?;
        let status = match status {
            1 => GoStatus::Runnable,
            2 => GoStatus::Running,
            3 => GoStatus::Syscall,
            4 => GoStatus::Waiting,
            value => {
                return Err(Box::new(DecodeErrorKind::OutOfRange {
                    what: "goroutine status",
                    value,
                }));
            }
        };
        let slot = self.goroutines.slot(id)?;
        let known = self.goroutines.get(slot).status;
        match known {
            Some(known) if known != status => return Err(self.wrong_goroutine(at.event, slot, status.name())),
            None if !self.initial => {
                return Err(self.wrong_goroutine(at.event, slot, "known since an earlier generation"));
            }
            Some(_) | None => {}
        }
        let held = Held { id, slot };
        let mut at = At {
            time: self.status_time(at),
            ..*at
        };
        match status {
            GoStatus::Runnable | GoStatus::Waiting => {}
            GoStatus::Running => {
                if at.thread != NO_THREAD {
                    self.thread_mut(at.thread).goroutine = Some(held);
                }
            }
            GoStatus::Syscall => at.context = self.bind_syscall(&at, held, ThreadId::new(thread))?,
        }
        let sequence = self.sequence(0);
        self.goroutines.set(slot, status, sequence, &mut self.woken);
        let kind = EventKind::GoStatus {
            goroutine: id,
            status,
            first: known.is_none(),
        };
        self.emit(&at, stack, kind, slot, sink);
        Ok(None)
    }

    /// Binds a goroutine in a system call to the thread that its status names, or checks that it is bound. Returns the
    /// context of that thread.
    fn bind_syscall(&mut self, at: &At, held: Held<GoroutineId>, thread: Option<ThreadId>) -> Result<Context, Refusal> {
        let id = thread.ok_or_else(|| at.expected("a thread for a goroutine in a system call"))?;
        let named_thread = self.thread_slot(id)?;
        let here = at.thread == named_thread;
        // A status may tell something new of its own thread in an initial generation, and of another thread as long as
        // nothing is known of that one: it may sit in the call for the whole generation.
        let may_bind = if here {
            self.initial
        } else {
            !self.thread(named_thread).seen
        };
        if !may_bind && self.thread(named_thread).goroutine != Some(held) {
            return Err(at.expected("the goroutine in a system call to be on the thread that its status names"));
        }
        let context = self.at(named_thread, at.event, at.time).context;
        let state = self.thread_mut(named_thread);
        state.goroutine = Some(held);
        state.seen = true;
        Ok(context)
    }

    pub(super) fn known_goroutine(&mut self, id: GoroutineId, event: WireEvent) -> Result<(), Refusal> {
        let slot = self.goroutines.slot(id)?;
        match self.goroutines.get(slot).status {
            Some(_) => Ok(()),
            None => Err(Box::new(DecodeErrorKind::Order {
                event: event.name(),
                expected: "a goroutine whose status is known",
            })),
        }
    }

    #[inline(always)]
    fn must_be(&self, at: &At, held: Held<GoroutineId>, status: GoStatus) -> Result<(), Refusal> {
        let goroutine = self.goroutines.get(held.slot);
        if goroutine.id == held.id && goroutine.status == Some(status) {
            return Ok(());
        }
        Err(self.wrong_goroutine(at.event, held.slot, status.name()))
    }

    #[cold]
    fn wrong_goroutine(&self, event: WireEvent, slot: Slot, expected: &'static str) -> Refusal {
        let goroutine = self.goroutines.get(slot);
        let found = goroutine.status.map_or("unknown", GoStatus::name);
        Box::new(DecodeErrorKind::GoroutineState {
            event: event.name(),
            goroutine: goroutine.id.get(),
            found,
            expected,
        })
    }
}

impl GoStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Syscall => "in a system call",
            Self::Waiting => "waiting",
        }
    }
}

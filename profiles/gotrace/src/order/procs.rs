//! Rules for procs.

use super::pool::Slot;
use super::{Answer, At, Held, NO_SLOT, NO_THREAD, Order, Refusal, Resource, Sink, named};
use crate::error::DecodeErrorKind;
use crate::event::{EventKind, ProcStatus};
use crate::ids::{ProcId, ThreadId, index};
use crate::spec::WireEvent;

impl Order {
    /// Announces a proc before its first event in a generation. Running and Syscall bind it to the thread.
    pub(super) fn proc_status(&mut self, at: &At, id: u64, status: u64, sink: &mut impl Sink) -> Answer {
        let id = named(ProcId::new(id), at.event, "a proc")?;
        let announced = match status {
            1 => ProcStatus::Running,
            2 => ProcStatus::Idle,
            3 => ProcStatus::Syscall,
            4 => ProcStatus::SyscallAbandoned,
            value => {
                return Err(Box::new(DecodeErrorKind::OutOfRange {
                    what: "proc status",
                    value,
                }));
            }
        };
        let slot = self.procs.slot(id)?;
        let known = self.procs.get(slot).status;
        // A proc that is about to be stolen is announced as abandoned by the thief, who does not know its thread. If
        // the model knows it, nothing is lost: the status is Syscall, and the event belongs to that thread.
        let rescued = known == Some(ProcStatus::Syscall) && announced == ProcStatus::SyscallAbandoned;
        if let Some(known) = known
            && known != announced
            && !rescued
        {
            return Err(self.wrong_proc(at.event, slot, announced.name()));
        }
        let status = if rescued { ProcStatus::Syscall } else { announced };
        let sequence = self.sequence(0);
        self.procs.set(slot, status, sequence, &mut self.woken);
        let kind = EventKind::ProcStatus {
            proc: id,
            status,
            first: known.is_none(),
        };
        let at = match rescued {
            true => &self.where_held(at, Held { id, slot })?,
            false => at,
        };
        if !rescued && matches!(status, ProcStatus::Running | ProcStatus::Syscall) && at.thread != NO_THREAD {
            self.hold_proc(at.thread, Held { id, slot });
        }
        self.emit(at, None, kind, NO_SLOT, sink);
        Ok(None)
    }

    #[inline(always)]
    fn hold_proc(&mut self, thread: Slot, proc: Held<ProcId>) {
        self.thread_mut(thread).proc = Some(proc);
        let position = index(proc.slot);
        if position >= self.proc_holders.len() {
            self.proc_holders.resize(position.saturating_add(1), NO_THREAD);
        }
        if let Some(holder) = self.proc_holders.get_mut(position) {
            *holder = thread;
        }
    }

    /// The same event on the thread that holds a proc.
    fn where_held(&self, at: &At, proc: Held<ProcId>) -> Result<At, Refusal> {
        let latest = self.proc_holders.get(index(proc.slot)).copied();
        let holder = latest.filter(|thread| self.thread(*thread).proc == Some(proc));
        let holder = holder.ok_or_else(|| at.expected("the thread of a proc that is about to be stolen"))?;
        Ok(self.at(holder, at.event, at.time))
    }

    /// Idle to running. A thread in a system call must first have lost the proc it had.
    #[inline]
    pub(super) fn proc_start(&mut self, at: &At, id: u64, number: u64, sink: &mut impl Sink) -> Answer {
        let id = named(ProcId::new(id), at.event, "a proc")?;
        let slot = self.procs.slot(id)?;
        let sequence = self.sequence(number);
        let proc = self.procs.get(slot);
        if proc.status != Some(ProcStatus::Idle) || !sequence.follows(proc.sequence) {
            return Ok(Some(Resource::Proc(slot)));
        }
        if let Some(held) = at.proc {
            return Ok(Some(Resource::Proc(held.slot)));
        }
        let thread = at.on_thread()?;
        self.procs.set(slot, ProcStatus::Running, sequence, &mut self.woken);
        self.hold_proc(thread, Held { id, slot });
        self.emit(at, None, EventKind::ProcStart { proc: id }, NO_SLOT, sink);
        Ok(None)
    }

    /// Running or Syscall to idle, by the thread that holds it: needs no sequence number.
    #[inline]
    pub(super) fn proc_stop(&mut self, at: &At, sink: &mut impl Sink) -> Answer {
        let proc = at.on_proc()?;
        match self.procs.get(proc.slot).status {
            Some(ProcStatus::Running | ProcStatus::Syscall) => {}
            _ => return Err(self.wrong_proc(at.event, proc.slot, "running or in a system call")),
        }
        self.procs.set_status(proc.slot, ProcStatus::Idle, &mut self.woken);
        self.thread_mut(at.thread).proc = None;
        let subject = at.goroutine.map_or(NO_SLOT, |held| held.slot);
        self.emit(at, None, EventKind::ProcStop { proc: proc.id }, subject, sink);
        Ok(None)
    }

    /// Syscall to idle, by another thread, or by the same one as it comes out of the call.
    pub(super) fn proc_steal(&mut self, at: &At, id: u64, number: u64, from: u64, sink: &mut impl Sink) -> Answer {
        let id = named(ProcId::new(id), at.event, "a proc")?;
        let slot = self.procs.slot(id)?;
        let sequence = self.sequence(number);
        let proc = self.procs.get(slot);
        let abandoned = match proc.status {
            Some(ProcStatus::Syscall) => false,
            Some(ProcStatus::SyscallAbandoned) => true,
            _ => return Ok(Some(Resource::Proc(slot))),
        };
        if !sequence.follows(proc.sequence) {
            return Ok(Some(Resource::Proc(slot)));
        }
        at.on_thread()?;
        let mut victim = None;
        // An abandoned proc's thread may have moved on: it is left alone.
        if !abandoned {
            let holder = self.holder(at, Held { id, slot }, from)?;
            let holder = self.thread_mut(holder);
            holder.proc = None;
            victim = holder.goroutine;
        }
        self.procs.set(slot, ProcStatus::Idle, sequence, &mut self.woken);
        let subject = victim.map_or(NO_SLOT, |held| held.slot);
        let victim = victim.map(|held| held.id);
        self.emit(at, None, EventKind::ProcSteal { proc: id, victim }, subject, sink);
        Ok(None)
    }

    /// The thread that a proc is stolen from; it must hold that proc.
    fn holder(&self, at: &At, proc: Held<ProcId>, from: u64) -> Result<Slot, Refusal> {
        let slot = ThreadId::new(from).and_then(|id| self.thread_slots.get(&id)).copied();
        slot.filter(|slot| self.thread(*slot).proc == Some(proc))
            .ok_or_else(|| at.expected("the proc to be held by the thread that it is stolen from"))
    }

    pub(super) fn known_proc(&mut self, id: ProcId, event: WireEvent) -> Result<(), Refusal> {
        let slot = self.procs.slot(id)?;
        match self.procs.get(slot).status {
            Some(_) => Ok(()),
            None => Err(Box::new(DecodeErrorKind::Order {
                event: event.name(),
                expected: "a proc whose status is known",
            })),
        }
    }

    #[cold]
    pub(super) fn wrong_proc(&self, event: WireEvent, slot: Slot, expected: &'static str) -> Refusal {
        let proc = self.procs.get(slot);
        let found = proc.status.map_or("unknown", ProcStatus::name);
        Box::new(DecodeErrorKind::ProcState {
            event: event.name(),
            proc: proc.id.get(),
            found,
            expected,
        })
    }
}

impl ProcStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Syscall => "in a system call",
            Self::SyscallAbandoned => "abandoned in a system call",
        }
    }
}

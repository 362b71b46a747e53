//! The order of a program's events, found by playing the Go scheduler (internal/trace/order.go).
//!
//! Threads write their events independently and clocks disagree between them, so time alone does not order events.
//! Each goroutine and each proc counts the events that hand it over, and an event that takes it carries that count. The
//! model keeps what every thread, proc and goroutine is doing. Asked about the next event of a thread it answers:
//! * it happens now: the model has changed, and here is the event with its context ([`Step::Emit`]);
//! * not yet: something else must happen to one resource first ([`Step::Wait`]);
//! * never: the trace contradicts itself (an error).
//!
//! Files: `pool` what is known of a resource; `procs`, `goroutines` and `gc` the rules by kind of event.

mod gc;
mod goroutines;
mod pool;
mod procs;

use std::collections::{HashMap, VecDeque};

use self::gc::GcPhase;
pub(crate) use self::pool::NO_LANE;
use self::pool::{Pool, Sequence, Slot, wake};
use crate::cursor::RawEvent;
use crate::error::DecodeErrorKind;
use crate::event::{Context, EventKind, GoStatus, ProcStatus};
use crate::generation::WireNames;
use crate::ids::{GoroutineId, ProcId, StackId, TaskId, ThreadId, index};
use crate::spec::WireEvent;

/// An event in order, not yet with its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Emitted {
    pub(crate) context: Context,
    pub(crate) stack: Option<StackId>,
    pub(crate) kind: EventKind,
}

/// Answer about the next event of a thread.
#[derive(Debug)]
pub(crate) enum Step {
    Emit(Emitted),
    Wait(Resource),
}

/// What an event that cannot happen yet waits for. Only a change of this resource can let it happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    Goroutine(Slot),
    Proc(Slot),
    Gc,
}

/// A goroutine or proc that a thread holds. The id tells whether the slot still is that of the same resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held<I> {
    id: I,
    slot: Slot,
}

#[derive(Debug)]
struct ThreadState {
    id: ThreadId,
    /// Whether an event of this thread, or about its goroutine, has been looked at.
    seen: bool,
    proc: Option<Held<ProcId>>,
    goroutine: Option<Held<GoroutineId>>,
}

/// Where the event under question comes from.
#[derive(Clone, Copy, Debug)]
struct At {
    event: WireEvent,
    thread: Option<Slot>,
    proc: Option<Held<ProcId>>,
    goroutine: Option<Held<GoroutineId>>,
    context: Context,
}

/// A thread that runs a goroutine on a proc: what user code needs.
#[derive(Clone, Copy, Debug)]
struct UserCode {
    thread: Slot,
    proc: Held<ProcId>,
    goroutine: Held<GoroutineId>,
}

type Answer = Result<Step, DecodeErrorKind>;

/// The model of the scheduler.
#[derive(Debug)]
pub(crate) struct Order {
    /// The current generation, counted from 1.
    epoch: u32,
    /// Whether nothing is known from a generation before.
    initial: bool,
    threads: Vec<ThreadState>,
    thread_slots: HashMap<ThreadId, Slot>,
    procs: Pool<ProcId, ProcStatus>,
    goroutines: Pool<GoroutineId, GoStatus>,
    gc: GcPhase,
    gc_waiters: u32,
    /// Heads of lists of lanes that may go on.
    woken: Vec<u32>,
    /// Events that one wire event stands for, after the first.
    extra: VecDeque<Emitted>,
}

impl Order {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 0,
            initial: true,
            threads: Vec::new(),
            thread_slots: HashMap::new(),
            procs: Pool::new(),
            goroutines: Pool::new(),
            gc: GcPhase::Undetermined,
            gc_waiters: NO_LANE,
            woken: Vec::new(),
            extra: VecDeque::new(),
        }
    }

    /// Starts a generation. An `initial` one builds on nothing: the first, and any after missing events.
    pub(crate) fn begin_generation(&mut self, initial: bool) {
        self.epoch = self.epoch.wrapping_add(1);
        self.initial = initial;
        self.gc_waiters = NO_LANE;
        self.woken.clear();
        self.extra.clear();
        if initial {
            self.threads.clear();
            self.thread_slots.clear();
            self.procs.clear();
            self.goroutines.clear();
            self.gc = GcPhase::Undetermined;
        }
    }

    /// The model's own number for a thread.
    pub(crate) fn thread_slot(&mut self, id: ThreadId) -> Slot {
        let next = u32::try_from(self.threads.len()).expect("every thread takes five bytes of input");
        let slot = *self.thread_slots.entry(id).or_insert(next);
        if slot == next {
            self.threads.push(ThreadState {
                id,
                seen: false,
                proc: None,
                goroutine: None,
            });
        }
        slot
    }

    /// Takes the next event that an earlier answer stands for in addition.
    #[inline]
    pub(crate) fn take_extra(&mut self) -> Option<Emitted> {
        self.extra.pop_front()
    }

    /// Takes the head of a list of lanes that may go on.
    #[inline]
    pub(crate) fn take_woken(&mut self) -> Option<u32> {
        self.woken.pop()
    }

    /// Makes a lane wait for a change of a resource. Returns the lane that waited for it last.
    pub(crate) fn park(&mut self, resource: Resource, lane: u32) -> u32 {
        match resource {
            Resource::Goroutine(slot) => self.goroutines.park(slot, lane),
            Resource::Proc(slot) => self.procs.park(slot, lane),
            Resource::Gc => std::mem::replace(&mut self.gc_waiters, lane),
        }
    }

    /// Asks whether the next event of a thread happens now.
    // Always inline: the answer is 64 bytes, and copying it once more costs as much as finding it.
    #[inline(always)]
    pub(crate) fn advance(&mut self, thread: Option<Slot>, raw: &RawEvent, names: &WireNames) -> Answer {
        if let Some(slot) = thread {
            self.thread_mut(slot).seen = true;
        }
        let at = self.at(thread, raw.event);
        let [a, b, c, d] = raw.args;
        match raw.event {
            WireEvent::ProcStart => self.proc_start(at, a, b),
            WireEvent::ProcStop => self.proc_stop(at),
            WireEvent::ProcSteal => self.proc_steal(at, a, b, c),
            WireEvent::ProcStatus => self.proc_status(at, a, b),

            WireEvent::GoStart => self.go_start(at, a, b),
            WireEvent::GoUnblock => self.go_unblock(at, a, b, names.stack(c)?),
            WireEvent::GoBlock => self.go_leave(at, GoStatus::Waiting, names.stack(b)?, |goroutine| {
                Ok(EventKind::GoBlock {
                    goroutine,
                    reason: Some(names.string(a)?),
                })
            }),
            WireEvent::GoStop => self.go_leave(at, GoStatus::Runnable, names.stack(b)?, |goroutine| {
                Ok(EventKind::GoStop {
                    goroutine,
                    reason: names.string(a)?,
                })
            }),
            WireEvent::GoDestroy => self.go_destroy(at),
            WireEvent::GoCreate => self.go_create(at, a, names.stack(b)?, names.stack(c)?, false),
            WireEvent::GoCreateBlocked => self.go_create(at, a, names.stack(b)?, names.stack(c)?, true),
            WireEvent::GoCreateSyscall => self.go_create_syscall(at, a),
            WireEvent::GoDestroySyscall => self.go_destroy_syscall(at),
            WireEvent::GoSyscallBegin => self.go_syscall_begin(at, a, names.stack(b)?),
            WireEvent::GoSyscallEnd => self.go_syscall_end(at),
            WireEvent::GoSyscallEndBlocked => self.go_syscall_end_blocked(at),
            WireEvent::GoStatus => self.go_status(at, a, b, c, None),
            WireEvent::GoStatusStack => self.go_status(at, a, b, c, names.stack(d)?),
            WireEvent::GoSwitch => self.go_switch(at, a, b, false),
            WireEvent::GoSwitchDestroy => self.go_switch(at, a, b, true),

            WireEvent::GcActive => self.gc_active(at, a),
            WireEvent::GcBegin => self.gc_begin(at, a, names.stack(b)?),
            WireEvent::GcEnd => self.gc_end(at, a),
            _ => self.annotation(at, raw, names),
        }
    }

    /// Events that change nothing in the model.
    #[inline(never)]
    fn annotation(&mut self, at: At, raw: &RawEvent, names: &WireNames) -> Answer {
        let [a, b, c, d] = raw.args;
        match raw.event {
            WireEvent::ProcsChange => at.user(names.stack(b)?, EventKind::ProcsChange { gomaxprocs: a }),
            WireEvent::StwBegin => at.user(names.stack(b)?, EventKind::StwBegin { kind: names.string(a)? }),
            WireEvent::StwEnd => at.user(None, EventKind::StwEnd),
            WireEvent::GcMarkAssistBegin => {
                let goroutine = at.user_code()?.goroutine.id;
                at.emit(names.stack(a)?, EventKind::MarkAssistBegin { goroutine })
            }
            WireEvent::GcMarkAssistEnd => {
                let goroutine = at.user_code()?.goroutine.id;
                at.emit(None, EventKind::MarkAssistEnd { goroutine })
            }
            WireEvent::GcMarkAssistActive => {
                let goroutine = named(GoroutineId::new(a), at.event, "a goroutine")?;
                self.known_goroutine(goroutine, at.event)?;
                at.emit(None, EventKind::MarkAssistActive { goroutine })
            }
            WireEvent::GcSweepActive => {
                let proc = named(ProcId::new(a), at.event, "a proc")?;
                self.known_proc(proc, at.event)?;
                at.emit(None, EventKind::SweepActive { proc })
            }
            WireEvent::GcSweepBegin => {
                let proc = at.on_proc()?;
                at.emit(names.stack(a)?, EventKind::SweepBegin { proc: proc.id })
            }
            WireEvent::GcSweepEnd => {
                let kind = EventKind::SweepEnd {
                    proc: at.on_proc()?.id,
                    swept_bytes: a,
                    reclaimed_bytes: b,
                };
                at.emit(None, kind)
            }
            WireEvent::HeapAlloc => at
                .on_proc()
                .and_then(|_| at.emit(None, EventKind::HeapAlloc { bytes: a })),
            WireEvent::HeapGoal => at
                .on_proc()
                .and_then(|_| at.emit(None, EventKind::HeapGoal { bytes: a })),
            WireEvent::GoLabel => at.user(
                None,
                EventKind::GoLabel {
                    label: names.string(a)?,
                },
            ),
            WireEvent::UserTaskBegin => {
                let task = named(TaskId::new(a), at.event, "a task")?;
                let parent = TaskId::new(b).filter(|parent| *parent != TaskId::BACKGROUND);
                at.user(
                    names.stack(d)?,
                    EventKind::UserTaskBegin {
                        task,
                        parent,
                        name: names.string(c)?,
                    },
                )
            }
            WireEvent::UserTaskEnd => {
                let task = named(TaskId::new(a), at.event, "a task")?;
                at.user(names.stack(b)?, EventKind::UserTaskEnd { task })
            }
            WireEvent::UserRegionBegin => {
                let task = named(TaskId::new(a), at.event, "a task")?;
                at.user(
                    names.stack(c)?,
                    EventKind::UserRegionBegin {
                        task,
                        name: names.string(b)?,
                    },
                )
            }
            WireEvent::UserRegionEnd => {
                let task = named(TaskId::new(a), at.event, "a task")?;
                at.user(
                    names.stack(c)?,
                    EventKind::UserRegionEnd {
                        task,
                        name: names.string(b)?,
                    },
                )
            }
            WireEvent::UserLog => {
                let task = named(TaskId::new(a), at.event, "a task")?;
                let (key, value) = (names.string(b)?, names.string(c)?);
                at.user(names.stack(d)?, EventKind::UserLog { task, key, value })
            }
            event if event >= WireEvent::Span => {
                at.on_thread()?;
                at.emit(None, EventKind::Experimental { event, args: [a, b, c] })
            }
            event => Err(DecodeErrorKind::UnexpectedByte {
                expected: "an event of a thread",
                found: event.byte(),
            }),
        }
    }

    #[inline]
    fn at(&self, thread: Option<Slot>, event: WireEvent) -> At {
        let Some(state) = thread.map(|slot| self.thread(slot)) else {
            return At {
                event,
                thread,
                proc: None,
                goroutine: None,
                context: Context::default(),
            };
        };
        let context = Context {
            thread: Some(state.id),
            proc: state.proc.map(|held| held.id),
            goroutine: state.goroutine.map(|held| held.id),
        };
        At {
            event,
            thread,
            proc: state.proc,
            goroutine: state.goroutine,
            context,
        }
    }

    #[inline]
    fn thread(&self, slot: Slot) -> &ThreadState {
        self.threads
            .get(index(slot))
            .expect("slots are handed out by the model")
    }

    #[inline]
    fn thread_mut(&mut self, slot: Slot) -> &mut ThreadState {
        self.threads
            .get_mut(index(slot))
            .expect("slots are handed out by the model")
    }

    fn sequence(&self, number: u64) -> Sequence {
        Sequence {
            epoch: self.epoch,
            number,
        }
    }
}

impl At {
    #[inline]
    fn emit(&self, stack: Option<StackId>, kind: EventKind) -> Answer {
        Ok(Step::Emit(Emitted {
            context: self.context,
            stack,
            kind,
        }))
    }

    /// Emits an event that needs user code and changes nothing.
    fn user(&self, stack: Option<StackId>, kind: EventKind) -> Answer {
        self.user_code()?;
        self.emit(stack, kind)
    }

    fn on_thread(&self) -> Result<Slot, DecodeErrorKind> {
        self.thread.ok_or_else(|| self.expected("a thread"))
    }

    fn on_proc(&self) -> Result<Held<ProcId>, DecodeErrorKind> {
        self.on_thread()?;
        self.proc.ok_or_else(|| self.expected("a proc"))
    }

    #[inline]
    fn user_code(&self) -> Result<UserCode, DecodeErrorKind> {
        let thread = self.on_thread()?;
        let proc = self.on_proc()?;
        let goroutine = self.goroutine.ok_or_else(|| self.expected("a goroutine"))?;
        Ok(UserCode {
            thread,
            proc,
            goroutine,
        })
    }

    #[cold]
    fn expected(&self, expected: &'static str) -> DecodeErrorKind {
        DecodeErrorKind::Order {
            event: self.event.name(),
            expected,
        }
    }
}

/// An id that an event must name.
fn named<I>(id: Option<I>, event: WireEvent, expected: &'static str) -> Result<I, DecodeErrorKind> {
    id.ok_or_else(|| DecodeErrorKind::Order {
        event: event.name(),
        expected,
    })
}

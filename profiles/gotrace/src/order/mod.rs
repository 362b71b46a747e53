//! The order of a program's events, found by playing the Go scheduler (internal/trace/order.go).
//!
//! Threads write their events independently and clocks disagree between them, so time alone does not order events.
//! Each goroutine and each proc counts the events that hand it over, and an event that takes it carries that count. The
//! model keeps what every thread, proc and goroutine is doing. Asked about the next event of a thread it answers:
//! * it happens now: the model has changed, and the event with its context is handed on ([`Step::Done`]);
//! * not yet: something else must happen to one resource first ([`Step::Wait`]);
//! * never: the trace contradicts itself (an error).
//!
//! Files: `pool` what is known of a resource; `procs`, `goroutines` and `gc` the rules by kind of event.

mod gc;
mod goroutines;
mod pool;
mod procs;

use foldhash::HashMap;

use self::gc::GcPhase;
pub(crate) use self::pool::{NO_LANE, Slot};
use self::pool::{Pool, Sequence, next_slot, wake};
use crate::clock::TraceNanos;
use crate::error::DecodeErrorKind;
use crate::event::{Context, EventKind, GoEvent, GoStatus, ProcStatus};
use crate::generation::WireNames;
use crate::ids::{GoroutineId, ProcId, StackId, TaskId, ThreadId, index};
use crate::spec::WireEvent;
use crate::wire::Args;

/// Takes events in their order.
pub(crate) trait Sink {
    /// `subject` is the model's number of the goroutine that the event is about, [`NO_SLOT`] if it is about none. Nobody
    /// else has that number until the goroutine has ended, or [`Order::begin_generation`] has forgotten everything.
    fn event(&mut self, event: GoEvent, subject: Slot);
}

/// No goroutine.
pub(crate) const NO_SLOT: Slot = u32::MAX;

/// Number of the thread that is none: that of the statuses at the end of a generation.
pub(crate) const NO_THREAD: Slot = 0;

/// Answer about the next event of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// It has happened, and the sink has it.
    Done {
        /// How many bytes its arguments take.
        args_bytes: usize,
    },
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
    /// `None` for [`NO_THREAD`] alone, which never holds anything.
    id: Option<ThreadId>,
    /// Whether an event of this thread, or about its goroutine, has been looked at.
    seen: bool,
    proc: Option<Held<ProcId>>,
    goroutine: Option<Held<GoroutineId>>,
}

impl ThreadState {
    fn new(id: Option<ThreadId>) -> Self {
        Self {
            id,
            seen: false,
            proc: None,
            goroutine: None,
        }
    }
}

/// Where and when the event under question happens.
#[derive(Clone, Copy, Debug)]
struct At {
    event: WireEvent,
    time: TraceNanos,
    thread: Slot,
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

/// Why an event cannot happen. Boxed, so that the answer for one that can stays in registers.
pub(crate) type Refusal = Box<DecodeErrorKind>;

/// What a rule says of an event: `None` if it has happened.
type Answer = Result<Option<Resource>, Refusal>;

/// An event that changes nothing: how many bytes its arguments take, its stack and what it is.
type Annotation = (usize, Option<StackId>, EventKind);

/// The step of an event whose arguments take so many bytes.
#[inline(always)]
fn done(args_bytes: usize) -> impl FnOnce(Option<Resource>) -> Step {
    move |waits| match waits {
        None => Step::Done { args_bytes },
        Some(resource) => Step::Wait(resource),
    }
}

/// What the time of a status of no thread is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StatusTimes {
    /// Right after the event before.
    #[default]
    OfWhatTheyTell,
    /// When the runtime wrote it. Go's reader does this.
    OfWriting,
}

/// The model of the scheduler.
#[derive(Debug)]
pub(crate) struct Order {
    /// Time of the latest event.
    last: TraceNanos,
    /// The current generation, counted from 1.
    epoch: u32,
    /// Whether nothing is known from a generation before.
    initial: bool,
    /// The first is [`NO_THREAD`].
    threads: Vec<ThreadState>,
    thread_slots: HashMap<ThreadId, Slot>,
    procs: Pool<ProcId, ProcStatus>,
    /// By slot of the proc: the thread that took it last.
    proc_holders: Vec<Slot>,
    goroutines: Pool<GoroutineId, GoStatus>,
    gc: GcPhase,
    gc_waiters: u32,
    /// See [`Self::status_time`].
    times: StatusTimes,
    /// Heads of lists of lanes that may go on.
    woken: Vec<u32>,
}

impl Order {
    pub(crate) fn new(times: StatusTimes) -> Self {
        Self {
            times,
            last: TraceNanos(0),
            epoch: 0,
            initial: true,
            threads: vec![ThreadState::new(None)],
            thread_slots: HashMap::default(),
            procs: Pool::new("procs"),
            proc_holders: Vec::new(),
            goroutines: Pool::new("goroutines"),
            gc: GcPhase::Undetermined,
            gc_waiters: NO_LANE,
            woken: Vec::new(),
        }
    }

    /// Starts a generation. An `initial` one builds on nothing: the first, and any after missing events.
    pub(crate) fn begin_generation(&mut self, initial: bool) {
        self.epoch = self.epoch.wrapping_add(1);
        self.initial = initial;
        self.gc_waiters = NO_LANE;
        self.woken.clear();
        if initial {
            self.threads.truncate(1);
            self.thread_slots = HashMap::default();
            self.procs.clear();
            self.proc_holders.clear();
            self.goroutines.clear();
            self.gc = GcPhase::Undetermined;
        }
    }

    /// The model's own number for a thread.
    ///
    /// # Errors
    /// If there are more threads than numbers.
    pub(crate) fn thread_slot(&mut self, id: ThreadId) -> Result<Slot, Refusal> {
        if let Some(slot) = self.thread_slots.get(&id) {
            return Ok(*slot);
        }
        let slot = next_slot(self.threads.len(), "threads")?;
        self.thread_slots.insert(id, slot);
        self.threads.push(ThreadState::new(Some(id)));
        Ok(slot)
    }

    /// Whether lanes may go on that waited.
    #[inline(always)]
    pub(crate) fn has_woken(&self) -> bool {
        !self.woken.is_empty()
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

    /// Time of the latest event.
    pub(crate) fn last(&self) -> TraceNanos {
        self.last
    }

    /// The time of an event at `time`: after all others, as Go's reader makes it. Cannot overflow: see `TickRate::nanos`.
    #[inline(always)]
    pub(crate) fn stamp(&mut self, time: TraceNanos) -> TraceNanos {
        self.last = TraceNanos(time.0.max(self.last.0.wrapping_add(1)));
        self.last
    }

    /// The time of a status. `traceAdvance` of the runtime writes those of no thread, which end a generation, while the
    /// next one is under way: on a busy machine tens of milliseconds later. They tell what has been true all the time. To
    /// let nothing happen before they were written would squeeze the start of the next generation into one instant.
    fn status_time(&self, at: &At) -> TraceNanos {
        match (at.thread, self.times) {
            (NO_THREAD, StatusTimes::OfWhatTheyTell) => self.last,
            _ => at.time,
        }
    }

    /// Asks whether the next event of a thread happens now, and if so hands it to the sink.
    ///
    /// # Errors
    /// The event contradicts what is known, or its arguments are damaged. Nothing has changed then.
    #[inline(always)]
    pub(crate) fn advance(
        &mut self,
        thread: Slot,
        event: WireEvent,
        time: TraceNanos,
        args: Args<'_>,
        names: &WireNames,
        sink: &mut impl Sink,
    ) -> Result<Step, Refusal> {
        // Where an event happens is put together in each arm that needs it at once, or it would go through memory.
        match event {
            WireEvent::GoStart => {
                let ([id, number], args_bytes) = args.read()?;
                let at = self.look(thread, event, time);
                self.go_start(&at, id, number, sink).map(done(args_bytes))
            }
            WireEvent::GoUnblock => {
                let ([id, number, stack], args_bytes) = args.read()?;
                let at = self.look(thread, event, time);
                self.go_unblock(&at, id, number, names.stack(stack)?, sink)
                    .map(done(args_bytes))
            }
            WireEvent::GoBlock => {
                let ([reason, stack], args_bytes) = args.read()?;
                let at = self.look(thread, event, time);
                let (reason, stack) = (names.string(reason)?, names.stack(stack)?);
                self.go_block(&at, reason, stack, sink).map(done(args_bytes))
            }
            WireEvent::GoStop => {
                let ([reason, stack], args_bytes) = args.read()?;
                let at = self.look(thread, event, time);
                let (reason, stack) = (names.string(reason)?, names.stack(stack)?);
                self.go_stop(&at, reason, stack, sink).map(done(args_bytes))
            }
            WireEvent::GoSyscallBegin => {
                let ([number, stack], args_bytes) = args.read()?;
                let at = self.look(thread, event, time);
                self.go_syscall_begin(&at, number, names.stack(stack)?, sink)
                    .map(done(args_bytes))
            }
            WireEvent::GoSyscallEnd => {
                let at = self.look(thread, event, time);
                self.go_syscall_end(&at, sink).map(done(0))
            }
            WireEvent::ProcStart => {
                let ([id, number], args_bytes) = args.read()?;
                let at = self.look(thread, event, time);
                self.proc_start(&at, id, number, sink).map(done(args_bytes))
            }
            WireEvent::ProcStop => {
                let at = self.look(thread, event, time);
                self.proc_stop(&at, sink).map(done(0))
            }
            _ => self.advance_rare(thread, event, time, args, names, sink),
        }
    }

    /// The other events that change something.
    #[inline(never)]
    fn advance_rare(
        &mut self,
        thread: Slot,
        event: WireEvent,
        time: TraceNanos,
        args: Args<'_>,
        names: &WireNames,
        sink: &mut impl Sink,
    ) -> Result<Step, Refusal> {
        let at = &self.look(thread, event, time);
        match event {
            WireEvent::GoCreate | WireEvent::GoCreateBlocked => {
                let ([id, entry, stack], args_bytes) = args.read()?;
                let blocked = event == WireEvent::GoCreateBlocked;
                let (entry, stack) = (names.stack(entry)?, names.stack(stack)?);
                self.go_create(at, id, entry, stack, blocked, sink)
                    .map(done(args_bytes))
            }
            WireEvent::GoDestroy => self.go_destroy(at, sink).map(done(0)),
            WireEvent::ProcSteal => {
                let ([id, number, from], args_bytes) = args.read()?;
                self.proc_steal(at, id, number, from, sink).map(done(args_bytes))
            }
            WireEvent::ProcStatus => {
                let ([id, status], args_bytes) = args.read()?;
                self.proc_status(at, id, status, sink).map(done(args_bytes))
            }
            WireEvent::GoCreateSyscall => {
                let ([id], args_bytes) = args.read()?;
                self.go_create_syscall(at, id, sink).map(done(args_bytes))
            }
            WireEvent::GoDestroySyscall => self.go_destroy_syscall(at, sink).map(done(0)),
            WireEvent::GoSyscallEndBlocked => self.go_syscall_end_blocked(at, sink).map(done(0)),
            WireEvent::GoStatus => {
                let ([id, thread, status], args_bytes) = args.read()?;
                self.go_status(at, id, thread, status, None, sink).map(done(args_bytes))
            }
            WireEvent::GoStatusStack => {
                let ([id, thread, status, stack], args_bytes) = args.read()?;
                self.go_status(at, id, thread, status, names.stack(stack)?, sink)
                    .map(done(args_bytes))
            }
            WireEvent::GoSwitch | WireEvent::GoSwitchDestroy => {
                let ([id, number], args_bytes) = args.read()?;
                self.go_switch(at, id, number, event == WireEvent::GoSwitchDestroy, sink)
                    .map(done(args_bytes))
            }
            WireEvent::GcActive => {
                let ([number], args_bytes) = args.read()?;
                self.gc_active(at, number, sink).map(done(args_bytes))
            }
            WireEvent::GcBegin => {
                let ([number, stack], args_bytes) = args.read()?;
                self.gc_begin(at, number, names.stack(stack)?, sink)
                    .map(done(args_bytes))
            }
            WireEvent::GcEnd => {
                let ([number], args_bytes) = args.read()?;
                self.gc_end(at, number, sink).map(done(args_bytes))
            }
            _ => {
                let (args_bytes, stack, kind) = self.annotation(at, args, names)?;
                self.emit(at, stack, kind, NO_SLOT, sink);
                Ok(Step::Done { args_bytes })
            }
        }
    }

    /// Events that change nothing in the model.
    fn annotation(&mut self, at: &At, args: Args<'_>, names: &WireNames) -> Result<Annotation, Refusal> {
        let annotation = match at.event {
            WireEvent::ProcsChange => {
                let ([gomaxprocs, stack], bytes) = args.read()?;
                at.user_code()?;
                (bytes, names.stack(stack)?, EventKind::ProcsChange { gomaxprocs })
            }
            WireEvent::StwBegin => {
                let ([kind, stack], bytes) = args.read()?;
                at.user_code()?;
                let kind = names.string(kind)?;
                (bytes, names.stack(stack)?, EventKind::StwBegin { kind })
            }
            WireEvent::StwEnd => {
                at.user_code()?;
                (0, None, EventKind::StwEnd)
            }
            WireEvent::GcMarkAssistBegin => {
                let ([stack], bytes) = args.read()?;
                let goroutine = at.user_code()?.goroutine.id;
                (bytes, names.stack(stack)?, EventKind::MarkAssistBegin { goroutine })
            }
            WireEvent::GcMarkAssistEnd => {
                let goroutine = at.user_code()?.goroutine.id;
                (0, None, EventKind::MarkAssistEnd { goroutine })
            }
            WireEvent::GcMarkAssistActive => {
                let ([id], bytes) = args.read()?;
                let goroutine = named(GoroutineId::new(id), at.event, "a goroutine")?;
                self.known_goroutine(goroutine, at.event)?;
                (bytes, None, EventKind::MarkAssistActive { goroutine })
            }
            WireEvent::GcSweepActive => {
                let ([id], bytes) = args.read()?;
                let proc = named(ProcId::new(id), at.event, "a proc")?;
                self.known_proc(proc, at.event)?;
                (bytes, None, EventKind::SweepActive { proc })
            }
            WireEvent::GcSweepBegin => {
                let ([stack], bytes) = args.read()?;
                let proc = at.on_proc()?.id;
                (bytes, names.stack(stack)?, EventKind::SweepBegin { proc })
            }
            WireEvent::GcSweepEnd => {
                let ([swept_bytes, reclaimed_bytes], bytes) = args.read()?;
                let kind = EventKind::SweepEnd {
                    proc: at.on_proc()?.id,
                    swept_bytes,
                    reclaimed_bytes,
                };
                (bytes, None, kind)
            }
            WireEvent::HeapAlloc => {
                let ([live_bytes], bytes) = args.read()?;
                at.on_proc()?;
                (bytes, None, EventKind::HeapAlloc { bytes: live_bytes })
            }
            WireEvent::HeapGoal => {
                let ([goal_bytes], bytes) = args.read()?;
                at.on_proc()?;
                (bytes, None, EventKind::HeapGoal { bytes: goal_bytes })
            }
            WireEvent::GoLabel => {
                let ([label], bytes) = args.read()?;
                at.user_code()?;
                let label = names.string(label)?;
                (bytes, None, EventKind::GoLabel { label })
            }
            _ => return user_annotation(at, args, names),
        };
        Ok(annotation)
    }

    #[inline(always)]
    fn emit(&mut self, at: &At, stack: Option<StackId>, kind: EventKind, subject: Slot, sink: &mut impl Sink) {
        let event = GoEvent {
            time: self.stamp(at.time),
            context: at.context,
            stack,
            kind,
        };
        sink.event(event, subject);
    }

    /// Where an event would happen that is looked at.
    #[inline(always)]
    fn look(&mut self, thread: Slot, event: WireEvent, time: TraceNanos) -> At {
        self.thread_mut(thread).seen = true;
        self.at(thread, event, time)
    }

    #[inline(always)]
    fn at(&self, thread: Slot, event: WireEvent, time: TraceNanos) -> At {
        let state = self.thread(thread);
        At {
            event,
            time,
            thread,
            proc: state.proc,
            goroutine: state.goroutine,
            context: Context {
                thread: state.id,
                proc: state.proc.map(|held| held.id),
                goroutine: state.goroutine.map(|held| held.id),
            },
        }
    }

    #[inline(always)]
    fn thread(&self, slot: Slot) -> &ThreadState {
        self.threads
            .get(index(slot))
            .expect("slots are handed out by the model")
    }

    #[inline(always)]
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
    fn on_thread(&self) -> Result<Slot, Refusal> {
        if self.thread == NO_THREAD {
            return Err(self.expected("a thread"));
        }
        Ok(self.thread)
    }

    #[inline(always)]
    fn on_proc(&self) -> Result<Held<ProcId>, Refusal> {
        self.proc.ok_or_else(|| self.expected("a proc"))
    }

    #[inline(always)]
    fn user_code(&self) -> Result<UserCode, Refusal> {
        let proc = self.on_proc()?;
        let goroutine = self.goroutine.ok_or_else(|| self.expected("a goroutine"))?;
        Ok(UserCode {
            thread: self.thread,
            proc,
            goroutine,
        })
    }

    #[inline(always)]
    fn expected(&self, expected: &'static str) -> Refusal {
        refusal(self.event, expected)
    }
}

/// Takes only the event: an [`At`] whose address nobody asks for stays in registers.
#[cold]
#[inline(never)]
fn refusal(event: WireEvent, expected: &'static str) -> Refusal {
    Box::new(DecodeErrorKind::Order {
        event: event.name(),
        expected,
    })
}

/// What programs write themselves, and experiments.
fn user_annotation(at: &At, args: Args<'_>, names: &WireNames) -> Result<Annotation, Refusal> {
    let task = |id| named(TaskId::new(id), at.event, "a task");
    let annotation = match at.event {
        WireEvent::UserTaskBegin => {
            let ([id, parent, name, stack], bytes) = args.read()?;
            at.user_code()?;
            let kind = EventKind::UserTaskBegin {
                task: task(id)?,
                parent: TaskId::new(parent).filter(|parent| *parent != TaskId::BACKGROUND),
                name: names.string(name)?,
            };
            (bytes, names.stack(stack)?, kind)
        }
        WireEvent::UserTaskEnd => {
            let ([id, stack], bytes) = args.read()?;
            at.user_code()?;
            (bytes, names.stack(stack)?, EventKind::UserTaskEnd { task: task(id)? })
        }
        WireEvent::UserRegionBegin | WireEvent::UserRegionEnd => {
            let ([id, name, stack], bytes) = args.read()?;
            at.user_code()?;
            let (task, name) = (task(id)?, names.string(name)?);
            let kind = match at.event {
                WireEvent::UserRegionBegin => EventKind::UserRegionBegin { task, name },
                _ => EventKind::UserRegionEnd { task, name },
            };
            (bytes, names.stack(stack)?, kind)
        }
        WireEvent::UserLog => {
            let ([id, key, value, stack], bytes) = args.read()?;
            at.user_code()?;
            let kind = EventKind::UserLog {
                task: task(id)?,
                key: names.string(key)?,
                value: names.string(value)?,
            };
            (bytes, names.stack(stack)?, kind)
        }
        event => return experiment(at, event, args),
    };
    Ok(annotation)
}

/// Events of the AllocFree experiment: an id and up to two numbers.
fn experiment(at: &At, event: WireEvent, args: Args<'_>) -> Result<Annotation, Refusal> {
    let ((id, value, kind_class), bytes) = match WireEvent::spec_of(event.byte()).map_or(0, |spec| spec.args.len()) {
        2 => args.read().map(|([id], bytes)| ((id, 0, 0), bytes))?,
        3 => args.read().map(|([id, value], bytes)| ((id, value, 0), bytes))?,
        4 => args
            .read()
            .map(|([id, value, class], bytes)| ((id, value, class), bytes))?,
        _ => {
            return Err(Box::new(DecodeErrorKind::UnexpectedByte {
                expected: "an event of a thread",
                found: event.byte(),
            }));
        }
    };
    at.on_thread()?;
    let kind = EventKind::Experimental {
        event,
        id,
        value,
        kind_class: u32::try_from(kind_class).unwrap_or(u32::MAX),
    };
    Ok((bytes, None, kind))
}

/// An id that an event must name.
#[inline(always)]
fn named<I>(id: Option<I>, event: WireEvent, expected: &'static str) -> Result<I, Refusal> {
    id.ok_or_else(|| refusal(event, expected))
}

//! What each goroutine was doing, as intervals that tile its life.

use std::ops::Range;

use crate::clock::TraceNanos;
use crate::generation::STACK_FRAMES_MAX;
use crate::id_index::IdIndex;
use crate::ids::{GoroutineId, ProcId, StackId, StringId, ThreadId, index};
use crate::tables::{StackTable, StringTable};

/// One goroutine, or one life of a goroutine id that the runtime reused for a later call from C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Its id.
    pub id: GoroutineId,
    /// Function that it started with. For a goroutine older than the trace: the root frame of the first stack seen on it
    /// (as Go's summary.go does), "main.main" for goroutine 1; `None` if no stack was seen.
    pub start_function: Option<StringId>,
    /// The goroutine that created it, if the trace shows it.
    pub creator: Option<GoroutineId>,
    /// Where its creator created it.
    pub creation_stack: Option<StackId>,
    /// When it was created; `None` if that was before the trace, or in a gap.
    pub birth: Option<TraceNanos>,
    /// When it ended; `None` if it outlived the trace, or ended in a gap.
    pub death: Option<TraceNanos>,
    /// Go's rule (`IsSystemGoroutine`): the start function is in package runtime but is not `runtime.main`, or is not known.
    pub is_system: bool,
    /// Start of its first interval: the later of its birth and the trace's start.
    pub first: TraceNanos,
    /// End of its last interval: the earlier of its death and the trace's end.
    pub last: TraceNanos,
    /// Its intervals, as positions in [`Recording::states`](crate::Recording::states).
    pub states: Range<usize>,
}

/// A stretch of time in which a goroutine kept one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateInterval {
    /// Whose state.
    pub goroutine: GoroutineId,
    /// The state.
    pub state: GoroutineState,
    /// First nanosecond.
    pub start: TraceNanos,
    /// One after the last nanosecond. Always after `start`.
    pub end: TraceNanos,
    /// The goroutine's own stack when it entered the state, where the trace has it: on blocking, stopping and entering a
    /// system call, and on creation (the start function).
    pub stack: Option<StackId>,
}

impl StateInterval {
    /// Length in nanoseconds.
    pub fn duration_ns(&self) -> i64 {
        self.end.0.saturating_sub(self.start.0)
    }
}

/// What a goroutine was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoroutineState {
    /// The trace does not say: before the first status of the goroutine, or where events are missing.
    Undetermined,
    /// Ready to run, waiting for a proc.
    Runnable {
        /// What made it ready.
        cause: RunnableCause,
    },
    /// Running.
    Running {
        /// On this proc.
        proc: Option<ProcId>,
        /// On this thread.
        thread: Option<ThreadId>,
    },
    /// In a system call or C code, while its thread still holds a proc.
    Syscall,
    /// In a system call or C code, without a proc: it was stolen or given up, or the call was under way already when the
    /// trace began.
    SyscallBlocked,
    /// Blocked.
    Waiting {
        /// For what.
        reason: WaitReason,
        /// Who ended it.
        waker: Waker,
        /// Where the waker was when it woke the goroutine.
        waker_stack: Option<StackId>,
    },
}

/// What made a goroutine runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunnableCause {
    /// It was created.
    Created,
    /// Its wait ended; the interval before says for what it had waited.
    Unblocked,
    /// The scheduler took its proc ("preempted").
    Preempted,
    /// It called `runtime.Gosched`.
    Yield,
    /// It stopped for another reason the runtime names.
    Stopped(StringId),
    /// It came out of a system call without a proc.
    SyscallExit,
    /// It was runnable when the trace began.
    Unknown,
}

/// Why a goroutine waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitReason {
    /// The runtime's own word: "sync", "chan receive", "select", "network", "sleep", ... (runtime/traceruntime.go).
    Runtime(StringId),
    /// A coroutine (`iter.Pull`) that another goroutine switches to, or that has not run yet.
    CoroutineSwitch,
    /// It waited already when the trace began: the runtime does not say for what.
    Unknown,
}

/// Who ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waker {
    /// This goroutine.
    Goroutine(GoroutineId),
    /// The runtime on no goroutine's behalf: network poller, timers, garbage collector.
    External,
    /// Nobody as far as the trace shows: it waited to the end, or into a gap.
    None,
}

/// The state that a goroutine is in while events are read.
#[derive(Clone, Copy, Debug)]
struct Current {
    state: GoroutineState,
    since: TraceNanos,
    stack: Option<StackId>,
    alive: bool,
}

/// Folds what happens to goroutines into intervals.
pub(super) struct StateBuilder {
    /// Start of the trace.
    start: TraceNanos,
    /// Every life, in the order in which the trace shows it. The final fields are set by `finish`.
    lives: Vec<Goroutine>,
    /// Parallel to `lives`.
    current: Vec<Current>,
    /// The latest life of each id.
    latest: IdIndex<GoroutineId>,
    /// Parallel to `lives`: closed intervals.
    closed: Vec<Vec<StateInterval>>,
    /// Lives that have left `Undetermined` since the last gap.
    determined: Vec<u32>,
}

impl StateBuilder {
    pub(super) fn new(start: TraceNanos) -> Self {
        Self {
            start,
            lives: Vec::new(),
            current: Vec::new(),
            latest: IdIndex::new(),
            closed: Vec::new(),
            determined: Vec::new(),
        }
    }

    /// A goroutine is born.
    pub(super) fn born(&mut self, id: GoroutineId, at: TraceNanos, state: GoroutineState, birth: Birth) {
        if let Some(before) = self.latest.find(id) {
            // The runtime reuses an id only after that goroutine's end, which a gap has hidden.
            self.end_life(before, at, None);
        }
        let life = self.add_life(
            id,
            at,
            Current {
                state,
                since: at,
                stack: birth.entry,
                alive: true,
            },
        );
        if let Some(goroutine) = self.lives.get_mut(index(life)) {
            goroutine.birth = Some(at);
            goroutine.creator = birth.creator;
            goroutine.creation_stack = birth.stack;
            goroutine.start_function = birth.function;
        }
    }

    /// A goroutine ends.
    pub(super) fn died(&mut self, id: GoroutineId, at: TraceNanos) {
        if let Some(life) = self.latest.find(id) {
            self.end_life(life, at, Some(at));
        }
    }

    /// The first status of a goroutine tells what it has been doing since the generation began.
    pub(super) fn found(
        &mut self,
        id: GoroutineId,
        generation_start: TraceNanos,
        state: GoroutineState,
        stack: Option<StackId>,
    ) {
        let before = self.latest.find(id);
        if let Some(life) = before
            && self.is_alive(life)
        {
            self.enter(life, generation_start, state, stack);
            self.determined.push(life);
            return;
        }
        let first = before
            .and_then(|life| self.lives.get(index(life)))
            .map_or(self.start, |dead| dead.last);
        let unknown = Current {
            state: GoroutineState::Undetermined,
            since: first,
            stack: None,
            alive: true,
        };
        let life = self.add_life(id, first, unknown);
        self.enter(life, generation_start, state, stack);
    }

    /// A goroutine changes state.
    #[inline]
    pub(super) fn changed(&mut self, id: GoroutineId, at: TraceNanos, state: GoroutineState, stack: Option<StackId>) {
        if let Some(life) = self.latest.find(id) {
            self.enter(life, at, state, stack);
        }
    }

    /// A waiting goroutine is made runnable.
    #[inline]
    pub(super) fn woken(&mut self, id: GoroutineId, at: TraceNanos, by: Option<GoroutineId>, stack: Option<StackId>) {
        let Some(life) = self.latest.find(id) else { return };
        if let Some(Current {
            state: GoroutineState::Waiting { waker, waker_stack, .. },
            ..
        }) = self.current.get_mut(index(life))
        {
            *waker = by.map_or(Waker::External, Waker::Goroutine);
            *waker_stack = stack;
        }
        self.enter(
            life,
            at,
            GoroutineState::Runnable {
                cause: RunnableCause::Unblocked,
            },
            None,
        );
    }

    /// The proc of a goroutine in a system call is gone.
    pub(super) fn lost_proc(&mut self, id: GoroutineId, at: TraceNanos) {
        let Some(life) = self.latest.find(id) else { return };
        if let Some(Current {
            state: GoroutineState::Syscall,
            stack,
            ..
        }) = self.current.get(index(life))
        {
            self.enter(life, at, GoroutineState::SyscallBlocked, *stack);
        }
    }

    /// A goroutine's own stack was seen: it tells where the goroutine started, and where it is if that is not known.
    #[inline]
    pub(super) fn seen_on(&mut self, id: GoroutineId, stack: StackId, stacks: &StackTable) {
        let Some(life) = self.latest.find(id) else { return };
        if let Some(goroutine) = self.lives.get_mut(index(life))
            && goroutine.start_function.is_none()
        {
            goroutine.start_function = root_function(stack, stacks);
        }
    }

    /// A status that confirms a state comes with the goroutine's stack.
    pub(super) fn still_on(&mut self, id: GoroutineId, at: StackId) {
        let Some(life) = self.latest.find(id) else { return };
        if let Some(current) = self.current.get_mut(index(life)) {
            current.stack.get_or_insert(at);
        }
    }

    /// Nothing is known of any goroutine from here on.
    pub(super) fn gap(&mut self, at: TraceNanos) {
        for life in std::mem::take(&mut self.determined) {
            if self.is_alive(life) {
                self.enter(life, at, GoroutineState::Undetermined, None);
            }
        }
    }

    fn add_life(&mut self, id: GoroutineId, first: TraceNanos, current: Current) -> u32 {
        let life = u32::try_from(self.lives.len()).expect("every life takes three bytes of input");
        self.lives.push(Goroutine {
            id,
            start_function: None,
            creator: None,
            creation_stack: None,
            birth: None,
            death: None,
            is_system: false,
            first,
            last: first,
            states: 0..0,
        });
        self.current.push(current);
        // Room for one: a flood of goroutines that never run has one interval each.
        self.closed.push(Vec::with_capacity(1));
        self.latest.insert(id, life);
        self.determined.push(life);
        life
    }

    fn is_alive(&self, life: u32) -> bool {
        self.current.get(index(life)).is_some_and(|current| current.alive)
    }

    fn end_life(&mut self, life: u32, at: TraceNanos, death: Option<TraceNanos>) {
        if !self.is_alive(life) {
            return;
        }
        self.enter(life, at, GoroutineState::Undetermined, None);
        if let Some(current) = self.current.get_mut(index(life)) {
            current.alive = false;
        }
        if let Some(goroutine) = self.lives.get_mut(index(life)) {
            goroutine.death = death;
            goroutine.last = at;
        }
    }

    /// Closes the interval that a life is in and opens the next one.
    #[inline]
    fn enter(&mut self, life: u32, at: TraceNanos, state: GoroutineState, stack: Option<StackId>) {
        let Some(current) = self.current.get_mut(index(life)) else {
            return;
        };
        let before = std::mem::replace(
            current,
            Current {
                state,
                since: at,
                stack,
                alive: true,
            },
        );
        if let (Some(goroutine), Some(closed)) = (self.lives.get(index(life)), self.closed.get_mut(index(life)))
            && at > before.since
        {
            let Current {
                state, since, stack, ..
            } = before;
            closed.push(StateInterval {
                goroutine: goroutine.id,
                state,
                start: since,
                end: at,
                stack,
            });
        }
    }

    /// Closes all intervals at the end of the trace and sorts everything by goroutine.
    pub(super) fn finish(mut self, end: TraceNanos, strings: &StringTable) -> (Vec<Goroutine>, Vec<StateInterval>) {
        for life in (0..).take(self.lives.len()) {
            self.end_life(life, end, None);
        }
        let mut states = Vec::with_capacity(self.closed.iter().map(Vec::len).sum());
        let mut lives: Vec<_> = self.lives.into_iter().zip(self.closed).collect();
        lives.sort_by_key(|(goroutine, _)| (goroutine.id, goroutine.first));
        let place = |(goroutine, closed): (Goroutine, Vec<StateInterval>)| {
            let first = states.len();
            states.extend(closed);
            let is_system = is_system_function(goroutine.start_function.map(|name| strings.bytes(name)));
            Goroutine {
                is_system,
                states: first..states.len(),
                ..goroutine
            }
        };
        let goroutines = lives.into_iter().map(place).collect();
        (goroutines, states)
    }
}

/// What is known of a goroutine's creation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Birth {
    pub(super) creator: Option<GoroutineId>,
    /// The creator's stack.
    pub(super) stack: Option<StackId>,
    /// The new goroutine's stack: its start function.
    pub(super) entry: Option<StackId>,
    pub(super) function: Option<StringId>,
}

/// The function that a goroutine started with: the root of any of its stacks, unless the stack was cut at the limit.
pub(super) fn root_function(stack: StackId, stacks: &StackTable) -> Option<StringId> {
    let frames = stacks.frames(stack);
    if frames.len() >= STACK_FRAMES_MAX {
        return None;
    }
    frames
        .last()
        .map(|frame| frame.function)
        .filter(|name| *name != StringId::EMPTY)
}

/// `IsSystemGoroutine` of internal/trace/summary.go.
fn is_system_function(name: Option<&[u8]>) -> bool {
    name.is_none_or(|name| name.starts_with(b"runtime.") && name != b"runtime.main")
}

//! What each goroutine was doing, as intervals that tile its life.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Symbols;
use crate::clock::TraceNanos;
use crate::generation::STACK_FRAMES_MAX;
use crate::ids::{GoroutineId, ProcId, StackId, StringId, ThreadId, index};
use crate::order::Slot;

/// One goroutine, or one life of a goroutine id that the runtime reused for a later call from C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Its id.
    pub id: GoroutineId,
    /// Number of this life, in the order in which the trace first shows them, from 0.
    pub life: u32,
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
    /// Its intervals, as positions in [`Recording::states`](crate::Recording::states); empty for a
    /// [`Visitor`](crate::Visitor), which has no such list.
    pub states: Range<usize>,
}

/// A stretch of time in which a goroutine kept one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateInterval {
    /// Whose state.
    pub goroutine: GoroutineId,
    /// Which of its lives: [`Goroutine::life`].
    pub life: u32,
    /// The state.
    pub state: GoroutineState,
    /// First nanosecond.
    pub start: TraceNanos,
    /// One after the last nanosecond. Always after `start`.
    pub end: TraceNanos,
    /// The goroutine's own stack when it entered the state, where the trace has it: on blocking, stopping and entering a
    /// system call, on creation (the start function), and from statuses (Go 1.23 and later). [`GoroutineState::SyscallBlocked`]
    /// keeps that of its call. A runnable state after a wait has none: see the interval before.
    pub stack: Option<StackId>,
}

impl StateInterval {
    /// Length in nanoseconds.
    pub fn duration_ns(&self) -> i64 {
        self.end.0.saturating_sub(self.start.0)
    }
}

/// What a goroutine was doing.
///
/// A closed set: who adds up time must know every state there is. A new one would be a breaking change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoroutineState {
    /// The trace does not say: events are missing, from a gap to the start of the next generation that could be read.
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
#[non_exhaustive]
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
///
/// A closed set: reasons that a later runtime invents are [`WaitReason::Runtime`], too.
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
///
/// A closed set: a goroutine, anything else, or nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waker {
    /// This goroutine.
    Goroutine(GoroutineId),
    /// The runtime on no goroutine's behalf: network poller, timers, garbage collector.
    External,
    /// Nobody as far as the trace shows: it waited to the end, or into a gap.
    None,
}

/// What a goroutine is doing while events are read. Small: every event changes one of them.
#[derive(Clone, Copy, Debug)]
struct Current {
    goroutine: GoroutineId,
    life: u32,
    stack: Option<StackId>,
    since: TraceNanos,
    state: GoroutineState,
    /// Whether the function that it started with is known.
    is_rooted: bool,
}

/// A goroutine that lives.
#[derive(Clone, Debug)]
struct Life {
    current: Current,
    goroutine: Goroutine,
}

/// Takes closed intervals and ended goroutines.
pub(super) trait Sink {
    fn state(&mut self, interval: &StateInterval);
    fn goroutine(&mut self, goroutine: &Goroutine);
}

/// Folds what happens to goroutines into intervals. Goroutines are addressed by the scheduler model's slots.
#[derive(Debug, Default)]
pub(super) struct StateBuilder {
    /// By slot.
    current: Vec<Option<Current>>,
    /// By slot: what is needed seldom.
    goroutines: Vec<Option<Goroutine>>,
    /// Those that were alive before the latest gap and have not been met since.
    adrift: BTreeMap<GoroutineId, Life>,
    lives_count: u32,
    /// The first moment of the first life for which there was no number. It and later ones are left out.
    left_out_since: Option<TraceNanos>,
    /// Start of the trace, or the latest gap: before it, a goroutine that is met now did not exist.
    stretch_start: TraceNanos,
    /// The latest answer of [`Self::runnable_since`], and the work since.
    runnable_since: TraceNanos,
    unlooked: u64,
}

impl StateBuilder {
    pub(super) fn start(&mut self, at: TraceNanos) {
        self.runnable_since = at;
        self.stretch_start = at;
    }

    /// A goroutine is born.
    pub(super) fn born(
        &mut self,
        slot: Slot,
        id: GoroutineId,
        (generation_start, at): (TraceNanos, TraceNanos),
        state: GoroutineState,
        birth: Birth,
        sink: &mut impl Sink,
    ) {
        if let Some(before) = self.take_adrift(id) {
            // The runtime reuses an id only after that goroutine's end, which the gap has hidden: the generation would have
            // announced it.
            end_life(before, generation_start, None, sink);
        }
        if let Some(life) = self.life(id, at, state, birth) {
            self.settle(slot, life);
        }
    }

    /// A goroutine ends.
    pub(super) fn died(&mut self, slot: Slot, at: TraceNanos, sink: &mut impl Sink) {
        if let Some(life) = self.unsettle(slot) {
            end_life(life, at, Some(at), sink);
        }
    }

    /// The first status of a goroutine tells what it has been doing since the generation began.
    pub(super) fn found(
        &mut self,
        slot: Slot,
        id: GoroutineId,
        generation_start: TraceNanos,
        state: GoroutineState,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) {
        let first = self.stretch_start;
        let adrift = self.take_adrift(id);
        if let Some(life) = adrift.or_else(|| self.life(id, first, GoroutineState::Undetermined, Birth::default())) {
            self.settle(slot, life);
            self.changed(slot, generation_start, state, stack, sink);
        }
    }

    /// A goroutine changes state.
    #[inline(always)]
    pub(super) fn changed(
        &mut self,
        slot: Slot,
        at: TraceNanos,
        state: GoroutineState,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) {
        if let Some(Some(current)) = self.current.get_mut(index(slot)) {
            current.change(at, state, stack, sink);
        }
    }

    /// A waiting goroutine is made runnable.
    #[inline(always)]
    pub(super) fn woken(
        &mut self,
        slot: Slot,
        at: TraceNanos,
        by: Option<GoroutineId>,
        stack: Option<StackId>,
        sink: &mut impl Sink,
    ) {
        let Some(Some(current)) = self.current.get_mut(index(slot)) else {
            return;
        };
        let waited = match current.state {
            GoroutineState::Waiting { reason, .. } => GoroutineState::Waiting {
                reason,
                waker: by.map_or(Waker::External, Waker::Goroutine),
                waker_stack: stack,
            },
            other => other,
        };
        current.leave(waited, at, sink);
        let cause = RunnableCause::Unblocked;
        current.enter(at, GoroutineState::Runnable { cause }, None);
    }

    /// The proc of a goroutine in a system call is gone.
    pub(super) fn lost_proc(&mut self, slot: Slot, at: TraceNanos, sink: &mut impl Sink) {
        if let Some(Some(current)) = self.current.get_mut(index(slot))
            && current.state == GoroutineState::Syscall
        {
            current.change(at, GoroutineState::SyscallBlocked, current.stack, sink);
        }
    }

    /// A goroutine's own stack was seen: it tells where the goroutine started.
    #[inline(always)]
    pub(super) fn seen_on(&mut self, slot: Slot, stack: StackId, symbols: &Symbols) {
        if let Some(Some(current)) = self.current.get_mut(index(slot))
            && !current.is_rooted
            && let Some(Some(goroutine)) = self.goroutines.get_mut(index(slot))
        {
            goroutine.set_start_function(root_function(stack, symbols), symbols);
            current.is_rooted = goroutine.start_function.is_some();
        }
    }

    /// A status that confirms a state comes with the goroutine's stack.
    pub(super) fn still_on(&mut self, slot: Slot, at: StackId) {
        if let Some(Some(current)) = self.current.get_mut(index(slot)) {
            current.stack.get_or_insert(at);
        }
    }

    /// Nothing is known of any goroutine from here on.
    pub(super) fn gap(&mut self, at: TraceNanos, sink: &mut impl Sink) {
        self.stretch_start = at;
        for mut life in self.unsettle_all() {
            life.current.change(at, GoroutineState::Undetermined, None, sink);
            self.adrift.insert(life.current.goroutine, life);
        }
    }

    /// A generation has been read to its end: it has told of every goroutine that lived at its start. The others ended in
    /// the gap before it.
    pub(super) fn generation_ends(&mut self, start: TraceNanos, sink: &mut impl Sink) {
        for life in std::mem::take(&mut self.adrift).into_values() {
            end_life(life, start, None, sink);
        }
    }

    /// A moment before which no state began in which a goroutine is runnable now. `now` is the latest moment, and
    /// `work` how much has been read, in any unit: all goroutines are looked at only when that is more than they are.
    pub(super) fn runnable_since(&mut self, now: TraceNanos, work: u64) -> TraceNanos {
        self.unlooked = self.unlooked.saturating_add(work);
        if self.unlooked >= self.current.len() as u64 {
            let runnable = |current: &&Current| matches!(current.state, GoroutineState::Runnable { .. });
            let open = self.current.iter().flatten().filter(runnable);
            self.runnable_since = open.map(|current| current.since).min().unwrap_or(now);
            self.unlooked = 0;
        }
        self.runnable_since
    }

    /// The trace ends, and with it all that is open.
    pub(super) fn finish(&mut self, end: TraceNanos, sink: &mut impl Sink) {
        for life in self.unsettle_all() {
            end_life(life, end, None, sink);
        }
        self.generation_ends(end, sink);
    }

    fn take_adrift(&mut self, id: GoroutineId) -> Option<Life> {
        if self.adrift.is_empty() {
            return None;
        }
        self.adrift.remove(&id)
    }

    /// Since when goroutines are left out, if numbers have run out.
    pub(super) fn left_out_since(&self) -> Option<TraceNanos> {
        self.left_out_since
    }

    /// A new life. `None` if all numbers are given away.
    fn life(&mut self, id: GoroutineId, first: TraceNanos, state: GoroutineState, birth: Birth) -> Option<Life> {
        let life = self.lives_count;
        let Some(lives_count) = life.checked_add(1) else {
            self.left_out_since.get_or_insert(first);
            return None;
        };
        self.lives_count = lives_count;
        let mut goroutine = Goroutine {
            id,
            life,
            start_function: None,
            creator: birth.creator,
            creation_stack: birth.stack,
            birth: birth.at,
            death: None,
            is_system: true,
            first,
            last: first,
            states: 0..0,
        };
        if let Some((function, is_system)) = birth.function {
            goroutine.start_function = Some(function);
            goroutine.is_system = is_system;
        }
        let current = Current {
            goroutine: id,
            life,
            stack: birth.entry,
            since: first,
            state,
            is_rooted: goroutine.start_function.is_some(),
        };
        Some(Life { current, goroutine })
    }

    fn settle(&mut self, slot: Slot, life: Life) {
        let position = index(slot);
        if position >= self.current.len() {
            let count = position.saturating_add(1);
            self.current.resize(count, None);
            self.goroutines.resize(count, None);
        }
        if let (Some(current), Some(goroutine)) = (self.current.get_mut(position), self.goroutines.get_mut(position)) {
            *current = Some(life.current);
            *goroutine = Some(life.goroutine);
        }
    }

    /// Empties all slots: they are numbered anew after this.
    fn unsettle_all(&mut self) -> impl Iterator<Item = Life> + use<> {
        let current = std::mem::take(&mut self.current).into_iter().flatten();
        let goroutines = std::mem::take(&mut self.goroutines).into_iter().flatten();
        current
            .zip(goroutines)
            .map(|(current, goroutine)| Life { current, goroutine })
    }

    fn unsettle(&mut self, slot: Slot) -> Option<Life> {
        let current = self.current.get_mut(index(slot))?.take()?;
        let goroutine = self.goroutines.get_mut(index(slot))?.take()?;
        Some(Life { current, goroutine })
    }
}

impl Current {
    /// Closes the interval and opens the next one.
    #[inline(always)]
    fn change(&mut self, at: TraceNanos, state: GoroutineState, stack: Option<StackId>, sink: &mut impl Sink) {
        self.leave(self.state, at, sink);
        self.enter(at, state, stack);
    }

    /// Closes the interval, of which `state` is what is known now.
    #[inline(always)]
    fn leave(&self, state: GoroutineState, at: TraceNanos, sink: &mut impl Sink) {
        if at > self.since {
            sink.state(&StateInterval {
                goroutine: self.goroutine,
                life: self.life,
                state,
                start: self.since,
                end: at,
                stack: self.stack,
            });
        }
    }

    #[inline(always)]
    fn enter(&mut self, at: TraceNanos, state: GoroutineState, stack: Option<StackId>) {
        self.state = state;
        self.since = at;
        self.stack = stack;
    }
}

impl Goroutine {
    fn set_start_function(&mut self, function: Option<StringId>, symbols: &Symbols) {
        self.start_function = function;
        self.is_system = is_system_function(function.map(|name| symbols.bytes(name)));
    }
}

/// Closes the interval that a goroutine is in, and the goroutine.
fn end_life(life: Life, at: TraceNanos, death: Option<TraceNanos>, sink: &mut impl Sink) {
    let Life { mut current, goroutine } = life;
    current.change(at, GoroutineState::Undetermined, None, sink);
    sink.goroutine(&Goroutine {
        death,
        last: at,
        ..goroutine
    });
}

/// What is known of a goroutine's creation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Birth {
    pub(super) at: Option<TraceNanos>,
    pub(super) creator: Option<GoroutineId>,
    /// The creator's stack.
    pub(super) stack: Option<StackId>,
    /// The new goroutine's stack: its start function.
    pub(super) entry: Option<StackId>,
    /// The start function, and whether it is one of the runtime's own.
    pub(super) function: Option<(StringId, bool)>,
}

/// The function that a goroutine started with: the root of any of its stacks, unless the stack was cut at the limit.
pub(super) fn root_function(stack: StackId, symbols: &Symbols) -> Option<StringId> {
    let frames = symbols.frames(stack);
    if frames.len() >= STACK_FRAMES_MAX {
        return None;
    }
    frames
        .last()
        .map(|frame| frame.function)
        .filter(|name| *name != StringId::EMPTY)
}

/// `IsSystemGoroutine` of internal/trace/summary.go.
pub(super) fn is_system_function(name: Option<&[u8]>) -> bool {
    name.is_none_or(|name| name.starts_with(b"runtime.") && name != b"runtime.main")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told {
        states: Vec<StateInterval>,
        goroutines: Vec<Goroutine>,
    }

    impl Sink for Told {
        fn state(&mut self, interval: &StateInterval) {
            self.states.push(*interval);
        }

        fn goroutine(&mut self, goroutine: &Goroutine) {
            self.goroutines.push(goroutine.clone());
        }
    }

    #[test]
    fn goroutines_beyond_the_last_number_are_left_out() {
        let mut builder = StateBuilder {
            lives_count: u32::MAX - 1,
            ..StateBuilder::default()
        };
        let mut told = Told::default();
        let state = GoroutineState::Syscall;
        for slot in 0..3 {
            let id = GoroutineId::new(u64::from(slot)).unwrap();
            let at = TraceNanos(10 * i64::from(slot));
            builder.born(slot, id, (TraceNanos(0), at), state, Birth::default(), &mut told);
        }
        for slot in 0..3 {
            builder.changed(slot, TraceNanos(100), GoroutineState::SyscallBlocked, None, &mut told);
            builder.died(slot, TraceNanos(200), &mut told);
        }
        builder.finish(TraceNanos(300), &mut told);
        assert_eq!(told.states.len(), 2);
        assert_eq!(told.goroutines.len(), 1);
        assert_eq!(builder.left_out_since(), Some(TraceNanos(10)));
    }
}

//! What a goroutine was doing, finer than the decoder says it: base states cut by overlays, waits told apart by stacks.

use gotrace::{
    GoroutineId, GoroutineState, Lookup, Recording, RunnableCause, RuntimeRange, StackId, StateInterval, StringId,
    Symbols, TraceNanos, WaitReason, Waker,
};
use spandrel_model::State;

use super::answers::{Answers, Question};
use super::overlay::Overlays;
use super::rules::{Blocked, COROUTINE, RefinedState, StateRules, SubStateId};

/// A part of a state interval in which the refined state is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'r> {
    /// First nanosecond.
    pub start: TraceNanos,
    /// One after the last nanosecond. Always after `start`.
    pub end: TraceNanos,
    /// The state.
    pub state: State,
    /// Finer kind, such as `recv` or `unblocked`; empty when there is none.
    pub sub_state: &'r str,
    /// The same as a small number, see [`StateRules::sub_states`].
    pub sub_state_id: SubStateId,
}

/// Refines the state intervals of one recording, one at a time.
#[derive(Debug)]
pub struct Refiner<'a> {
    recording: &'a Recording,
    base: BaseStates<'a>,
    overlays: Overlays,
}

impl<'a> Refiner<'a> {
    /// Refines by the built-in rules.
    pub fn new(recording: &'a Recording) -> Self {
        Self::with_rules(recording, StateRules::built_in())
    }

    /// Refines by `rules`.
    pub fn with_rules(recording: &'a Recording, rules: &'a StateRules) -> Self {
        Self {
            recording,
            base: BaseStates::new(rules),
            overlays: Overlays::of(recording),
        }
    }

    /// Calls `each` for the parts of `interval`, an interval of this recording, in the order of time. The parts tile it.
    pub fn refine(&mut self, interval: &StateInterval, mut each: impl FnMut(Piece<'a>)) {
        let RefinedState {
            state: base,
            sub_state: sub_state_id,
        } = self.base.of(interval, self.recording.symbols());
        let sub_state = self.base.rules.sub_state(sub_state_id);
        let span = (interval.start, interval.end);
        self.overlays.cut(interval.goroutine, base, span, |start, end, state| {
            each(Piece {
                start,
                end,
                state,
                sub_state,
                sub_state_id,
            });
        });
    }
}

/// Refines the state intervals of a trace while it is read: a [`Visitor`](gotrace::Visitor) passes on what it gets.
///
/// The parts of an interval are those that [`Refiner`] finds.
#[derive(Debug)]
pub struct LiveRefiner<'a> {
    base: BaseStates<'a>,
    overlays: Overlays,
}

impl<'a> LiveRefiner<'a> {
    /// Refines by `rules`.
    pub fn new(rules: &'a StateRules) -> Self {
        Self {
            base: BaseStates::new(rules),
            overlays: Overlays::default(),
        }
    }

    /// To be called by [`Visitor::range_begins`](gotrace::Visitor::range_begins).
    pub fn range_begins(&mut self, range: &RuntimeRange) {
        self.overlays.begin(range);
    }

    /// To be called by [`Visitor::range`](gotrace::Visitor::range).
    pub fn range_ends(&mut self, range: &RuntimeRange) {
        self.overlays.end(range);
    }

    /// To be called by [`Visitor::generation`](gotrace::Visitor::generation).
    pub fn generation_begins(&mut self, runnable_since: TraceNanos) {
        self.overlays.forget_stops_before(runnable_since);
    }

    /// To be called by [`Visitor::goroutine`](gotrace::Visitor::goroutine).
    pub fn goroutine_ends(&mut self, goroutine: GoroutineId) {
        self.overlays.forget_work_before(goroutine, TraceNanos(i64::MAX));
    }

    /// To be called by [`Visitor::state`](gotrace::Visitor::state). Calls `each` for the parts of `interval`, in the order
    /// of time. The parts tile it.
    pub fn refine(&mut self, interval: &StateInterval, lookup: Lookup<'_>, mut each: impl FnMut(Piece<'a>)) {
        let refined = self.base_state(interval, lookup);
        let sub_state = self.base.rules.sub_state(refined.sub_state);
        self.cut(interval, refined.state, |start, end, state| {
            each(Piece {
                start,
                end,
                state,
                sub_state,
                sub_state_id: refined.sub_state,
            });
        });
    }

    /// State and sub-state of an interval before it is cut.
    #[inline]
    pub(super) fn base_state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) -> RefinedState {
        self.base.of(interval, lookup.symbols)
    }

    /// Whether [`Self::cut`] may cut an interval of this base state that starts at `from`.
    #[inline]
    pub(super) fn may_cut(&self, base: State, from: TraceNanos) -> bool {
        self.overlays.may_cut(base, from)
    }

    /// Cuts an interval of a base state by what the runtime did meanwhile.
    pub(super) fn cut(
        &mut self,
        interval: &StateInterval,
        base: State,
        piece: impl FnMut(TraceNanos, TraceNanos, State),
    ) {
        let span = (interval.start, interval.end);
        self.overlays.cut(interval.goroutine, base, span, piece);
        if base == State::Running {
            self.overlays.forget_work_before(interval.goroutine, interval.end);
        }
    }
}

/// State and sub-state of intervals before overlays, asked of the rules once for each stack.
#[derive(Debug)]
pub(super) struct BaseStates<'a> {
    pub(super) rules: &'a StateRules,
    answers: Answers,
}

impl<'a> BaseStates<'a> {
    pub(super) fn new(rules: &'a StateRules) -> Self {
        Self {
            rules,
            answers: Answers::default(),
        }
    }

    /// `symbols` are always those of the same trace.
    #[inline]
    pub(super) fn of(&mut self, interval: &StateInterval, symbols: &Symbols) -> RefinedState {
        let plain = |state, sub_state| RefinedState { state, sub_state };
        match interval.state {
            GoroutineState::Undetermined => plain(State::Unknown, SubStateId::STATE_NOT_RECORDED),
            GoroutineState::Running { .. } => plain(State::Running, SubStateId::NONE),
            GoroutineState::Runnable { cause } => plain(State::Runnable, runnable(cause)),
            GoroutineState::Syscall => self.system_call(interval.stack, true, symbols),
            GoroutineState::SyscallBlocked => self.system_call(interval.stack, false, symbols),
            GoroutineState::Waiting { reason, waker, .. } => {
                self.wait(reason, interval.stack, waker == Waker::External, symbols)
            }
        }
    }

    fn system_call(&mut self, stack: Option<StackId>, has_p: bool, symbols: &Symbols) -> RefinedState {
        let rules = self.rules;
        self.answers.of(stack, Question::SystemCall, has_p, || {
            refine(rules, symbols, Blocked::InSystemCall { has_p }, stack)
        })
    }

    fn wait(
        &mut self,
        reason: WaitReason,
        stack: Option<StackId>,
        ended_externally: bool,
        symbols: &Symbols,
    ) -> RefinedState {
        let rules = self.rules;
        let question = match reason {
            WaitReason::Runtime(id) => Question::Wait(id),
            WaitReason::CoroutineSwitch => Question::Coroutine,
            WaitReason::Unknown => Question::WaitSinceBefore,
        };
        self.answers.of(stack, question, ended_externally, || {
            let waiting = |reason| Blocked::Waiting {
                reason,
                ended_externally,
            };
            match reason {
                WaitReason::Runtime(id) => refine(rules, symbols, waiting(&symbols.text(id)), stack),
                WaitReason::CoroutineSwitch => refine(rules, symbols, waiting(COROUTINE), stack),
                WaitReason::Unknown => refine(rules, symbols, Blocked::WaitingSinceBefore { ended_externally }, stack),
            }
        })
    }
}

/// What the rules say.
fn refine(rules: &StateRules, symbols: &Symbols, blocked: Blocked<'_>, stack: Option<StackId>) -> RefinedState {
    let frames = stack.map_or(&[][..], |stack| symbols.frames(stack));
    let functions: Vec<_> = frames
        .iter()
        .take(rules.frames_seen())
        .map(|frame| symbols.text(frame.function))
        .collect();
    let functions: Vec<&str> = functions.iter().map(AsRef::as_ref).collect();
    rules.refine(blocked, &functions)
}

/// The sub-state of a runnable goroutine.
fn runnable(cause: RunnableCause) -> SubStateId {
    match cause {
        RunnableCause::Created => SubStateId::CREATED,
        RunnableCause::Unblocked => SubStateId::UNBLOCKED,
        RunnableCause::Preempted => SubStateId::PREEMPTED,
        RunnableCause::Yield => SubStateId::YIELD,
        RunnableCause::Stopped(_) => SubStateId::STOPPED,
        RunnableCause::SyscallExit => SubStateId::SYSCALL_EXIT,
        _ => SubStateId::NONE,
    }
}

/// The runtime's own word for why a goroutine entered a state, where it gave one that the state does not imply.
pub fn raw_reason(state: GoroutineState) -> Option<StringId> {
    match state {
        GoroutineState::Waiting {
            reason: WaitReason::Runtime(reason),
            ..
        }
        | GoroutineState::Runnable {
            cause: RunnableCause::Stopped(reason),
        } => Some(reason),
        GoroutineState::Waiting { .. }
        | GoroutineState::Runnable { .. }
        | GoroutineState::Undetermined
        | GoroutineState::Running { .. }
        | GoroutineState::Syscall
        | GoroutineState::SyscallBlocked => None,
    }
}

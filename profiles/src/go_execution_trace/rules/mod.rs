//! From the runtime's reason strings and stacks to states: an ordered table, first match wins.
//!
//! Go reports few reasons. "sync" is everything built on semaphores (`runtime/sema.go`), "network" everything that the
//! poller watches, and a system call has no reason at all. The innermost frames of the goroutine's stack say more:
//! which kind of lock, a TLS handshake or an idle connection, a read or an fsync. A rule names a reason and the frames
//! that must be there, and gives a state and a finer word, the *sub-state*.
//!
//! ```text
//! reason    frames, innermost first                               state, sub-state
//! select    database/sql.(*DB).conn                               select, db_pool
//! sync      sync.(*WaitGroup).Wait, ...errgroup.(*Group).Wait     waitgroup, errgroup
//! sync      sync.(*WaitGroup)                                     waitgroup
//! ```
//!
//! A user's rules come before the built-in ones. An unknown reason is [`State::Other`], and the reason itself stays
//! beside it. What the words mean is in `docs/states.md`.

mod built_in;
mod parking;
mod sub_state;
mod system_calls;
#[cfg(test)]
mod tests;
mod user_rule;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use spandrel_model::{FunctionPattern, State};

pub use self::sub_state::SubStateId;
pub use self::user_rule::{
    InvalidStateRule, RULE_STATES, RuleFault, StateRule, USER_RULES_MAX, WITHIN_DEFAULT, WITHIN_MAX,
};

use self::parking::{LEFT_OUT_MAX, parking};
use self::sub_state::SubStates;

/// In a user's rule: any reason.
pub const ANY: &str = "*";
/// Stands for the reason of goroutines in system calls and C code, to which the runtime gives none.
pub const SYSCALL: &str = "syscall";
/// Stands for the reason of coroutines (`iter.Pull`) that nobody has resumed, to which the runtime gives none.
pub const COROUTINE: &str = "coroutine";

/// Why a goroutine stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked<'a> {
    /// It waits.
    Waiting {
        /// The runtime's word (`runtime/traceruntime.go`), or [`COROUTINE`].
        reason: &'a str,
        /// No goroutine ended the wait, but the network poller, a timer or the garbage collector.
        ended_externally: bool,
    },
    /// It waits, and did so before the recording began, so that the runtime gave no reason.
    WaitingSinceBefore {
        /// As above.
        ended_externally: bool,
    },
    /// It is in a system call or in C code.
    InSystemCall {
        /// Its thread still holds a processor of the runtime.
        has_p: bool,
    },
}

/// What the rules make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefinedState {
    /// The state.
    pub state: State,
    /// The finer word.
    pub sub_state: SubStateId,
}

/// The rules, in the order in which they are tried.
///
/// Tried once for each distinct reason and stack, so their number matters little.
#[derive(Clone, Debug)]
pub struct StateRules {
    user_rules: Vec<StateRule>,
    /// Which of the user's rules have given a state. Clones know it together.
    used: Arc<[AtomicBool]>,
    rules: Vec<Rule>,
    sub_states: SubStates,
    frames_seen: usize,
}

#[derive(Clone, Debug)]
struct Rule {
    reason: Reason,
    /// All must match, in this order, innermost first.
    frames: Vec<FunctionPattern>,
    within: usize,
    only_ended_externally: bool,
    gives: Outcome,
}

#[derive(Clone, Debug)]
enum Reason {
    Any,
    Exactly(Box<str>),
}

/// What a rule gives to a goroutine that waits, and to one in a system call with and without a P.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    waiting: RefinedState,
    with_p: RefinedState,
    without_p: RefinedState,
}

impl Default for StateRules {
    fn default() -> Self {
        Self::assemble(Vec::new(), Vec::new(), SubStates::new())
    }
}

impl StateRules {
    /// The rules without any of a user's.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<StateRules> = LazyLock::new(StateRules::default);
        &BUILT_IN
    }

    /// The user's rules, in their order, before the built-in ones.
    ///
    /// # Errors
    /// Every fault of every rule.
    pub fn with_user_rules(rules: &[StateRule]) -> Result<Self, Vec<InvalidStateRule>> {
        let mut sub_states = SubStates::new();
        let checked = user_rule::check(rules, &mut sub_states)?;
        Ok(Self::assemble(rules.to_vec(), checked, sub_states))
    }

    fn assemble(user_rules: Vec<StateRule>, mut rules: Vec<Rule>, mut sub_states: SubStates) -> Self {
        let built_in = built_in::WAITS.iter().chain(system_calls::SYSTEM_CALLS);
        rules.extend(built_in.map(|rule| rule.checked(&mut sub_states)));
        let frames_seen = rules.iter().map(|rule| rule.within).max().unwrap_or_default();
        Self {
            used: user_rules.iter().map(|_| AtomicBool::new(false)).collect(),
            user_rules,
            rules,
            sub_states,
            frames_seen: frames_seen + LEFT_OUT_MAX,
        }
    }

    /// The state of a goroutine that stands still at a stack.
    ///
    /// `functions` are the names of its functions as the trace has them, innermost first: the first
    /// [`Self::frames_seen`] or all. Without a stack they are empty.
    pub fn refine(&self, blocked: Blocked<'_>, functions: &[&str]) -> RefinedState {
        let (functions, told) = parking(functions);
        let (reason, ended_externally) = match blocked {
            Blocked::Waiting {
                reason,
                ended_externally,
            } => (reason, ended_externally),
            Blocked::WaitingSinceBefore { ended_externally } => match told {
                Some(reason) => (reason, ended_externally),
                None => {
                    return RefinedState {
                        state: State::Other,
                        sub_state: SubStateId::BEGAN_BEFORE_RECORDING,
                    };
                }
            },
            Blocked::InSystemCall { .. } => (SYSCALL, false),
        };
        let functions: Vec<Cow<'_, str>> = functions
            .iter()
            .map(|name| FunctionPattern::without_type_arguments(name))
            .collect();
        let outcome = self.first_match(reason, ended_externally, &functions);
        match (blocked, outcome) {
            (Blocked::InSystemCall { has_p: true }, Some(outcome)) => outcome.with_p,
            (Blocked::InSystemCall { has_p: false }, Some(outcome)) => outcome.without_p,
            (Blocked::Waiting { .. } | Blocked::WaitingSinceBefore { .. }, Some(outcome)) => outcome.waiting,
            (_, None) => RefinedState {
                state: State::Other,
                sub_state: SubStateId::NONE,
            },
        }
    }

    fn first_match(&self, reason: &str, ended_externally: bool, functions: &[Cow<'_, str>]) -> Option<Outcome> {
        let mut rules = self.rules.iter();
        let position = rules.position(|rule| rule.matches(reason, ended_externally, functions))?;
        if let Some(used) = self.used.get(position) {
            used.store(true, Ordering::Relaxed);
        }
        Some(self.rules[position].gives)
    }

    /// The user's rules.
    pub fn user_rules(&self) -> &[StateRule] {
        &self.user_rules
    }

    /// The user's rules that have given no state to anything that [`Self::refine`] was asked about, with their positions,
    /// counted from 0: their conditions never held, or an earlier rule came first.
    pub fn unused_user_rules(&self) -> impl Iterator<Item = (usize, &StateRule)> {
        let rules = self.user_rules.iter().enumerate();
        rules.filter(|(position, _)| !self.used[*position].load(Ordering::Relaxed))
    }

    /// How many frames, from the innermost, [`Self::refine`] looks at.
    pub fn frames_seen(&self) -> usize {
        self.frames_seen
    }

    /// The word of a sub-state; empty for [`SubStateId::NONE`] and for an id of other rules.
    pub fn sub_state(&self, id: SubStateId) -> &str {
        self.sub_states().get(id.index()).map_or("", |word| word)
    }

    /// Every word that [`Self::sub_state`] may give, by [`SubStateId::index`].
    pub fn sub_states(&self) -> &[Box<str>] {
        self.sub_states.words()
    }

    /// The reasons that the built-in rules know: the runtime's own (Go 1.22 to 1.27), [`SYSCALL`] and [`COROUTINE`].
    pub fn known_reasons() -> Vec<&'static str> {
        let built_in = built_in::WAITS.iter().chain(system_calls::SYSTEM_CALLS);
        let mut reasons: Vec<_> = built_in.map(|rule| rule.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }
}

impl Rule {
    fn matches(&self, reason: &str, ended_externally: bool, functions: &[Cow<'_, str>]) -> bool {
        let is_reason = match &self.reason {
            Reason::Any => true,
            Reason::Exactly(expected) => **expected == *reason,
        };
        if !is_reason || (self.only_ended_externally && !ended_externally) {
            return false;
        }
        // The earliest frame for each pattern leaves the most to the patterns after it.
        let mut functions = functions.iter().take(self.within);
        self.frames
            .iter()
            .all(|pattern| functions.any(|function| pattern.matches(function)))
    }
}

impl SubStates {
    /// A system call keeps, beside what the rule calls it, whether its thread held a P.
    fn outcome(&mut self, state: State, sub_state: &str) -> Outcome {
        let waiting = RefinedState {
            state,
            sub_state: self.intern(sub_state),
        };
        let (with_p, without_p) = match (state, sub_state) {
            (State::Syscall, "") => (SubStateId::WITH_P, SubStateId::WITHOUT_P),
            (State::Syscall, word) => (waiting.sub_state, self.intern(&format!("{word}_without_p"))),
            _ => (waiting.sub_state, waiting.sub_state),
        };
        Outcome {
            waiting,
            with_p: RefinedState {
                state,
                sub_state: with_p,
            },
            without_p: RefinedState {
                state,
                sub_state: without_p,
            },
        }
    }
}

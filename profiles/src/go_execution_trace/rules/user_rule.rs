//! Rules that a user adds.

use spandrel_model::{FunctionPattern, State};

use super::{ANY, Reason, Rule, SubStates};

/// Most rules of a user. Each is tried for each distinct stack.
pub const USER_RULES_MAX: usize = 1_000;
/// Most frames that a rule can look at: a trace keeps no more.
pub const WITHIN_MAX: usize = 128;
/// Frames that a rule looks at if it does not say how many.
pub const WITHIN_DEFAULT: usize = 8;
/// Most patterns in a rule.
const PATTERNS_MAX: usize = 16;
/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = FunctionPattern::BYTES_MAX;
/// Longest reason and longest sub-state, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// The states that a rule may give: those of goroutines that wait or are in a system call.
///
/// The others follow from the scheduler's events and from what the runtime does meanwhile, not from where a goroutine
/// stands.
pub const RULE_STATES: [State; 14] = [
    State::Mutex,
    State::RwMutex,
    State::WaitGroup,
    State::Once,
    State::Sync,
    State::Cond,
    State::Channel,
    State::Select,
    State::Sleep,
    State::Network,
    State::Syscall,
    State::GcOther,
    State::Forever,
    State::Other,
];

/// A rule that a user adds: goroutines that stand still for `reason` at a stack with `frames` are in `state`.
///
/// ```
/// use spandrel_model::State;
/// use spandrel_profiles::go_execution_trace::{Blocked, StateRule, StateRules};
///
/// let rules = StateRules::with_user_rules(&[StateRule {
///     reason: "select".to_owned(),
///     frames: vec!["github.com/jackc/puddle/v2.(*Pool)".to_owned()],
///     state: State::Select,
///     sub_state: "pgx_pool".to_owned(),
///     ..StateRule::default()
/// }])?;
/// let wait = Blocked::Waiting { reason: "select", ended_externally: false };
/// let stack = ["runtime.selectgo", "github.com/jackc/puddle/v2.(*Pool[...]).acquire", "main.load"];
/// let refined = rules.refine(wait, &stack);
/// assert_eq!((refined.state, rules.sub_state(refined.sub_state)), (State::Select, "pgx_pool"));
/// # Ok::<(), Vec<spandrel_profiles::go_execution_trace::InvalidStateRule>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRule {
    /// The runtime's reason for a wait, `syscall` for system calls and C code, `coroutine`, or `*` for all of these.
    pub reason: String,
    /// Patterns over function names that the stack must hold in this order, innermost first, not necessarily next to
    /// each other. Without any, every stack matches.
    pub frames: Vec<String>,
    /// How many frames from the innermost the rule looks at, from 1 to [`WITHIN_MAX`].
    pub within: usize,
    /// The state, one of [`RULE_STATES`].
    pub state: State,
    /// The finer word: lowercase letters, digits and `_`; empty for none.
    pub sub_state: String,
}

/// Any reason, any stack, within 8 frames, `other`.
impl Default for StateRule {
    fn default() -> Self {
        Self {
            reason: ANY.to_owned(),
            frames: Vec::new(),
            within: WITHIN_DEFAULT,
            state: State::Other,
            sub_state: String::new(),
        }
    }
}

/// Why a user's rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state rule {index}: {fault}")]
pub struct InvalidStateRule {
    /// Position of the rule in the user's list, counted from 0.
    pub index: usize,
    /// What is wrong with it.
    pub fault: RuleFault,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleFault {
    /// It would match everything.
    #[error("a state rule needs a condition")]
    Unconditional,
    /// The reason is empty or long.
    #[error("expected a reason of 1 to {WORD_BYTES_MAX} bytes, found {found_bytes}")]
    Reason {
        /// Its length.
        found_bytes: usize,
    },
    /// Too many patterns.
    #[error("expected at most {PATTERNS_MAX} patterns, found {found}")]
    PatternCount {
        /// How many there are.
        found: usize,
    },
    /// A pattern is empty or long.
    #[error("expected a pattern of 1 to {PATTERN_BYTES_MAX} bytes, found {found_bytes}")]
    Pattern {
        /// Position in `frames`, counted from 0.
        index: usize,
        /// Its length.
        found_bytes: usize,
    },
    /// It looks at no frames, or at more than a trace keeps.
    #[error("expected 1 to {WITHIN_MAX} frames, found {found}")]
    Within {
        /// How many it looks at.
        found: usize,
    },
    /// No goroutine that stands still is in that state.
    #[error("`{found}` is no state of a goroutine that waits or is in a system call")]
    State {
        /// The state.
        found: State,
    },
    /// The sub-state is not one word.
    #[error("expected at most {WORD_BYTES_MAX} lowercase letters, digits and `_`, found `{found}`")]
    SubState {
        /// The sub-state.
        found: String,
    },
    /// There are too many rules.
    #[error("expected at most {USER_RULES_MAX} state rules")]
    TooManyRules,
}

impl RuleFault {
    /// The field of the rule that it is about, with positions in lists as in `frames::0`; empty for the whole rule.
    pub fn field(&self) -> String {
        match self {
            Self::Unconditional | Self::TooManyRules => String::new(),
            Self::Reason { .. } => "reason".to_owned(),
            Self::PatternCount { .. } => "frames".to_owned(),
            Self::Pattern { index, .. } => format!("frames::{index}"),
            Self::Within { .. } => "within".to_owned(),
            Self::State { .. } => "state".to_owned(),
            Self::SubState { .. } => "sub_state".to_owned(),
        }
    }

    /// What the user can do.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unconditional => "give a reason, or frames, or both".to_owned(),
            Self::Reason { .. } => "leave it out, or write `*`, for any reason".to_owned(),
            Self::PatternCount { .. } | Self::TooManyRules => "a star in a pattern stands for many names".to_owned(),
            Self::Pattern { .. } => "give the beginning of a function's name, such as `main.(*Cache)`".to_owned(),
            Self::Within { .. } => format!("leave it out for {WITHIN_DEFAULT}"),
            Self::State { .. } => format!("choose one of {}", RULE_STATES.map(State::as_str).join(", ")),
            Self::SubState { .. } => "write it like `db_pool`".to_owned(),
        }
    }
}

/// Checks the rules; all faults are reported.
pub(super) fn check(rules: &[StateRule], words: &mut SubStates) -> Result<Vec<Rule>, Vec<InvalidStateRule>> {
    let mut invalid = Vec::new();
    if rules.len() > USER_RULES_MAX {
        invalid.push(InvalidStateRule {
            index: USER_RULES_MAX,
            fault: RuleFault::TooManyRules,
        });
    }
    for (index, rule) in rules.iter().enumerate().take(USER_RULES_MAX) {
        let faults = faults(rule).into_iter().flatten();
        invalid.extend(faults.map(|fault| InvalidStateRule { index, fault }));
    }
    if !invalid.is_empty() {
        return Err(invalid);
    }
    Ok(rules.iter().map(|rule| checked(rule, words)).collect())
}

fn faults(rule: &StateRule) -> [Option<RuleFault>; 6] {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let pattern = |(index, pattern): (usize, &String)| {
        let found_bytes = pattern.len();
        let fits = (1..=PATTERN_BYTES_MAX).contains(&found_bytes);
        (!fits).then_some(RuleFault::Pattern { index, found_bytes })
    };
    [
        (rule.reason == ANY && rule.frames.is_empty()).then_some(RuleFault::Unconditional),
        (!(1..=WORD_BYTES_MAX).contains(&rule.reason.len())).then_some(RuleFault::Reason {
            found_bytes: rule.reason.len(),
        }),
        if rule.frames.len() > PATTERNS_MAX {
            Some(RuleFault::PatternCount {
                found: rule.frames.len(),
            })
        } else {
            rule.frames.iter().enumerate().find_map(pattern)
        },
        (!(1..=WITHIN_MAX).contains(&rule.within)).then_some(RuleFault::Within { found: rule.within }),
        (!RULE_STATES.contains(&rule.state)).then_some(RuleFault::State { found: rule.state }),
        (rule.sub_state.len() > WORD_BYTES_MAX || !rule.sub_state.chars().all(is_word)).then(|| RuleFault::SubState {
            found: rule.sub_state.clone(),
        }),
    ]
}

fn checked(rule: &StateRule, words: &mut SubStates) -> Rule {
    Rule {
        reason: match rule.reason.as_str() {
            ANY => Reason::Any,
            reason => Reason::Exactly(reason.into()),
        },
        frames: rule
            .frames
            .iter()
            .map(|pattern| FunctionPattern::new(pattern))
            .collect(),
        within: rule.within,
        only_ended_externally: false,
        gives: words.outcome(rule.state, &rule.sub_state),
    }
}

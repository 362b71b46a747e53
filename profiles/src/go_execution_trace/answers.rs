//! What the rules said of each stack, so that they are asked once.

use gotrace::{StackId, StringId};

use super::rules::RefinedState;

/// What the rules are asked about a stack, beside the stack itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A wait for this reason.
    Wait(StringId),
    /// A wait that nobody gave a reason for.
    WaitSinceBefore,
    /// A coroutine at rest.
    Coroutine,
    /// A system call.
    SystemCall,
}

/// The answers for one recording, by stack.
///
/// A stack ends where the goroutine stands still, so nearly always one question is asked about it, with two variants:
/// ended by a goroutine or not, with a P or without. Of two questions about one stack the later one's answer is kept.
#[derive(Debug, Default)]
pub(super) struct Answers(Vec<Option<(Question, RefinedState)>>);

impl Answers {
    /// The answer to `question` about `stack`, from `ask` if it is not known.
    pub(super) fn of(
        &mut self,
        stack: Option<StackId>,
        question: Question,
        variant: bool,
        ask: impl FnOnce() -> RefinedState,
    ) -> RefinedState {
        let position = stack.map_or(0, |stack| stack.index() + 1) * 2 + usize::from(variant);
        if position >= self.0.len() {
            self.0.resize(position + 1, None);
        }
        match self.0[position] {
            Some((known, answer)) if known == question => answer,
            _ => {
                let answer = ask();
                self.0[position] = Some((question, answer));
                answer
            }
        }
    }
}

//! The words of `sub_state` columns, as small numbers.

/// A word that says more than the state. [`StateRules::sub_state`](super::StateRules::sub_state) has its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubStateId(u16);

/// The words that every set of rules has, in the order of their numbers.
const FIXED: [(SubStateId, &str); 12] = [
    (SubStateId::NONE, ""),
    (SubStateId::CREATED, "created"),
    (SubStateId::UNBLOCKED, "unblocked"),
    (SubStateId::PREEMPTED, "preempted"),
    (SubStateId::YIELD, "yield"),
    (SubStateId::STOPPED, "stopped"),
    (SubStateId::SYSCALL_EXIT, "syscall_exit"),
    (SubStateId::STATE_NOT_RECORDED, "state_not_recorded"),
    (SubStateId::COROUTINE, "coroutine"),
    (SubStateId::BEGAN_BEFORE_RECORDING, "began_before_recording"),
    (SubStateId::WITH_P, "with_p"),
    (SubStateId::WITHOUT_P, "without_p"),
];

impl SubStateId {
    /// No word: the state says it all.
    pub const NONE: Self = Self(0);
    pub(crate) const CREATED: Self = Self(1);
    pub(crate) const UNBLOCKED: Self = Self(2);
    pub(crate) const PREEMPTED: Self = Self(3);
    pub(crate) const YIELD: Self = Self(4);
    pub(crate) const STOPPED: Self = Self(5);
    pub(crate) const SYSCALL_EXIT: Self = Self(6);
    pub(crate) const STATE_NOT_RECORDED: Self = Self(7);
    pub(crate) const COROUTINE: Self = Self(8);
    pub(crate) const BEGAN_BEFORE_RECORDING: Self = Self(9);
    pub(crate) const WITH_P: Self = Self(10);
    pub(crate) const WITHOUT_P: Self = Self(11);

    /// Position in [`StateRules::sub_states`](super::StateRules::sub_states), counted from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Gives each word one number.
#[derive(Clone, Debug)]
pub(super) struct SubStates(Vec<Box<str>>);

impl SubStates {
    pub(super) fn new() -> Self {
        Self(FIXED.iter().map(|(_, word)| Box::from(*word)).collect())
    }

    /// # Panics
    /// At 65,536 words: the number of rules is limited far below.
    pub(super) fn intern(&mut self, word: &str) -> SubStateId {
        let position = self.0.iter().position(|known| **known == *word).unwrap_or_else(|| {
            self.0.push(word.into());
            self.0.len() - 1
        });
        SubStateId(u16::try_from(position).expect("each rule brings at most two words, and rules are limited"))
    }

    pub(super) fn words(&self) -> &[Box<str>] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_word_has_its_number() {
        let mut words = SubStates::new();
        for (id, word) in FIXED {
            assert_eq!(words.intern(word), id, "{word}");
        }
        assert_eq!(words.words().len(), FIXED.len());
    }

    #[test]
    fn a_word_has_one_number() {
        let mut words = SubStates::new();
        let first = words.intern("db_pool");
        assert_ne!(first, words.intern("semaphore"));
        assert_eq!(words.intern("db_pool"), first);
        assert_eq!(&*words.words()[first.index()], "db_pool");
    }
}

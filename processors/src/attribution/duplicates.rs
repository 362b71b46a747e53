//! What arrived lately, so that it does not count again when it is sent again.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// The latest of many things, up to a limit.
#[derive(Debug)]
pub(super) struct Latest<T> {
    known: HashSet<T>,
    order: VecDeque<T>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Latest<T> {
    /// Remembers a thing, and forgets the earliest ones beyond `limit`. Returns how many.
    pub(super) fn add(&mut self, thing: T, limit: usize) -> u64 {
        if self.known.insert(thing.clone()) {
            self.order.push_back(thing);
        }
        let mut forgotten = 0;
        while self.order.len() > limit
            && let Some(earliest) = self.order.pop_front()
        {
            self.known.remove(&earliest);
            forgotten += 1;
        }
        forgotten
    }

    pub(super) fn contains(&self, thing: &T) -> bool {
        self.known.contains(thing)
    }

    /// Forgets one thing. Takes time in proportion to all.
    pub(super) fn remove(&mut self, thing: &T) {
        if self.known.remove(thing) {
            self.order.retain(|known| known != thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_the_earliest_is_forgotten() {
        let mut latest = Latest::default();
        assert_eq!([1, 2, 2, 3].map(|thing| latest.add(thing, 2)), [0, 0, 0, 1]);
        assert_eq!([1, 2, 3].map(|thing| latest.contains(&thing)), [false, true, true]);
        latest.remove(&2);
        assert_eq!(
            [2, 4].map(|thing| latest.add(thing, 2)),
            [0, 1],
            "3 goes, which came before both"
        );
    }
}

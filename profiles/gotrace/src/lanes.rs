//! Which thread's next event is the earliest: a tournament over all threads.
//!
//! The tree is complete and stored by level: the children of node n are 2n and 2n + 1, the root is 1, the second half are
//! the leaves. A leaf is a lane's next time with the lane's number in its low bits, or [`NEVER`]; a node is the smaller of
//! its two children. Changing a leaf replays the matches on its way to the root, without a branch that depends on times.

/// Time of a lane that must wait or has ended.
pub(crate) const NEVER: u64 = u64::MAX;

/// The lanes' next times.
#[derive(Debug)]
pub(crate) struct Tournament {
    nodes: Vec<u64>,
    leaves: usize,
    lane_bits: u32,
    /// Times are kept relative to this one.
    base: u64,
}

impl Tournament {
    /// A tournament of lanes that have nothing to offer yet, and never anything before `base`.
    pub(crate) fn new(lanes_count: usize, base: u64) -> Self {
        let leaves = lanes_count.next_power_of_two();
        Self {
            nodes: vec![NEVER; 2 * leaves],
            leaves,
            lane_bits: leaves.trailing_zeros(),
            base,
        }
    }

    /// The latest time that can be told from [`NEVER`].
    pub(crate) fn ticks_max(&self) -> u64 {
        self.base.saturating_add((NEVER >> self.lane_bits) - 1)
    }

    /// The earliest lane and its time; `None` if no lane has one.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<(u64, usize)> {
        let root = self.nodes.get(1).copied().unwrap_or(NEVER);
        if root == NEVER {
            return None;
        }
        let lane_mask = self.leaves.wrapping_sub(1);
        // The cut to a `usize` keeps the low bits, which the mask wants.
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "masked")]
        let lane = root as usize & lane_mask;
        Some(((root >> self.lane_bits).wrapping_add(self.base), lane))
    }

    /// Until when a lane that is the first stays so: the earliest time of the others, [`NEVER`] if none has one.
    #[inline(always)]
    pub(crate) fn turn_ends(&self, lane: usize) -> u64 {
        let mut node = self.leaves.wrapping_add(lane);
        let mut earliest = NEVER;
        while node > 1 {
            let sibling = self.nodes.get(node ^ 1).copied().unwrap_or(NEVER);
            earliest = earliest.min(sibling);
            node >>= 1;
        }
        match earliest {
            NEVER => NEVER,
            earliest => (earliest >> self.lane_bits).wrapping_add(self.base),
        }
    }

    /// Gives a lane another time, up to [`Tournament::ticks_max`].
    #[inline(always)]
    pub(crate) fn set(&mut self, lane: usize, ticks: u64) {
        #[expect(clippy::as_conversions, reason = "widening")]
        let number = lane as u64;
        self.replay(lane, ticks.wrapping_sub(self.base) << self.lane_bits | number);
    }

    /// Takes a lane out until it is set again.
    #[inline(always)]
    pub(crate) fn clear(&mut self, lane: usize) {
        self.replay(lane, NEVER);
    }

    #[inline(always)]
    fn replay(&mut self, lane: usize, key: u64) {
        let mut node = self.leaves.wrapping_add(lane);
        let mut winner = key;
        let Some(leaf) = self.nodes.get_mut(node) else { return };
        *leaf = winner;
        while let Some(sibling) = self.nodes.get(node ^ 1) {
            winner = winner.min(*sibling);
            node >>= 1;
            let Some(parent) = self.nodes.get_mut(node) else { return };
            *parent = winner;
            if node <= 1 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_is_the_earliest_and_of_equals_the_smallest(
            mut times in proptest::collection::vec(7_u64..20, 1..20),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), prop::option::of(7_u64..20)), 0..50),
        ) {
            let mut tournament = Tournament::new(times.len(), 7);
            prop_assert_eq!(tournament.first(), None);
            let expected = |times: &[u64]| {
                let (ticks, lane) = times.iter().copied().zip(0..).min().unwrap();
                (ticks != NEVER).then_some((ticks, lane))
            };
            for (lane, ticks) in times.iter().enumerate() {
                tournament.set(lane, *ticks);
            }
            prop_assert_eq!(tournament.first(), expected(&times));
            for (lane, ticks) in changes {
                let lane = lane.index(times.len());
                times[lane] = ticks.unwrap_or(NEVER);
                match ticks {
                    Some(ticks) => tournament.set(lane, ticks),
                    None => tournament.clear(lane),
                }
                prop_assert_eq!(tournament.first(), expected(&times));
            }
        }
    }

    #[test]
    fn the_latest_time_is_not_never() {
        for lanes_count in [0, 1, 2, 9] {
            let mut tournament = Tournament::new(lanes_count, 1 << 61);
            let latest = tournament.ticks_max();
            if lanes_count > 0 {
                tournament.set(lanes_count - 1, latest);
                assert_eq!(tournament.first(), Some((latest, lanes_count - 1)));
            } else {
                assert_eq!(tournament.first(), None);
            }
        }
    }
}

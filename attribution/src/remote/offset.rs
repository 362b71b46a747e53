//! How far the clocks of two hosts are apart, as a range.
//!
//! A server span lies within the span of its client: the request arrives after it was sent, the response is received
//! after it was sent. In the readings of the two clocks, with theta = clock of the server - clock of the client:
//!
//! ```text
//! client  [cs --------------------- ce)       cs <= ss - theta   so   theta <= ss - cs
//! server         [ss ------- se)              se - theta <= ce   so   theta >= se - ce
//! ```
//!
//! Each call gives such a range, as wide as the time that its messages took together, and the truth lies in all of them.
//! Near in time the clocks drift little, so the neighbors of a call narrow its range.
//!
//! The range of a call that did not wait for its server is wrong, and nothing in it shows that: the server may have ended
//! after the client, by less than the messages of other calls take. So a bound counts only if other calls agree with it: of
//! sixteen calls one may contradict it, of fewer one too. The range is the hull of the offsets that so many have in common
//! (Marzullo's algorithm with a tolerance).
//!
//! Where more of them contradict each other, a clock was set, or many servers did not lie within their clients: the range that
//! most of them have in common counts, with the same tolerance, on either side of the call in time, of many neighbors or of the
//! nearest few, so that a step parts the calls before it from those after it. A call that fits none of them has no range.
//!
//! Where in the range the truth lies is not known. If messages always take longer one way, nothing in the spans shows it.

use std::ops::RangeInclusive;

use spandrel_model::{Interval, UnixNanos};

use crate::inferred::READING_ERROR_NS;

/// Calls before and after one that are asked about its offset.
const NEIGHBORS: usize = 64;
/// The nearest of them, which are asked where the others contradict.
const NEAREST: usize = 8;
/// Older or newer ones are not asked, nanoseconds.
const NEIGHBOR_AGE_NS: i64 = 60_000_000_000;
/// Clocks drift apart by at most this, parts per million.
const DRIFT_PPM: i64 = 50;
/// Fewer calls than this cannot outvote one.
const VOTERS_MIN: usize = 3;
/// Of so many calls one may be wrong; one of fewer, too.
const WRONG_ONE_IN: usize = 16;

/// A closed range of offsets, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OffsetRange {
    /// The least.
    pub(crate) lo_ns: i64,
    /// The greatest, not less.
    pub(crate) hi_ns: i64,
}

/// What one call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Witness {
    /// When.
    pub(super) at: UnixNanos,
    /// Its range.
    pub(super) range: OffsetRange,
}

impl OffsetRange {
    /// The offsets at which clocks that are one may seem to be.
    pub(super) const ONE_CLOCK: Self = Self {
        lo_ns: -READING_ERROR_NS,
        hi_ns: READING_ERROR_NS,
    };

    /// Offsets at which `server` lies within `client`, give or take the precision of exported times. `None` if it is
    /// longer.
    pub(super) fn of_call(client: Interval, server: Interval) -> Option<Self> {
        Self::new(
            server.end().since(client.end()).saturating_sub(READING_ERROR_NS),
            server.start().since(client.start()).saturating_add(READING_ERROR_NS),
        )
    }

    fn new(lo_ns: i64, hi_ns: i64) -> Option<Self> {
        (lo_ns <= hi_ns).then_some(Self { lo_ns, hi_ns })
    }

    /// What both allow.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        Self::new(self.lo_ns.max(other.lo_ns), self.hi_ns.min(other.hi_ns))
    }

    /// The smallest range that has both in it.
    pub(super) fn hull(self, other: Self) -> Self {
        Self {
            lo_ns: self.lo_ns.min(other.lo_ns),
            hi_ns: self.hi_ns.max(other.hi_ns),
        }
    }

    /// The same seen from the other clock.
    pub(super) fn reversed(self) -> Self {
        Self {
            lo_ns: self.hi_ns.saturating_neg(),
            hi_ns: self.lo_ns.saturating_neg(),
        }
    }

    /// The middle, by which a server is placed; that it is the truth is not claimed.
    pub(super) fn center_ns(self) -> i64 {
        self.lo_ns.saturating_add(self.width_ns() / 2)
    }

    /// Greatest less least, nanoseconds.
    pub(super) fn width_ns(self) -> i64 {
        self.hi_ns.saturating_sub(self.lo_ns)
    }

    /// What it says about a time so much earlier or later.
    fn aged(self, age_ns: i64) -> Self {
        let drift_ns = age_ns.saturating_mul(DRIFT_PPM) / 1_000_000 + i64::from(age_ns > 0);
        Self {
            lo_ns: self.lo_ns.saturating_sub(drift_ns),
            hi_ns: self.hi_ns.saturating_add(drift_ns),
        }
    }
}

/// The range of each call, narrowed by its neighbors: always within its own. `None` for one that contradicts them.
/// `witnesses` are those of one pair of clocks, in the order of time.
pub(super) fn agreed(witnesses: &[Witness]) -> Vec<Option<OffsetRange>> {
    (0..witnesses.len()).map(|index| agreed_at(witnesses, index)).collect()
}

fn agreed_at(witnesses: &[Witness], index: usize) -> Option<OffsetRange> {
    let own = witnesses[index].range;
    let last = witnesses.len() - 1;
    let within = |count: usize| (index.saturating_sub(count), (index + count).min(last));
    let (first, last) = within(NEIGHBORS);
    let all = neighbors(witnesses, index, first..=last);
    if all.len() < VOTERS_MIN {
        return Some(own);
    }
    if all.iter().try_fold(own, |range, other| range.and(*other)).is_some() {
        return majority(&all, own);
    }
    let sides = [NEIGHBORS, NEAREST].into_iter().flat_map(|count| {
        let (first, last) = within(count);
        [first..=index, index..=last]
    });
    let mut agreeing = sides.filter_map(|side| majority(&neighbors(witnesses, index, side), own));
    let first = agreeing.next().or_else(|| majority(&all, own))?;
    Some(agreeing.fold(first, |range, other| range.and(other).unwrap_or(range)))
}

/// What the calls `among` say about the time of call `index`, which is one of them.
fn neighbors(witnesses: &[Witness], index: usize, among: RangeInclusive<usize>) -> Vec<OffsetRange> {
    let at = witnesses[index].at;
    let ages = witnesses[among]
        .iter()
        .map(|witness| (witness, witness.at.since(at).saturating_abs()));
    ages.filter(|(_, age_ns)| *age_ns <= NEIGHBOR_AGE_NS)
        .map(|(witness, age_ns)| witness.range.aged(age_ns))
        .collect()
}

/// What more than half of the calls have in common, give or take a few, if `own` has a part in it.
fn majority(ranges: &[OffsetRange], own: OffsetRange) -> Option<OffsetRange> {
    let (voters, range) = most_common(ranges)?;
    let is_majority = ranges.len() >= VOTERS_MIN && 2 * voters > ranges.len();
    range.and(own).filter(|_| is_majority)
}

/// How many of `ranges` have an offset in common at most, and the offsets around it that nearly as many have in common.
fn most_common(ranges: &[OffsetRange]) -> Option<(usize, OffsetRange)> {
    // At the same offset, ranges begin before others end: they are closed.
    let begins = ranges.iter().map(|range| (range.lo_ns, false));
    let mut borders: Vec<(i64, bool)> = begins.chain(ranges.iter().map(|range| (range.hi_ns, true))).collect();
    borders.sort_unstable();
    // From each border to the next: how many ranges hold.
    let open: Vec<usize> = (borders.iter())
        .scan(0_usize, |open, (_, ends)| {
            *open = if *ends { *open - 1 } else { *open + 1 };
            Some(*open)
        })
        .collect();
    let voters = open.iter().copied().max()?;
    let enough = voters.saturating_sub((ranges.len() / WRONG_ONE_IN).max(1)).max(1);
    let best = open.iter().position(|open| *open == voters)?;
    let first = open[..best]
        .iter()
        .rposition(|open| *open < enough)
        .map_or(0, |before| before + 1);
    let last = best + open[best..].iter().position(|open| *open < enough)?;
    let (lo_ns, hi_ns) = (borders[first].0, borders[last].0);
    Some((voters, OffsetRange { lo_ns, hi_ns }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(lo_ns: i64, hi_ns: i64) -> OffsetRange {
        OffsetRange { lo_ns, hi_ns }
    }

    /// One call a millisecond, with these ranges.
    fn agreed_of(ranges: &[(i64, i64)]) -> Vec<Option<(i64, i64)>> {
        let witnesses: Vec<Witness> = (0_i64..)
            .zip(ranges)
            .map(|(index, (lo_ns, hi_ns))| Witness {
                at: UnixNanos(index * 1_000_000),
                range: range(*lo_ns, *hi_ns),
            })
            .collect();
        let agreed = agreed(&witnesses).into_iter();
        agreed
            .map(|range| range.map(|range| (range.lo_ns, range.hi_ns)))
            .collect()
    }

    #[test]
    fn the_bounds_follow_from_delays_that_are_not_negative() {
        let interval = |start, end| Interval::new(UnixNanos(start), UnixNanos(end)).unwrap();
        // The request takes 20 us, the response 30 us, and the clock of the server is 500 us ahead.
        let client = interval(0, 100_000);
        let server = interval(20_000 + 500_000, 70_000 + 500_000);
        let found = OffsetRange::of_call(client, server).unwrap();
        assert_eq!(found, range(470_000 - READING_ERROR_NS, 520_000 + READING_ERROR_NS));
        assert_eq!(OffsetRange::of_call(server, client), None);
    }

    #[test]
    fn neighbors_that_agree_narrow_the_range_and_drift_widens_what_they_say() {
        assert_eq!(
            agreed_of(&[(-1_000, 9_000), (-8_000, 500), (-900, 400)]),
            [Some((-1_000, 551)), Some((-1_051, 500)), Some((-900, 400))]
        );
    }

    #[test]
    fn a_bound_that_one_call_alone_gives_narrows_no_other() {
        let mut calls = vec![(-50_000, 60_000); 20];
        // Its server ended 30 us after the client.
        calls[7] = (29_000, 81_000);
        for (call, found) in agreed_of(&calls).into_iter().enumerate() {
            let (lo_ns, hi_ns) = found.unwrap();
            assert!(call == 7 || (lo_ns <= 0 && hi_ns >= 10_000), "{call}: {lo_ns}..{hi_ns}");
        }
    }

    #[test]
    fn a_few_wrong_calls_do_no_harm_also_where_a_clock_was_set() {
        let mut calls = vec![(-50_000, 60_000); 129];
        calls[64..].fill((4_950_000, 5_060_000));
        (10..129).step_by(24).for_each(|call| calls[call].0 += 80_000);
        for (call, found) in agreed_of(&calls).into_iter().enumerate() {
            let truth = if call < 64 { 0 } else { 5_000_000 };
            let (lo_ns, hi_ns) = found.unwrap_or_else(|| panic!("call {call}"));
            let is_wrong = call % 24 == 10;
            assert!(
                is_wrong || (lo_ns <= truth && truth <= hi_ns),
                "{call}: {lo_ns}..{hi_ns}"
            );
        }
    }

    #[test]
    fn a_call_that_contradicts_the_others_has_no_range() {
        let mut calls = vec![(-10_000, 10_000); 7];
        calls[3] = (50_000, 60_000);
        let agreed = agreed_of(&calls);
        assert_eq!(agreed[3], None);
        assert!((0..7).all(|call| call == 3 || agreed[call].is_some()), "{agreed:?}");
    }

    #[test]
    fn a_step_of_a_clock_parts_the_calls_before_from_those_after() {
        let mut calls = vec![(-10_000, 10_000); 40];
        calls[15..].fill((5_000_000, 5_020_000));
        for (call, found) in agreed_of(&calls).into_iter().enumerate() {
            let truth = if call < 15 { 0 } else { 5_010_000 };
            let (lo_ns, hi_ns) = found.unwrap_or_else(|| panic!("call {call}"));
            assert!(lo_ns <= truth && truth <= hi_ns, "{call}: {lo_ns}..{hi_ns}");
        }
    }

    #[test]
    fn two_calls_that_contradict_each_other_keep_their_own_ranges() {
        assert_eq!(
            agreed_of(&[(0, 10), (5_000, 5_010)]),
            [Some((0, 10)), Some((5_000, 5_010))]
        );
    }

    #[test]
    fn the_range_that_most_have_in_common_is_that_of_all_but_one_of_them() {
        let ranges = [range(0, 5), range(5, 9), range(20, 30), range(3, 7)];
        assert_eq!(most_common(&ranges), Some((3, range(3, 7))));
        assert_eq!(most_common(&[]), None);
    }
}

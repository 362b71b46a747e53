//! The offset with the most voters, and whether any other is about as good.

use super::votes::{Vote, Votes};
use super::{NoOffset, WITNESSES_MIN};

/// Fewest voters that must be for the peak and not for a rival.
const DECISIVE_MIN: usize = 6;
/// For each voter that is for a rival and not for the peak, so many must be for the peak and not for the rival.
const DECISIVE_RATIO: usize = 4;
/// Lags are never negative, so no true pair votes for more than the offset; votes this much above the peak, in
/// agreement, mean that the peak is not the offset but some larger lag.
const LAG_MAX_NS: i64 = 5_000_000;
/// The neighborhood of the peak, in its widths to either side. If more than one in [`DECISIVE_RATIO`] of the peak's voters
/// are there instead, lags are too uneven for the width.
const NEIGHBORHOOD_WIDTHS: i64 = 4;
/// As many voters above the peak may agree by chance.
const CHANCE_MAX: usize = 2;

/// The votes of the winner.
pub(super) struct Peak {
    /// Most that they lie apart.
    pub(super) width_ns: i64,
    /// Whether hardly any voter has more than one vote in the neighborhood, so that the votes of the peak are true.
    pub(super) is_clean: bool,
    /// Where they lie among all votes.
    pub(super) range: std::ops::Range<usize>,
    /// Voters among them, at most as many as there are spans voted for.
    pub(super) witnesses: usize,
}

/// Finds the winner, which is the same offset for votes within `width_ns`.
pub(super) fn find(votes: &Votes, width_ns: i64) -> Result<Peak, NoOffset> {
    let windows = windows(votes, width_ns);
    let best = windows
        .iter()
        .max_by_key(|window| (window.support, std::cmp::Reverse(window.first)));
    let too_few = |witnesses| NoOffset::TooFewWitnesses {
        witnesses,
        asked: votes.ends_ns.len(),
    };
    let best = *best.ok_or(too_few(0))?;
    if best.support < WITNESSES_MIN {
        return Err(too_few(best.support));
    }
    let contest = Contest::new(votes, best, width_ns);
    let neighbors = contest.neighbors()?;
    let far_support = (windows.iter())
        .filter(|window| contest.distance_ns(window).saturating_abs() > LAG_MAX_NS)
        .map(|window| window.support)
        .max();
    let chance = far_support.unwrap_or(0).max(CHANCE_MAX);
    for rival in &windows {
        contest.decide(rival, chance)?;
    }
    Ok(Peak {
        width_ns,
        is_clean: neighbors * DECISIVE_RATIO <= best.support,
        range: best.range(),
        witnesses: best.support,
    })
}

/// Votes that lie close together.
#[derive(Clone, Copy)]
struct Window {
    first: usize,
    end: usize,
    offset_ns: i64,
    /// Different voters, or different spans if these are fewer.
    support: usize,
}

impl Window {
    fn range(&self) -> std::ops::Range<usize> {
        self.first..self.end
    }
}

/// The best of the windows that begin within each `width_ns` of offsets. So few that to look through all of them costs
/// no more than to look through the votes twice.
fn windows(votes: &Votes, width_ns: i64) -> Vec<Window> {
    let (mut voters, mut spans) = (Tally::new(votes.ends_ns.len()), Tally::new(votes.spans));
    let mut windows: Vec<Window> = Vec::new();
    let mut block_start_ns = i64::MIN;
    let mut end = 0;
    for (first, vote) in votes.votes.iter().enumerate() {
        while let Some(next) = votes.votes.get(end)
            && next.offset_ns <= vote.offset_ns.saturating_add(width_ns)
        {
            voters.add(next.voter);
            spans.add(next.span);
            end += 1;
        }
        let window = Window {
            first,
            end,
            offset_ns: vote.offset_ns,
            support: voters.distinct.min(spans.distinct),
        };
        voters.remove(vote.voter);
        spans.remove(vote.span);
        match windows.last_mut() {
            Some(best) if vote.offset_ns < block_start_ns.saturating_add(width_ns) => {
                if window.support > best.support {
                    *best = window;
                }
            }
            _ => {
                block_start_ns = vote.offset_ns;
                windows.push(window);
            }
        }
    }
    windows
}

/// Counts how many different numbers there are.
struct Tally {
    counts: Vec<u32>,
    distinct: usize,
}

impl Tally {
    fn new(numbers: usize) -> Self {
        Self {
            counts: vec![0; numbers],
            distinct: 0,
        }
    }

    fn add(&mut self, number: usize) {
        self.distinct += usize::from(self.counts[number] == 0);
        self.counts[number] += 1;
    }

    fn remove(&mut self, number: usize) {
        self.counts[number] -= 1;
        self.distinct -= usize::from(self.counts[number] == 0);
    }
}

/// The best window against others.
struct Contest<'a> {
    votes: &'a [Vote],
    best: Window,
    is_for_best: Vec<bool>,
    width_ns: i64,
}

impl<'a> Contest<'a> {
    fn new(votes: &'a Votes, best: Window, width_ns: i64) -> Self {
        let mut is_for_best = vec![false; votes.ends_ns.len()];
        for vote in &votes.votes[best.range()] {
            is_for_best[vote.voter] = true;
        }
        Self {
            votes: &votes.votes,
            best,
            is_for_best,
            width_ns,
        }
    }

    fn distance_ns(&self, window: &Window) -> i64 {
        window.offset_ns.saturating_sub(self.best.offset_ns)
    }

    /// The votes in the neighborhood, but for one of each voter. An error if many voters are only beside the best window.
    fn neighbors(&self) -> Result<usize, NoOffset> {
        let reach_ns = NEIGHBORHOOD_WIDTHS * self.width_ns;
        let from_ns = self.best.offset_ns.saturating_sub(reach_ns);
        let to_ns = self.best.offset_ns.saturating_add(self.width_ns + reach_ns);
        let from = self.votes.partition_point(|vote| vote.offset_ns < from_ns);
        let near = self.votes[from..].iter().take_while(|vote| vote.offset_ns <= to_ns);
        let mut voters: Vec<usize> = near.map(|vote| vote.voter).collect();
        let votes = voters.len();
        voters.sort_unstable();
        voters.dedup();
        let beside = voters.iter().filter(|voter| !self.is_for_best[**voter]).count();
        if beside * DECISIVE_RATIO <= self.best.support {
            return Ok(votes - voters.len());
        }
        Err(NoOffset::Scattered {
            witnesses: self.best.support,
            beside,
            reach_ns,
        })
    }

    /// Whether the best wins against `rival`, where `chance` voters agree by chance.
    fn decide(&self, rival: &Window, chance: usize) -> Result<(), NoOffset> {
        let distance_ns = self.distance_ns(rival);
        if distance_ns.saturating_abs() <= self.width_ns {
            return Ok(());
        }
        let mut for_rival: Vec<usize> = self.votes[rival.range()].iter().map(|vote| vote.voter).collect();
        for_rival.sort_unstable();
        for_rival.dedup();
        let for_both = for_rival.iter().filter(|voter| self.is_for_best[**voter]).count();
        let rival_witnesses = (for_rival.len() - for_both).min(rival.support);
        let witnesses = self.best.support.saturating_sub(for_both);
        let wins = witnesses >= DECISIVE_MIN && witnesses >= DECISIVE_RATIO * rival_witnesses;
        let is_above = (0..=LAG_MAX_NS).contains(&distance_ns);
        if wins && !(is_above && rival_witnesses > chance) {
            return Ok(());
        }
        Err(NoOffset::Ambiguous {
            witnesses,
            rival_witnesses,
            rival_after_ns: distance_ns,
        })
    }
}

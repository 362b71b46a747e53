//! From the votes of the peak to the offset and its error.
//!
//! A vote is the offset less an end lag, and lags are never negative, so the offset is not below the highest vote:
//!
//! ```text
//! votes of the peak    .    . . .: ::::|:          the last few may be of false pairs
//!                                   ^least ^highest      ^most
//! offset                            [------- here -------]
//! ```
//!
//! It is not far above either: with the lag of the highest vote, which is the smallest of all, at most 2 us (measured:
//! 0.1 us), or on a slow machine less than half of the lags spread.
//!
//! A wide peak may hold the votes of several offsets, and so may a narrow one where equal spans follow each other closely;
//! few votes need not show the smallest lag. Then all that is sure is that the true votes do not lie beside the peak, so
//! the error covers its neighborhood.

use spandrel_model::OffsetEstimate;

use super::WIDTHS_NS;
use super::peak::Peak;
use super::votes::Votes;

/// Most that the smallest lag can be.
const SMALLEST_LAG_NS: i64 = 2_000;
/// How much the clocks say that a span ended after its task: the recording's is cut to 64 ns, and the SDK reads the wall
/// clock and the monotonic one one after the other.
const RESOLUTION_NS: i64 = 128;
/// Of so many votes one may be above the offset, being of a false pair.
const FALSE_ONE_IN: usize = 50;
/// Fewest votes whose highest shows the smallest lag.
const ENVELOPE_VOTES_MIN: usize = 16;
/// The peak is cut into at most so many parts of time, each with so many votes, and each gives its own limits: what the
/// clocks drift apart during the recording widens the error.
const PARTS_MAX: usize = 4;
const PART_VOTES_MIN: usize = 16;

/// The offset that the votes of `peak` agree on.
pub(super) fn estimate(votes: &Votes, peak: &Peak) -> OffsetEstimate {
    let is_sharp = peak.is_clean && peak.width_ns == WIDTHS_NS[0] && peak.range.len() >= ENVELOPE_VOTES_MIN;
    let (least_ns, most_ns) = if is_sharp {
        envelope(votes, peak)
    } else {
        neighborhood(votes, peak)
    };
    let error_ns = most_ns.saturating_sub(least_ns).div_euclid(2) + 1;
    OffsetEstimate {
        offset_ns: least_ns.saturating_add(error_ns),
        error_ns,
        witnesses: peak.witnesses,
        asked: votes.ends_ns.len(),
    }
}

fn neighborhood(votes: &Votes, peak: &Peak) -> (i64, i64) {
    let first_ns = votes.votes[peak.range.start].offset_ns;
    let most_ns = first_ns.saturating_add(2 * peak.width_ns + SMALLEST_LAG_NS);
    (first_ns.saturating_sub(peak.width_ns), most_ns)
}

fn envelope(votes: &Votes, peak: &Peak) -> (i64, i64) {
    // By time of the task.
    let mut votes_ns: Vec<(i64, i64)> = (votes.votes[peak.range.clone()].iter())
        .map(|vote| (votes.ends_ns[vote.voter], vote.offset_ns))
        .collect();
    votes_ns.sort_unstable();
    let parts = (votes_ns.len() / PART_VOTES_MIN).clamp(1, PARTS_MAX);
    let part_len = votes_ns.len().div_ceil(parts);
    let (mut least_ns, mut highest_ns) = (i64::MAX, i64::MIN);
    for part in votes_ns.chunks(part_len) {
        let mut offsets_ns: Vec<i64> = part.iter().map(|(_, offset_ns)| *offset_ns).collect();
        offsets_ns.sort_unstable_by_key(|offset_ns| std::cmp::Reverse(*offset_ns));
        let rank = (offsets_ns.len() / FALSE_ONE_IN).max(1).min(offsets_ns.len() - 1);
        least_ns = least_ns.min(offsets_ns[rank].saturating_sub(RESOLUTION_NS));
        highest_ns = highest_ns.max(offsets_ns[0]);
    }
    let mut offsets_ns: Vec<i64> = votes_ns.iter().map(|(_, offset_ns)| *offset_ns).collect();
    let median = offsets_ns.len() / 2;
    let (_, median_ns, _) = offsets_ns.select_nth_unstable(median);
    let most_ns = highest_ns.saturating_add((highest_ns - *median_ns).max(SMALLEST_LAG_NS));
    (least_ns, most_ns)
}

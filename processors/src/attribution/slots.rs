//! Slots: the units in which the spans of a process are joined.
//!
//! A slot holds the spans of one process that start in the same stretch of the wall clock. What is joined, and joined
//! anew when something late arrives, is always a whole slot together with everything held that touches it. So the result
//! depends on what is held, and not on when or in which order it came. Long spans have longer slots of their own: the
//! short ones that they enclose are not tied to them.
//!
//! ```text
//! level 1 (5 s <= duration < 10 s)   |---------- slot 0 -----------|---------- slot 1 ...
//! level 0 (duration < 5 s)           |--- slot 0 ---|--- slot 1 ---|--- slot 2 ...
//! wall clock                         0              5 s            10 s
//! ```
//!
//! The spans of a slot end within twice its length, which is how those that touch an interval are found.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_attribution::SpanKey;
use spandrel_model::{Interval, Span, UnixNanos};

use super::emitted::Emitted;

/// How far apart two things may lie and still touch: a span may begin this long before the user task that it is bound by.
const NEIGHBORHOOD_NS: i64 = 10_000_000;
/// Length of a slot of level 0.
const SLOT_NS: i64 = 5_000_000_000;
/// 170 years.
const TOP_LEVEL: u32 = 30;
/// Waits grow with the level of a slot and with every correction, up to 2 to the power of this.
const LONGEST_WAIT_EXPONENT: u32 = 5;
/// After a join, a slot is left in peace for so many times as long as the join took.
const REST: u32 = 4;

/// Whether two intervals overlap or are near to each other.
pub(super) fn touches(one: Interval, other: Interval) -> bool {
    one.start() <= other.end().plus(NEIGHBORHOOD_NS) && other.start().plus(-NEIGHBORHOOD_NS) <= one.end()
}

/// The shortest interval that covers both.
pub(super) fn hull(one: Interval, other: Interval) -> Interval {
    Interval::new(one.start().min(other.start()), one.end().max(other.end())).expect("both start before they end")
}

/// A round of work: when it is, and what is due in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) now: Instant,
    /// How long what arrives waits to be joined.
    pub(super) join_delay: Duration,
    /// How long what is joined stays correctable.
    pub(super) retention: Duration,
    /// How long a slot to which something late came waits for more of it.
    pub(super) settle: Duration,
    /// Whether this is the last round, in which everything is due.
    pub(super) is_last: bool,
}

impl Round {
    /// Whether something that arrived at `arrival` has waited long enough to be joined.
    pub(super) fn is_due(&self, arrival: Instant) -> bool {
        self.is_last || arrival + self.join_delay <= self.now
    }

    /// Whether something that was joined at `at` is no longer correctable.
    pub(super) fn is_over(&self, at: Instant) -> bool {
        at + self.retention <= self.now
    }

    fn settle(&self, exponent: u32) -> Duration {
        self.settle.saturating_mul(1 << exponent.min(LONGEST_WAIT_EXPONENT))
    }
}

/// Which slot of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId {
    level: u32,
    /// Start of the slot, in lengths of its level since the Unix epoch.
    index: i64,
}

impl SlotId {
    /// The slot of a span that was open for `interval`.
    pub(super) fn of(interval: Interval) -> Self {
        let fits = |level: &u32| interval.duration_ns() < length_ns(*level);
        let level = (0..TOP_LEVEL).find(fits).unwrap_or(TOP_LEVEL);
        Self::at(level, interval.start())
    }

    /// The slot of short spans that start at `at`.
    pub(super) fn shortest(at: UnixNanos) -> Self {
        Self::at(0, at)
    }

    fn at(level: u32, at: UnixNanos) -> Self {
        Self {
            level,
            index: at.0.div_euclid(length_ns(level)),
        }
    }

    /// The slots that can hold spans which touch `interval`: one range for each level.
    pub(super) fn touching(interval: Interval) -> impl Iterator<Item = RangeInclusive<Self>> {
        (0..=TOP_LEVEL).map(move |level| {
            let earliest = interval.start().plus(-NEIGHBORHOOD_NS);
            let earliest = earliest.plus(length_ns(level).saturating_mul(-2));
            Self::at(level, earliest)..=Self::at(level, interval.end().plus(NEIGHBORHOOD_NS))
        })
    }

    /// The times at which its spans begin.
    pub(super) fn starts(self) -> Interval {
        let start = UnixNanos(self.index.saturating_mul(length_ns(self.level)));
        Interval::new(start, start.plus(length_ns(self.level))).expect("a slot has a length")
    }

    /// This slot and those after it, up to `last`, which is of the same level.
    pub(super) fn until(self, last: Self) -> impl Iterator<Item = Self> {
        (self.index..=last.index).map(move |index| Self { index, ..self })
    }

    /// How long something in this slot takes to come together, in powers of two: as long as it lasts.
    pub(super) fn level(self) -> u32 {
        self.level
    }
}

fn length_ns(level: u32) -> i64 {
    SLOT_NS.saturating_mul(1 << level)
}

/// The spans of one slot. See the module's documentation.
#[derive(Debug)]
pub(super) struct Slot {
    spans: BTreeMap<SpanKey, HeldSpan>,
    /// Those of which no join has ended yet, in the order of arrival.
    waiting: VecDeque<(Instant, SpanKey)>,
    /// Covers all spans.
    hull: Interval,
    /// How many have been joined and may be corrected.
    correctable: usize,
    /// Since when something is held that the last join did not see.
    changed_at: Option<Instant>,
    /// When a span was last joined for the first time.
    joined_at: Option<Instant>,
    rests_until: Option<Instant>,
    corrections: u32,
    is_joining: bool,
    /// Whether what the running join says is final, because something went that a further join would need.
    is_sealed_by_join: bool,
}

#[derive(Debug)]
struct HeldSpan {
    span: Arc<Span>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// No join of this run has ended for it; and what was sent on, by an earlier run or just now in the running join.
    Waiting(Emitted),
    /// Joined, and what was sent on then.
    Joined(Emitted),
    /// Joined, and no longer corrected: only context for others.
    Final,
}

/// What a join has made of a span, compared with what was sent on before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is joined for the first time.
    First,
    /// It says something else than this, which was sent on before.
    Corrects(Emitted),
    /// Its rows are what was sent on before, and it counts for something else in its window.
    Recounts,
    /// Nothing is new, or it is too late.
    Same,
}

impl Slot {
    pub(super) fn new(first: Interval) -> Self {
        Self {
            spans: BTreeMap::new(),
            waiting: VecDeque::new(),
            hull: first,
            correctable: 0,
            changed_at: None,
            joined_at: None,
            rests_until: None,
            corrections: 0,
            is_joining: false,
            is_sealed_by_join: false,
        }
    }

    /// Adds a span of which an earlier run may have sent on rows.
    pub(super) fn add(&mut self, span: Arc<Span>, before: Emitted, now: Instant) {
        let key = SpanKey::of(&span);
        self.hull = hull(self.hull, span.interval);
        self.waiting.push_back((now, key));
        let stage = Stage::Waiting(before);
        self.spans.insert(key, HeldSpan { span, stage });
    }

    /// Takes note that the span added last has been joined by an earlier run. It can be corrected as if that were now.
    pub(super) fn restore_rows(&mut self, key: SpanKey, emitted: Emitted, now: Instant) {
        self.waiting.pop_back_if(|(_, waiting)| *waiting == key);
        if let Some(held) = self.spans.get_mut(&key) {
            held.stage = Stage::Joined(emitted);
            self.correctable += 1;
            self.joined_at = Some(now);
        }
    }

    pub(super) fn touches(&self, interval: Interval) -> bool {
        touches(self.hull, interval)
    }

    pub(super) fn hull(&self) -> Interval {
        self.hull
    }

    pub(super) fn spans(&self) -> impl Iterator<Item = &Arc<Span>> {
        self.spans.values().map(|held| &held.span)
    }

    pub(super) fn find(&self, key: SpanKey) -> Option<&Arc<Span>> {
        self.spans.get(&key).map(|held| &held.span)
    }

    pub(super) fn span_count(&self) -> usize {
        self.spans.len()
    }

    /// Whether any span has been joined.
    pub(super) fn is_joined(&self) -> bool {
        self.joined_at.is_some()
    }

    /// Whether rows of it are still to come, or may be corrected.
    pub(super) fn is_open(&self) -> bool {
        self.correctable > 0 || !self.waiting.is_empty()
    }

    /// Takes note that something has come which the joined spans of this slot may depend on.
    pub(super) fn change(&mut self, now: Instant) {
        if self.is_joined() && self.is_open() {
            self.changed_at.get_or_insert(now);
        }
    }

    /// Whether spans wait that are due, even if the slot rests.
    pub(super) fn has_due_spans(&self, round: &Round) -> bool {
        self.waiting.front().is_some_and(|(arrival, _)| round.is_due(*arrival))
    }

    /// Whether the slot is to be joined.
    pub(super) fn is_due(&self, id: SlotId, round: &Round) -> bool {
        let has_due_spans = self.has_due_spans(round);
        if round.is_last || self.is_over(round) {
            return has_due_spans || self.changed_in_time(round);
        }
        if self.rests_until.is_some_and(|until| round.now < until) {
            return false;
        }
        let settle = round.settle(id.level() + self.corrections);
        has_due_spans || self.changed_at.is_some_and(|since| since + settle <= round.now)
    }

    /// Whether something came while it could be corrected. What comes later does not put off its end.
    fn changed_in_time(&self, round: &Round) -> bool {
        let until = self.joined_at.map(|at| at + round.retention);
        self.changed_at
            .is_some_and(|since| until.is_none_or(|until| since < until))
    }

    /// Whether the time in which it can be corrected has passed.
    pub(super) fn is_over(&self, round: &Round) -> bool {
        self.waiting.is_empty() && self.joined_at.is_some_and(|at| round.is_over(at))
    }

    /// Whether nothing in it waits and something is correctable.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.correctable > 0
    }

    /// Whether spans are held that do not wait.
    pub(super) fn has_joined_spans(&self) -> bool {
        self.spans.len() > self.waiting.len()
    }

    /// When a span was last joined for the first time.
    pub(super) fn joined_at(&self) -> Option<Instant> {
        self.joined_at
    }

    /// Begins a join: the spans that yield rows, of which so many wait and are due, and the others.
    pub(super) fn begin_join(&mut self, round: &Round) -> (Vec<Arc<Span>>, usize, Vec<Arc<Span>>) {
        self.changed_at = None;
        self.is_joining = true;
        let due = self.waiting.partition_point(|(arrival, _)| round.is_due(*arrival));
        let (mut emitting, mut context) = (Vec::with_capacity(due + self.correctable), Vec::new());
        for (_, key) in self.waiting.range(..due) {
            emitting.extend(self.spans.get(key).map(|held| held.span.clone()));
        }
        for (_, key) in self.waiting.range(due..) {
            context.extend(self.spans.get(key).map(|held| held.span.clone()));
        }
        for held in self.spans.values() {
            match held.stage {
                Stage::Waiting(_) => {}
                Stage::Joined(_) => emitting.push(held.span.clone()),
                Stage::Final => context.push(held.span.clone()),
            }
        }
        // So that what arrives during the join is a change.
        self.joined_at.get_or_insert(round.now);
        (emitting, due, context)
    }

    /// Ends the join in which `due` spans were joined for the first time, also those that yielded no rows. It took so
    /// long, until `round.now`. Returns how many spans became final with it.
    pub(super) fn end_join(&mut self, id: SlotId, due: usize, round: &Round, took: Duration) -> usize {
        let due = due.min(self.waiting.len());
        for (_, key) in self.waiting.drain(..due) {
            if let Some(held) = self.spans.get_mut(&key)
                && let Stage::Waiting(emitted) = &held.stage
            {
                held.stage = Stage::Joined(emitted.clone());
                self.correctable += 1;
            }
        }
        match due {
            0 => self.corrections += 1,
            _ => self.joined_at = Some(round.now),
        }
        self.rests_until = Some(round.now + round.settle(id.level()).max(took.saturating_mul(REST)));
        self.is_joining = false;
        match std::mem::take(&mut self.is_sealed_by_join) {
            true => self.seal(),
            false => 0,
        }
    }

    /// Compares what a join says of a span with what was sent on, and remembers it.
    pub(super) fn outcome(&mut self, key: SpanKey, emitted: Emitted) -> Outcome {
        let Some(held) = self.spans.get_mut(&key) else {
            return Outcome::Same;
        };
        match &held.stage {
            Stage::Waiting(before) | Stage::Joined(before) if *before != emitted => {
                let outcome = if *before == Emitted::NOTHING {
                    Outcome::First
                } else if before.has_rows_of(&emitted) {
                    Outcome::Recounts
                } else {
                    Outcome::Corrects(before.clone())
                };
                // A span waits until the join ends, so that its slot stays as long.
                held.stage = match held.stage {
                    Stage::Waiting(_) => Stage::Waiting(emitted),
                    _ => Stage::Joined(emitted),
                };
                outcome
            }
            Stage::Waiting(_) | Stage::Joined(_) | Stage::Final => Outcome::Same,
        }
    }

    /// Ends the time in which joined spans can be corrected; of those in a running join, when it ends. Returns how many
    /// there were.
    pub(super) fn seal(&mut self) -> usize {
        self.changed_at = None;
        self.is_sealed_by_join = self.is_joining;
        if self.correctable == 0 {
            return 0;
        }
        for held in self.spans.values_mut() {
            if matches!(held.stage, Stage::Joined(_)) {
                held.stage = Stage::Final;
            }
        }
        std::mem::take(&mut self.correctable)
    }

    /// Takes the spans out that do not wait. Their rows are final.
    pub(super) fn take_joined(&mut self) -> Vec<Arc<Span>> {
        self.seal();
        let is_joined = |_: &SpanKey, held: &mut HeldSpan| !matches!(held.stage, Stage::Waiting(_));
        let joined = self.spans.extract_if(.., is_joined);
        joined.map(|(_, held)| held.span).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn interval(start: i64, end: i64) -> Interval {
        Interval::new(UnixNanos(start), UnixNanos(end)).unwrap()
    }

    fn can_touch(span: Interval, interval: Interval) -> bool {
        let slot = SlotId::of(span);
        SlotId::touching(interval).any(|range| range.contains(&slot))
    }

    #[test]
    fn longer_spans_have_longer_slots() {
        let levels = [0, 4, 5, 9, 10, 3_600].map(|seconds| SlotId::of(interval(0, seconds * SECOND)).level);
        assert_eq!(levels, [0, 0, 1, 1, 2, 10]);
        assert_eq!(SlotId::of(interval(-1, 0)).index, -1);
        assert_eq!(SlotId::of(interval(i64::MIN, i64::MAX)).level, TOP_LEVEL);
    }

    #[test]
    fn whatever_touches_an_interval_is_found_by_its_slot() {
        for start in -30..30 {
            for duration in [0, 1, 4, 5, 7, 12, 25] {
                let span = interval(start * SECOND, (start + duration) * SECOND);
                for at in -40..70 {
                    let asked = interval(at * SECOND, at * SECOND + SECOND / 2);
                    assert!(
                        !touches(span, asked) || can_touch(span, asked),
                        "{span:?} touches {asked:?}"
                    );
                }
            }
        }
        assert!(can_touch(interval(i64::MIN, i64::MAX), interval(0, 0)));
        assert!(!can_touch(interval(0, 1), interval(60 * SECOND, 61 * SECOND)));
    }
}

//! Spans and recordings that wait for each other, bounded.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_attribution::{NotAnchored, ProcessChoice, ProcessSpans, Rules, choose_process};
use spandrel_model::{Interval, ProcessIdentity, Span, SpanId, TaskRecording, TraceId, UnanchoredRecording};

use super::unanchored::{HeldUnanchored, Placed, Placing};

/// A recording reaches this much beyond its window when neighbors are looked up: a span may begin this long before
/// the user task that it is bound by.
const NEIGHBORHOOD_NS: i64 = 10_000_000;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    processes: BTreeMap<Arc<ProcessIdentity>, ProcessSpansHeld>,
    /// In the order of arrival.
    recordings: VecDeque<HeldRecording>,
    /// Likewise.
    unanchored: Vec<HeldUnanchored>,
    /// Of all recordings.
    recording_bytes: u64,
    /// Digests of profiles that have arrived, so that one sent again changes nothing.
    profiles: HashMap<u64, Instant>,
    span_count: usize,
    waiting_count: usize,
}

#[derive(Debug, Default)]
struct ProcessSpansHeld {
    /// Not joined yet, in the order of arrival.
    waiting: VecDeque<Held<Span>>,
    /// Joined, kept as context, in the order of joining.
    joined: VecDeque<Held<Span>>,
    seen: HashSet<(TraceId, SpanId)>,
}

impl ProcessSpansHeld {
    fn all(&self) -> impl Iterator<Item = &Arc<Span>> {
        self.joined.iter().chain(&self.waiting).map(|span| &span.what)
    }
}

#[derive(Debug)]
struct Held<T> {
    at: Instant,
    what: Arc<T>,
}

#[derive(Debug)]
struct HeldRecording {
    at: Instant,
    recording: Arc<TaskRecording>,
    /// Process whose spans it is joined with, once it is known.
    owner: Option<Arc<ProcessIdentity>>,
    /// Whether its rows have been handed out, under the identity of its owner.
    is_settled: bool,
}

/// Everything that one join of one process needs.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) process: Arc<ProcessIdentity>,
    /// Spans that are due and will yield rows.
    pub(super) due: Vec<Arc<Span>>,
    /// Their neighbors in time.
    pub(super) context: Vec<Arc<Span>>,
    /// Recordings of the process that touch them.
    pub(super) recordings: Vec<Arc<TaskRecording>>,
}

/// Outcome of [`Pending::add_spans`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
}

impl Pending {
    /// Whether `count` more spans fit below `limit`, context spans let go if need be.
    pub(super) fn make_room(&mut self, count: usize, limit: usize) -> bool {
        while self.span_count + count > limit && self.forget_oldest_joined() {}
        // One batch always fits when nothing waits: it could never be taken otherwise.
        self.waiting_count == 0 || self.span_count + count <= limit
    }

    pub(super) fn add_spans(&mut self, spans: Vec<Span>, now: Instant) -> Added {
        let mut added = Added::default();
        for span in spans {
            let held = self.processes.entry(span.process.clone()).or_default();
            if !held.seen.insert((span.trace_id, span.span_id)) {
                added.duplicates += 1;
                continue;
            }
            held.waiting.push_back(Held {
                at: now,
                what: Arc::new(span),
            });
            added.accepted += 1;
            self.span_count += 1;
            self.waiting_count += 1;
        }
        added
    }

    /// Remembers a profile by its digest. `false` if it has arrived before, within the retention.
    pub(super) fn is_new_profile(&mut self, digest: u64, now: Instant) -> bool {
        self.profiles.insert(digest, now).is_none()
    }

    /// Forgets a profile that turned out to be unreadable or was refused.
    pub(super) fn forget_profile(&mut self, digest: u64) {
        self.profiles.remove(&digest);
    }

    /// Adds a recording. Settled ones go, the oldest first, while all together exceed `limit_bytes`; returns how many
    /// went, or `None` if there is still no room for it.
    pub(super) fn add_recording(&mut self, recording: TaskRecording, now: Instant, limit_bytes: u64) -> Option<u64> {
        let evicted = self.make_room_for_recording(recording.size_bytes(), limit_bytes)?;
        self.recordings.push_back(HeldRecording {
            at: now,
            recording: Arc::new(recording),
            owner: None,
            is_settled: false,
        });
        Some(evicted)
    }

    /// The same for a recording without a wall clock. `digest` is that of its profile.
    pub(super) fn add_unanchored(
        &mut self,
        recording: UnanchoredRecording,
        digest: u64,
        now: Instant,
        limit_bytes: u64,
    ) -> Option<u64> {
        let evicted = self.make_room_for_recording(recording.size_bytes(), limit_bytes)?;
        self.unanchored.push(HeldUnanchored {
            at: now,
            recording: Arc::new(recording),
            asked_again_at: now,
            digest,
        });
        Some(evicted)
    }

    fn make_room_for_recording(&mut self, bytes: u64, limit_bytes: u64) -> Option<u64> {
        let mut evicted = 0;
        while self.recording_bytes + bytes > limit_bytes && self.forget_oldest_settled() {
            evicted += 1;
        }
        // One recording always fits when there is no other: it could never be taken otherwise.
        if self.recording_bytes > 0 && self.recording_bytes + bytes > limit_bytes {
            return None;
        }
        self.recording_bytes += bytes;
        Some(evicted)
    }

    /// The recordings without a wall clock that should be placed before the spans that arrived at or before `due` are
    /// joined.
    pub(super) fn placings(&self, due: Instant, now: Instant) -> Vec<Placing> {
        let mut placings = Vec::new();
        for held in &self.unanchored {
            let candidates = || {
                let processes = self.processes.iter();
                processes.filter(|(process, _)| held.recording.process().is_compatible_with(process))
            };
            let is_last = held.at <= due;
            let has_due_spans = |spans: &ProcessSpansHeld| spans.waiting.front().is_some_and(|span| span.at <= due);
            if is_last || held.asked_again_at <= now && candidates().any(|(_, spans)| has_due_spans(spans)) {
                placings.push(Placing {
                    recording: held.recording.clone(),
                    candidates: candidates()
                        .map(|(process, spans)| (process.clone(), spans.all().cloned().collect()))
                        .collect(),
                    is_last,
                });
            }
        }
        placings
    }

    /// Puts a recording where spans have placed it. One that they did not place waits on, until `again_at` at least, or is
    /// let go after its last time.
    pub(super) fn place(&mut self, placing: Placing, answer: Result<Placed, NotAnchored>, again_at: Instant) {
        let is_it = |held: &HeldUnanchored| Arc::ptr_eq(&held.recording, &placing.recording);
        let Some(index) = self.unanchored.iter().position(is_it) else {
            return;
        };
        if answer.is_err() && !placing.is_last {
            self.unanchored[index].asked_again_at = again_at;
            return;
        }
        let HeldUnanchored {
            at, recording, digest, ..
        } = self.unanchored.remove(index);
        // The last other reference goes, so that anchoring copies nothing.
        drop(placing);
        let Ok(Placed { process, estimate }) = answer else {
            self.recording_bytes -= recording.size_bytes();
            self.forget_profile(digest);
            return;
        };
        let mut recording = Arc::unwrap_or_clone(recording).anchored(estimate);
        recording.process = process.clone();
        let position = self.recordings.partition_point(|held| held.at <= at);
        let held = HeldRecording {
            at,
            recording: Arc::new(recording),
            owner: Some(process),
            is_settled: false,
        };
        self.recordings.insert(position, held);
    }

    /// Recordings that arrived at or before `due` and have not been returned yet, each under the identity of the process
    /// that it belongs to, as spans have told it by now; else under its own.
    pub(super) fn take_settled(&mut self, due: Instant, rules: &Rules) -> Vec<Arc<TaskRecording>> {
        let mut settled = Vec::new();
        for index in 0..self.recordings.len() {
            let held = &self.recordings[index];
            if held.is_settled || held.at > due {
                continue;
            }
            let owner = match &held.owner {
                Some(owner) => Some(owner.clone()),
                None => match self.owner_of(&held.recording, rules) {
                    Ok(owner) => Some(owner),
                    Err(why) => {
                        tracing::warn!(source = %held.recording.source, "a runtime profile is joined with no spans: {why}");
                        None
                    }
                },
            };
            let held = &mut self.recordings[index];
            if let Some(owner) = owner {
                Arc::make_mut(&mut held.recording).process = owner.clone();
                held.owner = Some(owner);
            }
            held.is_settled = true;
            settled.push(held.recording.clone());
        }
        settled
    }

    /// Spans accepted and not yet joined.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// Takes all spans that arrived at or before `due`, with their neighbors and recordings, one join per process.
    pub(super) fn take_due(&mut self, due: Instant, now: Instant, rules: &Rules) -> Vec<Join> {
        let mut joins = Vec::new();
        for (process, held) in &mut self.processes {
            let count = held.waiting.partition_point(|span| span.at <= due);
            let taken: Vec<Arc<Span>> = held.waiting.drain(..count).map(|span| span.what).collect();
            let Some(hull) = hull(&taken) else {
                continue;
            };
            self.waiting_count -= taken.len();
            let neighbors = held.joined.iter().chain(&held.waiting);
            let context = neighbors
                .map(|span| &span.what)
                .filter(|span| touches(span.interval, hull))
                .cloned()
                .collect();
            held.joined.extend(taken.iter().map(|span| Held {
                at: now,
                what: span.clone(),
            }));
            joins.push(Join {
                process: process.clone(),
                due: taken,
                context,
                recordings: Vec::new(),
            });
        }
        self.assign_recordings(&mut joins, rules);
        joins
    }

    /// Gives each recording to the join of the process it belongs to.
    fn assign_recordings(&mut self, joins: &mut [Join], rules: &Rules) {
        for index in 0..self.recordings.len() {
            let held = &self.recordings[index];
            let touches_join = |join: &Join| {
                held.recording.process.is_compatible_with(&join.process)
                    && hull(&join.due).is_some_and(|hull| touches(held.recording.window, hull))
            };
            if !joins.iter().any(touches_join) {
                continue;
            }
            let Some(owner) = held
                .owner
                .clone()
                .or_else(|| self.owner_of(&held.recording, rules).ok())
            else {
                continue;
            };
            for join in joins.iter_mut().filter(|join| join.process == owner) {
                join.recordings.push(held.recording.clone());
            }
            self.recordings[index].owner = Some(owner);
        }
    }

    /// The process of a recording, among all that have reported spans lately; else why it cannot be told.
    fn owner_of(&self, recording: &TaskRecording, rules: &Rules) -> Result<Arc<ProcessIdentity>, ProcessChoice> {
        let candidates: Vec<(&Arc<ProcessIdentity>, Vec<&Span>)> = self
            .processes
            .iter()
            .filter(|(process, _)| recording.process.is_compatible_with(process))
            .map(|(process, held)| {
                let spans = held.all().map(AsRef::as_ref);
                (
                    process,
                    spans.filter(|span| touches(span.interval, recording.window)).collect(),
                )
            })
            .collect();
        let spans: Vec<ProcessSpans<'_>> = candidates
            .into_iter()
            .map(|(process, spans)| ProcessSpans {
                process: process.clone(),
                spans,
                context: Vec::new(),
            })
            .collect();
        match choose_process(recording, &spans, rules) {
            ProcessChoice::Chosen { index, .. } => Ok(spans[index].process.clone()),
            undecided => Err(undecided),
        }
    }

    /// Lets go of joined spans and recordings that are older than `retention`.
    pub(super) fn forget(&mut self, now: Instant, retention: Duration) {
        let Some(horizon) = now.checked_sub(retention) else {
            return;
        };
        for held in self.processes.values_mut() {
            while held.joined.front().is_some_and(|span| span.at < horizon) {
                if let Some(span) = held.joined.pop_front() {
                    held.seen.remove(&(span.what.trace_id, span.what.span_id));
                    self.span_count -= 1;
                }
            }
        }
        self.processes
            .retain(|_, held| !held.joined.is_empty() || !held.waiting.is_empty());
        while self.recordings.front().is_some_and(|held| held.at < horizon) && self.forget_oldest_settled() {}
        self.profiles.retain(|_, at| *at >= horizon);
    }

    /// Lets the oldest recording go if its rows have been handed out.
    fn forget_oldest_settled(&mut self) -> bool {
        if !self.recordings.front().is_some_and(|held| held.is_settled) {
            return false;
        }
        if let Some(held) = self.recordings.pop_front() {
            self.recording_bytes -= held.recording.size_bytes();
        }
        true
    }

    fn forget_oldest_joined(&mut self) -> bool {
        let oldest = self.processes.values_mut().filter(|held| !held.joined.is_empty());
        let Some(held) = oldest.min_by_key(|held| held.joined.front().map(|span| span.at)) else {
            return false;
        };
        let Some(span) = held.joined.pop_front() else {
            return false;
        };
        held.seen.remove(&(span.what.trace_id, span.what.span_id));
        self.span_count -= 1;
        true
    }
}

/// The shortest interval that covers all spans.
fn hull(spans: &[Arc<Span>]) -> Option<Interval> {
    let start = spans.iter().map(|span| span.interval.start()).min()?;
    let end = spans.iter().map(|span| span.interval.end()).max()?;
    Interval::new(start, end)
}

fn touches(interval: Interval, hull: Interval) -> bool {
    interval.start() <= hull.end().plus(NEIGHBORHOOD_NS) && hull.start().plus(-NEIGHBORHOOD_NS) <= interval.end()
}

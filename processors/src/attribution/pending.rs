//! Spans and recordings that wait for each other, bounded.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_attribution::{ProcessChoice, ProcessSpans, Rules, choose_process};
use spandrel_model::{Interval, ProcessIdentity, Span, SpanId, TaskRecording, TaskState, TraceId};

/// A recording reaches this much beyond its window when neighbors are looked up: a span may begin this long before
/// the user task that it is bound by.
const NEIGHBORHOOD_NS: i64 = 10_000_000;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    processes: BTreeMap<Arc<ProcessIdentity>, ProcessSpansHeld>,
    recordings: VecDeque<Held<TaskRecording>>,
    recording_bytes: u64,
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

#[derive(Debug)]
struct Held<T> {
    at: Instant,
    what: Arc<T>,
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

    /// Adds a recording and lets the oldest go while all together exceed `limit_bytes`. Returns how many went.
    pub(super) fn add_recording(&mut self, recording: TaskRecording, now: Instant, limit_bytes: u64) -> u64 {
        self.recording_bytes += size_bytes(&recording);
        self.recordings.push_back(Held {
            at: now,
            what: Arc::new(recording),
        });
        let mut evicted = 0;
        while self.recording_bytes > limit_bytes && self.recordings.len() > 1 {
            self.forget_oldest_recording();
            evicted += 1;
        }
        evicted
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
    fn assign_recordings(&self, joins: &mut [Join], rules: &Rules) {
        for held in &self.recordings {
            let recording = &held.what;
            let touching: Vec<usize> = (0..joins.len())
                .filter(|index| {
                    let join = &joins[*index];
                    recording.process.is_compatible_with(&join.process)
                        && hull(&join.due).is_some_and(|hull| touches(recording.window, hull))
                })
                .collect();
            if touching.is_empty() {
                continue;
            }
            if let Some(process) = self.process_of(recording, rules) {
                for index in touching {
                    if joins[index].process == process {
                        joins[index].recordings.push(recording.clone());
                    }
                }
            }
        }
    }

    /// The process of a recording, among all that have reported spans lately.
    fn process_of(&self, recording: &TaskRecording, rules: &Rules) -> Option<Arc<ProcessIdentity>> {
        let candidates: Vec<(&Arc<ProcessIdentity>, Vec<&Span>)> = self
            .processes
            .iter()
            .filter(|(process, _)| recording.process.is_compatible_with(process))
            .map(|(process, held)| {
                let spans = held.joined.iter().chain(&held.waiting).map(|span| span.what.as_ref());
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
            ProcessChoice::Chosen { index, .. } => spans.get(index).map(|chosen| chosen.process.clone()),
            undecided => {
                tracing::warn!(source = %recording.source, "cannot tell whose recording it is: {undecided}");
                None
            }
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
        while self.recordings.front().is_some_and(|recording| recording.at < horizon) {
            self.forget_oldest_recording();
        }
    }

    fn forget_oldest_recording(&mut self) {
        if let Some(recording) = self.recordings.pop_front() {
            self.recording_bytes -= size_bytes(&recording.what);
        }
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

/// About the memory that a recording occupies: its states, and half as much again for the rest.
fn size_bytes(recording: &TaskRecording) -> u64 {
    (recording.states.len() * size_of::<TaskState>() * 3 / 2) as u64
}

//! The recordings of all processes: whose they are, how long they are needed, and how much memory they take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::{NotAnchored, ProcessChoice, ProcessSpans, Rules, choose_process};
use spandrel_model::{Interval, ProcessIdentity, Span, TaskRecording, UnanchoredRecording};

use super::held_spans::HeldSpans;
use super::slots::{Round, touches};
use super::unanchored::{HeldUnanchored, Placed, Placing};

/// Every recording that waits or that spans may still need.
#[derive(Debug, Default)]
pub(super) struct Recordings {
    /// In the order of arrival.
    held: VecDeque<HeldRecording>,
    /// Likewise.
    unanchored: Vec<HeldUnanchored>,
    /// Of all.
    bytes: u64,
    next_id: RecordingId,
}

/// Counts recordings in the order of their arrival.
pub(super) type RecordingId = u64;

#[derive(Debug)]
struct HeldRecording {
    id: RecordingId,
    at: Instant,
    recording: Arc<TaskRecording>,
    /// Process whose spans it is joined with, once it is known.
    owner: Option<Arc<ProcessIdentity>>,
    /// Earliest time at which the spans are asked again whose it is, but for the last.
    asked_again_at: Instant,
    /// Whether its rows have been handed out, under the identity of its owner.
    is_settled: bool,
}

/// A question to the spans: of which of their processes is this recording?
#[derive(Debug)]
pub(super) struct Choosing {
    id: RecordingId,
    pub(super) recording: Arc<TaskRecording>,
    candidates: Vec<(Arc<ProcessIdentity>, Vec<Arc<Span>>)>,
    /// Whether the recording has waited long enough, so that its rows are handed out in any case.
    pub(super) is_last: bool,
}

impl Choosing {
    /// Takes long where many spans of several processes are candidates.
    pub(super) fn answer(&self, rules: &Rules) -> Result<Arc<ProcessIdentity>, ProcessChoice> {
        let processes: Vec<ProcessSpans<'_>> = (self.candidates.iter())
            .map(|(process, spans)| ProcessSpans {
                process: process.clone(),
                spans: spans.iter().map(AsRef::as_ref).collect(),
                context: Vec::new(),
            })
            .collect();
        match choose_process(&self.recording, &processes, rules) {
            ProcessChoice::Chosen { index, .. } => Ok(processes[index].process.clone()),
            undecided => Err(undecided),
        }
    }
}

impl Recordings {
    /// Adds a recording; the caller has made room for it.
    pub(super) fn add(&mut self, recording: TaskRecording, now: Instant) {
        self.bytes += recording.size_bytes();
        let id = self.next_id();
        self.held.push_back(HeldRecording {
            id,
            at: now,
            recording: Arc::new(recording),
            owner: None,
            asked_again_at: now,
            is_settled: false,
        });
    }

    /// The same for a recording without a wall clock. `digest` is that of its profile.
    pub(super) fn add_unanchored(&mut self, recording: UnanchoredRecording, digest: u64, now: Instant) {
        self.bytes += recording.size_bytes();
        let id = self.next_id();
        self.unanchored.push(HeldUnanchored {
            id,
            at: now,
            recording: Arc::new(recording),
            asked_again_at: now,
            digest,
        });
    }

    fn next_id(&mut self) -> RecordingId {
        self.next_id += 1;
        self.next_id
    }

    /// Whether `bytes` more fit below `limit`. One recording always fits when there is no other: it could never be taken
    /// otherwise.
    pub(super) fn has_room(&self, bytes: u64, limit: u64) -> bool {
        self.bytes == 0 || self.bytes + bytes <= limit
    }

    /// The recordings without a wall clock that should be placed in this round, before spans are joined.
    pub(super) fn placings(&self, spans: &HeldSpans, round: &Round) -> Vec<Placing> {
        let mut placings = Vec::new();
        for held in &self.unanchored {
            let candidates = || {
                let processes = spans.processes();
                processes.filter(|(process, _)| held.recording.process().is_compatible_with(process))
            };
            let is_last = round.is_due(held.at);
            let asks = || held.asked_again_at <= round.now && candidates().any(|(_, spans)| spans.has_due_spans(round));
            if is_last || asks() {
                placings.push(Placing {
                    recording: held.recording.clone(),
                    candidates: candidates()
                        .map(|(process, spans)| (process.clone(), spans.spans().cloned().collect()))
                        .collect(),
                    is_last,
                });
            }
        }
        placings
    }

    /// Puts a recording where spans have placed it. One that they did not place waits on, until `again_at` at least, or is
    /// let go after its last time; then returns the digest of its profile.
    pub(super) fn place(
        &mut self,
        placing: Placing,
        answer: Result<Placed, NotAnchored>,
        again_at: Instant,
    ) -> Result<Option<(Arc<ProcessIdentity>, Interval)>, u64> {
        let is_it = |held: &HeldUnanchored| Arc::ptr_eq(&held.recording, &placing.recording);
        let Some(index) = self.unanchored.iter().position(is_it) else {
            return Ok(None);
        };
        if answer.is_err() && !placing.is_last {
            self.unanchored[index].asked_again_at = again_at;
            return Ok(None);
        }
        let HeldUnanchored {
            id,
            at,
            recording,
            digest,
            ..
        } = self.unanchored.remove(index);
        // The last other reference goes, so that anchoring copies nothing.
        drop(placing);
        let Ok(Placed { process, estimate }) = answer else {
            self.bytes -= recording.size_bytes();
            return Err(digest);
        };
        let mut recording = Arc::unwrap_or_clone(recording).anchored(estimate);
        recording.process = process.clone();
        let window = recording.window;
        let position = self.held.partition_point(|held| held.id < id);
        let held = HeldRecording {
            id,
            at,
            recording: Arc::new(recording),
            owner: Some(process.clone()),
            asked_again_at: at,
            is_settled: false,
        };
        self.held.insert(position, held);
        Ok(Some((process, window)))
    }

    /// The recordings whose process should be found in this round: because their time has come, or that of spans that
    /// touch them.
    pub(super) fn choosings(&self, spans: &HeldSpans, round: &Round) -> Vec<Choosing> {
        let mut choosings = Vec::new();
        for held in self.held.iter().filter(|held| held.owner.is_none()) {
            let window = held.recording.window;
            let candidates = || {
                let processes = spans.processes();
                processes.filter(|(process, _)| held.recording.process.is_compatible_with(process))
            };
            let is_last = !held.is_settled && round.is_due(held.at);
            let may_ask = round.is_last || held.asked_again_at <= round.now;
            if is_last || may_ask && candidates().any(|(_, spans)| spans.has_due_slot(window, round)) {
                choosings.push(Choosing {
                    id: held.id,
                    recording: held.recording.clone(),
                    candidates: candidates()
                        .map(|(process, spans)| (process.clone(), spans.touching(window).cloned().collect()))
                        .collect(),
                    is_last,
                });
            }
        }
        choosings
    }

    /// Gives a recording to its process, or has the question asked again at `again_at` or later. Returns the time that the
    /// recording covers if it has found its process.
    pub(super) fn assign(
        &mut self,
        choosing: Choosing,
        owner: Option<Arc<ProcessIdentity>>,
        again_at: Instant,
    ) -> Option<Interval> {
        let id = choosing.id;
        // The last other reference goes, so that naming the process copies nothing.
        drop(choosing);
        let held = self.held.iter_mut().find(|held| held.id == id)?;
        held.asked_again_at = again_at;
        let owner = owner?;
        Arc::make_mut(&mut held.recording).process = owner.clone();
        held.owner = Some(owner);
        Some(held.recording.window)
    }

    /// Recordings whose time has come and that have not been returned yet, each under the identity of its process if that
    /// is known by now, else under its own.
    pub(super) fn take_settled(&mut self, round: &Round) -> Vec<Arc<TaskRecording>> {
        let due = (self.held.iter_mut()).filter(|held| !held.is_settled && round.is_due(held.at));
        due.map(|held| {
            held.is_settled = true;
            held.recording.clone()
        })
        .collect()
    }

    /// The recordings of a process that touch `hull`.
    pub(super) fn touching(&self, process: &Arc<ProcessIdentity>, hull: Interval) -> Vec<Arc<TaskRecording>> {
        let touching = self.held.iter().filter(|held| {
            let is_of_process = held.owner.as_ref().is_some_and(|owner| owner == process);
            is_of_process && touches(held.recording.window, hull)
        });
        touching.map(|held| held.recording.clone()).collect()
    }

    /// Lets go of recordings that are older than the retention and that no span needs which may still be corrected.
    pub(super) fn forget(&mut self, spans: &mut HeldSpans, round: &Round) {
        let bytes = &mut self.bytes;
        self.held.retain(|held| {
            let window = held.recording.window;
            let is_needed = |owner: &Arc<ProcessIdentity>| spans.is_open(owner, window);
            if !held.is_settled || !round.is_over(held.at) || held.owner.as_ref().is_some_and(is_needed) {
                return true;
            }
            if let Some(owner) = &held.owner {
                spans.close(owner, window);
            }
            *bytes -= held.recording.size_bytes();
            false
        });
    }

    /// Lets the oldest recording go whose rows have been handed out, and makes final what depends on it. `None` if there is
    /// none, else of how many spans.
    pub(super) fn evict(&mut self, spans: &mut HeldSpans) -> Option<u64> {
        let index = self.held.iter().position(|held| held.is_settled)?;
        let held = self.held.remove(index)?;
        self.bytes -= held.recording.size_bytes();
        let window = held.recording.window;
        Some(held.owner.map_or(0, |owner| {
            spans.close(&owner, window);
            spans.seal_touching(&owner, window)
        }))
    }
}

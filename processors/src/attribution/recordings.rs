//! The recordings of all processes: whose they are, how long they are needed, and how much memory they take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::{NotAnchored, ProcessChoice, ProcessSpans, Rules, choose_process};
use spandrel_model::{Interval, ProcessIdentity, Span, TaskRecording, UnanchoredRecording};
use spandrel_pipeline::RuntimeProfile;
use spandrel_profiles::go_execution_trace::StateRules;
use thiserror::Error;

use super::held_spans::HeldSpans;
use super::recording_source::{RecordingSource, RestoreError, SpilledRecording};
use super::slots::{Round, touches};
use super::spill::SpillFile;
use super::unanchored::{HeldUnanchored, Placed, Placing};

/// Every recording that waits or that spans may still need.
#[derive(Debug, Default)]
pub(super) struct Recordings {
    /// In the order of arrival.
    held: VecDeque<HeldRecording>,
    /// Likewise.
    unanchored: Vec<HeldUnanchored>,
    /// Memory of all.
    bytes: u64,
    next_id: RecordingId,
}

/// Counts recordings in the order of their arrival.
pub(super) type RecordingId = u64;

#[derive(Debug)]
struct HeldRecording {
    id: RecordingId,
    at: Instant,
    /// Time that it covers.
    window: Interval,
    /// Process that the sender named.
    identity: Arc<ProcessIdentity>,
    source: RecordingSource,
    /// As it came, while the recording is in memory.
    profile: Option<Arc<RuntimeProfile>>,
    /// Memory that it takes.
    bytes: u64,
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
    pub(super) source: RecordingSource,
    /// Time that the recording covers.
    pub(super) window: Interval,
    /// The processes that may be the recorded one, with their spans in this time, which are filled in one process at a
    /// time.
    pub(super) candidates: Vec<(Arc<ProcessIdentity>, Vec<Arc<Span>>)>,
    /// Whether the recording has waited long enough, so that its rows are handed out in any case.
    pub(super) is_last: bool,
    /// Whether spans of a process that it fits came at any time.
    pub(super) is_known: bool,
}

impl Choosing {
    /// Takes long where many spans of several processes are candidates.
    pub(super) fn answer(&self, rules: &Rules, state_rules: &StateRules) -> Result<Arc<ProcessIdentity>, Unchosen> {
        let recording = self.source.open(state_rules)?;
        let processes: Vec<ProcessSpans<'_>> = (self.candidates.iter())
            .map(|(process, spans)| ProcessSpans {
                process: process.clone(),
                spans: spans.iter().map(AsRef::as_ref).collect(),
                context: Vec::new(),
            })
            .collect();
        match choose_process(&recording, &processes, rules) {
            ProcessChoice::Chosen { index, .. } => Ok(processes[index].process.clone()),
            undecided => Err(Unchosen::Undecided(undecided)),
        }
    }
}

/// Why the process of a recording is not known.
#[derive(Debug, Error)]
pub(super) enum Unchosen {
    /// The spans do not tell.
    #[error("{0}")]
    Undecided(ProcessChoice),
    /// The recording is on disk and cannot be read.
    #[error(transparent)]
    Unreadable(#[from] RestoreError),
}

impl HeldRecording {
    fn new(id: RecordingId, at: Instant, recording: TaskRecording, profile: Arc<RuntimeProfile>) -> Self {
        Self {
            id,
            at,
            window: recording.window,
            identity: recording.process.clone(),
            bytes: recording.size_bytes() + profile.bytes.len() as u64,
            source: RecordingSource::Decoded(Arc::new(recording)),
            profile: Some(profile),
            owner: None,
            asked_again_at: at,
            is_settled: false,
        }
    }

    fn is_needed(&self, spans: &HeldSpans) -> bool {
        let window = self.window;
        match &self.owner {
            Some(owner) => spans.is_needed(owner, window),
            None => (spans.processes())
                .filter(|(process, _)| self.identity.is_compatible_with(process))
                .any(|(process, _)| spans.is_needed(process, window)),
        }
    }
}

impl Recordings {
    /// Adds a recording, and what it was decoded from; the caller has made room for both.
    pub(super) fn add(&mut self, recording: TaskRecording, profile: Arc<RuntimeProfile>, now: Instant) {
        let held = HeldRecording::new(self.next_id(), now, recording, profile);
        self.bytes += held.bytes;
        self.held.push_back(held);
    }

    /// The same for a recording without a wall clock. `digest` is that of its profile.
    pub(super) fn add_unanchored(
        &mut self,
        recording: UnanchoredRecording,
        profile: Arc<RuntimeProfile>,
        digest: u64,
        now: Instant,
    ) {
        let id = self.next_id();
        let bytes = recording.size_bytes() + profile.bytes.len() as u64;
        self.bytes += bytes;
        self.unanchored.push(HeldUnanchored {
            id,
            at: now,
            recording: Arc::new(recording),
            profile,
            bytes,
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
                    candidates: candidates().map(|(process, _)| (process.clone(), Vec::new())).collect(),
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
            profile,
            bytes,
            digest,
            ..
        } = self.unanchored.remove(index);
        self.bytes -= bytes;
        // The last other reference goes, so that anchoring copies nothing.
        drop(placing);
        let Ok(Placed { process, estimate }) = answer else {
            return Err(digest);
        };
        let mut recording = Arc::unwrap_or_clone(recording).anchored(estimate);
        recording.process = process.clone();
        let window = recording.window;
        let mut held = HeldRecording::new(id, at, recording, profile);
        held.owner = Some(process.clone());
        self.bytes += held.bytes;
        let position = self.held.partition_point(|held| held.id < id);
        self.held.insert(position, held);
        Ok(Some((process, window)))
    }

    /// The recordings whose process should be found in this round: because their time has come, or that of spans that
    /// touch them.
    pub(super) fn choosings(&self, spans: &HeldSpans, round: &Round) -> Vec<Choosing> {
        let mut choosings = Vec::new();
        for held in self.held.iter().filter(|held| held.owner.is_none()) {
            let window = held.window;
            let candidates = || {
                let processes = spans.processes();
                processes.filter(|(process, _)| held.identity.is_compatible_with(process))
            };
            let is_last = !held.is_settled && round.is_due(held.at);
            let may_ask = round.is_last || held.asked_again_at <= round.now;
            if is_last || may_ask && candidates().any(|(_, spans)| spans.has_due_slot(window, round)) {
                choosings.push(Choosing {
                    id: held.id,
                    source: held.source.clone(),
                    window,
                    candidates: candidates().map(|(process, _)| (process.clone(), Vec::new())).collect(),
                    is_last,
                    is_known: spans
                        .known_processes()
                        .any(|process| held.identity.is_compatible_with(process)),
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
        match &mut held.source {
            RecordingSource::Decoded(recording) => Arc::make_mut(recording).process = owner.clone(),
            RecordingSource::Spilled(spilled) => Arc::make_mut(spilled).process = owner.clone(),
        }
        held.owner = Some(owner);
        Some(held.window)
    }

    /// Recordings whose time has come and that have not been returned yet, each under the identity of its process if that
    /// is known by now, else under its own.
    pub(super) fn take_settled(&mut self, round: &Round) -> Vec<RecordingSource> {
        let due = (self.held.iter_mut()).filter(|held| !held.is_settled && round.is_due(held.at));
        due.map(|held| {
            held.is_settled = true;
            held.source.clone()
        })
        .collect()
    }

    /// The recordings of a process that touch any of `hulls`.
    pub(super) fn touching(&self, process: &Arc<ProcessIdentity>, hulls: &[Interval]) -> Vec<RecordingSource> {
        let touching = self.held.iter().filter(|held| {
            let is_of_process = held.owner.as_ref().is_some_and(|owner| owner == process);
            is_of_process && hulls.iter().any(|hull| touches(held.window, *hull))
        });
        touching.map(|held| held.source.clone()).collect()
    }

    /// Times of the recordings that are or may be of a process, sorted.
    pub(super) fn windows_of(&self, process: &ProcessIdentity) -> Vec<Interval> {
        let of_process = self.held.iter().filter(|held| match &held.owner {
            Some(owner) => **owner == *process,
            None => held.identity.is_compatible_with(process),
        });
        let mut windows: Vec<Interval> = of_process.map(|held| held.window).collect();
        windows.sort_unstable();
        windows
    }

    /// Lets go of recordings that are older than the retention and that no span needs which waits or may still be
    /// corrected. As long as it is not known of which process one is, it may be of any that its sender can have meant.
    pub(super) fn forget(&mut self, spans: &mut HeldSpans, round: &Round) {
        let bytes = &mut self.bytes;
        self.held.retain(|held| {
            if !held.is_settled || !round.is_over(held.at) || held.is_needed(spans) {
                return true;
            }
            if let Some(owner) = &held.owner {
                spans.close(owner, held.window);
            }
            *bytes -= held.bytes;
            false
        });
    }

    /// Recordings in memory, the oldest first, which take `bytes` or more beyond `limit` together with others; all of them
    /// if that is not enough.
    pub(super) fn to_spill(&self, bytes: u64, limit: u64) -> Vec<(RecordingId, Arc<RuntimeProfile>)> {
        let mut excess = (self.bytes + bytes).saturating_sub(limit);
        let mut to_spill = Vec::new();
        for held in &self.held {
            if excess == 0 {
                break;
            }
            if let Some(profile) = &held.profile {
                to_spill.push((held.id, profile.clone()));
                excess = excess.saturating_sub(held.bytes);
            }
        }
        to_spill
    }

    /// Frees the memory of a recording that is now on disk.
    pub(super) fn spilled(&mut self, id: RecordingId, file: SpillFile) {
        let Some(held) = self.held.iter_mut().find(|held| held.id == id) else {
            return;
        };
        if let (RecordingSource::Decoded(recording), Some(profile)) = (&held.source, held.profile.take()) {
            let spilled = SpilledRecording::new(file, &profile, recording);
            self.bytes -= std::mem::take(&mut held.bytes);
            held.source = RecordingSource::Spilled(Arc::new(spilled));
        }
    }

    /// Lets the oldest recording in memory go whose rows have been handed out, and makes final what depends on it. `None`
    /// if there is none, else of how many spans.
    pub(super) fn evict(&mut self, spans: &mut HeldSpans) -> Option<u64> {
        let is_evictable = |held: &HeldRecording| held.is_settled && held.profile.is_some();
        let index = self.held.iter().position(is_evictable)?;
        let held = self.held.remove(index)?;
        self.bytes -= held.bytes;
        Some(held.owner.map_or(0, |owner| {
            spans.close(&owner, held.window);
            spans.seal_touching(&owner, held.window)
        }))
    }
}

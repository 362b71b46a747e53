//! The recordings of all processes: whose they are, how long they are needed, and how much memory they take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::NotAnchored;
use spandrel_model::{Interval, ProcessIdentity, TaskRecording, UnanchoredRecording};

use super::choosing::Choosing;
use super::held_profile::{HeldProfile, Lent, ProfileId};
use super::held_spans::HeldSpans;
use super::recording_source::{RecordingOnDisk, RecordingSource};
use super::recordings_directory::{Decision, StoredProfile};
use super::slots::{Round, touches};
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
}

#[derive(Debug)]
struct HeldRecording {
    profile: HeldProfile,
    at: Instant,
    /// Time that it covers.
    window: Interval,
    /// Process that the sender named.
    identity: Arc<ProcessIdentity>,
    source: RecordingSource,
    /// Memory that it takes; none while it is on disk only.
    bytes: u64,
    decision: Decision,
    /// Whether the directory knows the decision.
    is_decision_stored: bool,
    /// Earliest time at which the spans are asked again whose it is, but for the last.
    asked_again_at: Instant,
    /// Whether an earlier run has handed its rows out, which may be lost.
    is_handed_out_again: bool,
}

/// A recording whose rows are to be handed out.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) profile: HeldProfile,
    pub(super) source: RecordingSource,
    /// Process that its rows name.
    pub(super) process: Arc<ProcessIdentity>,
    /// Whether an earlier run has handed them out, too.
    pub(super) is_again: bool,
}

/// What was decided of a recording on disk, and is to be written there.
#[derive(Debug)]
pub(super) struct Unwritten {
    id: ProfileId,
    pub(super) stored: Arc<StoredProfile>,
    pub(super) decision: Decision,
}

impl HeldRecording {
    fn new(profile: HeldProfile, at: Instant, recording: TaskRecording) -> Self {
        Self {
            profile,
            at,
            window: recording.window,
            identity: recording.process.clone(),
            bytes: recording.size_bytes(),
            decision: Decision {
                placed: recording.clock.estimate(),
                ..Decision::default()
            },
            source: RecordingSource::Decoded(Arc::new(recording)),
            is_decision_stored: true,
            asked_again_at: at,
            is_handed_out_again: false,
        }
    }

    fn is_settled(&self) -> bool {
        self.decision.rows_under.is_some()
    }

    fn decide(&mut self, decide: impl FnOnce(&mut Decision)) {
        decide(&mut self.decision);
        self.is_decision_stored = self.profile.stored.is_none();
    }

    /// Frees its memory if it is on disk, too. Returns whether it was in memory and is so no more.
    fn unload(&mut self) -> bool {
        let (RecordingSource::Decoded(recording), Some(stored)) = (&self.source, &self.profile.stored) else {
            return false;
        };
        let on_disk = RecordingOnDisk::new(stored.clone(), recording);
        self.source = RecordingSource::OnDisk(Arc::new(on_disk));
        self.bytes = 0;
        true
    }

    fn is_needed(&self, spans: &HeldSpans) -> bool {
        let window = self.window;
        match &self.decision.owner {
            Some(owner) => spans.is_needed(owner, window),
            None => (spans.processes())
                .filter(|(process, _)| self.identity.is_compatible_with(process))
                .any(|(process, _)| spans.is_needed(process, window)),
        }
    }
}

impl Recordings {
    /// Adds a recording, for which the caller has made room.
    pub(super) fn add(&mut self, recording: TaskRecording, profile: HeldProfile, now: Instant) {
        let held = HeldRecording::new(profile, now, recording);
        self.bytes += held.bytes;
        self.held.push_back(held);
    }

    /// Adds one that an earlier run held, under the identity that its sender gave. What was decided of it stays.
    pub(super) fn take_up(
        &mut self,
        mut recording: TaskRecording,
        profile: HeldProfile,
        decision: Decision,
        now: Instant,
    ) {
        let identity = recording.process.clone();
        if let Some(owner) = &decision.owner {
            recording.process = owner.clone();
        }
        let held = HeldRecording {
            identity,
            is_handed_out_again: decision.rows_under.is_some(),
            decision,
            ..HeldRecording::new(profile, now, recording)
        };
        self.bytes += held.bytes;
        self.held.push_back(held);
    }

    /// Adds a recording without a wall clock. `digest` is that of its profile.
    pub(super) fn add_unanchored(
        &mut self,
        recording: UnanchoredRecording,
        profile: HeldProfile,
        digest: u64,
        now: Instant,
    ) {
        let bytes = recording.size_bytes();
        self.bytes += bytes;
        self.unanchored.push(HeldUnanchored {
            profile,
            at: now,
            recording: Arc::new(recording),
            bytes,
            asked_again_at: now,
            digest,
        });
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
            let is_due = round.is_due(held.at);
            // One on disk is left to the next run.
            let is_last = is_due && !(round.is_last && held.profile.stored.is_some());
            let asks = || held.asked_again_at <= round.now && candidates().any(|(_, spans)| spans.has_due_spans(round));
            if is_due || asks() {
                placings.push(Placing {
                    profile: held.profile.clone(),
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
            profile,
            at,
            recording,
            bytes,
            digest,
            ..
        } = self.unanchored.remove(index);
        self.bytes -= bytes;
        // The last other reference goes, so that anchoring copies nothing.
        drop(placing);
        let Ok(Placed { process, estimate }) = answer else {
            profile.let_go();
            return Err(digest);
        };
        let mut recording = Arc::unwrap_or_clone(recording).anchored(estimate);
        recording.process = process.clone();
        let window = recording.window;
        let id = profile.id;
        let mut held = HeldRecording::new(profile, at, recording);
        held.decide(|decision| decision.owner = Some(process.clone()));
        self.bytes += held.bytes;
        let position = self.held.partition_point(|held| held.profile.id < id);
        self.held.insert(position, held);
        Ok(Some((process, window)))
    }

    /// The recordings whose process should be found in this round: because their time has come, or that of spans that
    /// touch them.
    pub(super) fn choosings(&self, spans: &HeldSpans, round: &Round) -> Vec<Choosing> {
        let mut choosings = Vec::new();
        for held in self.held.iter().filter(|held| held.decision.owner.is_none()) {
            let window = held.window;
            let candidates = || {
                let processes = spans.processes();
                processes.filter(|(process, _)| held.identity.is_compatible_with(process))
            };
            let is_last = !held.is_settled() && round.is_due(held.at);
            let may_ask = round.is_last || held.asked_again_at <= round.now;
            if is_last || may_ask && candidates().any(|(_, spans)| spans.has_due_slot(window, round)) {
                choosings.push(Choosing {
                    profile: held.profile.clone(),
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
        let id = choosing.profile.id;
        // The last other reference goes, so that naming the process copies nothing.
        drop(choosing);
        let held = self.held.iter_mut().find(|held| held.profile.id == id)?;
        held.asked_again_at = again_at;
        let owner = owner?;
        match &mut held.source {
            RecordingSource::Decoded(recording) => Arc::make_mut(recording).process = owner.clone(),
            RecordingSource::OnDisk(on_disk) => Arc::make_mut(on_disk).process = owner.clone(),
        }
        held.decide(|decision| decision.owner = Some(owner));
        Some(held.window)
    }

    /// Recordings whose time has come and that have not been returned yet, each under the identity of its process if that
    /// is known by now, else under its own; and once those that an earlier run has returned, as it did.
    pub(super) fn take_settled(&mut self, round: &Round) -> Vec<Settled> {
        let mut settled = Vec::new();
        for held in &mut self.held {
            let is_again = std::mem::take(&mut held.is_handed_out_again);
            if !held.is_settled() && round.is_due(held.at) {
                let process = held.decision.owner.clone().unwrap_or_else(|| held.identity.clone());
                held.decide(|decision| decision.rows_under = Some(process));
            } else if !is_again {
                continue;
            }
            settled.extend(held.decision.rows_under.clone().map(|process| Settled {
                profile: held.profile.clone(),
                source: held.source.clone(),
                process,
                is_again,
            }));
        }
        settled
    }

    /// What was decided of recordings on disk and is not written there yet.
    pub(super) fn unwritten_decisions(&self) -> Vec<Unwritten> {
        let unwritten = self.held.iter().filter(|held| !held.is_decision_stored);
        let decisions = unwritten.filter_map(|held| {
            Some(Unwritten {
                id: held.profile.id,
                stored: held.profile.stored.clone()?,
                decision: held.decision.clone(),
            })
        });
        decisions.collect()
    }

    /// Takes note that a decision is on disk.
    pub(super) fn decision_is_written(&mut self, written: &Unwritten) {
        let is_it = |held: &&mut HeldRecording| held.profile.id == written.id && held.decision == written.decision;
        if let Some(held) = self.held.iter_mut().find(is_it) {
            held.is_decision_stored = true;
        }
    }

    /// The recordings of a process that touch any of `hulls`.
    pub(super) fn touching(&self, process: &Arc<ProcessIdentity>, hulls: &[Interval]) -> Vec<Lent<RecordingSource>> {
        let touching = self.held.iter().filter(|held| {
            let is_of_process = held.decision.owner.as_ref().is_some_and(|owner| owner == process);
            is_of_process && hulls.iter().any(|hull| touches(held.window, *hull))
        });
        let lent = touching.map(|held| Lent {
            profile: held.profile.clone(),
            decoded: held.source.clone(),
        });
        lent.collect()
    }

    /// Times of the recordings that are or may be of a process, sorted.
    pub(super) fn windows_of(&self, process: &ProcessIdentity) -> Vec<Interval> {
        let of_process = self.held.iter().filter(|held| match &held.decision.owner {
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
            if !held.is_settled() || !round.is_over(held.at) || held.is_needed(spans) {
                return true;
            }
            if let Some(owner) = &held.decision.owner {
                spans.close(owner, held.window);
            }
            held.profile.let_go();
            *bytes -= held.bytes;
            false
        });
    }

    /// Frees the memory of the oldest recording that is on disk, too. Returns whether there was one.
    pub(super) fn unload(&mut self) -> bool {
        for held in &mut self.held {
            let bytes = held.bytes;
            if held.unload() {
                self.bytes -= bytes;
                return true;
            }
        }
        false
    }

    /// Lets the oldest recording in memory go whose rows have been handed out, and makes final what depends on it. `None`
    /// if there is none, else of how many spans.
    pub(super) fn evict_from_memory(&mut self, spans: &mut HeldSpans) -> Option<u64> {
        self.evict(|held| held.bytes > 0, spans)
    }

    /// The same with the oldest one on disk.
    pub(super) fn evict_from_disk(&mut self, spans: &mut HeldSpans) -> Option<u64> {
        self.evict(|held| held.profile.stored.is_some(), spans)
    }

    /// Size of the files of all that may go in this way.
    pub(super) fn evictable_disk_bytes(&self) -> u64 {
        let settled = self.held.iter().filter(|held| held.is_settled());
        settled.map(|held| held.profile.disk_bytes()).sum()
    }

    fn evict(&mut self, frees_room: impl Fn(&HeldRecording) -> bool, spans: &mut HeldSpans) -> Option<u64> {
        let index = self
            .held
            .iter()
            .position(|held| held.is_settled() && frees_room(held))?;
        self.held[index].profile.let_go();
        self.remove(index, spans)
    }

    /// Takes a recording out that cannot be used, and makes final what depends on it. `None` if it is not held, else of
    /// how many spans.
    pub(super) fn set_aside(&mut self, id: ProfileId, spans: &mut HeldSpans) -> Option<u64> {
        if let Some(index) = self.unanchored.iter().position(|held| held.profile.id == id) {
            self.bytes -= self.unanchored.remove(index).bytes;
            return Some(0);
        }
        let index = self.held.iter().position(|held| held.profile.id == id)?;
        self.remove(index, spans)
    }

    fn remove(&mut self, index: usize, spans: &mut HeldSpans) -> Option<u64> {
        let held = self.held.remove(index)?;
        self.bytes -= held.bytes;
        Some(held.decision.owner.map_or(0, |owner| {
            spans.close(&owner, held.window);
            spans.seal_touching(&owner, held.window)
        }))
    }
}

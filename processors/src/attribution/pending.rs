//! Spans and recordings that wait for each other, and what has been made of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_attribution::{NotAnchored, SpanAttribution};
use spandrel_model::{Interval, ProcessIdentity, Span, TaskRecording, UnanchoredRecording};
use spandrel_pipeline::ProfileFormat;

use super::choosing::Choosing;
use super::cpu_profiles::{CpuProfileLimits, CpuProfiles, DecodedCpuProfile};
use super::duplicates::Latest;
use super::emitted::{Changes, Emitted};
use super::held_profile::{HeldProfile, ProfileId};
use super::held_spans::{Added, Gathering, HeldSpans, Lateness, Released, Restored};
use super::join::Join;
use super::recordings::{Recordings, Settled, Unwritten};
use super::recordings_directory::{Decision, StoredProfile};
use super::relatives::Place;
use super::restart::RecalledSpan;
use super::slots::{Outcome, Round};
use super::unanchored::{Placed, Placing};

/// How many of the latest profiles are recognized when they are sent again.
const REMEMBERED_PROFILES: usize = 100_000;

/// What waits, and what may still be corrected.
#[derive(Debug, Default)]
pub(super) struct Pending {
    spans: HeldSpans,
    recordings: Recordings,
    cpu_profiles: CpuProfiles,
    /// Digests of profiles that have arrived, so that one sent again changes nothing.
    profiles: Latest<u64>,
    last_id: ProfileId,
}

/// What making room for a recording has cost.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) recordings: u64,
    /// Spans that could have been corrected for longer, had there been room.
    pub(super) sealed_spans: u64,
    /// Recordings that are on disk only from now on.
    pub(super) unloaded: u64,
}

impl Pending {
    /// Lets go of spans until `count` more fit below `limit`. `None` if they do not fit all the same.
    pub(super) fn make_room(&mut self, count: usize, limit: usize) -> Option<Released> {
        self.spans.make_room(count, limit)
    }

    pub(super) fn add_spans(&mut self, spans: Vec<Span>, now: Instant) -> Added {
        self.spans.add(spans, now)
    }

    /// Takes up spans that an earlier run held.
    pub(super) fn restore(&mut self, spans: Vec<RecalledSpan>, now: Instant) -> Restored {
        let recordings = &self.recordings;
        self.spans
            .restore(spans, &|process| recordings.windows_of(process), now)
    }

    /// Spans accepted and not yet joined.
    pub(super) fn waiting_count(&self) -> usize {
        self.spans.waiting_count()
    }

    /// Whether a profile has arrived, by its digest.
    pub(super) fn knows_profile(&self, digest: u64) -> bool {
        self.profiles.contains(&digest)
    }

    /// Remembers a profile by its digest. `false` if it has arrived before.
    pub(super) fn is_new_profile(&mut self, digest: u64) -> bool {
        let is_new = !self.profiles.contains(&digest);
        self.profiles.add(digest, REMEMBERED_PROFILES);
        is_new
    }

    /// Forgets a profile that is dropped and may be sent again.
    pub(super) fn forget_profile(&mut self, digest: u64) {
        self.profiles.remove(&digest);
    }

    /// Makes room in memory for `bytes` of a recording: others stay on disk only, and if there is none, the oldest go.
    /// `None` if there is no room all the same.
    pub(super) fn make_room_for_recording(&mut self, bytes: u64, limit_bytes: u64) -> Option<Evicted> {
        let mut evicted = Evicted::default();
        while !self.recordings.has_room(bytes, limit_bytes) {
            if self.recordings.unload() {
                evicted.unloaded += 1;
            } else {
                evicted.sealed_spans += self.recordings.evict_from_memory(&mut self.spans)?;
                evicted.recordings += 1;
            }
        }
        Some(evicted)
    }

    /// Frees `missing_bytes` of the disk for a file of `bytes`: the oldest CPU profiles go if they would take more than their
    /// share with it, then recordings whose rows have been handed out, then other CPU profiles. `None`, and all stay, if that
    /// does not free enough.
    pub(super) fn evict_from_disk(
        &mut self,
        format: ProfileFormat,
        bytes: u64,
        missing_bytes: u64,
        limits: CpuProfileLimits,
    ) -> Option<Evicted> {
        let left_bytes = self.evictable_disk_bytes().checked_sub(missing_bytes)?;
        let cpu_profile_bytes = match format {
            ProfileFormat::GoExecutionTrace => 0,
            ProfileFormat::CpuProfile => bytes,
        };
        let mut evicted = Evicted::default();
        while self.evictable_disk_bytes() > left_bytes {
            let beyond_share = match self.cpu_profiles.exceeds_share(cpu_profile_bytes, limits) {
                true => self.cpu_profiles.evict(&mut self.spans),
                false => None,
            };
            evicted.sealed_spans += beyond_share
                .or_else(|| self.recordings.evict_from_disk(&mut self.spans))
                .or_else(|| self.cpu_profiles.evict(&mut self.spans))?;
            evicted.recordings += 1;
        }
        Some(evicted)
    }

    fn evictable_disk_bytes(&self) -> u64 {
        self.recordings.evictable_disk_bytes() + self.cpu_profiles.disk_bytes()
    }

    /// Adds a recording, for which there is room; `stored` is what it was decoded from, if there is a directory for it.
    pub(super) fn add_recording(&mut self, recording: TaskRecording, stored: Option<StoredProfile>, now: Instant) {
        let profile = self.hold(recording.source.clone(), stored);
        self.recordings.add(recording, profile, now);
    }

    /// The same for a recording without a wall clock. `digest` is that of its profile.
    pub(super) fn add_unanchored(
        &mut self,
        recording: UnanchoredRecording,
        stored: Option<StoredProfile>,
        digest: u64,
        now: Instant,
    ) {
        let profile = self.hold(recording.source().clone(), stored);
        self.recordings.add_unanchored(recording, profile, digest, now);
    }

    /// Takes up a recording that an earlier run held, with what that decided of it.
    pub(super) fn take_up_recording(
        &mut self,
        recording: TaskRecording,
        stored: StoredProfile,
        decision: Decision,
        now: Instant,
    ) {
        let profile = self.hold(recording.source.clone(), Some(stored));
        self.recordings.take_up(recording, profile, decision, now);
    }

    /// What is to be written to disk before rows are handed out. See [`Recordings::unwritten_decisions`].
    pub(super) fn unwritten_decisions(&self) -> Vec<Unwritten> {
        self.recordings.unwritten_decisions()
    }

    /// Takes note that a decision is on disk.
    pub(super) fn decision_is_written(&mut self, written: &Unwritten) {
        self.recordings.decision_is_written(written);
    }

    /// Takes a profile out that cannot be used, and makes final what depends on it. `None` if it is not held, else of how
    /// many spans.
    pub(super) fn set_aside(&mut self, id: ProfileId) -> Option<u64> {
        let of_recording = self.recordings.set_aside(id, &mut self.spans);
        of_recording.or_else(|| self.cpu_profiles.set_aside(id, &mut self.spans))
    }

    /// Adds a CPU profile; spans that were joined without it are due again. See [`CpuProfiles::add`].
    pub(super) fn add_cpu_profile(
        &mut self,
        decoded: DecodedCpuProfile,
        stored: Option<StoredProfile>,
        limits: CpuProfileLimits,
        now: Instant,
    ) -> (Lateness, Evicted) {
        let profile = self.hold(decoded.source().clone(), stored);
        self.cpu_profiles.add(decoded, profile, &mut self.spans, limits, now)
    }

    /// The spans of a process, those that touch `interval` if one is given.
    pub(super) fn spans_of(&self, process: &Arc<ProcessIdentity>, interval: Option<Interval>) -> Vec<Arc<Span>> {
        self.spans.spans_of(process, interval)
    }

    /// The recordings without a wall clock that should be placed before spans are joined, with no candidates' spans yet.
    pub(super) fn placings(&self, round: &Round) -> Vec<Placing> {
        self.recordings.placings(&self.spans, round)
    }

    /// Puts a recording where spans have placed it; spans that were joined without it are due again. One that they did not
    /// place waits on, until `again_at` at least, or is let go after its last time.
    pub(super) fn place(
        &mut self,
        placing: Placing,
        answer: Result<Placed, NotAnchored>,
        now: Instant,
        again_at: Instant,
    ) -> Lateness {
        match self.recordings.place(placing, answer, again_at) {
            Ok(Some((process, window))) => self.spans.change(&process, window, now),
            Ok(None) => Lateness::default(),
            Err(digest) => {
                self.forget_profile(digest);
                Lateness::default()
            }
        }
    }

    /// The recordings whose process should be found before spans are joined, with no candidates' spans yet.
    pub(super) fn choosings(&self, round: &Round) -> Vec<Choosing> {
        self.recordings.choosings(&self.spans, round)
    }

    /// Gives a recording to its process, if one is found; spans that were joined without it are due again.
    pub(super) fn assign(
        &mut self,
        choosing: Choosing,
        owner: Option<Arc<ProcessIdentity>>,
        now: Instant,
        again_at: Instant,
    ) -> Lateness {
        match (self.recordings.assign(choosing, owner.clone(), again_at), owner) {
            (Some(window), Some(owner)) => self.spans.change(&owner, window, now),
            _ => Lateness::default(),
        }
    }

    /// Recordings whose rows are to be handed out. See [`Recordings::take_settled`].
    pub(super) fn take_settled(&mut self, round: &Round) -> Vec<Settled> {
        self.recordings.take_settled(round)
    }

    /// The slots that are to be joined in this round.
    pub(super) fn due(&self, round: &Round) -> Vec<Place> {
        self.spans.due(round)
    }

    /// Begins the join of a slot. What it needs is then gathered in steps.
    pub(super) fn begin_join(&mut self, place: Place, round: &Round) -> Option<Gathering> {
        self.spans.begin_join(place, round)
    }

    /// One step. Returns whether there are more.
    pub(super) fn gather(&self, gathering: &mut Gathering) -> bool {
        if self.spans.gather(gathering) {
            return true;
        }
        for (process, surroundings) in gathering.surroundings() {
            surroundings.recordings = self.recordings.touching(process, &surroundings.hulls);
            surroundings.cpu_profiles = self.cpu_profiles.touching(process, &surroundings.hulls);
        }
        false
    }

    /// Compares what a join says of spans of a slot with what was sent on for them. What is new goes to `changes`.
    pub(super) fn compare(&mut self, place: &Place, spans: Vec<(SpanAttribution, Emitted)>, changes: &mut Changes) {
        let Some(slot) = self.spans.slot_mut(place) else {
            return;
        };
        for (span, emitted) in spans {
            match slot.outcome(span.key(), emitted) {
                Outcome::First => changes.first.push_back(span),
                Outcome::Corrects(before) => changes.corrected.push_back((span, before)),
                Outcome::Recounts => changes.recounted.push_back(span),
                Outcome::Same => {}
            }
        }
    }

    /// Ends a join that took so long, until `round.now`. Returns how many spans became final with it for want of room.
    pub(super) fn end_join(&mut self, join: &Join, round: &Round, took: Duration) -> u64 {
        // Where spans were due the slot is still there: they wait until now.
        let Some(slot) = self.spans.slot_mut(&join.place) else {
            return 0;
        };
        let sealed = slot.end_join(join.place.slot, join.due, round, took);
        self.spans.joined(join.due);
        sealed as u64
    }

    /// The times in which spans begin that wait or may still be corrected.
    pub(super) fn open_times(&self) -> Vec<Interval> {
        self.spans.open_times()
    }

    /// Lets go of what is older than the retention, some of it: of about `count` spans, which are forgotten later. Returns
    /// whether there may be more.
    pub(super) fn forget(&mut self, round: &Round, count: usize) -> bool {
        let are_more = self.spans.forget(round, count);
        self.recordings.forget(&mut self.spans, round);
        self.cpu_profiles.forget(&mut self.spans, round);
        are_more
    }

    /// Forgets `count` spans that were let go. See [`HeldSpans::forget_some`].
    pub(super) fn forget_some(&mut self, count: usize, limit: usize) -> Option<u64> {
        self.spans.forget_some(count, limit)
    }

    fn hold(&mut self, source: Arc<str>, stored: Option<StoredProfile>) -> HeldProfile {
        self.last_id += 1;
        HeldProfile {
            id: self.last_id,
            source,
            stored: stored.inspect(StoredProfile::keep).map(Arc::new),
        }
    }
}

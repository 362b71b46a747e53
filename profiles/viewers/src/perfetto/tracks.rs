//! The tree of tracks.

use std::io;

use gotrace::{GoroutineId, Recording, TraceNanos};

use super::lanes::Lanes;
use super::packets::{Packets, TrackId};
use super::proto::{CHILD_ORDERING_EXPLICIT, ProcessDescriptor, TrackDescriptor};
use crate::goroutines;

/// The process. Its other tracks have it as their parent.
pub(super) const PROCESS: TrackId = TrackId(1);
pub(super) const PROCS: TrackId = TrackId(2);
pub(super) const USER_TASKS: TrackId = TrackId(3);
const GOROUTINES: TrackId = TrackId(4);
const RUNTIME_GOROUTINES: TrackId = TrackId(5);
/// The track of the first goroutine; those of the others follow.
const FIRST_GOROUTINE: u64 = 16;

/// Perfetto wants a process id, which a Go trace does not have.
const PID: i32 = 1;

/// The file that is being written.
pub(super) struct Timeline<'a, W> {
    pub(super) recording: &'a Recording,
    pub(super) packets: Packets<'a, W>,
    /// Labels of the goroutines, by position.
    pub(super) labels: Vec<String>,
    next_track: u64,
    last_flow: u64,
}

impl<'a, W: io::Write> Timeline<'a, W> {
    /// Begins the file and describes the tracks of the process and its goroutines.
    pub(super) fn begin(recording: &'a Recording, title: &str, out: W) -> io::Result<Self> {
        let lives = &recording.goroutines;
        let mut timeline = Self {
            recording,
            packets: Packets::begin(recording, out)?,
            labels: lives.iter().map(|life| goroutines::label(recording, life)).collect(),
            next_track: FIRST_GOROUTINE + lives.len() as u64,
            last_flow: 0,
        };
        timeline.describe_process(title)?;
        let groups = [
            (PROCS, "procs"),
            (USER_TASKS, "user tasks"),
            (GOROUTINES, "goroutines"),
            (RUNTIME_GOROUTINES, "runtime goroutines"),
        ];
        for (rank, (group, name)) in (GROUPS_RANK..).zip(groups) {
            timeline.describe(group, PROCESS, name, rank)?;
        }
        for (position, life) in lives.iter().enumerate() {
            let group = if life.is_system { RUNTIME_GOROUTINES } else { GOROUTINES };
            let track = timeline.goroutine(position);
            let label = timeline.labels[position].clone();
            timeline.describe(track, group, &label, rank(position))?;
        }
        Ok(timeline)
    }

    fn describe_process(&mut self, title: &str) -> io::Result<()> {
        self.packets.describe(TrackDescriptor {
            uuid: Some(PROCESS.0),
            process: Some(ProcessDescriptor {
                pid: Some(PID),
                process_name: Some(title.to_owned()),
            }),
            child_ordering: Some(CHILD_ORDERING_EXPLICIT),
            ..TrackDescriptor::default()
        })
    }

    fn describe(&mut self, track: TrackId, parent: TrackId, name: &str, rank: i32) -> io::Result<()> {
        self.packets.describe(TrackDescriptor {
            uuid: Some(track.0),
            parent_uuid: Some(parent.0),
            name: Some(name.to_owned()),
            child_ordering: Some(CHILD_ORDERING_EXPLICIT),
            sibling_order_rank: Some(rank),
            ..TrackDescriptor::default()
        })
    }

    /// A new track. Siblings are shown in the order of their ranks; those of one name are shown as one.
    fn add_track(&mut self, parent: TrackId, name: &str, rank: i32) -> io::Result<TrackId> {
        let track = TrackId(self.next_track);
        self.next_track += 1;
        self.describe(track, parent, name, rank)?;
        Ok(track)
    }

    /// The track of the goroutine at a position in [`Recording::goroutines`].
    pub(super) fn goroutine(&self, position: usize) -> TrackId {
        TrackId(FIRST_GOROUTINE + position as u64)
    }

    /// Position of the life of `id` at a moment.
    pub(super) fn position(&self, id: Option<GoroutineId>, at: TraceNanos) -> Option<usize> {
        goroutines::position(self.recording, id?, at)
    }

    /// The label of the goroutine `id` at a moment; empty if the trace does not show it.
    pub(super) fn label(&self, id: Option<GoroutineId>, at: TraceNanos) -> &str {
        self.position(id, at).map_or("", |position| &self.labels[position])
    }

    /// A number for a flow.
    pub(super) fn new_flow(&mut self) -> u64 {
        self.last_flow += 1;
        self.last_flow
    }
}

/// Ranks below this are for tracks that stand above the groups.
const GROUPS_RANK: i32 = 10;

/// The rank of something counted.
pub(super) fn rank(position: usize) -> i32 {
    i32::try_from(position).unwrap_or(i32::MAX)
}

/// Tracks of one name for intervals that may cross each other, made as they are needed.
pub(super) struct LaneTracks<'n> {
    parent: TrackId,
    name: &'n str,
    rank: i32,
    lanes: Lanes,
    tracks: Vec<TrackId>,
}

impl<'n> LaneTracks<'n> {
    pub(super) fn new(parent: TrackId, name: &'n str, rank: i32) -> Self {
        Self {
            parent,
            name,
            rank,
            lanes: Lanes::default(),
            tracks: Vec::new(),
        }
    }

    /// The track for an interval; they come in the order that [`Lanes`] asks for.
    pub(super) fn place<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<'_, W>,
        start: TraceNanos,
        end: TraceNanos,
    ) -> io::Result<TrackId> {
        let lane = self.lanes.place(start, end);
        if let Some(track) = self.tracks.get(lane) {
            return Ok(*track);
        }
        let track = timeline.add_track(self.parent, self.name, self.rank)?;
        self.tracks.push(track);
        Ok(track)
    }
}

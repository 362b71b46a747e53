//! The tree of tracks.

use std::cmp::Reverse;
use std::io;

use gotrace::{GoroutineId, TraceNanos};

use super::lanes::Lanes;
use super::packets::{Packets, TrackId};
use super::proto::{CHILD_ORDERING_EXPLICIT, CounterDescriptor, ProcessDescriptor, TrackDescriptor};

/// The process. Its other tracks have it as their parent.
pub(super) const PROCESS: TrackId = TrackId(2);
pub(super) const PROCS: TrackId = TrackId(4);
pub(super) const USER_TASKS: TrackId = TrackId(6);
pub(super) const GOROUTINES: TrackId = TrackId(8);
pub(super) const RUNTIME_GOROUTINES: TrackId = TrackId(10);
/// The next one that is made. These are even; the odd ones are those of goroutines.
const FIRST_FREE: u64 = 12;

/// Perfetto wants a process id, which a Go trace does not have.
const PID: i32 = 1;

/// Ranks below this are for tracks that stand above the groups.
const GROUPS_RANK: i32 = 10;

/// The file that is being written.
pub(super) struct Timeline<W> {
    pub(super) packets: Packets<W>,
    next_track: u64,
    last_flow: u64,
}

impl<W: io::Write> Timeline<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            packets: Packets::new(out),
            next_track: FIRST_FREE,
            last_flow: 0,
        }
    }

    /// Describes the process and the groups of its tracks.
    pub(super) fn describe_process(&mut self, title: &str) -> io::Result<()> {
        self.packets.describe(TrackDescriptor {
            uuid: Some(PROCESS.0),
            process: Some(ProcessDescriptor {
                pid: Some(PID),
                process_name: Some(title.to_owned()),
            }),
            child_ordering: Some(CHILD_ORDERING_EXPLICIT),
            ..TrackDescriptor::default()
        })?;
        let groups = [
            (PROCS, "procs"),
            (USER_TASKS, "user tasks"),
            (GOROUTINES, "goroutines"),
            (RUNTIME_GOROUTINES, "runtime goroutines"),
        ];
        for (rank, (group, name)) in (GROUPS_RANK..).zip(groups) {
            self.describe(group, PROCESS, name, rank)?;
        }
        Ok(())
    }

    /// Siblings are shown in the order of their ranks; those of one name are shown as one. A track may be described after
    /// its events.
    pub(super) fn describe(&mut self, track: TrackId, parent: TrackId, name: &str, rank: i32) -> io::Result<()> {
        self.packets.describe(descriptor(track, parent, name, rank))
    }

    fn add_track(&mut self, parent: TrackId, name: &str, rank: i32) -> io::Result<TrackId> {
        let track = self.free_track();
        self.describe(track, parent, name, rank)?;
        Ok(track)
    }

    /// A new track for a number that changes.
    pub(super) fn add_counter(&mut self, name: &str, unit: u32, rank: i32) -> io::Result<TrackId> {
        let track = self.free_track();
        self.packets.describe(TrackDescriptor {
            counter: Some(CounterDescriptor { unit: Some(unit) }),
            ..descriptor(track, PROCESS, name, rank)
        })?;
        Ok(track)
    }

    fn free_track(&mut self) -> TrackId {
        let track = TrackId(self.next_track);
        self.next_track += 2;
        track
    }

    /// A number for a flow.
    pub(super) fn new_flow(&mut self) -> u64 {
        self.last_flow += 1;
        self.last_flow
    }
}

fn descriptor(track: TrackId, parent: TrackId, name: &str, rank: i32) -> TrackDescriptor {
    TrackDescriptor {
        uuid: Some(track.0),
        parent_uuid: Some(parent.0),
        name: Some(name.to_owned()),
        child_ordering: Some(CHILD_ORDERING_EXPLICIT),
        sibling_order_rank: Some(rank),
        ..TrackDescriptor::default()
    }
}

/// The track of a goroutine. Lives that share an id, which the runtime uses again for later calls from C, share the track:
/// they follow each other. Ids count up from 1, so that the highest bit is free in all that a runtime writes.
pub(super) fn goroutine(id: GoroutineId) -> TrackId {
    TrackId(id.get() << 1 | 1)
}

/// The rank of something counted.
pub(super) fn rank(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Tracks of one name for intervals that may cross each other, made as they are needed.
pub(super) struct LaneTracks {
    parent: TrackId,
    name: String,
    rank: i32,
    lanes: Lanes,
    tracks: Vec<TrackId>,
}

impl LaneTracks {
    pub(super) fn new(parent: TrackId, name: impl Into<String>, rank: i32) -> Self {
        Self {
            parent,
            name: name.into(),
            rank,
            lanes: Lanes::default(),
            tracks: Vec::new(),
        }
    }

    /// The track for an interval; they come in the order that [`Lanes`] asks for.
    pub(super) fn place<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        start: TraceNanos,
        end: TraceNanos,
    ) -> io::Result<TrackId> {
        let lane = self.lanes.place(start, end);
        if let Some(track) = self.tracks.get(lane) {
            return Ok(*track);
        }
        let track = timeline.add_track(self.parent, &self.name, self.rank)?;
        self.tracks.push(track);
        Ok(track)
    }
}

/// Something with an extent that waits to be written together with others.
pub(super) struct Extent<T> {
    pub(super) start: TraceNanos,
    pub(super) end: TraceNanos,
    pub(super) what: T,
}

/// Places intervals that come in any order, and calls `write` for each in an order in which they may be written.
pub(super) fn place_all<T, W: io::Write>(
    timeline: &mut Timeline<W>,
    tracks: &mut LaneTracks,
    mut all: Vec<Extent<T>>,
    mut write: impl FnMut(&mut Timeline<W>, TrackId, &Extent<T>) -> io::Result<()>,
) -> io::Result<()> {
    all.sort_by_key(|extent| (extent.end, Reverse(extent.start)));
    let mut placed = Vec::with_capacity(all.len());
    for extent in all {
        placed.push((tracks.place(timeline, extent.start, extent.end)?, extent));
    }
    placed.sort_by_key(|(_, extent)| (extent.start, Reverse(extent.end)));
    for (track, extent) in &placed {
        write(timeline, *track, extent)?;
    }
    Ok(())
}

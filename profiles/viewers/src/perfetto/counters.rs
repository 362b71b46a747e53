//! Numbers that the runtime tells: live heap, heap goal, GOMAXPROCS.

use std::collections::BTreeMap;
use std::io;

use gotrace::{Metric, MetricKind};

use super::packets::TrackId;
use super::proto::{UNIT_COUNT, UNIT_SIZE_BYTES};
use super::tracks::Timeline;

/// A track for each kind that occurs.
#[derive(Default)]
pub(super) struct Counters(BTreeMap<MetricKind, TrackId>);

impl Counters {
    pub(super) fn metric<W: io::Write>(&mut self, timeline: &mut Timeline<W>, metric: &Metric) -> io::Result<()> {
        let (name, unit, rank) = match metric.kind {
            MetricKind::HeapAlloc => ("heap_alloc", UNIT_SIZE_BYTES, 2),
            MetricKind::HeapGoal => ("heap_goal", UNIT_SIZE_BYTES, 3),
            MetricKind::Gomaxprocs => ("gomaxprocs", UNIT_COUNT, 4),
            _ => return Ok(()),
        };
        let track = match self.0.get(&metric.kind) {
            Some(track) => *track,
            None => {
                let track = timeline.add_counter(name, unit, rank)?;
                self.0.insert(metric.kind, track);
                track
            }
        };
        timeline.packets.count(track, metric.time, metric.value)
    }
}

//! What the runtime does as a whole: concurrent mark phases and stopped worlds. Mark assists and sweeps, which delay single
//! goroutines, are pieces of those goroutines' states.

use std::io;

use gotrace::{RangeKind, RuntimeRange};

use super::packets::Event;
use super::tracks::{LaneTracks, PROCESS, Timeline};

pub(super) fn write<W: io::Write>(timeline: &mut Timeline<'_, W>) -> io::Result<()> {
    let recording = timeline.recording;
    let mut marks = LaneTracks::new(PROCESS, "garbage collection", 0);
    let mut stops = LaneTracks::new(PROCESS, "stop the world", 1);
    for range in &recording.ranges {
        match range.kind {
            RangeKind::GcMark => slice(timeline, &mut marks, range, "GC concurrent mark phase")?,
            RangeKind::StopTheWorld { kind } => slice(timeline, &mut stops, range, &recording.text(kind))?,
            _ => {}
        }
    }
    Ok(())
}

fn slice<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    tracks: &mut LaneTracks<'_>,
    range: &RuntimeRange,
    name: &str,
) -> io::Result<()> {
    let track = tracks.place(timeline, range.start, range.end)?;
    let goroutine = timeline.label(range.goroutine, range.start).to_owned();
    timeline.packets.slice_begin(&Event {
        args: &[
            ("goroutine", goroutine.into()),
            ("cut", cut(range.began, range.ended).into()),
        ],
        stack: range.stack,
        ..Event::new(track, range.start, "runtime", name)
    })?;
    timeline.packets.slice_end(track, range.end)
}

/// What the trace does not show of something.
pub(super) fn cut(began: bool, ended: bool) -> &'static str {
    match (began, ended) {
        (true, true) => "",
        (false, true) => "its beginning is not in the trace",
        (true, false) => "its end is not in the trace",
        (false, false) => "neither its beginning nor its end is in the trace",
    }
}

//! What the runtime does as a whole: concurrent mark phases and stopped worlds. Mark assists and sweeps, which delay single
//! goroutines, are pieces of those goroutines' states.

use std::io;

use gotrace::{RangeKind, RuntimeRange, Symbols};

use super::packets::Event;
use super::tracks::{LaneTracks, PROCESS, Timeline};

pub(super) struct Runtime {
    marks: LaneTracks,
    stops: LaneTracks,
}

impl Runtime {
    pub(super) fn new() -> Self {
        Self {
            marks: LaneTracks::new(PROCESS, "garbage collection", 0),
            stops: LaneTracks::new(PROCESS, "stop the world", 1),
        }
    }

    /// Writes a range that has ended. `goroutine` is the label of the one that did it.
    pub(super) fn range<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        range: &RuntimeRange,
        goroutine: &str,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let (tracks, name) = match range.kind {
            RangeKind::GcMark => (&mut self.marks, "GC concurrent mark phase".into()),
            RangeKind::StopTheWorld { kind } => (&mut self.stops, symbols.text(kind)),
            _ => return Ok(()),
        };
        let track = tracks.place(timeline, range.start, range.end)?;
        let event = Event {
            args: &[
                ("goroutine", goroutine.into()),
                ("cut", cut(range.began, range.ended).into()),
            ],
            stack: range.stack,
            ..Event::new(track, range.start, "runtime", &name)
        };
        timeline.packets.slice(&event, range.end, symbols)
    }
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

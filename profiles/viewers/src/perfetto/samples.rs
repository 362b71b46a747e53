//! Samples of a CPU profile that ran while the trace was recorded.

use std::io;

use super::packets::{Arg, Event};
use super::tracks::{PROCESS, Timeline};

/// Instants on the goroutines that were sampled; samples outside goroutines are on the process.
pub(super) fn write<W: io::Write>(timeline: &mut Timeline<'_, W>) -> io::Result<()> {
    let recording = timeline.recording;
    for sample in &recording.cpu_samples {
        let position = timeline.position(sample.goroutine, sample.time);
        let track = position.map_or(PROCESS, |position| timeline.goroutine(position));
        timeline.packets.instant(&Event {
            args: &[
                ("proc", Arg::Number(sample.proc.map(|proc| proc.get()))),
                ("thread", Arg::Number(sample.thread.map(|thread| thread.get()))),
            ],
            stack: sample.stack,
            ..Event::new(track, sample.time, "cpu_sample", "CPU sample")
        })?;
    }
    Ok(())
}

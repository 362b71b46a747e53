//! Which goroutine runs on which proc.

use std::cmp::Reverse;
use std::io;

use gotrace::{GoroutineState, ProcId, StateInterval};

use super::packets::{Arg, Event};
use super::tracks::{LaneTracks, PROCS, Timeline, rank};

pub(super) fn write<W: io::Write>(timeline: &mut Timeline<'_, W>) -> io::Result<()> {
    let recording = timeline.recording;
    let mut running: Vec<usize> = (0..recording.states.len())
        .filter(|position| proc(&recording.states[*position]).is_some())
        .collect();
    running.sort_unstable_by_key(|position| {
        let interval = &recording.states[*position];
        (proc(interval), interval.start, Reverse(interval.end))
    });
    for run in running.chunk_by(|a, b| proc(&recording.states[*a]) == proc(&recording.states[*b])) {
        let Some(proc) = run.first().and_then(|position| proc(&recording.states[*position])) else {
            continue;
        };
        let name = format!("P{proc}");
        let order = usize::try_from(proc.get()).unwrap_or(usize::MAX);
        let mut tracks = LaneTracks::new(PROCS, &name, rank(order));
        for position in run {
            slice(timeline, &mut tracks, &recording.states[*position])?;
        }
    }
    Ok(())
}

fn proc(interval: &StateInterval) -> Option<ProcId> {
    match interval.state {
        GoroutineState::Running { proc, .. } => proc,
        GoroutineState::Undetermined
        | GoroutineState::Runnable { .. }
        | GoroutineState::Syscall
        | GoroutineState::SyscallBlocked
        | GoroutineState::Waiting { .. } => None,
    }
}

fn slice<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    tracks: &mut LaneTracks<'_>,
    interval: &StateInterval,
) -> io::Result<()> {
    let GoroutineState::Running { thread, .. } = interval.state else {
        return Ok(());
    };
    let track = tracks.place(timeline, interval.start, interval.end)?;
    let name = timeline.label(Some(interval.goroutine), interval.start).to_owned();
    timeline.packets.slice_begin(&Event {
        args: &[("thread", Arg::Number(thread.map(|thread| thread.get())))],
        ..Event::new(track, interval.start, "proc", &name)
    })?;
    timeline.packets.slice_end(track, interval.end)
}

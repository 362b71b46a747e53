//! What each goroutine does, and who set it going.

use std::io;

use gotrace::{Goroutine, GoroutineState, StateInterval, TraceNanos, Waker};
use spandrel_profiles::go_execution_trace::{Piece, Refiner, StateRules, raw_reason};

use super::packets::{Arg, Event, TrackId};
use super::tracks::Timeline;
use crate::goroutines::doing;
use crate::group::Group;

/// What the waker is called where the runtime woke a goroutine on no goroutine's behalf.
const RUNTIME: &str = "runtime (network poller, timer or garbage collector)";

pub(super) fn write<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    rules: &StateRules,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let recording = timeline.recording;
    let mut refiner = Refiner::with_rules(recording, rules);
    for (position, goroutine) in recording.goroutines.iter().enumerate() {
        let track = timeline.goroutine(position);
        let intervals = recording.states_of(goroutine);
        let mut flow = creation(timeline, position, goroutine)?;
        for (at, interval) in intervals.iter().enumerate() {
            let mut written = Ok(());
            refiner.refine(interval, |piece| {
                if written.is_ok() {
                    written = slice(timeline, track, interval, &piece, flow.take());
                }
            });
            written?;
            if at + 1 < intervals.len() {
                flow = wake(timeline, position, interval)?;
            }
        }
        progress(goroutine.states.end as u64);
    }
    Ok(())
}

/// An instant on the creator. Returns the flow that leads from it to the first slice of the new goroutine.
fn creation<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    created: usize,
    goroutine: &Goroutine,
) -> io::Result<Option<u64>> {
    let Some(at) = goroutine.birth.filter(|_| !goroutine.states.is_empty()) else {
        return Ok(None);
    };
    let Some(creator) = timeline.position(goroutine.creator, at) else {
        return Ok(None);
    };
    cause(timeline, creator, at, "create", created, goroutine.creation_stack).map(Some)
}

/// An instant on the goroutine that ended a wait. Returns the flow that leads from it to what follows the wait.
fn wake<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    woken: usize,
    interval: &StateInterval,
) -> io::Result<Option<u64>> {
    let GoroutineState::Waiting {
        waker: Waker::Goroutine(waker),
        waker_stack,
        ..
    } = interval.state
    else {
        return Ok(None);
    };
    let Some(waker) = timeline.position(Some(waker), interval.end) else {
        return Ok(None);
    };
    cause(timeline, waker, interval.end, "wake", woken, waker_stack).map(Some)
}

fn cause<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    actor: usize,
    at: TraceNanos,
    name: &str,
    whom: usize,
    stack: Option<gotrace::StackId>,
) -> io::Result<u64> {
    let flow = timeline.new_flow();
    let track = timeline.goroutine(actor);
    timeline.packets.instant(&Event {
        args: &[("goroutine", timeline.labels[whom].as_str().into())],
        stack,
        begins_flow: Some(flow),
        ..Event::new(track, at, "scheduler", name)
    })?;
    Ok(flow)
}

fn slice<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    track: TrackId,
    interval: &StateInterval,
    piece: &Piece<'_>,
    ends_flow: Option<u64>,
) -> io::Result<()> {
    let recording = timeline.recording;
    let reason = raw_reason(interval.state).map_or("".into(), |reason| recording.text(reason));
    let name = doing(piece.state, piece.sub_state, &reason);
    let mut args = vec![("reason", Arg::Text(reason.as_ref().into()))];
    match interval.state {
        GoroutineState::Running { proc, thread } => {
            args.push(("proc", Arg::Number(proc.map(|proc| proc.get()))));
            args.push(("thread", Arg::Number(thread.map(|thread| thread.get()))));
        }
        GoroutineState::Waiting { waker, .. } => {
            let waker = match waker {
                Waker::Goroutine(id) => timeline.label(Some(id), interval.end),
                Waker::External => RUNTIME,
                Waker::None => "",
            };
            args.push(("waker", waker.to_owned().into()));
        }
        GoroutineState::Runnable { .. }
        | GoroutineState::Syscall
        | GoroutineState::SyscallBlocked
        | GoroutineState::Undetermined => args.push(("kind", piece.sub_state.into())),
    }
    timeline.packets.slice_begin(&Event {
        args: &args,
        stack: interval.stack,
        ends_flow,
        ..Event::new(track, piece.start, Group::of(interval.state).as_str(), &name)
    })?;
    timeline.packets.slice_end(track, piece.end)
}

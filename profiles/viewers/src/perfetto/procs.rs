//! Which goroutine runs on which proc.

use std::collections::{BTreeMap, HashMap};
use std::io;

use gotrace::{GoroutineId, GoroutineState, ProcId, StateInterval, StringId, Symbols, ThreadId, TraceNanos};

use super::packets::{Arg, Event, TrackId};
use super::tracks::{LaneTracks, PROCS, Timeline, rank};
use crate::goroutines::label;

/// How often a goroutine may run before it has a name. One that has a stack in the trace has it after the first time.
const UNNAMED_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Procs {
    tracks: BTreeMap<ProcId, LaneTracks>,
    /// When goroutines ran whose first function is not known yet.
    unnamed: HashMap<GoroutineId, Vec<Run>>,
}

/// A goroutine ran.
#[derive(Clone, Copy)]
struct Run {
    track: TrackId,
    thread: Option<ThreadId>,
    start: TraceNanos,
    end: TraceNanos,
}

impl Procs {
    /// Notes an interval of a goroutine that began with `function`, as far as that is known.
    pub(super) fn state<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        interval: &StateInterval,
        function: Option<StringId>,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let id = interval.goroutine;
        let is_late = match self.unnamed.get(&id) {
            Some(unnamed) => unnamed.len() >= UNNAMED_MAX,
            None => false,
        };
        if function.is_some() || is_late {
            self.named(timeline, id, function, symbols)?;
        }
        let GoroutineState::Running {
            proc: Some(proc),
            thread,
        } = interval.state
        else {
            return Ok(());
        };
        let new = || LaneTracks::new(PROCS, format!("P{proc}"), rank(proc.get()));
        let tracks = self.tracks.entry(proc).or_insert_with(new);
        let run = Run {
            track: tracks.place(timeline, interval.start, interval.end)?,
            thread,
            start: interval.start,
            end: interval.end,
        };
        if function.is_none() {
            self.unnamed.entry(id).or_default().push(run);
            return Ok(());
        }
        write(timeline, &run, &label(id, function, symbols), symbols)
    }

    /// A goroutine has its final name: what waited for that is written.
    pub(super) fn named<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        id: GoroutineId,
        function: Option<StringId>,
        symbols: &Symbols,
    ) -> io::Result<()> {
        if self.unnamed.is_empty() {
            return Ok(());
        }
        for run in self.unnamed.remove(&id).unwrap_or_default() {
            write(timeline, &run, &label(id, function, symbols), symbols)?;
        }
        Ok(())
    }
}

fn write<W: io::Write>(timeline: &mut Timeline<W>, run: &Run, goroutine: &str, symbols: &Symbols) -> io::Result<()> {
    let event = Event {
        args: &[("thread", Arg::Number(run.thread.map(|thread| thread.get())))],
        ..Event::new(run.track, run.start, "proc", goroutine)
    };
    timeline.packets.slice(&event, run.end, symbols)
}

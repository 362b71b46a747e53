//! What each goroutine does, and who set it going.

use std::collections::HashMap;
use std::io;

use gotrace::{CpuSample, Goroutine, GoroutineId, GoroutineState, Lookup, StateInterval, StringId, Symbols, Waker};
use spandrel_profiles::go_execution_trace::{LiveRefiner, Piece, StateRules, raw_reason};

use super::packets::{Arg, Event, TrackId};
use super::tracks::{self, GOROUTINES, PROCESS, RUNTIME_GOROUTINES, Timeline};
use crate::goroutines::{doing, first_function, label};
use crate::group::Group;

/// What the waker is called where the runtime woke a goroutine on no goroutine's behalf.
const RUNTIME: &str = "runtime (network poller, timer or garbage collector)";

pub(super) struct Goroutines<'a> {
    pub(super) refiner: LiveRefiner<'a>,
    /// All goroutines so far.
    known: HashMap<GoroutineId, Known>,
    /// Samples of goroutines of which nothing else was known yet.
    early_samples: Vec<CpuSample>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    /// The function that it began with.
    function: Option<StringId>,
    /// Whether its track has its name.
    is_described: bool,
    /// The flow that leads to its next slice.
    flow: Option<u64>,
}

impl<'a> Goroutines<'a> {
    pub(super) fn new(rules: &'a StateRules) -> Self {
        Self {
            refiner: LiveRefiner::new(rules),
            known: HashMap::new(),
            early_samples: Vec::new(),
        }
    }

    /// The function that a goroutine began with, if that is known already.
    pub(super) fn function(&self, id: GoroutineId) -> Option<StringId> {
        self.known.get(&id)?.function
    }

    /// The label of a goroutine as far as it is known; empty for none.
    pub(super) fn label(&self, id: Option<GoroutineId>, symbols: &Symbols) -> String {
        id.map_or_else(String::new, |id| label(id, self.function(id), symbols))
    }

    /// Writes a slice for each piece of an interval, and who ended it.
    pub(super) fn state<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        interval: &StateInterval,
        lookup: Lookup<'_>,
    ) -> io::Result<()> {
        let symbols = lookup.symbols;
        let known = self.known.entry(interval.goroutine).or_default();
        if known.function.is_none() {
            known.function = interval.stack.and_then(|stack| first_function(stack, symbols));
        }
        let mut flow = known.flow.take();
        let waker = match interval.state {
            GoroutineState::Waiting { waker, .. } => waker,
            _ => Waker::None,
        };
        let waker_label = match waker {
            Waker::Goroutine(id) => self.label(Some(id), symbols),
            Waker::External => RUNTIME.to_owned(),
            Waker::None => String::new(),
        };
        let track = tracks::goroutine(interval.goroutine);
        let mut written = Ok(());
        self.refiner.refine(interval, lookup, |piece| {
            if written.is_ok() {
                let ends_flow = flow.take();
                written = slice(timeline, track, interval, &piece, &waker_label, ends_flow, symbols);
            }
        });
        written?;
        if let Waker::Goroutine(waker) = waker {
            self.wake(timeline, waker, interval, symbols)?;
        }
        Ok(())
    }

    /// An instant on the goroutine that ended a wait, and a flow that leads from it to what follows the wait.
    fn wake<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        waker: GoroutineId,
        interval: &StateInterval,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let stack = match interval.state {
            GoroutineState::Waiting { waker_stack, .. } => waker_stack,
            _ => None,
        };
        let flow = timeline.new_flow();
        if let Some(woken) = self.known.get_mut(&interval.goroutine) {
            woken.flow = Some(flow);
        }
        let woken = self.label(Some(interval.goroutine), symbols);
        let event = Event {
            args: &[("goroutine", woken.into())],
            stack,
            begins_flow: Some(flow),
            ..Event::new(tracks::goroutine(waker), interval.end, "scheduler", "wake")
        };
        timeline.packets.instant(&event, symbols)
    }

    /// A goroutine has ended: its track gets its name, and the instant of its creation is written, which was not known
    /// before.
    pub(super) fn ended<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        goroutine: &Goroutine,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let id = goroutine.id;
        self.refiner.goroutine_ends(id);
        let known = self.known.entry(id).or_default();
        known.function = goroutine.start_function.or(known.function);
        if !known.is_described {
            known.is_described = true;
            let group = match goroutine.is_system {
                true => RUNTIME_GOROUTINES,
                false => GOROUTINES,
            };
            let name = label(id, goroutine.start_function, symbols);
            timeline.describe(tracks::goroutine(id), group, &name, tracks::rank(id.get()))?;
        }
        self.creation(timeline, goroutine, symbols)
    }

    /// An instant on the creator, and a flow to one on the new goroutine.
    fn creation<W: io::Write>(
        &self,
        timeline: &mut Timeline<W>,
        goroutine: &Goroutine,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let (Some(at), Some(creator)) = (goroutine.birth, goroutine.creator) else {
            return Ok(());
        };
        let flow = timeline.new_flow();
        let create = Event {
            args: &[("goroutine", self.label(Some(goroutine.id), symbols).into())],
            stack: goroutine.creation_stack,
            begins_flow: Some(flow),
            ..Event::new(tracks::goroutine(creator), at, "scheduler", "create")
        };
        timeline.packets.instant(&create, symbols)?;
        let created = Event {
            args: &[("creator", self.label(Some(creator), symbols).into())],
            ends_flow: Some(flow),
            ..Event::new(tracks::goroutine(goroutine.id), at, "scheduler", "created")
        };
        timeline.packets.instant(&created, symbols)
    }

    /// A sample of a CPU profile: an instant on the goroutine that was sampled; outside goroutines, on the process.
    pub(super) fn sample<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        sample: &CpuSample,
        symbols: &Symbols,
    ) -> io::Result<()> {
        match sample.goroutine {
            Some(id) if !self.known.contains_key(&id) => {
                self.early_samples.push(*sample);
                Ok(())
            }
            Some(id) => write_sample(timeline, tracks::goroutine(id), sample, symbols),
            None => write_sample(timeline, PROCESS, sample, symbols),
        }
    }

    /// Writes what has waited for its goroutine to be known.
    pub(super) fn finish<W: io::Write>(&mut self, timeline: &mut Timeline<W>, symbols: &Symbols) -> io::Result<()> {
        for sample in std::mem::take(&mut self.early_samples) {
            let known = sample.goroutine.filter(|id| self.known.contains_key(id));
            write_sample(timeline, known.map_or(PROCESS, tracks::goroutine), &sample, symbols)?;
        }
        Ok(())
    }
}

fn slice<W: io::Write>(
    timeline: &mut Timeline<W>,
    track: TrackId,
    interval: &StateInterval,
    piece: &Piece<'_>,
    waker: &str,
    ends_flow: Option<u64>,
    symbols: &Symbols,
) -> io::Result<()> {
    let reason = raw_reason(interval.state).map_or("".into(), |reason| symbols.text(reason));
    let name = doing(piece.state, piece.sub_state, &reason);
    let mut args = vec![("reason", Arg::Text(reason.as_ref().into()))];
    match interval.state {
        GoroutineState::Running { proc, thread } => {
            args.push(("proc", Arg::Number(proc.map(|proc| proc.get()))));
            args.push(("thread", Arg::Number(thread.map(|thread| thread.get()))));
        }
        GoroutineState::Waiting { .. } => args.push(("waker", waker.into())),
        GoroutineState::Runnable { .. }
        | GoroutineState::Syscall
        | GoroutineState::SyscallBlocked
        | GoroutineState::Undetermined => args.push(("kind", piece.sub_state.into())),
    }
    let event = Event {
        args: &args,
        stack: interval.stack,
        ends_flow,
        ..Event::new(track, piece.start, Group::of(interval.state).as_str(), &name)
    };
    timeline.packets.slice(&event, piece.end, symbols)
}

fn write_sample<W: io::Write>(
    timeline: &mut Timeline<W>,
    track: TrackId,
    sample: &CpuSample,
    symbols: &Symbols,
) -> io::Result<()> {
    let event = Event {
        args: &[
            ("proc", Arg::Number(sample.proc.map(|proc| proc.get()))),
            ("thread", Arg::Number(sample.thread.map(|thread| thread.get()))),
        ],
        stack: sample.stack,
        ..Event::new(track, sample.time, "cpu_sample", "CPU sample")
    };
    timeline.packets.instant(&event, symbols)
}

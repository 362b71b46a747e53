//! A trace is decoded on a thread of its own, and its facts are visited on this one.
//!
//! ```text
//! background: bytes -> events -> facts -> chunk --channel--> play -> Visitor     this thread
//!                                           ^                 |
//!                                           `----channel------'   emptied chunks come back
//! ```
//! Both threads have symbols and clocks of their own: a chunk brings what was new. Ids count up, so what is added in the
//! same order has the same ids.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::visitor::visit;
use super::{
    CpuSample, Goroutine, Lookup, Metric, RuntimeRange, StateInterval, Summary, Symbols, UserLog, UserRegion, UserTask,
    Visitor,
};
use crate::clock::{ClockSync, TraceNanos};
use crate::decoder::GenerationInfo;
use crate::error::TraceError;
use crate::facts::symbols::NewSymbols;
use crate::stream::ExecTrace;

/// Intervals that are handed over at a time: few enough to stay in the cache that the cores share.
const CHUNK_STATES: usize = 1_024;
/// Other facts that are handed over at a time.
const CHUNK_OTHERS: usize = 256;
/// Chunks that may be under way. The decoder waits for the visitor when there are more.
const CHUNKS: usize = 8;

/// Facts in order, and what their ids and times refer to that was not there before.
#[derive(Debug, Default)]
struct Chunk {
    states: Vec<StateInterval>,
    /// How many of `states` come before it, and the fact.
    others: Vec<(usize, Other)>,
    symbols: NewSymbols,
    clock: Option<ClockSync>,
}

/// The facts that are seldom. Large ones are boxed.
#[derive(Debug)]
enum Other {
    Goroutine(Box<Goroutine>),
    RangeBegins(RuntimeRange),
    Range(RuntimeRange),
    Task(Box<UserTask>),
    Region(Box<UserRegion>),
    Log(UserLog<'static>),
    CpuSample(CpuSample),
    Metric(Metric),
    Generation(Box<GenerationInfo>, TraceNanos),
}

/// As [`visit`](super::visitor::visit), with the decoder on a thread of its own.
pub(crate) fn visit_in_background(trace: ExecTrace<'_>, visitor: &mut impl Visitor) -> Result<Summary, TraceError> {
    let (full, chunks) = sync_channel(CHUNKS);
    let (back, empty) = sync_channel(CHUNKS);
    thread::scope(|scope| {
        let decoder = scope.spawn(move || {
            let mut packer = Packer::new(full, empty);
            let summary = visit(trace, &mut packer)?;
            packer.hand_over(Lookup {
                symbols: &summary.symbols,
                clock: &summary.clock,
            });
            Ok(summary)
        });
        play(chunks, &back, visitor);
        match decoder.join() {
            Ok(summary) => summary,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Hands the facts of all chunks to the visitor. When it has seen enough, the decoder learns it by the closed channel.
fn play(chunks: Receiver<Chunk>, back: &SyncSender<Chunk>, visitor: &mut impl Visitor) {
    let mut symbols = Symbols::default();
    let mut clock = ClockSync::default();
    for mut chunk in chunks {
        symbols.add(&mut chunk.symbols);
        if let Some(later) = chunk.clock.take() {
            clock = later;
        }
        let lookup = Lookup {
            symbols: &symbols,
            clock: &clock,
        };
        chunk.play(lookup, visitor);
        if visitor.is_done() {
            return;
        }
        // A decoder that is through takes no more chunks back.
        let _ = back.try_send(chunk);
    }
}

impl Chunk {
    fn play(&mut self, lookup: Lookup<'_>, visitor: &mut impl Visitor) {
        let mut played = 0;
        for (position, other) in self.others.drain(..) {
            let before = self.states.get(played..position).unwrap_or_default();
            before.iter().for_each(|interval| visitor.state(interval, lookup));
            played = position;
            other.play(lookup, visitor);
        }
        let rest = self.states.get(played..).unwrap_or_default();
        rest.iter().for_each(|interval| visitor.state(interval, lookup));
        self.states.clear();
    }
}

impl Other {
    fn play(&self, lookup: Lookup<'_>, visitor: &mut impl Visitor) {
        match self {
            Self::Goroutine(goroutine) => visitor.goroutine(goroutine, lookup),
            Self::RangeBegins(range) => visitor.range_begins(range, lookup),
            Self::Range(range) => visitor.range(range, lookup),
            Self::Task(task) => visitor.task(task, lookup),
            Self::Region(region) => visitor.region(region, lookup),
            Self::Log(log) => visitor.log(log, lookup),
            Self::CpuSample(sample) => visitor.cpu_sample(sample, lookup),
            Self::Metric(metric) => visitor.metric(metric, lookup),
            Self::Generation(generation, runnable_since) => visitor.generation(generation, *runnable_since, lookup),
        }
    }
}

/// Packs facts into chunks.
struct Packer {
    chunk: Chunk,
    full: SyncSender<Chunk>,
    empty: Receiver<Chunk>,
    /// How many strings and stacks, and generations with a clock, the other side has.
    sent_symbols: (usize, usize),
    sent_clocks: usize,
    is_abandoned: bool,
}

impl Packer {
    fn new(full: SyncSender<Chunk>, empty: Receiver<Chunk>) -> Self {
        Self {
            chunk: Chunk::default(),
            full,
            empty,
            sent_symbols: (0, 0),
            sent_clocks: 0,
            is_abandoned: false,
        }
    }

    fn add(&mut self, other: Other, lookup: Lookup<'_>) {
        self.chunk.others.push((self.chunk.states.len(), other));
        if self.chunk.others.len() >= CHUNK_OTHERS {
            self.hand_over(lookup);
        }
    }

    #[inline(never)]
    fn hand_over(&mut self, lookup: Lookup<'_>) {
        self.sent_symbols = lookup.symbols.since(self.sent_symbols, &mut self.chunk.symbols);
        if lookup.clock.snapshots().len() != self.sent_clocks {
            self.sent_clocks = lookup.clock.snapshots().len();
            self.chunk.clock = Some(lookup.clock.clone());
        }
        let next = self.empty.try_recv().unwrap_or_default();
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.is_abandoned |= self.full.send(chunk).is_err();
    }
}

impl Visitor for Packer {
    #[inline(always)]
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        self.chunk.states.push(*interval);
        if self.chunk.states.len() >= CHUNK_STATES {
            self.hand_over(lookup);
        }
    }

    fn goroutine(&mut self, goroutine: &Goroutine, lookup: Lookup<'_>) {
        self.add(Other::Goroutine(Box::new(goroutine.clone())), lookup);
    }

    fn range_begins(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.add(Other::RangeBegins(*range), lookup);
    }

    fn range(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.add(Other::Range(*range), lookup);
    }

    fn task(&mut self, task: &UserTask, lookup: Lookup<'_>) {
        self.add(Other::Task(Box::new(*task)), lookup);
    }

    fn region(&mut self, region: &UserRegion, lookup: Lookup<'_>) {
        self.add(Other::Region(Box::new(*region)), lookup);
    }

    fn log(&mut self, log: &UserLog<'_>, lookup: Lookup<'_>) {
        self.add(Other::Log(log.clone().into_owned()), lookup);
    }

    fn cpu_sample(&mut self, sample: &CpuSample, lookup: Lookup<'_>) {
        self.add(Other::CpuSample(*sample), lookup);
    }

    fn metric(&mut self, metric: &Metric, lookup: Lookup<'_>) {
        self.add(Other::Metric(*metric), lookup);
    }

    fn generation(&mut self, generation: &GenerationInfo, runnable_since: TraceNanos, lookup: Lookup<'_>) {
        self.add(Other::Generation(Box::new(*generation), runnable_since), lookup);
    }

    fn is_done(&self) -> bool {
        self.is_abandoned
    }
}

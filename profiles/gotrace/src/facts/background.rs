//! A trace is decoded on a thread of its own, and its facts are visited on this one.
//!
//! ```text
//! background: bytes -> events -> facts -> chunk --channel--> play -> Visitor     this thread
//!                                           ^                 |
//!                                           `----channel------'   emptied chunks come back
//! ```
//! Both threads have symbols and clocks of their own: a chunk brings what was new. Ids count up, so what is added in the
//! same order has the same ids.
//!
//! The decoder runs ahead, and what a visitor has seen when it is done must not depend on how far. So a chunk ends where a
//! generation begins, and brings all that a summary of the trace up to there needs.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::visitor::{Outline, Standing, follow};
use super::{
    CpuSample, Goroutine, Lookup, Metric, RuntimeRange, StateInterval, Summary, Symbols, UserLog, UserRegion, UserTask,
    Visitor,
};
use crate::clock::{ClockSnapshot, ClockSync, TraceNanos};
use crate::decoder::GenerationInfo;
use crate::error::TraceError;
use crate::facts::symbols::NewSymbols;
use crate::stream::ExecTrace;

/// Intervals that are handed over at a time: few enough to stay in the cache that the cores share.
const CHUNK_STATES: usize = 4_096;
/// Other facts that are handed over at a time.
const CHUNK_OTHERS: usize = 1_024;
/// Chunks that may be under way. The decoder waits for the visitor when there are more.
const CHUNKS: usize = 8;

/// Facts in order, and what their ids and times refer to that was not there before.
#[derive(Debug, Default)]
struct Chunk {
    states: Vec<StateInterval>,
    /// How many of `states` come before it, and the fact.
    others: Vec<(usize, Other)>,
    symbols: NewSymbols,
    /// Begins behind these facts.
    generation: Option<Box<Begun>>,
}

/// A generation that begins, and what else is known then.
#[derive(Debug)]
struct Begun {
    info: GenerationInfo,
    runnable_since: TraceNanos,
    next_clock: Option<ClockSnapshot>,
    outline: Option<Outline>,
}

/// The facts that are seldom. Large ones are not boxed: to allocate on one thread what the other one frees costs more than
/// their place in a chunk that is used again and again.
#[derive(Debug)]
enum Other {
    Goroutine(Goroutine),
    RangeBegins(RuntimeRange),
    Range(RuntimeRange),
    Task(UserTask),
    Region(UserRegion),
    Log(UserLog<'static>),
    CpuSample(CpuSample),
    Metric(Metric),
}

/// As [`visit`](super::visitor::visit), with the decoder on a thread of its own.
pub(crate) fn visit_in_background(trace: ExecTrace<'_>, visitor: &mut impl Visitor) -> Result<Summary, TraceError> {
    let (full, chunks) = sync_channel(CHUNKS);
    let (back, empty) = sync_channel(CHUNKS);
    thread::scope(|scope| {
        let decoder = scope.spawn(move || {
            let mut packer = Packer::new(full, empty);
            let summary = follow(trace, &mut packer, |packer, standing| {
                packer.begin_generation(&standing)
            })?;
            packer.hand_over(&summary.symbols);
            Ok(summary)
        });
        let stopped = Player::default().play(chunks, &back, visitor);
        match (decoder.join(), stopped) {
            (Err(panic), _) => std::panic::resume_unwind(panic),
            (Ok(_), Some(summary)) => Ok(summary),
            (Ok(summary), None) => summary,
        }
    })
}

/// What the visitor's thread knows of the trace.
#[derive(Debug, Default)]
struct Player {
    symbols: Symbols,
    clock: ClockSync,
    generations: Vec<GenerationInfo>,
}

impl Player {
    /// Hands the facts of all chunks to the visitor. When it has seen enough, the decoder learns it by the closed channel,
    /// and the summary is that of what the visitor has seen.
    fn play(
        mut self,
        chunks: Receiver<Chunk>,
        back: &SyncSender<Chunk>,
        visitor: &mut impl Visitor,
    ) -> Option<Summary> {
        for mut chunk in chunks {
            self.symbols.add(&mut chunk.symbols);
            chunk.play(self.lookup(), visitor);
            if let Some(begun) = chunk.generation.take() {
                self.begin_generation(&begun, visitor);
                if visitor.is_done() {
                    let outline = begun.outline?;
                    return Some(outline.into_summary(self.generations, self.clock, self.symbols));
                }
            }
            // A decoder that is through takes no more chunks back.
            let _ = back.try_send(chunk);
        }
        None
    }

    fn begin_generation(&mut self, begun: &Begun, visitor: &mut impl Visitor) {
        self.generations.push(begun.info);
        if let Some(snapshot) = begun.info.clock {
            self.clock.add(begun.info.start, snapshot, begun.next_clock);
        }
        visitor.generation(&begun.info, begun.runnable_since, self.lookup());
    }

    fn lookup(&self) -> Lookup<'_> {
        Lookup {
            symbols: &self.symbols,
            clock: &self.clock,
        }
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
        }
    }
}

/// Packs facts into chunks.
struct Packer {
    chunk: Chunk,
    full: SyncSender<Chunk>,
    empty: Receiver<Chunk>,
    /// How many strings and stacks the other side has.
    sent_symbols: (usize, usize),
    /// What has been told of the generation that begins.
    begun: Option<(GenerationInfo, TraceNanos)>,
    is_abandoned: bool,
}

impl Packer {
    fn new(full: SyncSender<Chunk>, empty: Receiver<Chunk>) -> Self {
        Self {
            chunk: Chunk::default(),
            full,
            empty,
            sent_symbols: (0, 0),
            begun: None,
            is_abandoned: false,
        }
    }

    fn add(&mut self, other: Other, lookup: Lookup<'_>) {
        self.chunk.others.push((self.chunk.states.len(), other));
        if self.chunk.others.len() >= CHUNK_OTHERS {
            self.hand_over(lookup.symbols);
        }
    }

    #[inline(never)]
    fn hand_over(&mut self, symbols: &Symbols) {
        self.sent_symbols = symbols.since(self.sent_symbols, &mut self.chunk.symbols);
        let next = self.empty.try_recv().unwrap_or_default();
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.is_abandoned |= self.full.send(chunk).is_err();
    }

    /// Hands over what came before the generation that has begun, and its start. Returns whether anybody wants more.
    fn begin_generation(&mut self, standing: &Standing<'_, '_>) -> bool {
        if let Some((info, runnable_since)) = self.begun.take() {
            self.chunk.generation = Some(Box::new(Begun {
                info,
                runnable_since,
                next_clock: standing.next_clock(),
                outline: standing.outline(),
            }));
            self.hand_over(standing.symbols());
        }
        !self.is_abandoned
    }
}

impl Visitor for Packer {
    #[inline(always)]
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        self.chunk.states.push(*interval);
        if self.chunk.states.len() >= CHUNK_STATES {
            self.hand_over(lookup.symbols);
        }
    }

    fn goroutine(&mut self, goroutine: &Goroutine, lookup: Lookup<'_>) {
        self.add(Other::Goroutine(goroutine.clone()), lookup);
    }

    fn range_begins(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.add(Other::RangeBegins(*range), lookup);
    }

    fn range(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.add(Other::Range(*range), lookup);
    }

    fn task(&mut self, task: &UserTask, lookup: Lookup<'_>) {
        self.add(Other::Task(*task), lookup);
    }

    fn region(&mut self, region: &UserRegion, lookup: Lookup<'_>) {
        self.add(Other::Region(*region), lookup);
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

    fn generation(&mut self, generation: &GenerationInfo, runnable_since: TraceNanos, _: Lookup<'_>) {
        self.begun = Some((*generation, runnable_since));
    }
}

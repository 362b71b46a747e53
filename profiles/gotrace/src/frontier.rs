//! Merges the threads of one generation into one order (internal/trace/reader.go).
//!
//! Every thread with events is a lane. The lane whose next event is the earliest is put to the scheduler model. A lane
//! whose event must wait is parked at the resource that it waits for and comes back when that resource changes. This finds
//! the same event as trying all lanes in the order of their times, which is what Go's reader does, without trying again
//! what cannot have changed.
//!
//! Of the next event of a lane only type and time are read before its turn. If they are damaged, that is found at its turn:
//! at the time that it claims to have, or else that of the event before.
//!
//! A CPU sample comes before all events that are later, and after all others, those of parked lanes included.

use std::iter::Peekable;
use std::ops::Range;
use std::vec;

use crate::batch::TraceBatch;
use crate::clock::TickRate;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::event::{EventKind, GoEvent};
use crate::generation::{Generation, Sample, WireNames};
use crate::ids::index;
use crate::lanes::Tournament;
use crate::order::{NO_LANE, NO_SLOT, NO_THREAD, Order, Sink, Slot, Step};
use crate::reader::{Reader, error_at};
use crate::spec::WireEvent;
use crate::window::Held;
use crate::wire::{Args, CHUNK_BYTES, Chunk, timed_event, uvarint};

/// How often lanes may be parked per event, on average. A resource is contended by as many threads as run at a time,
/// and each change wakes all of them once.
const PARKS_PER_EVENT_MAX: u64 = 512;
/// Parks that are free, for generations of few events and many threads.
const PARKS_FREE: u64 = 1 << 20;

/// Time of no sample.
const NEVER: u64 = u64::MAX;

/// Stands for an event that cannot be read: no event of a thread, which the scheduler model refuses like any other such.
const DAMAGED: WireEvent = WireEvent::EndOfGeneration;

/// Number of events by type byte.
pub(crate) type Counts = [u64; 256];

/// One thread's events.
#[derive(Debug)]
struct Lane {
    /// The scheduler model's number of the thread.
    thread: Slot,
    /// Batches not yet begun, as positions in the generation's batches.
    batches: Range<usize>,
    /// The next event, which exists as long as the lane's time in the tournament or `parked` says so. [`DAMAGED`] if it
    /// cannot be read.
    event: WireEvent,
    /// Its absolute time.
    ticks: u64,
    /// Position of its type byte.
    start: usize,
    /// Position of its first argument after the time.
    args: usize,
    /// End of the payload that it stands in.
    end: usize,
    parked: bool,
    /// The lane that waits for the same resource, if this one is parked.
    next_waiter: u32,
    /// What is wrong with the next event.
    damage: Option<Box<DecodeError>>,
}

/// The lanes of a generation.
#[derive(Debug)]
pub(crate) struct Frontier<'a> {
    bytes: Bytes<'a>,
    names: WireNames,
    batches: Vec<TraceBatch>,
    rate: TickRate,
    ticks_max: u64,
    lanes: Vec<Lane>,
    tournament: Tournament,
    /// The times of lanes that are parked, as long as there are samples: which is the earliest matters to them alone.
    parked: Tournament,
    samples: Peekable<vec::IntoIter<Sample>>,
    events_count: u64,
    parks_count: u64,
}

/// The bytes of a generation.
#[derive(Debug)]
struct Bytes<'a> {
    held: Held<'a>,
    /// The last bytes and as many zeros, so that any position starts a chunk.
    tail: [u8; 2 * CHUNK_BYTES],
    tail_start: usize,
}

impl<'a> Bytes<'a> {
    fn new(held: Held<'a>) -> Self {
        let mut tail = [0; 2 * CHUNK_BYTES];
        let tail_start = held.bytes.len().saturating_sub(CHUNK_BYTES);
        let last = held.bytes.get(tail_start..).unwrap_or_default();
        for (to, from) in tail.iter_mut().zip(last) {
            *to = *from;
        }
        Self { held, tail, tail_start }
    }

    #[inline(always)]
    fn view(&self) -> View<'_> {
        View {
            bytes: &self.held.bytes,
            tail: &self.tail,
            tail_start: self.tail_start,
            base: self.held.base,
        }
    }
}

/// The bytes of a generation, at hand. Positions count from the generation's start.
#[derive(Clone, Copy, Debug)]
struct View<'b> {
    bytes: &'b [u8],
    tail: &'b [u8; 2 * CHUNK_BYTES],
    tail_start: usize,
    base: usize,
}

impl<'b> View<'b> {
    #[inline(always)]
    fn chunk(&self, at: usize) -> &'b Chunk {
        match self.bytes.get(at..).and_then(<[u8]>::first_chunk) {
            Some(chunk) => chunk,
            None => self.tail_chunk(at),
        }
    }

    #[cold]
    fn tail_chunk(&self, at: usize) -> &'b Chunk {
        let rest = self.tail.get(at.saturating_sub(self.tail_start)..);
        rest.and_then(<[u8]>::first_chunk).unwrap_or(&[0; CHUNK_BYTES])
    }

    /// Offset in the file.
    fn offset(&self, at: usize) -> usize {
        self.base.saturating_add(at)
    }
}

impl<'a> Frontier<'a> {
    /// `order` must have begun the generation.
    pub(crate) fn new(generation: Generation<'a>, order: &mut Order) -> Self {
        let mut frontier = Self {
            bytes: Bytes::new(generation.held),
            names: generation.names,
            batches: generation.batches,
            rate: generation.rate,
            ticks_max: generation.rate.ticks_max(),
            lanes: Vec::new(),
            tournament: Tournament::new(0, 0),
            parked: Tournament::new(0, 0),
            samples: generation.samples.into_iter().peekable(),
            events_count: 0,
            parks_count: 0,
        };
        let lanes_count = frontier.batches.chunk_by(|a, b| a.thread == b.thread).count();
        let base = frontier.batches.iter().map(|batch| batch.time_ticks).min();
        frontier.tournament = Tournament::new(lanes_count, base.unwrap_or(0));
        if frontier.samples.len() > 0 {
            frontier.parked = Tournament::new(lanes_count, base.unwrap_or(0));
        }
        frontier.ticks_max = frontier.ticks_max.min(frontier.tournament.ticks_max());
        frontier.add_lanes(order);
        frontier
    }

    /// The bytes of the generation, which nothing needs any more.
    pub(crate) fn into_held(self) -> Held<'a> {
        self.bytes.held
    }

    /// Events handed out so far; one coroutine switch counts once.
    pub(crate) fn events_count(&self) -> u64 {
        self.events_count
    }

    fn add_lanes(&mut self, order: &mut Order) {
        let batches = std::mem::take(&mut self.batches);
        let mut first = 0;
        for of_thread in batches.chunk_by(|a, b| a.thread == b.thread) {
            let range = first..first + of_thread.len();
            first = range.end;
            let thread = of_thread.first().and_then(|batch| batch.thread);
            let slot = thread.map_or(Ok(NO_THREAD), |id| order.thread_slot(id));
            let mut lane = Lane {
                thread: *slot.as_ref().unwrap_or(&NO_THREAD),
                batches: range,
                event: WireEvent::GoStatus,
                ticks: 0,
                start: 0,
                args: 0,
                end: 0,
                parked: false,
                next_waiter: NO_LANE,
                damage: None,
            };
            let view = self.bytes.view();
            if !load_next(&mut lane, 0, view, &batches, self.ticks_max) {
                continue;
            }
            let refused = slot.err();
            let is_last = refused.is_some();
            if let Some(kind) = refused {
                lane.spoil(error_at(view.offset(lane.start), *kind));
            }
            self.tournament.set(self.lanes.len(), lane.ticks);
            self.lanes.push(lane);
            if is_last {
                break;
            }
        }
        self.batches = batches;
    }

    /// Hands events to the sink: about `limit` more, or all if there are fewer. Returns whether there may be more.
    ///
    /// # Errors
    /// Nothing after an error can be ordered.
    #[inline(always)]
    pub(crate) fn run(
        &mut self,
        limit: u64,
        order: &mut Order,
        counts: &mut Counts,
        sink: &mut impl Sink,
    ) -> Result<bool, DecodeError> {
        let before = counts.iter().sum::<u64>();
        let more = self.run_uncounted(limit, order, counts, sink);
        self.events_count += counts.iter().sum::<u64>().saturating_sub(before);
        more
    }

    #[inline(always)]
    fn run_uncounted(
        &mut self,
        limit: u64,
        order: &mut Order,
        counts: &mut Counts,
        sink: &mut impl Sink,
    ) -> Result<bool, DecodeError> {
        let view = self.bytes.view();
        let (names, batches, rate, ticks_max) = (&self.names, &self.batches[..], self.rate, self.ticks_max);
        let (lanes, tournament, parked) = (&mut self.lanes[..], &mut self.tournament, &mut self.parked);
        let mut sample_ticks = next_sample(&mut self.samples);
        let mut left = limit;
        while left > 0 {
            let first = tournament.first();
            let sample_due = due(sample_ticks, parked);
            if sample_due < first.map_or(NEVER, |(ticks, _)| ticks) {
                emit_sample(&mut self.samples, view, rate, ticks_max, order, counts, sink)?;
                sample_ticks = next_sample(&mut self.samples);
                left -= 1;
                continue;
            }
            let Some((_, number)) = first else {
                return end(lanes, view).map(|()| false);
            };
            let lane = lanes.get_mut(number).expect("lanes never shrink");
            // The lane stays the first up to the next time of any other, unless one of them comes back.
            let turn_ends = tournament.turn_ends(number).min(sample_due);
            loop {
                let time = rate.nanos_within(lane.ticks);
                let args = Args::new(view.chunk(lane.args), lane.end.wrapping_sub(lane.args));
                match order.advance(lane.thread, lane.event, time, args, names, sink) {
                    Ok(Step::Done { args_bytes }) => {
                        if let Some(count) = counts.get_mut(usize::from(lane.event.byte())) {
                            *count += 1;
                        }
                        left -= 1;
                        let next = lane.args.wrapping_add(args_bytes);
                        if !load_next(lane, next, view, batches, ticks_max) {
                            tournament.clear(number);
                            break;
                        }
                        if order.has_woken() || lane.ticks >= turn_ends || left == 0 {
                            tournament.set(number, lane.ticks);
                            break;
                        }
                    }
                    Ok(Step::Wait(resource)) => {
                        lane.parked = true;
                        let number_u32 = u32::try_from(number).expect("a thread has a slot");
                        lane.next_waiter = order.park(resource, number_u32);
                        tournament.clear(number);
                        if sample_ticks != NEVER {
                            parked.set(number, lane.ticks);
                        }
                        self.parks_count += 1;
                        let events_count = self.events_count + (limit - left);
                        if self.parks_count > PARKS_FREE + PARKS_PER_EVENT_MAX.saturating_mul(events_count) {
                            return Err(explain(lane, view, DecodeErrorKind::TooManyRetries));
                        }
                        break;
                    }
                    Err(kind) => return Err(explain(lane, view, *kind)),
                }
            }
            while let Some(head) = order.take_woken() {
                wake_all(head, lanes, tournament, parked);
            }
        }
        Ok(true)
    }
}

/// Time of the next CPU sample; [`NEVER`] after the last.
#[inline]
fn next_sample(samples: &mut Peekable<vec::IntoIter<Sample>>) -> u64 {
    samples.peek().map_or(NEVER, |sample| sample.ticks)
}

/// When a sample may come, of all times that are not parked. [`NEVER`] as long as a parked lane is not later than it.
#[inline(always)]
fn due(sample_ticks: u64, parked: &Tournament) -> u64 {
    if sample_ticks == NEVER {
        return NEVER;
    }
    match parked.first() {
        Some((ticks, _)) if ticks <= sample_ticks => NEVER,
        _ => sample_ticks,
    }
}

/// Hands a CPU sample out that is due before the earliest event that may happen.
#[inline(never)]
fn emit_sample(
    samples: &mut Peekable<vec::IntoIter<Sample>>,
    view: View<'_>,
    rate: TickRate,
    ticks_max: u64,
    order: &mut Order,
    counts: &mut Counts,
    sink: &mut impl Sink,
) -> Result<(), DecodeError> {
    let Some(Sample { ticks, context, stack }) = samples.next() else {
        return Ok(());
    };
    if ticks > ticks_max {
        let kind = DecodeErrorKind::OutOfRange {
            what: "sample time",
            value: ticks,
        };
        return Err(error_at(view.offset(0), kind));
    }
    if let Some(count) = counts.get_mut(usize::from(WireEvent::CpuSample.byte())) {
        *count += 1;
    }
    let event = GoEvent {
        time: order.stamp(rate.nanos_within(ticks)),
        context,
        stack,
        kind: EventKind::CpuSample,
    };
    sink.event(event, NO_SLOT);
    Ok(())
}

/// Lanes come back that waited for what has just changed.
#[inline(never)]
fn wake_all(mut head: u32, lanes: &mut [Lane], tournament: &mut Tournament, parked: &mut Tournament) {
    while head != NO_LANE {
        let lane = lanes.get_mut(index(head)).expect("lanes never shrink");
        lane.parked = false;
        parked.clear(index(head));
        tournament.set(index(head), lane.ticks);
        head = std::mem::replace(&mut lane.next_waiter, NO_LANE);
    }
}

/// No lane may go on: the generation has ended, or lanes wait for what never comes.
fn end(lanes: &[Lane], view: View<'_>) -> Result<(), DecodeError> {
    let parked = lanes.iter().filter(|lane| lane.parked);
    match parked.min_by_key(|lane| lane.ticks) {
        None => Ok(()),
        Some(lane) => {
            let kind = DecodeErrorKind::Stuck {
                event: lane.event.name(),
            };
            Err(error_at(view.offset(lane.start), kind))
        }
    }
}

/// What is wrong with a lane's next event, and where.
#[cold]
fn explain(lane: &Lane, view: View<'_>, kind: DecodeErrorKind) -> DecodeError {
    if let Some(error) = &lane.damage {
        return DecodeError::clone(error);
    }
    match kind {
        DecodeErrorKind::Truncated { .. } => damage(view, lane.start, lane.end),
        kind => error_at(view.offset(lane.start), kind),
    }
}

impl Lane {
    /// The next event is damaged.
    #[cold]
    fn spoil(&mut self, error: DecodeError) {
        self.event = DAMAGED;
        self.damage = Some(Box::new(error));
    }

    /// The next event is damaged, and what it claims of its time is later than any time can be.
    #[cold]
    fn spoil_time(&mut self, ticks_max: u64, offset: usize, what: &'static str, value: u64) {
        self.ticks = ticks_max;
        self.spoil(error_at(offset, DecodeErrorKind::OutOfRange { what, value }));
    }
}

/// Reads type and time of the lane's event at `at`, or at the start of its next batch. Returns false after the last.
#[inline(always)]
fn load_next(lane: &mut Lane, at: usize, view: View<'_>, batches: &[TraceBatch], ticks_max: u64) -> bool {
    lane.start = at;
    if at >= lane.end && !begin_batch(lane, view.base, batches, ticks_max) {
        return lane.damage.is_some();
    }
    let chunk = view.chunk(lane.start);
    let [byte, ..] = *chunk;
    let (dt, read) = uvarint(chunk, 1);
    if read > lane.end.wrapping_sub(lane.start) {
        lane.spoil(damage(view, lane.start, lane.end));
        return true;
    }
    if dt > ticks_max.wrapping_sub(lane.ticks) {
        lane.spoil_time(ticks_max, view.offset(lane.start), "time since the event before", dt);
        return true;
    }
    lane.ticks = lane.ticks.wrapping_add(dt);
    let Some(event) = timed_event(byte) else {
        lane.spoil(damage(view, lane.start, lane.end));
        return true;
    };
    lane.event = event;
    lane.args = lane.start.wrapping_add(read);
    true
}

/// Moves to the first event of the lane's next batch that has any; false if there is none, or it is damaged.
#[inline(never)]
fn begin_batch(lane: &mut Lane, base: usize, batches: &[TraceBatch], ticks_max: u64) -> bool {
    for batch in lane.batches.by_ref().filter_map(|position| batches.get(position)) {
        if batch.payload.is_empty() {
            continue;
        }
        if batch.time_ticks > ticks_max {
            lane.spoil_time(ticks_max, batch.payload.start, "batch time", batch.time_ticks);
            return false;
        }
        lane.start = batch.payload.start.saturating_sub(base);
        lane.end = batch.payload.end.saturating_sub(base);
        lane.ticks = batch.time_ticks;
        return true;
    }
    false
}

/// The first thing wrong with the event at `start`, read with care.
#[cold]
fn damage(view: View<'_>, start: usize, end: usize) -> DecodeError {
    let payload = view.bytes.get(start..end).unwrap_or_default();
    let mut reader = Reader::new(payload, view.offset(start));
    let at = reader.clone();
    read_event(&mut reader).err().unwrap_or_else(|| {
        at.error(DecodeErrorKind::Truncated {
            what: "an event's argument",
        })
    })
}

fn read_event(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let at = reader.clone();
    let found = reader.u8("an event")?;
    let Some(event) = timed_event(found) else {
        return Err(at.error(DecodeErrorKind::UnexpectedByte {
            expected: "an event with a time",
            found,
        }));
    };
    reader.uvarint("an event's time")?;
    let args = WireEvent::spec_of(event.byte()).map_or(&[][..], |spec| spec.args);
    for _ in args.iter().skip(1) {
        reader.uvarint("an event's argument")?;
    }
    Ok(())
}

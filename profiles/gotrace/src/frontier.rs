//! Merges the threads of one generation into one order (internal/trace/reader.go).
//!
//! Every thread with events is a lane. Lanes whose next event may happen stand in a heap by time; the earliest is put to
//! the scheduler model. A lane whose event must wait is parked at the resource that it waits for and returns to the
//! heap when that resource changes. This finds the same event as trying all lanes in the order of their times, which
//! is what Go's reader does, without trying again what cannot have changed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::vec;

use crate::batch::TraceBatch;
use crate::cursor::{Cursor, RawEvent};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::event::EventKind;
use crate::generation::{Generation, Sample, WireNames};
use crate::ids::index;
use crate::order::{Emitted, NO_LANE, Order, Step};
use crate::reader::error_at;
use crate::spec::WireEvent;

/// How often lanes may be parked per event, on average. A resource is contended by as many threads as run at a time,
/// and each change wakes all of them once.
const PARKS_PER_EVENT_MAX: u64 = 512;
/// Parks that are free, for generations of few events and many threads.
const PARKS_FREE: u64 = 1 << 20;

/// The next event of a generation, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered {
    pub(crate) event: WireEvent,
    pub(crate) ticks: u64,
    pub(crate) offset: usize,
    pub(crate) emitted: Emitted,
}

/// One thread's events.
#[derive(Debug)]
struct Lane<'a> {
    /// The scheduler model's number of the thread.
    thread: Option<u32>,
    cursor: Cursor<'a>,
    next: RawEvent,
    parked: bool,
    /// The lane that waits for the same resource, if this one is parked.
    next_waiter: u32,
}

/// The lanes of a generation.
#[derive(Debug)]
pub(crate) struct Frontier<'a> {
    names: WireNames,
    batches: Vec<TraceBatch<'a>>,
    lanes: Vec<Lane<'a>>,
    ready: BinaryHeap<Reverse<(u64, u32)>>,
    samples: std::iter::Peekable<vec::IntoIter<Sample>>,
    /// Damage behind the last event that was handed out.
    failed: Option<DecodeError>,
    events_count: u64,
    parks_count: u64,
}

impl<'a> Frontier<'a> {
    /// `order` must have begun the generation.
    pub(crate) fn new(generation: Generation<'a>, order: &mut Order) -> Self {
        let Generation {
            names,
            samples,
            batches,
            ..
        } = generation;
        let mut frontier = Self {
            names,
            batches,
            lanes: Vec::new(),
            ready: BinaryHeap::new(),
            samples: samples.into_iter().peekable(),
            failed: None,
            events_count: 0,
            parks_count: 0,
        };
        frontier.add_lanes(order);
        frontier
    }

    fn add_lanes(&mut self, order: &mut Order) {
        let mut first = 0;
        for batches in self.batches.chunk_by(|a, b| a.thread == b.thread) {
            let range = first..first + batches.len();
            first = range.end;
            let thread = batches
                .first()
                .and_then(|batch| batch.thread)
                .map(|id| order.thread_slot(id));
            let mut cursor = Cursor::new(range);
            match cursor.next(&self.batches) {
                Ok(Some(next)) => {
                    let lane = u32::try_from(self.lanes.len()).expect("every lane takes five bytes of input");
                    self.lanes.push(Lane {
                        thread,
                        cursor,
                        next,
                        parked: false,
                        next_waiter: NO_LANE,
                    });
                    self.ready.push(Reverse((next.ticks, lane)));
                }
                Ok(None) => {}
                Err(error) => self.failed = self.failed.take().or(Some(error)),
            }
        }
    }

    /// The next event, or `None` at the end of the generation.
    ///
    /// # Errors
    /// Nothing after an error can be ordered.
    #[inline]
    pub(crate) fn next(&mut self, order: &mut Order) -> Result<Option<Ordered>, DecodeError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if let Some(sample) = self.next_sample() {
                return Ok(Some(sample));
            }
            let Some(top) = self.ready.peek_mut() else {
                return self.end();
            };
            let Reverse((_, lane_number)) = *top;
            let lane = self.lanes.get_mut(index(lane_number)).expect("lanes never shrink");
            let step = order.advance(lane.thread, &lane.next, &self.names);
            match step.map_err(|kind| error_at(lane.next.offset, kind))? {
                Step::Emit(emitted) => {
                    let RawEvent {
                        event, ticks, offset, ..
                    } = lane.next;
                    match lane.cursor.next(&self.batches) {
                        Ok(Some(next)) => replace_top(top, lane, lane_number, next),
                        Ok(None) => {
                            PeekMut::pop(top);
                        }
                        Err(error) => {
                            PeekMut::pop(top);
                            self.failed = Some(error);
                        }
                    }
                    self.wake(order);
                    self.events_count += 1;
                    return Ok(Some(Ordered {
                        event,
                        ticks,
                        offset,
                        emitted,
                    }));
                }
                Step::Wait(resource) => {
                    PeekMut::pop(top);
                    lane.parked = true;
                    lane.next_waiter = order.park(resource, lane_number);
                    self.parks_count += 1;
                    if self.parks_count > PARKS_FREE + PARKS_PER_EVENT_MAX.saturating_mul(self.events_count) {
                        return Err(error_at(lane.next.offset, DecodeErrorKind::TooManyRetries));
                    }
                }
            }
        }
    }

    /// A CPU sample is due before the earliest event that may happen.
    #[inline]
    fn next_sample(&mut self) -> Option<Ordered> {
        let due = self.samples.peek()?.ticks;
        if self.ready.peek().is_some_and(|Reverse((ticks, _))| *ticks <= due) {
            return None;
        }
        let Sample { ticks, context, stack } = self.samples.next()?;
        let emitted = Emitted {
            context,
            stack,
            kind: EventKind::CpuSample,
        };
        Some(Ordered {
            event: WireEvent::CpuSample,
            ticks,
            offset: 0,
            emitted,
        })
    }

    /// Returns lanes to the heap that waited for what has just changed.
    #[inline]
    fn wake(&mut self, order: &mut Order) {
        while let Some(mut head) = order.take_woken() {
            while head != NO_LANE {
                let lane = self.lanes.get_mut(index(head)).expect("lanes never shrink");
                lane.parked = false;
                self.ready.push(Reverse((lane.next.ticks, head)));
                head = std::mem::replace(&mut lane.next_waiter, NO_LANE);
            }
        }
    }

    /// No lane may go on: the generation has ended, or lanes wait for what never comes.
    fn end(&self) -> Result<Option<Ordered>, DecodeError> {
        match self
            .lanes
            .iter()
            .filter(|lane| lane.parked)
            .min_by_key(|lane| lane.next.ticks)
        {
            None => Ok(None),
            Some(lane) => {
                let kind = DecodeErrorKind::Stuck {
                    event: lane.next.event.name(),
                };
                Err(error_at(lane.next.offset, kind))
            }
        }
    }
}

#[inline]
fn replace_top(mut top: PeekMut<'_, Reverse<(u64, u32)>>, lane: &mut Lane<'_>, number: u32, next: RawEvent) {
    lane.next = next;
    *top = Reverse((next.ticks, number));
}

//! Writes Go execution traces of every version, laid out as the runtime does it or in any other way that a reader has to
//! accept.
//!
//! A [`Trace`] says what happened, with strings and stacks in place; a [`Layout`] says how that becomes bytes: ids of
//! strings and stacks, where batches end, their order, how numbers are padded. Layouts of one trace differ in bytes
//! only.

mod batches;
pub(crate) mod layout;
mod tables;

use std::ops::Range;
use std::rc::Rc;

use gotrace::WireEvent;

pub(crate) use self::layout::{Arrangement, Layout, Random};

/// On the wire: no thread, no proc.
pub(crate) const NONE: u64 = u64::MAX;
/// First version with clock snapshots.
const GO_WITH_SYNC: u32 = 25;
/// First version that marks the ends of generations.
const GO_WITH_END: u32 = 26;

/// The bytes of a string.
pub(crate) type Text = Rc<[u8]>;
/// The frames of a call stack, leaf first.
pub(crate) type Stack = Rc<[Frame]>;

/// One frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame {
    pub(crate) pc: u64,
    pub(crate) function: Text,
    pub(crate) file: Text,
    pub(crate) line: u64,
}

/// A whole trace.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The number in the header: 22, 23, 25 or 26.
    pub(crate) minor: u32,
    pub(crate) ticks_per_second: u64,
    pub(crate) generations: Vec<Generation>,
}

/// About a second of a trace.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    /// When its sync batch is written (Go 1.25 and later).
    pub(crate) start_ticks: u64,
    /// When its tables are written, and before Go 1.25 its frequency.
    pub(crate) end_ticks: u64,
    /// Not written before Go 1.25.
    pub(crate) snapshot: Snapshot,
    pub(crate) streams: Vec<Stream>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) experiments: Vec<Experiment>,
}

/// Trace clock, monotonic clock and wall clock, read together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    /// Not before the start of the generation.
    pub(crate) ticks: u64,
    pub(crate) monotonic_ns: u64,
    pub(crate) sec: u64,
    pub(crate) nsec: u64,
}

/// What one thread wrote; [`NONE`] is the thread of the statuses at the end of a generation.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) thread: u64,
    pub(crate) events: Vec<Event>,
}

/// One event of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) ticks: u64,
    pub(crate) event: WireEvent,
    /// As in [`gotrace::Spec::args`], without the time.
    pub(crate) args: Vec<Arg>,
}

/// An argument of an event.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Number(u64),
    Text(Text),
    /// A string that gets an id of its own each time, as the messages of user logs do.
    Unique(Text),
    Stack(Option<Stack>),
}

/// A CPU profile sample.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) ticks: u64,
    pub(crate) thread: u64,
    pub(crate) proc: Option<u64>,
    pub(crate) goroutine: Option<u64>,
    pub(crate) stack: Option<Stack>,
}

/// A batch in an experiment's own format.
#[derive(Clone, Debug)]
pub(crate) struct Experiment {
    pub(crate) thread: u64,
    pub(crate) data: Vec<u8>,
}

/// A trace as bytes, and where its parts are.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// Every batch and end-of-generation byte.
    pub(crate) frames: Vec<FrameAt>,
    /// Time of the earliest batch of each generation.
    pub(crate) starts_ticks: Vec<u64>,
}

/// Where a batch or an end-of-generation byte is.
#[derive(Clone, Debug)]
pub(crate) struct FrameAt {
    pub(crate) bytes: Range<usize>,
    /// Where its payload is; empty for the end of a generation.
    pub(crate) payload: Range<usize>,
    /// Position of its generation in the trace.
    pub(crate) generation: usize,
}

/// Writes a trace.
pub(crate) fn encode(trace: &Trace, layout: &Layout) -> Encoded {
    let mut random = Random::new(layout.seed);
    let mut encoded = Encoded {
        bytes: format!("go 1.{} trace\0\0\0", trace.minor).into_bytes(),
        frames: Vec::new(),
        starts_ticks: Vec::new(),
    };
    for (position, generation) in trace.generations.iter().enumerate() {
        let batches = batches::of_generation(trace, generation, layout, &mut random);
        let times = batches.iter().map(|batch| batch.ticks).filter(|ticks| *ticks != 0);
        encoded.starts_ticks.push(times.min().unwrap_or(0));
        for batch in &batches {
            encoded.append(position, |bytes| {
                batch.write(generation.number, layout, &mut random, bytes)
            });
        }
        if trace.minor >= GO_WITH_END {
            encoded.append(position, |bytes| {
                bytes.push(WireEvent::EndOfGeneration.byte());
                bytes.len()
            });
        }
    }
    encoded
}

impl Encoded {
    /// `write` appends a frame and returns where its payload begins.
    fn append(&mut self, generation: usize, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        let start = self.bytes.len();
        let payload = write(&mut self.bytes);
        let end = self.bytes.len();
        self.frames.push(FrameAt {
            bytes: start..end,
            payload: payload..end,
            generation,
        });
    }

    /// Where a generation begins in the bytes.
    pub(crate) fn offset_of(&self, generation: usize) -> usize {
        let first = self.frames.iter().find(|frame| frame.generation == generation);
        first.expect("every generation has a batch").bytes.start
    }

    /// The trace without one batch.
    pub(crate) fn without(&self, frame: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.drain(self.frames[frame].bytes.clone());
        bytes
    }
}

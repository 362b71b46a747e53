//! A trace as a stream of ordered events.

use std::io::Read;

use crate::clock::ClockSync;
use crate::decoder::{Decoder, GenerationInfo};
use crate::error::{OpenError, TraceError, Warnings};
use crate::event::GoEvent;
use crate::facts::{Intervals, Summary, Visitor, visit, visit_in_background};
use crate::header::{HEADER_BYTES, Version, read_header};
use crate::order::StatusTimes;
use crate::tables::{StackTable, StringTable};
use crate::window::Window;

/// A trace whose header has been read.
#[derive(Debug)]
pub struct ExecTrace<'a> {
    version: Version,
    window: Window<'a>,
    times: StatusTimes,
}

/// Bytes that an error about a header wants to see.
const HEADER_LOOK_BYTES: usize = 4 * HEADER_BYTES;

impl<'a> ExecTrace<'a> {
    /// Reads the header. The bytes are those of a whole file; they are not copied.
    ///
    /// # Errors
    /// If they are not a trace, or one of a version that this crate does not know.
    pub fn open(bytes: &'a [u8]) -> Result<Self, OpenError> {
        Self::over(Window::Slice(bytes))
    }

    /// Reads the header from a source that gives a whole file. About one generation is held in memory at a time. Reads
    /// are large: a buffer in front of the source is of no use.
    ///
    /// # Errors
    /// If the source fails, or does not give a trace, or one of a version that this crate does not know. A failure behind
    /// the header is a warning, and what came before is decoded; it is an error where no generation came before.
    pub fn read(source: impl Read + Send + 'a) -> Result<Self, OpenError> {
        Self::over(Window::stream(Box::new(source)))
    }

    fn over(mut window: Window<'a>) -> Result<Self, OpenError> {
        let version = read_header(window.at(0, HEADER_LOOK_BYTES));
        if version.is_err()
            && let Some(failure) = window.take_failure()
        {
            let message = failure.to_string();
            return Err(OpenError::Unreadable { message });
        }
        Ok(Self {
            version: version?,
            window,
            times: StatusTimes::default(),
        })
    }

    /// Format of the trace.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Gives events the times that Go's own reader gives them, for a comparison with what it shows.
    ///
    /// The runtime ends a generation with the statuses of goroutines that it has not mentioned otherwise, and writes them
    /// when the next generation is under way. Go's reader lets nothing happen before such a status was written, so that the
    /// first events of the next generation, up to tens of milliseconds of them on a busy machine, share an instant. Without
    /// this such a status has the time of the event before it, and other events the times that the program wrote.
    #[must_use]
    pub fn with_times_of_go_reader(mut self) -> Self {
        self.times = StatusTimes::OfWriting;
        self
    }

    /// Decodes the trace, one generation in memory at a time.
    pub fn events(self) -> Events<'a> {
        Events {
            decoder: self.into_decoder(),
            ready: Vec::with_capacity(BUFFERED_EVENTS_MAX),
            next: 0,
        }
    }

    /// Decodes the trace into the states of its goroutines, in the order of their ends.
    pub fn intervals(self) -> Intervals<'a> {
        Intervals::new(self.into_decoder())
    }

    /// Decodes the trace and hands everything that lasted to a visitor, each fact as soon as it is whole.
    ///
    /// # Errors
    /// If no generation of the trace is whole; [`TraceError::SourceFailed`] if that is the fault of the source.
    pub fn visit(self, visitor: &mut impl Visitor) -> Result<Summary, TraceError> {
        visit(self, visitor)
    }

    /// As [`ExecTrace::visit`], with the decoder on a thread of its own that ends before this returns: for visitors whose
    /// work takes about as long as decoding. What the visitor gets is the same, in the same order, and so is the summary, also
    /// where the visitor ends the trace. A lookup may know of strings and stacks that later facts are the first to refer to.
    ///
    /// # Errors
    /// As [`ExecTrace::visit`].
    pub fn visit_in_background(self, visitor: &mut impl Visitor) -> Result<Summary, TraceError> {
        visit_in_background(self, visitor)
    }

    pub(crate) fn into_decoder(self) -> Decoder<'a> {
        Decoder::new(self.version, self.window, self.times)
    }
}

/// Events ordered at a time: few enough to stay in the innermost cache.
const BUFFERED_EVENTS: u64 = 256;
/// One wire event may stand for three.
const BUFFERED_EVENTS_MAX: usize = 256 + 2;

/// The events of a trace, in order: the iterator behind [`ExecTrace::events`].
///
/// Whatever the bytes are, it neither panics nor fails: what cannot be decoded is left out and noted in
/// [`Events::warnings`], and the time and memory it takes are in proportion to the bytes. A generation whose tables or
/// batches are damaged is left out as a whole. One whose events contradict each other ends before the first that does.
/// Where events are missing between two that are there, an [`EventKind::Gap`](crate::EventKind::Gap) says so.
///
/// Ids of strings and stacks in an event are looked up in [`Events::strings`] and [`Events::stacks`] before the next
/// [`EventKind::GenerationStart`](crate::EventKind::GenerationStart): every generation has tables of its own.
#[derive(Debug)]
pub struct Events<'a> {
    decoder: Decoder<'a>,
    /// Events that are in order, from `next` on not yet handed out. All are of one generation.
    ready: Vec<GoEvent>,
    next: usize,
}

impl Events<'_> {
    /// The strings of the generation of the latest event.
    pub fn strings(&self) -> &StringTable {
        &self.decoder.tables.strings
    }

    /// The stacks of the generation of the latest event.
    pub fn stacks(&self) -> &StackTable {
        &self.decoder.tables.stacks
    }

    /// The clock snapshots of all generations so far, and that of the next one where it stands at its start.
    pub fn clock(&self) -> &ClockSync {
        &self.decoder.tables.clock
    }

    /// The generations so far.
    pub fn generations(&self) -> &[GenerationInfo] {
        &self.decoder.tables.generations
    }

    /// What was odd so far.
    pub fn warnings(&self) -> &Warnings {
        &self.decoder.warnings
    }

    /// Number of events so far by their wire name, in the order of their numbers; kinds that did not occur are left out.
    /// One coroutine switch counts once, although it is three events. Exact at the end of the stream.
    pub fn event_counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.decoder.event_counts()
    }

    /// Calls `each` for all events that are left, in order. The fastest way through them: they pass in registers instead of
    /// through a buffer. What the trace was found to be can then be asked of this iterator.
    ///
    /// ```
    /// # fn count(bytes: &[u8]) -> Result<(), gotrace::OpenError> {
    /// let mut events = gotrace::ExecTrace::open(bytes)?.events();
    /// let mut syscalls_count = 0;
    /// events.for_each_event(|event| {
    ///     syscalls_count += u64::from(matches!(event.kind, gotrace::EventKind::GoSyscallBegin { .. }));
    /// });
    /// for warning in events.warnings().as_slice() {
    ///     eprintln!("{warning}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn for_each_event(&mut self, mut each: impl FnMut(GoEvent)) {
        self.ready.drain(self.next..).for_each(&mut each);
        while self.decoder.run(u64::MAX, |event, _, _| each(event)) {}
    }

    #[inline(never)]
    fn refill(&mut self) -> Option<GoEvent> {
        self.next = 0;
        self.ready.clear();
        while self.ready.is_empty() {
            let ready = &mut self.ready;
            if !self.decoder.run(BUFFERED_EVENTS, |event, _, _| ready.push(event)) {
                return None;
            }
        }
        self.next = 1;
        self.ready.first().copied()
    }
}

impl Iterator for Events<'_> {
    type Item = GoEvent;

    #[inline]
    fn next(&mut self) -> Option<GoEvent> {
        match self.ready.get(self.next) {
            Some(event) => {
                self.next += 1;
                Some(*event)
            }
            None => self.refill(),
        }
    }

    /// As fast as [`Events::for_each_event`]. `for_each`, `count` and the like use it.
    #[inline]
    fn fold<B, F: FnMut(B, GoEvent) -> B>(mut self, init: B, mut each: F) -> B {
        let mut state = Some(init);
        self.for_each_event(|event| state = state.take().map(|before| each(before, event)));
        state.expect("put back after each event")
    }
}

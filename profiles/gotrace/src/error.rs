//! What can be wrong with a trace, each with the byte where it was found.
//!
//! A file that is no trace at all is an [`OpenError`]. Damage inside a trace costs at most the generation it is in: it is
//! a [`Warning`], unless nothing at all could be decoded.

use crate::clock::TraceNanos;
use crate::ids::GoroutineId;

/// Why bytes are not a trace that this crate reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No bytes.
    #[error("byte 0: the file is empty, expected a Go execution trace; was the recording stopped before it began?")]
    Empty,
    /// Some other format.
    #[error(
        "byte 0: expected `go 1.N trace`, found {found}; a Go execution trace comes from /debug/pprof/trace or runtime/trace"
    )]
    NotATrace {
        /// What the bytes look like.
        found: String,
    },
    /// The header is cut.
    #[error("byte {length}: the file ends inside the 16-byte header of a Go execution trace; record it again")]
    HeaderCut {
        /// Length of the file.
        length: u64,
    },
    /// Format 1, of Go 1.21 and earlier.
    #[error("byte 5: trace version 1.{minor} is the old format of Go 1.21 and earlier; record with Go 1.22 or later")]
    OldFormat {
        /// The header's number: 21 in `go 1.21 trace`.
        minor: u32,
    },
    /// A version that does not exist yet.
    #[error(
        "byte 5: unknown trace version 1.{minor}, known are 1.22, 1.23, 1.25 and 1.26; use a newer release of this program"
    )]
    UnknownVersion {
        /// The header's number.
        minor: u32,
    },
    /// The source failed before the header was read.
    #[error("byte 0: cannot read the trace: {message}")]
    Unreadable {
        /// What the source says.
        message: String,
    },
}

impl OpenError {
    /// The byte where the problem shows.
    pub fn offset_bytes(&self) -> u64 {
        match self {
            Self::Empty | Self::NotATrace { .. } | Self::Unreadable { .. } => 0,
            Self::HeaderCut { length } => *length,
            Self::OldFormat { .. } | Self::UnknownVersion { .. } => 5,
        }
    }
}

/// Why a trace as a whole could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// Not a trace, or one of another version.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A trace of which no generation is whole.
    #[error("the trace holds no complete generation (a generation lasts about one second): {first}")]
    NoGeneration {
        /// The first damage.
        first: DecodeError,
    },
    /// The source failed before a generation was whole.
    #[error("the trace could not be read to its end, and no generation is complete before that: {message}; {first}")]
    SourceFailed {
        /// What the source says.
        message: String,
        /// The first damage: where the bytes end.
        first: DecodeError,
    },
}

impl TraceError {
    /// The byte where the problem shows.
    pub fn offset_bytes(&self) -> u64 {
        match self {
            Self::Open(error) => error.offset_bytes(),
            Self::NoGeneration { first } | Self::SourceFailed { first, .. } => first.offset_bytes,
        }
    }
}

/// Damage at one place of a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset_bytes}: {kind}")]
pub struct DecodeError {
    /// Where, counted from the start of the file.
    pub offset_bytes: u64,
    /// What.
    pub kind: DecodeErrorKind,
}

/// What is damaged. Limits are those of `internal/trace/tracev2/events.go`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "the message says what each field is; each variant is documented"
)]
pub enum DecodeErrorKind {
    /// A batch or the file ends too early.
    #[error("the bytes end where {what} was expected")]
    Truncated { what: &'static str },
    /// A number goes on beyond 64 bits.
    #[error("{what} is not a 64-bit LEB128 number")]
    VarintOverflow { what: &'static str },
    /// A count or length is larger than the format or the bytes behind it allow.
    #[error("{declared} {what} announced, at most {possible} fit")]
    CountTooLarge {
        what: &'static str,
        declared: u64,
        possible: u64,
    },
    /// A type byte of something else, or of nothing known.
    #[error("expected {expected}, found type byte {found}")]
    UnexpectedByte { expected: &'static str, found: u8 },
    /// A number that no runtime writes, or that the decoder cannot hold.
    #[error("{what} {value} is out of range")]
    OutOfRange { what: &'static str, value: u64 },
    /// Something stands twice that a generation has once.
    #[error("a second {what} in one generation")]
    Duplicate { what: &'static str },
    /// Two entries of a table have the same number.
    #[error("{what} id {id} is defined twice in one generation")]
    DuplicateId { what: &'static str, id: u64 },
    /// An event or a table refers to an entry that is not there.
    #[error("{what} id {id} is not defined in its generation")]
    UnknownId { what: &'static str, id: u64 },
    /// A generation lacks a part that each has.
    #[error("the generation has no {what}")]
    Missing { what: &'static str },
    /// The file ends, or another generation begins, before this one is complete.
    #[error("generation {number} is cut off after {kept_bytes} bytes")]
    GenerationCut { number: u64, kept_bytes: u64 },
    /// A single batch of another generation stands within one.
    #[error("expected a batch of generation {expected}, found one of generation {found}")]
    GenerationMixed { expected: u64, found: u64 },
    /// An event that cannot happen on this thread, or in this place, at this time.
    #[error("{event}: expected {expected}")]
    Order {
        event: &'static str,
        expected: &'static str,
    },
    /// An event that cannot happen to a goroutine in this state.
    #[error("{event}: goroutine {goroutine} is {found}, expected {expected}")]
    GoroutineState {
        event: &'static str,
        goroutine: u64,
        found: &'static str,
        expected: &'static str,
    },
    /// An event that cannot happen to a proc in this state.
    #[error("{event}: proc {proc} is {found}, expected {expected}")]
    ProcState {
        event: &'static str,
        proc: u64,
        found: &'static str,
        expected: &'static str,
    },
    /// An event about a proc that does not follow the latest one.
    #[error("{event}: sequence number {found} of proc {proc}, expected {expected}")]
    ProcSequence {
        event: &'static str,
        proc: u64,
        found: u64,
        expected: u64,
    },
    /// All threads wait for each other: an event is missing.
    #[error("no thread can go on: the next event, {event}, waits for a state that never comes")]
    Stuck { event: &'static str },
    /// More than the decoder can number since the trace, or the latest gap in it, began.
    #[error("more than 4294967295 {what}")]
    TooMany { what: &'static str },
    /// A trace that is made to be slow to order.
    #[error("threads wait for each other more often than any runtime makes them")]
    TooManyRetries,
}

/// Something odd that did not stop the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The generation it concerns, if its number is known.
    pub generation: Option<u64>,
    /// The damage that was survived, or the contradiction that was noted.
    pub kind: WarningKind,
}

/// Kinds of [`Warning`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "the message says what each field is; each variant is documented"
)]
pub enum WarningKind {
    /// A generation is left out: its tables or batches are damaged, or it is cut.
    #[error("left out: {0}")]
    GenerationDropped(DecodeError),
    /// A generation ends before its first event that is damaged or contradicts those before.
    #[error("cut after {events_kept} events: {error}")]
    GenerationShortened { events_kept: u64, error: DecodeError },
    /// It is not known where batches begin, up to the next start of a generation that could be found.
    #[error("{lost_bytes} bytes are unreadable: {error}")]
    BytesUnreadable { lost_bytes: u64, error: DecodeError },
    /// The source failed: what it gave until then was read.
    #[error("the trace could not be read to its end: {message}")]
    SourceFailed { message: String },
    /// The numbers of generations skip some.
    #[error("generations are missing after generation {after}")]
    GenerationsMissing { after: u64 },
    /// More goroutines than can be numbered. Those beyond are left out of the states and goroutines.
    #[error("at {} ns: more than 4294967295 goroutines: those beyond are left out", at.0)]
    TooManyGoroutines { at: TraceNanos },
    /// The program or the runtime did something that does not fit. Nothing is left out.
    #[error("at {} ns: {what}{}", at.0, on_goroutine(*goroutine))]
    Contradiction {
        at: TraceNanos,
        goroutine: Option<GoroutineId>,
        what: &'static str,
    },
}

fn on_goroutine(goroutine: Option<GoroutineId>) -> String {
    goroutine.map(|id| format!(" on goroutine {id}")).unwrap_or_default()
}

impl WarningKind {
    /// The byte where the damage shows; `None` for a contradiction between events.
    pub fn offset_bytes(&self) -> Option<u64> {
        match self {
            Self::GenerationDropped(error)
            | Self::GenerationShortened { error, .. }
            | Self::BytesUnreadable { error, .. } => Some(error.offset_bytes),
            Self::SourceFailed { .. }
            | Self::GenerationsMissing { .. }
            | Self::TooManyGoroutines { .. }
            | Self::Contradiction { .. } => None,
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(generation) = self.generation {
            write!(f, "generation {generation}: ")?;
        }
        self.kind.fmt(f)
    }
}

/// Warnings kept per trace; more are only counted, but for a failure of the source.
pub(crate) const WARNINGS_MAX: usize = 200;

/// The warnings of a trace: the first ones in full, the rest as a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    kept: Vec<Warning>,
    dropped_count: u64,
}

impl Warnings {
    pub(crate) fn push(&mut self, generation: Option<u64>, kind: WarningKind) {
        // A source fails once, and that explains all that is missing behind it.
        if self.kept.len() < WARNINGS_MAX || matches!(kind, WarningKind::SourceFailed { .. }) {
            self.kept.push(Warning { generation, kind });
        } else {
            self.dropped_count = self.dropped_count.saturating_add(1);
        }
    }

    pub(crate) fn append(&mut self, later: Self) {
        for Warning { generation, kind } in later.kept {
            self.push(generation, kind);
        }
        self.dropped_count = self.dropped_count.saturating_add(later.dropped_count);
    }

    /// The warnings that were kept, oldest first.
    pub fn as_slice(&self) -> &[Warning] {
        &self.kept
    }

    /// How many more there were.
    pub fn dropped_count(&self) -> u64 {
        self.dropped_count
    }

    /// Whether nothing odd was seen.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Why no generation was whole, if none was. `nothing` is the damage of a trace without any.
    pub(crate) fn into_error(self, nothing: DecodeError) -> TraceError {
        let first = self.first_error().cloned().unwrap_or(nothing);
        let failure = self.kept.into_iter().find_map(|warning| match warning.kind {
            WarningKind::SourceFailed { message } => Some(message),
            _ => None,
        });
        match failure {
            Some(message) => TraceError::SourceFailed { message, first },
            None => TraceError::NoGeneration { first },
        }
    }

    /// The first damage with a place in the file.
    fn first_error(&self) -> Option<&DecodeError> {
        self.kept.iter().find_map(|warning| match &warning.kind {
            WarningKind::GenerationDropped(error)
            | WarningKind::GenerationShortened { error, .. }
            | WarningKind::BytesUnreadable { error, .. } => Some(error),
            WarningKind::SourceFailed { .. }
            | WarningKind::GenerationsMissing { .. }
            | WarningKind::TooManyGoroutines { .. }
            | WarningKind::Contradiction { .. } => None,
        })
    }
}

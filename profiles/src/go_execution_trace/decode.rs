//! From the bytes of a trace to a [`TaskRecording`], or straight to the rows of tables.

use std::io::Read;
use std::sync::Arc;

use arrow::array::RecordBatch;
use gotrace::{ExecTrace, TraceError, Version};
use spandrel_model::{ProcessIdentity, Table, TaskRecording, UnanchoredRecording};

use super::convert::Converter;
use super::recording::RecordingRows;
use super::rows::{Converted, Rows};
use super::rules::StateRules;
use super::tables::TableRows;

/// Why a trace gives no recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not a readable trace.
    #[error("cannot decode the Go execution trace from {from}")]
    Trace {
        /// File, target or peer.
        from: Arc<str>,
        /// What is wrong with it, and where.
        source: TraceError,
    },
    /// The wall clock went back by more than the trace lasts, or lies beyond what 64 bits of nanoseconds hold.
    #[error(
        "the wall clock of the execution trace from {from} places its end before its start or outside the years 1677 to \
         2262 (was the clock of the machine set while it was recorded?)"
    )]
    UnusableWallClock {
        /// File, target or peer.
        from: Arc<str>,
    },
    /// Rows were asked for, which have wall times.
    #[error(
        "the execution trace from {from} holds no wall clock (Go before 1.25): its rows have no place in time until spans \
         of the process show it"
    )]
    NoWallClock {
        /// File, target or peer.
        from: Arc<str>,
    },
    /// Whoever takes the rows cannot.
    #[error("cannot hand on the rows of the execution trace from {from}")]
    Rows {
        /// File, target or peer.
        from: Arc<str>,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a trace is decoded to.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// Go 1.25 and later: in wall time.
    Anchored(TaskRecording),
    /// Go 1.22 to 1.24, which read no wall clock: in the time of the trace.
    Unanchored(UnanchoredRecording),
}

/// Decodes the bytes of a trace of `process`; `source` says where they came from, for messages. `rules` tell the kinds
/// of waits and system calls apart.
///
/// # Errors
/// The bytes are not a readable trace, or its wall clock cannot be used.
pub fn decode(
    bytes: &[u8],
    process: Arc<ProcessIdentity>,
    source: Arc<str>,
    rules: &StateRules,
) -> Result<Decoded, DecodeError> {
    let trace = ExecTrace::open(bytes).map_err(TraceError::from);
    gather(trace, Threads::One, process, source, rules)
}

/// As [`decode`], from a source that gives the bytes; they are held a generation at a time. Uses two cores where there are
/// two.
///
/// # Errors
/// As [`decode`].
pub fn read(
    bytes: impl Read + Send,
    process: Arc<ProcessIdentity>,
    source: Arc<str>,
    rules: &StateRules,
) -> Result<Decoded, DecodeError> {
    let trace = ExecTrace::read(bytes).map_err(TraceError::from);
    gather(trace, Threads::available(), process, source, rules)
}

/// Decodes a trace into rows of the tables `stacks`, `tasks`, `task_states` and `runtime_events`, which `each` takes in
/// batches of up to [`BATCH_ROWS`](crate::columns::BATCH_ROWS) while the trace is read. Rows of one goroutine come in the order of
/// time, others in the order of the ends. Returns what could not be read, in words for the operator.
///
/// Uses two cores where there are two. Memory is for about one generation of the trace, a batch of each table, the distinct
/// names and stacks, and a row of `tasks` for each goroutine: these rows tell the end of the recording, and come last.
///
/// # Errors
/// The bytes are not a readable trace, its wall clock cannot be used or is not there, or `each` failed. `each` may have had
/// rows by then, but for a trace of a version that has no wall clock.
pub fn read_tables(
    bytes: impl Read + Send,
    process: &ProcessIdentity,
    source: Arc<str>,
    rules: &StateRules,
    each: impl FnMut(Table, RecordBatch) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<Vec<String>, DecodeError> {
    let trace = ExecTrace::read(bytes).map_err(TraceError::from);
    if trace.as_ref().is_ok_and(|trace| trace.version() < Version::Go125) {
        return Err(DecodeError::NoWallClock { from: source });
    }
    let (rows, converted) = convert(
        trace,
        Threads::available(),
        &source,
        rules,
        TableRows::new(process, each),
    )?;
    if !converted.has_wall_clock {
        return Err(DecodeError::NoWallClock { from: source });
    }
    rows.finish(&converted).map_err(|error| DecodeError::Rows {
        from: source,
        source: error,
    })?;
    Ok(converted.warnings)
}

/// How many threads work on one trace.
#[derive(Clone, Copy, Debug)]
enum Threads {
    One,
    /// One decodes, one converts.
    Two,
}

impl Threads {
    fn available() -> Self {
        match std::thread::available_parallelism() {
            Ok(cores) if cores.get() > 1 => Self::Two,
            Ok(_) | Err(_) => Self::One,
        }
    }
}

fn gather(
    trace: Result<ExecTrace<'_>, TraceError>,
    threads: Threads,
    process: Arc<ProcessIdentity>,
    source: Arc<str>,
    rules: &StateRules,
) -> Result<Decoded, DecodeError> {
    let (rows, converted) = convert(trace, threads, &source, rules, RecordingRows::default())?;
    let has_wall_clock = converted.has_wall_clock;
    let recording = rows.into_recording(converted, process, source);
    Ok(match has_wall_clock {
        true => Decoded::Anchored(recording),
        false => Decoded::Unanchored(UnanchoredRecording::new(recording)),
    })
}

fn convert<R: Rows>(
    trace: Result<ExecTrace<'_>, TraceError>,
    threads: Threads,
    source: &Arc<str>,
    rules: &StateRules,
    rows: R,
) -> Result<(R, Converted), DecodeError> {
    let unreadable = |error| DecodeError::Trace {
        from: source.clone(),
        source: error,
    };
    let mut converter = Converter::new(rules, rows);
    let summary = trace
        .and_then(|trace| match threads {
            Threads::One => trace.visit(&mut converter),
            Threads::Two => trace.visit_in_background(&mut converter),
        })
        .map_err(unreadable)?;
    converter
        .finish(&summary, source)
        .ok_or_else(|| DecodeError::UnusableWallClock { from: source.clone() })
}

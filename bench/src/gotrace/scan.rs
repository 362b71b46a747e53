//! The upper limit of any decoder: every number of every event is read once, in the order of the file.
//!
//! ```text
//! 1      generation thread time size | size bytes: type byte and numbers, again and again
//! 49 exp generation thread time size | skipped
//! 52                                   end of a generation (Go >= 1.26)
//! ```
//! No order among threads, no goroutine, no time, no string, no stack: a batch that begins with a table is skipped, except
//! for CPU samples. Also tells what only the framing shows: how long the longest generation is.

use anyhow::{Context, Result, bail, ensure};
use gotrace::{ExecTrace, Place, SPECS, WireEvent};

use super::facts::Facts;

const HEADER_BYTES: usize = 16;

/// What a scan saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Events, counted as Go's reader hands them out.
    pub(crate) events_count: u64,
    /// Sum of all numbers, so that none can be left unread.
    pub(crate) sum: u64,
    pub(crate) generations_count: u64,
    pub(crate) largest_generation_bytes: usize,
}

impl Scan {
    pub(crate) fn facts(self) -> Facts {
        let mut facts = Facts::default();
        facts.set("events", self.events_count);
        facts.set("generations", self.generations_count);
        facts.set("largest_generation_bytes", self.largest_generation_bytes);
        facts
    }
}

/// Scans a whole, undamaged trace.
///
/// # Errors
/// It is not a trace, or a batch is cut or holds what is not known.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scan> {
    ExecTrace::open(bytes)?;
    let mut rest = bytes.get(HEADER_BYTES..).context("a trace is longer than its header")?;
    let mut scan = Scan::default();
    let (mut generation, mut generation_bytes) = (0, 0);
    while let Some((&frame, after)) = rest.split_first() {
        let before = rest;
        rest = after;
        if frame != WireEvent::EndOfGeneration.byte() {
            let batch = read_batch(frame, &mut rest)
                .with_context(|| format!("batch at byte {}", bytes.len().saturating_sub(before.len())))?;
            if batch.generation != generation {
                (generation, generation_bytes) = (batch.generation, 0);
                scan.generations_count += 1;
            }
            if frame == WireEvent::EventBatch.byte() {
                scan_payload(batch.payload, &mut scan)?;
            }
        }
        generation_bytes += before.len() - rest.len();
        scan.largest_generation_bytes = scan.largest_generation_bytes.max(generation_bytes);
    }
    Ok(scan)
}

struct Batch<'a> {
    generation: u64,
    payload: &'a [u8],
}

fn read_batch<'a>(frame: u8, rest: &mut &'a [u8]) -> Result<Batch<'a>> {
    if frame == WireEvent::ExperimentalBatch.byte() {
        *rest = rest.get(1..).context("the file ends in a batch")?;
    } else if frame != WireEvent::EventBatch.byte() {
        bail!("expected a batch, found type byte {frame}");
    }
    let mut number = || uvarint(rest).context("the file ends in a batch");
    let (generation, _thread, _time) = (number()?, number()?, number()?);
    let size = usize::try_from(number()?)?;
    let (payload, after) = rest.split_at_checked(size).context("the file ends in a batch")?;
    *rest = after;
    Ok(Batch { generation, payload })
}

fn scan_payload(payload: &[u8], scan: &mut Scan) -> Result<()> {
    let Some((&first, entries)) = payload.split_first() else {
        return Ok(());
    };
    if first == WireEvent::CpuSamples.byte() {
        return scan_events(entries, &SAMPLES, scan);
    }
    let is_table = WireEvent::spec_of(first).is_some_and(|spec| spec.place == Place::Structure);
    if is_table {
        return Ok(());
    }
    scan_events(payload, &EVENTS, scan)
}

/// The loop that is measured.
fn scan_events(mut rest: &[u8], shapes: &[Shape; 256], scan: &mut Scan) -> Result<()> {
    let (mut sum, mut events_count) = (0_u64, 0);
    while let Some((&byte, after)) = rest.split_first() {
        let shape = shapes[usize::from(byte)];
        ensure!(shape.events > 0, "expected an event, found type byte {byte}");
        rest = after;
        for _ in 0..shape.numbers {
            sum = sum.wrapping_add(uvarint(&mut rest).context("a batch ends in an event")?);
        }
        events_count += u64::from(shape.events);
    }
    scan.sum = scan.sum.wrapping_add(sum);
    scan.events_count += events_count;
    Ok(())
}

/// Reads an unsigned LEB128 number; `None` where it is cut or longer than 64 bits.
#[inline]
fn uvarint(rest: &mut &[u8]) -> Option<u64> {
    let (&first, mut after) = rest.split_first()?;
    let mut value = u64::from(first & 0x7f);
    let (mut byte, mut shift) = (first, 7);
    while byte >= 0x80 {
        let (&next, tail) = after.split_first()?;
        if shift > 63 {
            return None;
        }
        (byte, after) = (next, tail);
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
    }
    *rest = after;
    Some(value)
}

/// How many numbers follow a type byte, and for how many events of Go's reader it stands; 0 where it is none.
#[derive(Clone, Copy)]
struct Shape {
    numbers: u8,
    events: u8,
}

const NO_EVENT: Shape = Shape { numbers: 0, events: 0 };

/// Shapes of the events of threads.
static EVENTS: [Shape; 256] = event_shapes();

/// Shapes of what a batch of CPU samples holds.
static SAMPLES: [Shape; 256] = {
    let mut shapes = [NO_EVENT; 256];
    shapes[WireEvent::CpuSample as usize] = Shape { numbers: 5, events: 1 };
    shapes
};

const fn event_shapes() -> [Shape; 256] {
    let mut shapes = [NO_EVENT; 256];
    let mut row = 0;
    while row < SPECS.len() {
        let spec = &SPECS[row];
        row += 1;
        if !spec.is_timed() {
            continue;
        }
        let events = match spec.event {
            // One goroutine blocks or ends, another is readied and runs.
            WireEvent::GoSwitch | WireEvent::GoSwitchDestroy => 3,
            _ => 1,
        };
        shapes[spec.event as usize] = Shape {
            numbers: spec.args.len() as u8,
            events,
        };
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> Option<(u64, usize)> {
        let mut rest = bytes;
        uvarint(&mut rest).map(|value| (value, rest.len()))
    }

    #[test]
    fn reads_numbers_of_all_lengths() {
        assert_eq!(number(&[5, 9]), Some((5, 1)));
        assert_eq!(number(&[0x80, 0]), Some((0, 0)));
        assert_eq!(number(&[0xff, 1, 9]), Some((255, 1)));
        let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(number(&largest), Some((u64::MAX, 0)));
    }

    #[test]
    fn refuses_numbers_that_are_cut_or_never_end() {
        assert_eq!(number(&[]), None);
        assert_eq!(number(&[0x80]), None);
        assert_eq!(number(&[0x80; 11]), None);
    }

    #[test]
    fn counts_events_generations_and_the_bytes_of_the_longest() {
        let mut trace = b"go 1.26 trace\0\0\0".to_vec();
        // A batch with GoStop(dt, reason, stack) and GoSwitch(dt, g, g_seq), which is three events.
        trace.extend([1, 7, 42, 100, 8, 19, 1, 2, 3, 45, 4, 5, 6, 52]);
        // A batch with a string table, and one with two CPU samples.
        trace.extend([1, 8, 42, 100, 5, 3, 4, 1, 1, b'x']);
        trace.extend([1, 8, 42, 100, 13, 6, 7, 1, 1, 1, 1, 1, 7, 2, 2, 2, 2, 2, 52]);
        let expected = Scan {
            events_count: 6,
            sum: 1 + 2 + 3 + 4 + 5 + 6 + 5 + 10,
            generations_count: 2,
            largest_generation_bytes: 29,
        };
        assert_eq!(scan(&trace).unwrap(), expected);
    }

    #[test]
    fn refuses_a_cut_batch() {
        let error = scan(b"go 1.26 trace\0\0\0\x01\x07\x2a\x64\x08\x13").unwrap_err();
        assert_eq!(format!("{error:#}"), "batch at byte 16: the file ends in a batch");
    }
}

//! A trace cut into its batches, to be put together again in other ways.

/// A batch, or an end-of-generation byte, with everything that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// Where the payload begins in `bytes`; `None` for the end of a generation.
    payload: Option<usize>,
}

impl Frame {
    /// What a batch holds.
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        self.payload.map(|start| &self.bytes[start..])
    }
}

const HEADER_BYTES: usize = 16;
const EVENT_BATCH: u8 = 1;
const EXPERIMENTAL_BATCH: u8 = 49;
const END_OF_GENERATION: u8 = 52;
const FREQUENCY: u8 = 8;
const CLOCK_SNAPSHOT: u8 = 51;
const SYNC: u8 = 50;

/// Splits a trace. The last batch may be cut.
pub(crate) fn split(trace: &[u8]) -> Vec<Frame> {
    let mut rest = &trace[HEADER_BYTES..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (length, payload) = match rest[0] {
            END_OF_GENERATION => (1, None),
            kind @ (EVENT_BATCH | EXPERIMENTAL_BATCH) => {
                let mut at = if kind == EXPERIMENTAL_BATCH { 2 } else { 1 };
                let numbers: Vec<u64> = (0..4).map(|_| read_uvarint(rest, &mut at)).collect();
                (at + numbers[3] as usize, Some(at))
            }
            other => panic!("unexpected type byte {other}"),
        };
        let length = length.min(rest.len());
        frames.push(Frame {
            bytes: rest[..length].to_vec(),
            payload,
        });
        rest = &rest[length..];
    }
    frames
}

/// Puts frames together under the header of a version.
pub(crate) fn join(minor: u32, frames: &[Frame]) -> Vec<u8> {
    let mut trace = format!("go 1.{minor} trace\0\0\0").into_bytes();
    frames.iter().for_each(|frame| trace.extend(&frame.bytes));
    trace
}

/// The same trace as Go 1.25 would have written it: without ends of generations.
pub(crate) fn to_go_1_25(trace: &[u8]) -> Vec<u8> {
    let mut frames = split(trace);
    frames.retain(|frame| frame.payload.is_some());
    join(25, &frames)
}

/// The same trace as Go 1.23 would have written it: with a frequency in place of the clocks.
pub(crate) fn to_go_1_23(trace: &[u8]) -> Vec<u8> {
    let mut frames = split(trace);
    frames.retain(|frame| frame.payload.is_some());
    for frame in &mut frames {
        let payload = frame.payload.expect("only batches are left");
        if frame.bytes.get(payload) == Some(&SYNC) {
            *frame = frequency_batch(frame, payload);
        }
    }
    join(23, &frames)
}

/// Keeps the frequency of a sync batch.
fn frequency_batch(sync: &Frame, payload: usize) -> Frame {
    let mut at = payload + 1;
    let mut frequency = 0;
    while at < sync.bytes.len() {
        let kind = sync.bytes[at];
        at += 1;
        match kind {
            FREQUENCY => frequency = read_uvarint(&sync.bytes, &mut at),
            CLOCK_SNAPSHOT => {
                (0..4).for_each(|_| {
                    read_uvarint(&sync.bytes, &mut at);
                });
            }
            other => panic!("unexpected type byte {other}"),
        }
    }
    let mut entry = vec![FREQUENCY];
    super::text::uvarint(&mut entry, frequency);
    let mut at = 1;
    (0..3).for_each(|_| {
        read_uvarint(&sync.bytes, &mut at);
    });
    let mut bytes = sync.bytes[..at].to_vec();
    super::text::uvarint(&mut bytes, entry.len() as u64);
    let payload = Some(bytes.len());
    bytes.extend(entry);
    Frame { bytes, payload }
}

fn read_uvarint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

//! What fuzzing starts from.

use super::Target;
use crate::support::frames::{Frame, join, split};
use crate::support::writer::layout::Random;

/// A fuzzer learns little from longer files.
const SEED_BYTES_MAX: usize = 24 << 10;
const PROGRAMS_COUNT: u64 = 24;

/// Bytes for a target, made of whole traces.
pub(crate) fn seeds(target: Target, traces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let traces = traces.iter().map(|trace| shortened(trace));
    match target {
        Target::Header => traces.map(|trace| trace[..trace.len().min(20)].to_vec()).collect(),
        Target::Batch => traces.map(|trace| payloads(&trace)).collect(),
        Target::Generation => (0..PROGRAMS_COUNT).map(program).collect(),
        Target::WholeFile => traces.collect(),
    }
}

/// The trace without its largest batches.
fn shortened(trace: &[u8]) -> Vec<u8> {
    let mut frames = split(trace);
    while join(26, &frames).len() > SEED_BYTES_MAX {
        let largest = (0..frames.len()).max_by_key(|at| frames[*at].bytes.len());
        frames.remove(largest.expect("a long trace has frames"));
    }
    let mut short = trace[..16].to_vec();
    frames.iter().for_each(|frame| short.extend(&frame.bytes));
    short
}

/// The payloads of batches as the target of that name reads them.
fn payloads(trace: &[u8]) -> Vec<u8> {
    let minor = trace[6] - b'0';
    let mut bytes = vec![[2, 3, 5, 6].iter().position(|known| *known == minor).unwrap_or(0) as u8];
    let frames = split(trace);
    for (thread, payload) in frames.iter().filter_map(Frame::payload).enumerate() {
        let length = payload.len().min(255);
        bytes.extend([3 + (thread % 5) as u8, length as u8]);
        bytes.extend(&payload[..length]);
    }
    bytes
}

/// Random steps: longer programs for larger numbers.
fn program(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let damages = if number % 4 == 3 { 1 + number / 8 } else { 0 };
    let rest = (0..40 * (number + 1)).map(|_| random.next() as u8);
    std::iter::once(damages as u8).chain(rest).collect()
}

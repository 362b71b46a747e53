//! Bytes as payloads of batches.

use arbitrary::Unstructured;
use gotrace::WireEvent;

use crate::support::text::uvarint;
use crate::support::writer::NONE;

const MINORS: [u32; 4] = [22, 23, 25, 26];
const TICKS_PER_SECOND: [u64; 4] = [15_625_000, 1_000_000_000, 2_999_999_999, 1];
/// Payloads may name strings and stacks from 1 to this.
const NAMES_COUNT: u64 = 3;

/// A trace whose batches have these bytes as payloads: two bytes say whose and how long the next one is. Around them
/// stands what every generation needs.
pub(super) fn trace(bytes: &[u8]) -> Vec<u8> {
    let mut input = Unstructured::new(bytes);
    let choice = byte(&mut input);
    let mut file = File {
        minor: MINORS[choice % 4],
        ticks_per_second: TICKS_PER_SECOND[choice / 4 % 4],
        generation: 1,
        bytes: format!("go 1.{} trace\0\0\0", MINORS[choice % 4]).into_bytes(),
    };
    file.begin();
    while !input.is_empty() {
        let (kind, length) = (byte(&mut input), byte(&mut input));
        let payload = input.bytes(length.min(input.len())).unwrap_or_default();
        let time = 100 + kind as u64 / 32;
        match kind % 8 {
            0 => {
                file.end();
                file.generation += 1;
                file.begin();
            }
            1 => file.batch(&[WireEvent::ExperimentalBatch.byte(), 1], 1, time, payload),
            2 => file.batch(&[WireEvent::EventBatch.byte()], NONE, time, payload),
            thread => file.batch(&[WireEvent::EventBatch.byte()], thread as u64 - 2, time, payload),
        }
    }
    file.end();
    file.bytes
}

fn byte(input: &mut Unstructured<'_>) -> usize {
    usize::from(input.arbitrary::<u8>().unwrap_or_default())
}

struct File {
    minor: u32,
    ticks_per_second: u64,
    generation: u64,
    bytes: Vec<u8>,
}

impl File {
    /// The frequency, and the clocks where the version has them.
    fn begin(&mut self) {
        let mut payload = Vec::new();
        if self.minor >= 25 {
            payload.push(WireEvent::Sync.byte());
            let clocks = [1, 1_000 * self.generation, 1_700_000_000 + self.generation, 0];
            entry(&mut payload, WireEvent::ClockSnapshot, &clocks);
        }
        entry(&mut payload, WireEvent::Frequency, &[self.ticks_per_second]);
        self.batch(&[WireEvent::EventBatch.byte()], NONE, 90 + self.generation, &payload);
    }

    /// The tables, and the end where the version marks it.
    fn end(&mut self) {
        let mut stacks = vec![WireEvent::Stacks.byte()];
        let mut strings = vec![WireEvent::Strings.byte()];
        for id in 1..=NAMES_COUNT {
            entry(&mut stacks, WireEvent::Stack, &[id, 1, 4096, id, id, 7]);
            entry(&mut strings, WireEvent::String, &[id, 2]);
            strings.extend([b'n', b'0' + id as u8]);
        }
        for payload in [stacks, strings] {
            self.batch(&[WireEvent::EventBatch.byte()], NONE, 200, &payload);
        }
        if self.minor >= 26 {
            self.bytes.push(WireEvent::EndOfGeneration.byte());
        }
    }

    fn batch(&mut self, kind: &[u8], thread: u64, time: u64, payload: &[u8]) {
        self.bytes.extend(kind);
        for number in [self.generation, thread, time, payload.len() as u64] {
            uvarint(&mut self.bytes, number);
        }
        self.bytes.extend(payload);
    }
}

fn entry(payload: &mut Vec<u8>, kind: WireEvent, numbers: &[u64]) {
    payload.push(kind.byte());
    numbers.iter().for_each(|number| uvarint(payload, *number));
}

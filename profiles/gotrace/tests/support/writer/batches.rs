//! The batches of one generation.

use std::collections::VecDeque;

use gotrace::WireEvent;

use super::tables::Tables;
use super::{Arrangement, Experiment, GO_WITH_SYNC, Generation, Layout, NONE, Random, Sample, Stream, Trace};

/// A batch ends before it would become larger than this. The limit of the format is 64 KiB.
const BATCH_BYTES_MAX: usize = 60_000;
/// The experiment of heap and stack allocations.
const ALLOC_FREE: u8 = 1;

/// A batch whose generation is not yet written.
pub(super) struct Batch {
    experiment: Option<u8>,
    thread: u64,
    /// When it was opened.
    pub(super) ticks: u64,
    /// When it was flushed.
    closed_ticks: u64,
    payload: Vec<u8>,
}

impl Batch {
    fn new(thread: u64, ticks: u64, payload: Vec<u8>) -> Self {
        Self {
            experiment: None,
            thread,
            ticks,
            closed_ticks: ticks,
            payload,
        }
    }

    /// Appends the batch and returns where its payload begins.
    pub(super) fn write(&self, generation: u64, layout: &Layout, random: &mut Random, bytes: &mut Vec<u8>) -> usize {
        match self.experiment {
            None => bytes.push(WireEvent::EventBatch.byte()),
            Some(experiment) => bytes.extend([WireEvent::ExperimentalBatch.byte(), experiment]),
        }
        for number in [generation, self.thread, self.ticks] {
            layout.number(bytes, number, random);
        }
        layout.size(bytes, self.payload.len());
        let start = bytes.len();
        bytes.extend(&self.payload);
        start
    }
}

/// All batches of a generation, in the order in which they are to be written.
pub(super) fn of_generation(
    trace: &Trace,
    generation: &Generation,
    layout: &Layout,
    random: &mut Random,
) -> Vec<Batch> {
    let mut tables = Tables::new(layout);
    let (statuses, threads): (Vec<&Stream>, Vec<&Stream>) =
        generation.streams.iter().partition(|stream| stream.thread == NONE);
    let mut queues: Vec<VecDeque<Batch>> = threads
        .iter()
        .map(|stream| event_batches(stream, &mut tables, layout, random))
        .collect();
    for experiment in &generation.experiments {
        queues.push([experiment_batch(experiment, generation.start_ticks)].into());
    }
    let at_end = |payloads: Vec<Vec<u8>>| -> VecDeque<Batch> {
        let batches = payloads.into_iter();
        batches
            .map(|payload| Batch::new(NONE, generation.end_ticks, payload))
            .collect()
    };
    let statuses = statuses
        .iter()
        .flat_map(|stream| event_batches(stream, &mut tables, layout, random))
        .collect();
    let samples = sample_entries(&generation.samples, &mut tables, layout, random);
    let samples = at_end(table(WireEvent::CpuSamples, samples, layout, random));
    let stacks = at_end(table(WireEvent::Stacks, tables.stack_entries, layout, random));
    let strings = at_end(table(WireEvent::Strings, tables.string_entries, layout, random));
    let sync = if trace.minor >= GO_WITH_SYNC {
        let payload = sync(trace, generation, layout, random);
        Batch::new(NONE, generation.start_ticks, payload)
    } else {
        let mut payload = vec![WireEvent::Frequency.byte()];
        layout.number(&mut payload, trace.ticks_per_second, random);
        Batch::new(NONE, generation.end_ticks, payload)
    };
    if layout.arrangement == Arrangement::Shuffled {
        queues.extend([[sync].into(), statuses, samples, stacks, strings]);
        return merge(queues, |heads| random.below(heads.len() as u64) as usize);
    }
    queues.push([sync].into());
    let earliest = |heads: &[u64]| (0..heads.len()).min_by_key(|head| heads[*head]).unwrap_or(0);
    let mut batches = merge(queues, earliest);
    batches.extend([samples, statuses, stacks, strings].into_iter().flatten());
    batches
}

/// Merges queues of batches: `pick` chooses by the times at which their first batches were flushed.
fn merge(mut queues: Vec<VecDeque<Batch>>, mut pick: impl FnMut(&[u64]) -> usize) -> Vec<Batch> {
    let mut merged = Vec::new();
    loop {
        queues.retain(|queue| !queue.is_empty());
        if queues.is_empty() {
            return merged;
        }
        let heads: Vec<u64> = queues.iter().map(|queue| queue[0].closed_ticks).collect();
        merged.extend(queues[pick(&heads)].pop_front());
    }
}

/// The batches of a thread. A clock that runs backwards begins a new one, for times within a batch cannot.
fn event_batches(stream: &Stream, tables: &mut Tables<'_>, layout: &Layout, random: &mut Random) -> VecDeque<Batch> {
    let mut batches = VecDeque::new();
    let mut open: Option<Batch> = None;
    for event in &stream.events {
        let ends = |batch: &Batch| batch.closed_ticks > event.ticks || batch.payload.len() > BATCH_BYTES_MAX;
        if open.as_ref().is_some_and(ends) || random.below(1000) < layout.splits_per_mille {
            batches.extend(open.take());
        }
        let batch = open.get_or_insert_with(|| {
            let lead = random.below(4).min(event.ticks.saturating_sub(1));
            Batch::new(stream.thread, event.ticks - lead, Vec::new())
        });
        batch.payload.push(event.event.byte());
        layout.number(&mut batch.payload, event.ticks - batch.closed_ticks, random);
        for arg in &event.args {
            let number = tables.number(arg, random);
            layout.number(&mut batch.payload, number, random);
        }
        batch.closed_ticks = event.ticks;
        if random.below(1000) < layout.splits_per_mille / 8 {
            let empty = Batch::new(stream.thread, event.ticks, Vec::new());
            batches.extend(open.take());
            batches.push_back(empty);
        }
    }
    batches.extend(open);
    batches
}

fn experiment_batch(experiment: &Experiment, ticks: u64) -> Batch {
    Batch {
        experiment: Some(ALLOC_FREE),
        ..Batch::new(experiment.thread, ticks, experiment.data.clone())
    }
}

fn sample_entries(samples: &[Sample], tables: &mut Tables<'_>, layout: &Layout, random: &mut Random) -> Vec<Vec<u8>> {
    let entry = |sample: &Sample| {
        let mut entry = vec![WireEvent::CpuSample.byte()];
        let stack = sample.stack.as_ref().map_or(0, |stack| tables.stack(stack, random));
        let (proc, goroutine) = (sample.proc.unwrap_or(NONE), sample.goroutine.unwrap_or(0));
        for number in [sample.ticks, sample.thread, proc, goroutine, stack] {
            layout.number(&mut entry, number, random);
        }
        entry
    };
    samples.iter().map(entry).collect()
}

/// Payloads of a table: at least one, except of CPU samples.
fn table(kind: WireEvent, entries: Vec<Vec<u8>>, layout: &Layout, random: &mut Random) -> Vec<Vec<u8>> {
    if kind == WireEvent::CpuSamples && entries.is_empty() {
        return Vec::new();
    }
    let mut payloads = vec![vec![kind.byte()]];
    for entry in entries {
        let last = payloads.last().expect("there is one from the start");
        let is_full = last.len() + entry.len() > BATCH_BYTES_MAX;
        if is_full || random.below(1000) < layout.splits_per_mille {
            payloads.push(vec![kind.byte()]);
        }
        payloads.last_mut().expect("there is one from the start").extend(entry);
    }
    payloads
}

/// The payload of a sync batch, its two entries in either order.
fn sync(trace: &Trace, generation: &Generation, layout: &Layout, random: &mut Random) -> Vec<u8> {
    let snapshot = generation.snapshot;
    let dt = snapshot.ticks - generation.start_ticks;
    let frequency: (WireEvent, &[u64]) = (WireEvent::Frequency, &[trace.ticks_per_second]);
    let clocks: (WireEvent, &[u64]) = (
        WireEvent::ClockSnapshot,
        &[dt, snapshot.monotonic_ns, snapshot.sec, snapshot.nsec],
    );
    let mut entries = [frequency, clocks];
    if layout.arrangement == Arrangement::Shuffled && random.below(2) == 1 {
        entries.reverse();
    }
    let mut payload = vec![WireEvent::Sync.byte()];
    for (kind, numbers) in entries {
        payload.push(kind.byte());
        for number in numbers {
            layout.number(&mut payload, *number, random);
        }
    }
    payload
}

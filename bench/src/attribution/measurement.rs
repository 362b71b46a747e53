//! What one process measures of attribution on one input.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use peak_alloc::PeakAlloc;
use serde::{Deserialize, Serialize};
use spandrel_attribution::{Analysis, Attributed, ProcessSpans, Rules, Step};

use super::loads::{Input, Load};
use crate::machine::cpu_time;

/// A part of attribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Spans sorted and linked with their parents.
    Tree,
    /// Recordings merged into one line of time.
    Timeline,
    /// Spans bound to goroutines.
    Binding,
    /// For which span a goroutine was at work, at every instant.
    Owners,
    /// Layers of the spans.
    Layers,
    /// The cells of the self view.
    SelfView,
    /// The cells of both views, and all else that is said of a span.
    BothViews,
}

impl Part {
    /// Every part, in order.
    pub const ALL: [Self; 7] = [
        Self::Tree,
        Self::Timeline,
        Self::Binding,
        Self::Owners,
        Self::Layers,
        Self::SelfView,
        Self::BothViews,
    ];

    fn of(step: Step) -> Self {
        match step {
            Step::Tree => Self::Tree,
            Step::Timeline => Self::Timeline,
            Step::Binding => Self::Binding,
            Step::Owners => Self::Owners,
            Step::Layers => Self::Layers,
        }
    }
}

/// How many times the memory of the input is backed before it is attributed: more than attribution takes.
const MEMORY_BACKED: usize = 4;

/// One input attributed once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// Spans.
    pub spans: u64,
    /// State intervals.
    pub intervals: u64,
    /// Goroutines.
    pub tasks: u64,
    /// Spans bound to a goroutine.
    pub bound: u64,
    /// Cells of the self view.
    pub self_cells: u64,
    /// Cells of both views.
    pub cells: u64,
    /// How long the process ran for each part of [`Part::ALL`].
    pub cpu_ns: [u64; Part::ALL.len()],
    /// The most memory held at a time beyond the input, with the self view alone and with both.
    pub peak_bytes: [u64; 2],
}

impl Measurement {
    /// How long the process ran for these parts.
    pub(crate) fn cpu_ns(&self, parts: &[Part]) -> u64 {
        parts.iter().map(|part| self.cpu_ns[*part as usize]).sum()
    }
}

/// Attributes the load in this process, which should do nothing else. `memory` is its allocator.
///
/// # Errors
/// The cells of a span do not sum to its duration.
pub fn measure(load: &Load, requests: usize, memory: &PeakAlloc) -> Result<Measurement> {
    let Input { recording, spans } = load.make(requests);
    let input = ProcessSpans {
        process: recording.process.clone(),
        spans: spans.iter().collect(),
        context: Vec::new(),
    };
    let held = memory.current_usage();
    back_memory(MEMORY_BACKED.saturating_mul(held));
    let mut clock = Clock::start();
    memory.reset_peak_usage();
    let rules = Rules::default();
    let analysis = Analysis::stepwise(&input, &[&recording], &rules, |step| clock.stop(Part::of(step)));
    let of_self = analysis.self_cells();
    clock.stop(Part::SelfView);
    let peak_of_self = memory.peak_usage();
    let self_cells = of_self.iter().map(|(_, cells)| cells.len()).sum::<usize>();
    drop(of_self);
    memory.reset_peak_usage();
    clock.restart();
    let attributed = analysis.attributed();
    clock.stop(Part::BothViews);
    let peak_of_both = memory.peak_usage();
    let Attributed { spans, violations, .. } = &attributed;
    ensure!(
        violations.is_empty(),
        "{} cells do not sum up: {violations:?}",
        violations.len()
    );
    Ok(Measurement {
        spans: spans.len() as u64,
        intervals: recording.states.len() as u64,
        tasks: recording.tasks.len() as u64,
        bound: spans.iter().filter(|span| span.on_task.is_some()).count() as u64,
        self_cells: self_cells as u64,
        cells: spans.iter().map(|span| span.cells.len()).sum::<usize>() as u64,
        cpu_ns: clock.cpu_ns,
        peak_bytes: [peak_of_self, peak_of_both].map(|peak| peak.saturating_sub(held) as u64),
    })
}

/// Has the machine back so much memory, and gives it back to the system. On a virtual machine the first access to memory
/// that its host has taken away costs several times as much as that to other fresh memory, and how much of it there is
/// depends on what ran before: with twice the input more of it is met.
fn back_memory(bytes: usize) {
    const PAGE_BYTES: usize = 4_096;
    let mut memory = vec![0_u8; bytes];
    memory.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
    black_box(&memory);
}

/// How long the process runs for each part.
struct Clock {
    since: Duration,
    cpu_ns: [u64; Part::ALL.len()],
}

impl Clock {
    fn start() -> Self {
        Self {
            since: cpu_time(),
            cpu_ns: [0; Part::ALL.len()],
        }
    }

    fn restart(&mut self) {
        self.since = cpu_time();
    }

    fn stop(&mut self, part: Part) {
        let now = cpu_time();
        let ns = now.saturating_sub(self.since).as_nanos();
        self.cpu_ns[part as usize] = u64::try_from(ns).unwrap_or(u64::MAX);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::LOADS;

    #[test]
    fn every_span_of_every_load_is_attributed_and_nearly_all_are_bound() {
        for load in LOADS {
            let measured = measure(&load, 300, &PeakAlloc).unwrap();
            assert!(measured.spans >= 600, "{}: {measured:?}", load.name);
            assert!(
                measured.bound * 100 >= measured.spans * 95,
                "{}: {measured:?}",
                load.name
            );
            assert!(measured.cells >= 2 * measured.self_cells.max(1) || load.name == "handoffs");
        }
    }
}

//! What a CPU profiler saw of one process.

use std::collections::HashSet;
use std::sync::Arc;

use crate::{Interval, Names, ProcessIdentity, SpanId, Stack, StackId, TraceId};

/// Samples of the CPU time of one process over one window of time. A sample does not say when it was taken.
#[derive(Clone, Debug)]
pub struct CpuProfile {
    /// Process that was profiled.
    pub process: Arc<ProcessIdentity>,
    /// Where it came from, for messages: a file, a target.
    pub source: Arc<str>,
    /// Time that the profile covers.
    pub window: Interval,
    /// CPU time between two samples, nanoseconds; 10 ms for Go unless the program says otherwise.
    pub period_ns: i64,
    /// Strings that the stacks refer to.
    pub names: Names,
    /// Stacks that samples refer to, each once, sorted by id.
    pub stacks: Vec<Stack>,
    /// The samples.
    pub samples: Vec<CpuSamples>,
}

impl CpuProfile {
    /// The same without the samples that name no span, and the stacks and names that only those have.
    pub fn labeled(mut self) -> Self {
        self.samples.retain(|samples| samples.span.is_some());
        let stacks: HashSet<StackId> = self.samples.iter().filter_map(|samples| samples.stack).collect();
        self.stacks.retain(|stack| stacks.contains(&stack.id));
        let mut names = Names::new();
        for frame in self.stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
            for name in [&mut frame.function, &mut frame.file] {
                *name = names.intern(self.names.resolve(*name));
            }
        }
        self.names = names;
        self
    }

    /// How many samples there are, by whether their labels name a span.
    pub fn sample_counts(&self) -> SampleCounts {
        let mut counts = SampleCounts::default();
        for samples in &self.samples {
            let count = match samples.span {
                Some(_) => &mut counts.labeled,
                None => &mut counts.unlabeled,
            };
            *count = count.saturating_add(samples.count);
        }
        counts
    }

    /// About the memory that it takes. Never zero.
    pub fn size_bytes(&self) -> u64 {
        let stacks: usize = (self.stacks.iter())
            .map(|stack| size_of::<Stack>() + size_of_val(&*stack.frames))
            .sum();
        // Each string is held once, and referred to from two places.
        let strings: usize = self
            .names
            .iter()
            .map(|string| string.len() + 3 * size_of::<&str>())
            .sum();
        let identity = size_of::<ProcessIdentity>() + self.process.text_bytes() + self.source.len();
        (size_of::<Self>() + identity + size_of_val(&*self.samples) + stacks + strings) as u64
    }
}

/// How many samples a profile has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Whose labels name a span.
    pub labeled: i64,
    /// Others.
    pub unlabeled: i64,
}

/// Samples with the same stack and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuSamples {
    /// Where the program was; `None` if the profile does not say.
    pub stack: Option<StackId>,
    /// How many, greater than zero.
    pub count: i64,
    /// CPU time that they stand for, nanoseconds.
    pub cpu_ns: i64,
    /// The span that the goroutine's labels name.
    pub span: Option<LabeledSpan>,
}

/// The span that profiler labels name. Labels pass from a goroutine to those it starts and stay when the span has ended,
/// so that they say for which work a goroutine was started, not that the span was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabeledSpan {
    /// Trace, if a label names it.
    pub trace_id: Option<TraceId>,
    /// Span: the innermost one, or the one with which the work entered the process, as the labels' writer does it.
    pub span_id: SpanId,
}

#[cfg(test)]
mod tests {
    use crate::{Frame, UnixNanos};

    use super::*;

    /// One sample in each function; the first of the samples names a span.
    fn profile(functions: &[&str]) -> CpuProfile {
        let mut names = Names::new();
        let stacks = (1..).zip(functions).map(|(id, function)| Stack {
            id: StackId(id),
            frames: vec![Frame {
                function: names.intern(function),
                file: names.intern("main.go"),
                line: 1,
            }],
        });
        let stacks: Vec<Stack> = stacks.collect();
        let samples = stacks.iter().map(|stack| CpuSamples {
            stack: Some(stack.id),
            count: 1,
            cpu_ns: 1,
            span: (stack.id == StackId(1)).then_some(LabeledSpan {
                trace_id: None,
                span_id: SpanId::new([1; 8]),
            }),
        });
        CpuProfile {
            process: Arc::default(),
            source: Arc::from("cpu.pprof"),
            window: Interval::new(UnixNanos(0), UnixNanos(1)).unwrap(),
            period_ns: 1,
            samples: samples.collect(),
            names,
            stacks,
        }
    }

    #[test]
    fn what_is_left_of_a_profile_has_no_names_of_what_went() {
        let labeled = profile(&["main.sort", "main.other"]).labeled();
        let names: Vec<&str> = labeled.names.iter().collect();
        assert_eq!(names, ["", "main.sort", "main.go"]);
        let frame = labeled.stacks[0].frames[0];
        assert_eq!(&**labeled.names.resolve(frame.function), "main.sort");
        assert_eq!(&**labeled.names.resolve(frame.file), "main.go");
    }

    #[test]
    fn a_profile_takes_memory_for_itself_its_source_and_its_process() {
        let empty = profile(&[]);
        let bytes = empty.size_bytes();
        assert!(bytes > (size_of::<CpuProfile>() + size_of::<ProcessIdentity>()) as u64);
        let named = CpuProfile {
            source: Arc::from("cpu.pprof of shop"),
            process: Arc::new(ProcessIdentity {
                service_name: Arc::from("shop"),
                ..ProcessIdentity::default()
            }),
            ..empty
        };
        assert_eq!(named.size_bytes(), bytes + 8 + 4);
    }
}

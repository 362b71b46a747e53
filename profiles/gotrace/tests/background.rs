//! A visitor gets the same facts in the same order, whichever thread decodes.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::path::Path;

use gotrace::{
    CpuSample, ExecTrace, GenerationInfo, Goroutine, Lookup, Metric, RuntimeRange, StateInterval, StringId, Summary,
    TraceNanos, UserLog, UserRegion, UserTask, Visitor,
};

/// Every fact in words, with the text of its strings and stacks at that time.
#[derive(Default)]
struct Words {
    facts: Vec<String>,
    states_max: Option<usize>,
}

impl Words {
    fn say(&mut self, fact: impl std::fmt::Debug, at: TraceNanos, texts: &[StringId], lookup: Lookup<'_>) {
        let texts: Vec<_> = texts.iter().map(|id| lookup.symbols.text(*id).into_owned()).collect();
        self.facts
            .push(format!("{fact:?} {texts:?} {:?}", lookup.clock.unix(at)));
    }
}

impl Visitor for Words {
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        let frames = interval.stack.map_or(&[][..], |stack| lookup.symbols.frames(stack));
        let functions: Vec<StringId> = frames.iter().map(|frame| frame.function).collect();
        self.say(interval, interval.end, &functions, lookup);
    }

    fn goroutine(&mut self, goroutine: &Goroutine, lookup: Lookup<'_>) {
        let function: Vec<StringId> = goroutine.start_function.into_iter().collect();
        self.say(goroutine, goroutine.last, &function, lookup);
    }

    fn range_begins(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.say(range, range.start, &[], lookup);
    }

    fn range(&mut self, range: &RuntimeRange, lookup: Lookup<'_>) {
        self.say(range, range.end, &[], lookup);
    }

    fn task(&mut self, task: &UserTask, lookup: Lookup<'_>) {
        self.say(task, TraceNanos(0), &[task.name], lookup);
    }

    fn region(&mut self, region: &UserRegion, lookup: Lookup<'_>) {
        self.say(region, TraceNanos(0), &[region.name], lookup);
    }

    fn log(&mut self, log: &UserLog<'_>, lookup: Lookup<'_>) {
        self.say(log, log.time, &[log.key], lookup);
    }

    fn cpu_sample(&mut self, sample: &CpuSample, lookup: Lookup<'_>) {
        self.say(sample, sample.time, &[], lookup);
    }

    fn metric(&mut self, metric: &Metric, lookup: Lookup<'_>) {
        self.say(metric, metric.time, &[], lookup);
    }

    fn generation(&mut self, generation: &GenerationInfo, runnable_since: TraceNanos, lookup: Lookup<'_>) {
        self.say((generation, runnable_since), generation.start, &[], lookup);
    }

    fn is_done(&self) -> bool {
        self.states_max.is_some_and(|max| self.facts.len() >= max)
    }
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let traces = files.filter(|path| path.extension().is_some_and(|extension| extension == "trace"));
    traces
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect()
}

fn whole(summary: &Summary) -> String {
    let Summary {
        start,
        end,
        generations,
        warnings,
        event_counts,
        ..
    } = summary;
    format!("{start:?} {end:?} {generations:?} {warnings:?} {event_counts:?}")
}

fn assert_same_facts(name: &str, bytes: &[u8]) {
    let (mut here, mut behind) = (Words::default(), Words::default());
    let summary = ExecTrace::open(bytes).unwrap().visit(&mut here);
    let summary_behind = ExecTrace::open(bytes).unwrap().visit_in_background(&mut behind);
    assert_eq!(here.facts.len(), behind.facts.len(), "{name}");
    for (fact, fact_behind) in here.facts.iter().zip(&behind.facts) {
        assert_eq!(fact, fact_behind, "{name}");
    }
    match (summary, summary_behind) {
        (Ok(summary), Ok(summary_behind)) => assert_eq!(whole(&summary), whole(&summary_behind), "{name}"),
        (summary, summary_behind) => assert_eq!(summary.err(), summary_behind.err(), "{name}"),
    }
}

#[test]
fn the_facts_of_a_trace_are_the_same() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 5);
    for (name, bytes) in fixtures {
        assert_same_facts(&name, &bytes);
    }
}

#[test]
fn the_facts_of_a_damaged_trace_are_the_same() {
    for (name, mut bytes) in fixtures() {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xff);
        assert_same_facts(&name, &bytes);
        bytes.truncate(40);
        assert_same_facts(&name, &bytes);
    }
}

#[test]
fn a_visitor_that_has_seen_enough_ends_the_decoder() {
    for (name, bytes) in fixtures() {
        let mut words = Words {
            states_max: Some(1),
            ..Words::default()
        };
        ExecTrace::open(&bytes)
            .unwrap()
            .visit_in_background(&mut words)
            .unwrap();
        assert!(!words.facts.is_empty(), "{name}");
    }
}

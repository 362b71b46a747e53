//! A visitor gets the same facts in the same order, whichever thread decodes.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use std::path::Path;

use gotrace::{
    CpuSample, ExecTrace, GenerationInfo, Goroutine, Lookup, Metric, RuntimeRange, StateInterval, StringId, Summary,
    TraceError, TraceNanos, UserLog, UserRegion, UserTask, Visitor,
};
use support::text::encode;

/// Every fact in words, with the text of its strings and stacks at that time.
#[derive(Default)]
struct Words {
    facts: Vec<String>,
    /// How many generations are enough.
    generations_max: Option<usize>,
    generations_count: usize,
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
        self.generations_count += 1;
    }

    fn is_done(&self) -> bool {
        self.generations_max == Some(self.generations_count)
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
        clock,
        symbols,
        version,
        ..
    } = summary;
    let stacks: Vec<_> = symbols.stacks().collect();
    format!("{version:?} {start:?} {end:?} {generations:?} {warnings:?} {event_counts:?} {clock:?} {stacks:?}")
}

/// Visits a trace up to so many generations in both ways. Returns what was told.
fn assert_same_facts(name: &str, bytes: &[u8], generations_max: Option<usize>) -> (Words, Option<Summary>) {
    let words = || Words {
        generations_max,
        ..Words::default()
    };
    let (mut here, mut behind) = (words(), words());
    let summary = ExecTrace::open(bytes).unwrap().visit(&mut here);
    let summary_behind = ExecTrace::open(bytes).unwrap().visit_in_background(&mut behind);
    assert_eq!(here.facts.len(), behind.facts.len(), "{name}");
    for (fact, fact_behind) in here.facts.iter().zip(&behind.facts) {
        assert_eq!(fact, fact_behind, "{name}");
    }
    let words = |summary: &Result<Summary, _>| summary.as_ref().map(whole).map_err(TraceError::clone);
    assert_eq!(words(&summary), words(&summary_behind), "{name}");
    (here, summary.ok())
}

#[test]
fn the_facts_of_a_trace_are_the_same() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 5);
    for (name, bytes) in fixtures {
        assert_same_facts(&name, &bytes, None);
    }
}

#[test]
fn the_facts_of_a_damaged_trace_are_the_same() {
    for (name, mut bytes) in fixtures() {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xff);
        assert_same_facts(&name, &bytes, None);
        bytes.truncate(40);
        assert_same_facts(&name, &bytes, None);
    }
}

/// A generation of a goroutine that stops and starts so many times, whose clocks say this second.
fn generation(number: u64, stops_count: usize, second: u64) -> String {
    let time = 1_000_000 * number;
    let none = format!("EventBatch gen={number} m=18446744073709551615 time={time}\n");
    let mut events = "ProcStatus dt=1 p=0 pstatus=1\nGoStatus dt=1 g=1 m=7 gstatus=2\n".to_owned();
    for stop in 1..=stops_count {
        events += &format!("GoStop dt=10 reason_string=1 stack=0\nGoStart dt=10 g=1 g_seq={stop}\n");
    }
    format!(
        "{none}Sync\nFrequency freq=1000000000\nClockSnapshot dt=1 mono=1 sec={second} nsec={time}\n\
         EventBatch gen={number} m=7 time={time}\n{events}\
         {none}Stacks\n{none}Strings\nString id=1\n    data=\"preempted\"\n"
    )
}

#[test]
fn wall_times_behind_a_step_in_the_last_generation_are_the_same() {
    for last_stops_count in [10, 2_000] {
        let generations = [generation(1, 2_000, 1_000), generation(2, last_stops_count, 4_600)];
        let bytes = encode(&format!("Trace Go1.25\n{}", generations.concat()));
        let (_, summary) = assert_same_facts("a step", &bytes, None);
        assert_eq!(summary.unwrap().clock.steps().count(), 1);
    }
}

#[test]
fn a_visitor_that_has_seen_enough_ends_the_trace_where_a_generation_begins() {
    let generations: Vec<String> = (1..=60).map(|number| generation(number, 700, 1_000)).collect();
    let mut traces = fixtures();
    let synthetic = encode(&format!("Trace Go1.25\n{}", generations.concat()));
    traces.push(("synthetic".to_owned(), synthetic));
    for (name, bytes) in traces {
        let (all, summary) = assert_same_facts(&name, &bytes, None);
        let starts = summary.unwrap().generations;
        for enough in 1..=starts.len().min(6) {
            let (seen, summary) = assert_same_facts(&name, &bytes, Some(enough));
            let summary = summary.unwrap();
            assert_eq!(seen.generations_count, enough, "{name}");
            assert_eq!(seen.facts, all.facts[..seen.facts.len()], "{name}");
            assert!(seen.facts.last().unwrap().contains("GenerationInfo"), "{name}");
            assert_eq!(summary.generations, starts[..enough], "{name}");
            assert_eq!(summary.end.0, starts[enough - 1].start.0 + 1, "{name}");
        }
    }
}

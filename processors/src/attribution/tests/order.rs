//! Whatever the order in which things arrive, how often, and in which portions: the tables end up the same.

use std::num::NonZeroI64;
use std::time::Duration;

use spandrel_model::Table;

use super::super::AttributionConfig;
use super::program::{Arrival, Program};
use super::random::Random;
use super::stream::Stream;

/// Until this much after the first arrival, everything can be corrected.
const CORRECTABLE: Duration = Duration::from_secs(55);
const TABLES: [Table; 7] = [
    Table::Attribution,
    Table::SpanQuality,
    Table::TaskSpans,
    Table::Operations,
    Table::Matrix,
    Table::Interference,
    Table::RunningFunctions,
];

fn config() -> AttributionConfig {
    AttributionConfig {
        window_ns: NonZeroI64::new(4_000_000_000).unwrap(),
        ..AttributionConfig::default()
    }
}

fn run(arrivals: Vec<(Duration, Arrival)>, end: Duration) -> Stream {
    let mut stream = Stream::new(config());
    for (at, arrival) in arrivals {
        stream.advance(at);
        match arrival {
            Arrival::Spans(spans) => drop(stream.spans(spans)),
            Arrival::Recording(recording) => stream.recording(*recording),
            Arrival::CpuProfile(profile) => stream.cpu_profile(*profile),
        }
    }
    stream.advance(end);
    stream.finish();
    stream
}

fn assert_same_tables(one: &Stream, other: &Stream, seed: u64) {
    for table in TABLES {
        let (one, other) = (one.table(table), other.table(table));
        // Labels say nothing where other goroutines run for the requests, as most of these programs have it.
        let rows = if table == Table::RunningFunctions { 1 } else { 6 };
        assert!(one.len() >= rows, "{table:?} has {} rows", one.len());
        let differing = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!(differing, None, "{table:?}, seed {seed}");
        assert_eq!(one.len(), other.len(), "{table:?}, seed {seed}");
    }
}

#[test]
fn any_order_gives_the_tables_of_one_sorted_batch() {
    let mut corrections = 0;
    for seed in 1..=5 {
        let program = Program::random(seed);
        let sorted = run(program.sorted(), Duration::from_secs(15));
        let relations = sorted.column(Table::Attribution, "relation");
        assert!(relations.contains(&"remote".to_owned()), "other processes are called");
        let mut random = Random(seed);
        for _ in 0..2 {
            // Some runs stop while there is still something to correct, others when all is final.
            let end = [CORRECTABLE, Duration::from_secs(200)][random.below(2) as usize];
            let shuffled = run(program.shuffled(&mut random, CORRECTABLE), end);
            assert_same_tables(&sorted, &shuffled, seed);
            corrections += shuffled.sent[&Table::SpanQuality] - shuffled.table(Table::SpanQuality).len();
        }
        assert_eq!(
            sorted.sent[&Table::SpanQuality],
            program.spans.len(),
            "in the sorted run each span is sent once"
        );
    }
    assert!(corrections > 500, "{corrections} rows were replaced");
}

#[test]
fn nothing_is_sent_when_everything_arrives_again() {
    let program = Program::random(99);
    let mut stream = Stream::new(config());
    for (_, arrival) in program.sorted() {
        match arrival {
            Arrival::Spans(spans) => assert_eq!(stream.spans(spans).duplicates, 0),
            Arrival::Recording(recording) => stream.recording(*recording),
            Arrival::CpuProfile(profile) => stream.cpu_profile(*profile),
        }
    }
    stream.advance(Duration::from_secs(60));
    let sent = stream.sent.clone();
    for minutes in [1, 2, 10] {
        stream.advance(Duration::from_secs(60 * minutes));
        let again = stream.spans(program.spans.clone());
        assert_eq!(again.duplicates as usize, program.spans.len());
        assert_eq!(again.accepted, 0);
    }
    stream.finish();
    assert_eq!(stream.sent, sent);
}

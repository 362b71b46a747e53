//! A connector that stops or crashes and starts again on the same store: the tables are those of one that never did.

use std::collections::BTreeSet;
use std::num::NonZeroI64;
use std::time::Duration;

use spandrel_model::Table;

use super::super::AttributionConfig;
use super::super::held_spans::Restored;
use super::program::{Arrival, Program};
use super::random::Random;
use super::stream::{Row, Stream};

/// Until this much after the first arrival, everything can be corrected.
const CORRECTABLE: Duration = Duration::from_secs(55);
const TABLES: [Table; 11] = [
    Table::Stacks,
    Table::Tasks,
    Table::TaskStates,
    Table::RuntimeEvents,
    Table::SpanQuality,
    Table::Attribution,
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

/// Arrivals, with the end of the run among them.
struct Run {
    stream: Stream,
    /// Everything that came since the last commit, which senders will send again after a crash.
    unsaved: Vec<Arrival>,
    restored: Restored,
}

impl Run {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            unsaved: Vec::new(),
            restored: Restored::default(),
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Spans(spans) => drop(self.stream.spans(spans)),
            Arrival::CpuProfile(profile) => self.stream.cpu_profile(*profile),
            Arrival::Recording(recording) => self.stream.recording(*recording),
        }
    }

    /// Stops after `count` arrivals and starts again; everything that came within `again` before comes once more.
    fn interrupted(arrivals: &[(Duration, Arrival)], count: usize, end: &End, random: &mut Random) -> Self {
        let mut run = Self::new(Stream::with_disk(config()));
        let (before, after) = arrivals.split_at(count);
        for (at, arrival) in before {
            if run.stream.advance(*at) {
                run.unsaved.clear();
            }
            run.unsaved.push(arrival.clone());
            run.take(arrival.clone());
        }
        match end {
            End::Stop => run.stream.finish(),
            End::Crash { tables } => run
                .stream
                .store
                .commit(*tables, before.last().map_or(Duration::ZERO, |last| last.0)),
        }
        run.restored = run.stream.restart();
        // Spans that were not stored are sent again, and some that were; profiles are not.
        for arrival in std::mem::take(&mut run.unsaved) {
            if let Arrival::Spans(_) = arrival {
                run.take(arrival);
            }
        }
        for (_, arrival) in before.iter().filter(|_| random.chance(20)) {
            if let Arrival::Spans(_) = arrival {
                run.take(arrival.clone());
            }
        }
        for (at, arrival) in after {
            run.stream.advance(*at);
            run.take(arrival.clone());
        }
        run.stream.advance(Duration::from_secs(200));
        run.stream.finish();
        assert_eq!(run.stream.kept_profiles(), 0, "what is no longer needed goes");
        run
    }
}

#[test]
fn snapshots_that_begin_at_the_same_time_keep_their_rows() {
    let [short, long] = [2_000, 3_000].map(|end| super::cpu_profiles::recording(0, end));
    let tables = |restarts: usize| {
        let mut stream = Stream::with_disk(config());
        for recording in [&short, &long] {
            stream.recording(recording.clone());
        }
        stream.finish();
        for _ in 0..restarts {
            stream.restart();
            stream.finish();
        }
        [Table::Tasks, Table::TaskStates].map(|table| stream.table(table))
    };
    let uninterrupted = tables(0);
    assert_eq!(uninterrupted[0].len(), 2, "the goroutine is in both");
    assert_eq!(tables(2), uninterrupted);
}

#[derive(Debug)]
enum End {
    Stop,
    /// The last commit reached so many tables.
    Crash {
        tables: usize,
    },
}

/// Rows without what depends on the run.
fn rows(stream: &Stream, table: Table) -> Vec<Row> {
    let mut rows = stream.table(table);
    for row in &mut rows {
        row.remove("emission");
    }
    rows.sort();
    rows
}

fn assert_same_tables(whole: &Stream, interrupted: &Stream, what: &str) {
    for table in TABLES {
        let (whole, interrupted) = (rows(whole, table), rows(interrupted, table));
        let sets = [&whole, &interrupted].map(|rows| rows.iter().collect::<BTreeSet<_>>());
        let missing: Vec<&&Row> = sets[0].difference(&sets[1]).collect();
        let added: Vec<&&Row> = sets[1].difference(&sets[0]).collect();
        assert!(
            missing.is_empty() && added.is_empty(),
            "{table:?}, {what}: {} rows are missing, as {:?}, and {} are new, as {:?}",
            missing.len(),
            missing.first(),
            added.len(),
            added.first()
        );
        assert_eq!(whole.len(), interrupted.len(), "{table:?}, {what}");
    }
}

fn uninterrupted(program: &Program) -> Stream {
    let mut run = Run::new(Stream::new(config()));
    for (_, arrival) in program.sorted() {
        run.take(arrival);
    }
    run.stream.advance(Duration::from_secs(15));
    run.stream.finish();
    run.stream
}

#[test]
fn a_restart_at_any_time_gives_the_tables_of_a_run_without_one() {
    let mut all = Restored::default();
    for seed in 1..=2 {
        let program = Program::random(seed);
        let whole = uninterrupted(&program);
        let mut random = Random(seed);
        for round in 0..3 {
            let arrivals = program.shuffled(&mut random, CORRECTABLE);
            let count = 1 + random.below(arrivals.len() as u64 - 1) as usize;
            let end = match round {
                0 => End::Stop,
                _ => End::Crash {
                    tables: random.below(1 + Table::ALL.len() as u64) as usize,
                },
            };
            let interrupted = Run::interrupted(&arrivals, count, &end, &mut random);
            let what = format!("seed {seed}, {count} arrivals, {end:?}");
            assert_same_tables(&whole, &interrupted.stream, &what);
            all.waiting += interrupted.restored.waiting;
            all.correctable += interrupted.restored.correctable;
            all.sealed += interrupted.restored.sealed;
        }
    }
    assert!(all.waiting > 100 && all.correctable > 1_000, "{all:?}");
    assert_eq!(all.sealed, 0, "all that rows were made from is there");
}

#[test]
fn without_the_recordings_what_was_joined_stays_as_it_is_and_nothing_counts_twice() {
    let program = Program::random(3);
    let mut run = Run::new(Stream::new(config()));
    for (_, arrival) in program.sorted() {
        run.take(arrival);
    }
    run.stream.advance(Duration::from_secs(12));
    run.stream.finish();
    let before = TABLES.map(|table| rows(&run.stream, table));
    let sent = run.stream.sent.clone();
    let restored = run.stream.restart();
    assert!(restored.sealed > 100 && restored.waiting == 0, "{restored:?}");
    let again = run.stream.spans(program.spans.clone());
    assert_eq!((again.accepted, again.duplicates), (0, program.spans.len() as u64));
    run.stream.advance(Duration::from_secs(200));
    run.stream.finish();
    assert_eq!(TABLES.map(|table| rows(&run.stream, table)), before);
    assert_eq!(run.stream.sent, sent, "what says the same is not sent again");
}

#[test]
fn requests_whose_window_was_lost_count_once_after_the_restart() {
    let program = Program::random(4);
    let mut run = Run::new(Stream::new(config()));
    run.take(Arrival::Spans(program.spans.clone()));
    run.stream.advance(Duration::from_secs(15));
    let operations = Table::ALL.iter().position(|table| *table == Table::Operations);
    assert!(run.stream.table(Table::SpanQuality).len() > 100);
    run.stream.finish_until(operations.unwrap());
    run.stream.restart();
    run.stream.spans(program.spans.clone());
    run.stream.advance(Duration::from_secs(200));
    run.stream.finish();
    let counted = run.stream.column(Table::Operations, "n");
    let counted: i64 = counted.iter().map(|n| n.parse::<i64>().unwrap()).sum();
    let is_request = run.stream.column(Table::SpanQuality, "is_request");
    let requests = is_request.iter().filter(|word| *word == "true").count();
    assert_eq!(counted, i64::try_from(requests).unwrap());
}

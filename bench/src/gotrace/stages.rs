//! What is measured of our side: the list of stages, and what each does with a trace.

use std::hint::black_box;
use std::io::Read;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use gotrace::{ExecTrace, Recording, Warnings};
use spandrel_model::ProcessIdentity;
use spandrel_profiles::columns;
use spandrel_profiles::go_execution_trace::{Decoded, StateRules, decode, read_tables};

use super::facts::Facts;
use super::scan::scan;
use super::totals::{EventTotals, StateTotals, TableTotals};

/// One stage of ours.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Name in the tables.
    pub name: &'static str,
    /// The stage of Go's reader that does the most of what this one does.
    pub peer: &'static str,
    /// The work.
    pub run: Run,
}

/// Does the work of a stage. What it returns is counted while it works, or afterwards from what it made.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// On the bytes of a file, which are in memory before the clock starts.
    Slice(fn(&[u8]) -> Result<Facts>),
    /// On a source that it reads a piece at a time. Reading is part of the work.
    Stream(fn(&mut (dyn Read + Send)) -> Result<Facts>),
}

/// All stages, the lighter first.
pub const STAGES: &[Stage] = &[
    Stage {
        name: "scan",
        peer: "events",
        run: Run::Slice(|bytes| Ok(black_box(scan(bytes)?).facts())),
    },
    Stage {
        name: "events",
        peer: "events",
        run: Run::Slice(|bytes| events(ExecTrace::open(bytes)?.with_times_of_go_reader())),
    },
    Stage {
        name: "events for",
        peer: "events",
        run: Run::Slice(events_for),
    },
    Stage {
        name: "events from file",
        peer: "events",
        run: Run::Stream(|file| events(ExecTrace::read(file)?.with_times_of_go_reader())),
    },
    Stage {
        name: "states",
        peer: "states",
        run: Run::Slice(states),
    },
    Stage {
        name: "recording",
        peer: "states",
        run: Run::Slice(recording),
    },
    Stage {
        name: "columns",
        peer: "states",
        run: Run::Stream(table_columns),
    },
    Stage {
        name: "recording + columns",
        peer: "states",
        run: Run::Slice(recording_and_columns),
    },
];

/// The stage of that name.
pub fn stage(name: &str) -> Option<&'static Stage> {
    STAGES.iter().find(|stage| stage.name == name)
}

/// The stages of these names, all if there are none.
///
/// # Errors
/// A name is of no stage.
pub(crate) fn stages_of(names: &[String]) -> Result<Vec<&'static Stage>> {
    for name in names {
        ensure!(
            STAGES.iter().any(|stage| stage.name == name),
            "no stage `{name}`, there are {:?}",
            STAGES.iter().map(|stage| stage.name).collect::<Vec<_>>()
        );
    }
    let is_wanted = |stage: &&Stage| names.is_empty() || names.iter().any(|name| name == stage.name);
    Ok(STAGES.iter().filter(is_wanted).collect())
}

/// The fastest way through all events.
fn events(trace: ExecTrace<'_>) -> Result<Facts> {
    let mut events = trace.events();
    let mut totals = EventTotals::default();
    events.for_each_event(|event| totals.add(&event));
    ensure_undamaged(events.warnings())?;
    Ok(totals.facts())
}

/// The way that comes to mind first.
fn events_for(bytes: &[u8]) -> Result<Facts> {
    let mut events = ExecTrace::open(bytes)?.with_times_of_go_reader().events();
    let mut totals = EventTotals::default();
    for event in events.by_ref() {
        totals.add(&event);
    }
    ensure_undamaged(events.warnings())?;
    Ok(totals.facts())
}

/// Every state of every goroutine, dropped as soon as it is counted.
fn states(bytes: &[u8]) -> Result<Facts> {
    let mut totals = StateTotals::default();
    let summary = ExecTrace::open(bytes)?.with_times_of_go_reader().visit(&mut totals)?;
    ensure_undamaged(&summary.warnings)?;
    Ok(totals.facts())
}

/// Everything that lasted, sorted, in memory at once.
fn recording(bytes: &[u8]) -> Result<Facts> {
    let recording = black_box(Recording::of(ExecTrace::open(bytes)?.with_times_of_go_reader())?);
    ensure_undamaged(&recording.warnings)?;
    Ok(StateTotals::of(&recording).facts())
}

/// The Arrow record batches of all task tables, dropped as soon as they are counted.
fn table_columns(file: &mut (dyn Read + Send)) -> Result<Facts> {
    let mut totals = TableTotals::default();
    let warnings = read_tables(
        file,
        &process(),
        "bench".into(),
        StateRules::built_in(),
        |table, batch| Ok(totals.add(table, &black_box(batch))?),
    )?;
    ensure!(warnings.is_empty(), "the trace is not whole: {warnings:?}");
    Ok(totals.facts())
}

/// The same tables from a recording that is in memory at once, as spans are joined with it.
fn recording_and_columns(bytes: &[u8]) -> Result<Facts> {
    let decoded = decode(bytes, Arc::new(process()), "bench".into(), StateRules::built_in())?;
    let Decoded::Anchored(recording) = decoded else {
        bail!("the trace has no wall clock: record it with Go 1.25 or later");
    };
    ensure!(
        recording.warnings.is_empty(),
        "the trace is not whole: {:?}",
        recording.warnings
    );
    let mut totals = TableTotals::default();
    for (table, batch) in &black_box(columns::tables(&recording)?) {
        totals.add(*table, batch)?;
    }
    Ok(totals.facts())
}

fn process() -> ProcessIdentity {
    ProcessIdentity::from_resource(|name| match name {
        "service.name" => Some("shop".to_owned()),
        "service.instance.id" => Some("627cc493-f310-47de-96bd-71410b7dec09".to_owned()),
        _ => None,
    })
}

/// Damage would make a decoder look fast.
fn ensure_undamaged(warnings: &Warnings) -> Result<()> {
    ensure!(warnings.is_empty(), "the trace is not whole: {:?}", warnings.as_slice());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FIXTURE: &[u8] = include_bytes!("../../../profiles/gotrace/tests/fixtures/mix.trace");

    fn facts(stage: &Stage, mut bytes: &[u8]) -> Result<Facts> {
        match stage.run {
            Run::Slice(run) => run(bytes),
            Run::Stream(run) => run(&mut bytes),
        }
    }

    #[test]
    fn stages_agree_on_what_a_trace_holds() {
        let all: Vec<Facts> = STAGES.iter().map(|stage| facts(stage, FIXTURE).unwrap()).collect();
        for (stage, facts_of_stage) in STAGES.iter().zip(&all) {
            let shared: usize = all.iter().map(|other| facts_of_stage.agree(other).unwrap()).sum();
            let own = facts_of_stage.agree(facts_of_stage).unwrap();
            assert!(shared > own, "{} shares nothing with another stage", stage.name);
        }
    }

    #[test]
    fn rows_of_states_cover_the_time_of_the_states() {
        let states = facts(stage("states").unwrap(), FIXTURE).unwrap();
        let columns = facts(stage("columns").unwrap(), FIXTURE).unwrap();
        assert!(states.get("states_ns").unwrap() > 0);
        assert!(columns.get("time.running").unwrap() > 0);
        assert!(columns.get("rows.task_states").unwrap() > 0);
        assert!(states.agree(&columns).unwrap() >= 2);
    }

    #[test]
    fn a_damaged_trace_fails_or_disagrees_with_the_whole() {
        let cut = &FIXTURE[..FIXTURE.len() - 100];
        for stage in STAGES {
            let whole = facts(stage, FIXTURE).unwrap();
            let agrees = |facts: Facts| facts.agree(&whole).is_ok_and(|shared| shared > 0);
            assert!(!facts(stage, cut).is_ok_and(agrees), "{}", stage.name);
        }
    }

    #[test]
    fn names_tell_stages_apart() {
        let names: BTreeSet<&str> = STAGES.iter().map(|stage| stage.name).collect();
        assert_eq!(names.len(), STAGES.len());
        assert_eq!(stage("columns").unwrap().name, "columns");
        assert!(stage("nothing").is_none());
    }

    #[test]
    fn an_unknown_stage_is_refused_with_those_that_are_there() {
        let error = stages_of(&["nothing".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("\"columns\""), "{error}");
        assert_eq!(stages_of(&["events".to_owned()]).unwrap().len(), 1);
        assert_eq!(stages_of(&[]).unwrap().len(), STAGES.len());
    }
}

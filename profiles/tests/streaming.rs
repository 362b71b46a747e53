//! A trace that is read as a stream gives what the same trace gives as a whole.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use gotrace::{
    ExecTrace, GenerationInfo, Goroutine, Lookup, Recording, RuntimeRange, StateInterval, TraceNanos, Visitor,
};
use spandrel_model::{ProcessIdentity, RuntimeEventKind, State, Table, TaskState};
use spandrel_profiles::columns;
use spandrel_profiles::go_execution_trace::{
    DecodeError, Decoded, LiveRefiner, Refiner, StateRules, SubStateId, decode, read_tables,
};

#[path = "../gotrace/tests/support/text.rs"]
#[allow(dead_code, reason = "the decoder's own tests use the rest")]
mod text;

use text::encode;

/// Every trace that the decoder is tested with; each also cut and damaged, where something of it is left.
fn traces() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("gotrace/tests/fixtures");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "trace"));
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    let mut traces = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let whole = fs::read(&file).unwrap();
        for eighths in 3..8 {
            traces.push((
                format!("{name}, {eighths} eighths"),
                whole[..whole.len() / 8 * eighths].to_vec(),
            ));
            let mut damaged = whole.clone();
            let at = damaged.len() / 8 * eighths;
            damaged[at..at + 64].iter_mut().for_each(|byte| *byte = !*byte);
            traces.push((format!("{name}, damaged at {eighths} eighths"), damaged));
        }
        traces.push((name, whole));
    }
    traces.retain(|(_, bytes)| Recording::decode(bytes).is_ok());
    traces
}

type Piece = (TraceNanos, TraceNanos, State, SubStateId);

/// The pieces of each interval, by life and start.
type Pieces = BTreeMap<(u32, TraceNanos), Vec<Piece>>;

struct LivePieces<'a> {
    refiner: LiveRefiner<'a>,
    pieces: Pieces,
}

impl Visitor for LivePieces<'_> {
    fn state(&mut self, interval: &StateInterval, lookup: Lookup<'_>) {
        let pieces = self.pieces.entry((interval.life, interval.start)).or_default();
        assert!(
            pieces.is_empty(),
            "two intervals of a life start together: {interval:?}"
        );
        self.refiner.refine(interval, lookup, |piece| {
            pieces.push((piece.start, piece.end, piece.state, piece.sub_state_id));
        });
    }

    fn goroutine(&mut self, goroutine: &Goroutine, _: Lookup<'_>) {
        self.refiner.goroutine_ends(goroutine.id);
    }

    fn range_begins(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.refiner.range_begins(range);
    }

    fn range(&mut self, range: &RuntimeRange, _: Lookup<'_>) {
        self.refiner.range_ends(range);
    }

    fn generation(&mut self, _: &GenerationInfo, runnable_since: TraceNanos, _: Lookup<'_>) {
        self.refiner.generation_begins(runnable_since);
    }
}

#[test]
fn the_pieces_of_a_live_refiner_are_those_of_the_whole_recording() {
    for (name, bytes) in traces() {
        let recording = Recording::decode(&bytes).unwrap();
        let mut refiner = Refiner::new(&recording);
        let mut expected = Pieces::new();
        for interval in &recording.states {
            let pieces = expected.entry((interval.life, interval.start)).or_default();
            refiner.refine(interval, |piece| {
                pieces.push((piece.start, piece.end, piece.state, piece.sub_state_id));
            });
        }
        let mut live = LivePieces {
            refiner: LiveRefiner::new(StateRules::built_in()),
            pieces: Pieces::new(),
        };
        ExecTrace::read(&*bytes).unwrap().visit(&mut live).unwrap();
        assert_eq!(live.pieces.len(), expected.len(), "{name}");
        for (of_interval, pieces) in &expected {
            assert_eq!(&live.pieces[of_interval], pieces, "{name}: {of_interval:?}");
        }
    }
}

/// Rows as text, by task, in the order in which they come.
fn rows_by_task<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> BTreeMap<i64, Vec<String>> {
    let options = FormatOptions::new().with_null("null");
    let mut tasks: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for batch in batches {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(without_time_zone).collect();
        let columns: Vec<_> = columns
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        let ids = batch.column_by_name("task_id").unwrap().as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            assert!(!ids.is_null(row));
            tasks.entry(ids.value(row)).or_default().push(cells.join(" | "));
        }
    }
    tasks
}

/// Arrow shows no times of a zone without a data base of zones.
fn without_time_zone(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Arc::new(times.reinterpret_cast::<Int64Type>()),
        None => column.clone(),
    }
}

#[test]
fn the_rows_of_a_stream_are_those_of_the_whole_recording() {
    let process = Arc::new(ProcessIdentity::default());
    let rules = StateRules::default();
    let mut compared = 0;
    for (name, bytes) in traces() {
        let decoded = decode(&bytes, process.clone(), "test".into(), &rules).unwrap();
        let mut streamed = Vec::new();
        let read = read_tables(&*bytes, &process, "test".into(), &rules, |table, rows| {
            streamed.push((table, rows));
            Ok(())
        });
        let recording = match decoded {
            Decoded::Anchored(recording) => recording,
            Decoded::Unanchored(_) => {
                assert!(matches!(read, Err(DecodeError::NoWallClock { .. })), "{name}");
                assert!(streamed.is_empty(), "{name}: rows without a place in time");
                continue;
            }
        };
        assert_eq!(read.unwrap(), recording.warnings, "{name}");
        let whole = columns::tables(&recording).unwrap();
        let of = |tables: &[(Table, RecordBatch)]| {
            let states = tables.iter().filter(|(table, _)| *table == Table::TaskStates);
            rows_by_task(states.map(|(_, rows)| rows))
        };
        let (found, expected) = (of(&streamed), of(&whole));
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(found.len(), expected.len(), "{name}");
        for (task, rows) in &expected {
            assert_eq!(&found[task], rows, "{name}: task {task}");
        }
        compared += 1;
    }
    assert!(compared > 3, "{compared} traces with a wall clock");
}

/// A trace of Go 1.25 in which a goroutine makes many others, and ends a task twice.
fn trace_of_many_tasks(count: u64) -> Vec<u8> {
    let table = format!("EventBatch gen=1 m={} time=1000000", u64::MAX);
    let thread = |thread: u64, events: &str| format!("EventBatch gen=1 m={thread} time=1000000\n{events}\n");
    let mut batches = thread(
        7,
        "ProcStatus dt=1 p=0 pstatus=1\nGoStatus dt=1 g=1 m=7 gstatus=2\n\
         UserTaskBegin dt=1 task=5 parent_task=0 name_string=1 stack=0\n\
         UserTaskEnd dt=10 task=5 stack=0\nUserTaskEnd dt=10 task=5 stack=0",
    );
    for (number, ids) in (0..count).collect::<Vec<_>>().chunks(3_000).enumerate() {
        let create = |id: &u64| format!("GoCreate dt=1 new_g={} new_stack=0 stack=0\n", id + 2);
        let creates: String = ids.iter().map(create).collect();
        let proc = number + 1;
        batches += &thread(
            8 + proc as u64,
            &format!("ProcStatus dt=1 p={proc} pstatus=1\n{creates}"),
        );
    }
    encode(&format!(
        "Trace Go1.25\n{table}\nSync\nFrequency freq=1000000000\nClockSnapshot dt=1 mono=1 sec=1700000000 nsec=0\n\
         {batches}{table}\nStacks\nStack id=1 nframes=1\n    pc=1 func=1 file=1 line=10\n{table}\nStrings\nString id=1\n    \
         data=\"work\"\n"
    ))
}

#[test]
fn no_batch_of_any_table_is_larger_than_said() {
    let trace = trace_of_many_tasks(20_000);
    let (mut tasks, mut largest) = (0, 0);
    let each = |table: Table, rows: RecordBatch| {
        tasks += if table == Table::Tasks { rows.num_rows() } else { 0 };
        largest = largest.max(rows.num_rows());
        Ok(())
    };
    let process = ProcessIdentity::default();
    read_tables(&*trace, &process, "test".into(), StateRules::built_in(), each).unwrap();
    assert_eq!((tasks, largest), (20_001, columns::BATCH_ROWS));
}

#[test]
fn a_user_task_that_ends_twice_is_one_row() {
    let decoded = decode(
        &trace_of_many_tasks(1),
        Arc::new(ProcessIdentity::default()),
        "test".into(),
        StateRules::built_in(),
    );
    let Decoded::Anchored(recording) = decoded.unwrap() else {
        panic!("it has a wall clock")
    };
    let rows = recording.runtime_events.iter();
    let rows = rows.filter(|event| event.kind == RuntimeEventKind::UserTask).count();
    assert_eq!((recording.user_tasks.len(), rows), (1, 1));
}

#[test]
fn a_state_of_a_recording_takes_the_72_bytes_that_the_help_says() {
    assert_eq!(size_of::<TaskState>(), 72);
}

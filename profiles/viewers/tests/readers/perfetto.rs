//! Perfetto's trace processor, the engine of ui.perfetto.dev, loads the timeline.

use std::collections::BTreeMap;
use std::process::Command;

use gotrace::{Metric, MetricKind, TaskId, UserTask};
use serde_json::{Map, Value, json};
use spandrel_profiles::go_execution_trace::StateRules;
use spandrel_viewers::{Options, perfetto};

use crate::expected;
use crate::tools::{are_here, install, read, repository, version_of};
use crate::traces::{self, Trace};

/// What is asked about each trace.
fn queries() -> Value {
    json!({
        "problems": "SELECT name, value FROM stats WHERE value != 0 AND severity != 'info'",
        "cut": "SELECT count(*) FROM slice WHERE dur < 0",
        "process": "SELECT name FROM process WHERE pid = 1",
        "by_goroutine":
            "SELECT track.name, slice.category, sum(dur) FROM slice JOIN track ON slice.track_id = track.id
             WHERE category IN ('running', 'runnable', 'syscall', 'waiting', 'unknown') GROUP BY 1, 2",
        "by_state":
            "SELECT category, substr(name || ' ', 1, instr(name || ' ', ' ') - 1), sum(dur) FROM slice
             WHERE category IN ('running', 'runnable', 'syscall', 'waiting', 'unknown') GROUP BY 1, 2",
        "by_proc":
            "SELECT track.name, slice.name, sum(dur) FROM slice JOIN track ON slice.track_id = track.id
             WHERE category = 'proc' GROUP BY 1, 2",
        "depths": "SELECT category, max(depth) FROM slice GROUP BY 1",
        // What a flow leads to follows its cause at once, and both lie in something that their goroutines do.
        "flows":
            "SELECT cause.name, inside.category, ifnull(around.category, effect.category), effect.ts - cause.ts, count(*)
             FROM flow JOIN slice cause ON cause.id = flow.slice_out JOIN slice effect ON effect.id = flow.slice_in
             LEFT JOIN slice inside ON inside.id = cause.parent_id
             LEFT JOIN slice around ON around.id = effect.parent_id GROUP BY 1, 2, 3, 4",
        "task_names":
            "SELECT category, ifnull(string_value, ''), count(*) FROM slice LEFT JOIN args
             ON args.arg_set_id = slice.arg_set_id AND args.key = 'debug.task'
             WHERE category IN ('user_log', 'user_region') GROUP BY 1, 2",
        "families":
            "SELECT category, track.name, count(*) FROM slice JOIN track ON slice.track_id = track.id
             WHERE category = 'user_task' GROUP BY 1, 2",
        "counters":
            "SELECT counter_track.name, ifnull(unit, ''), count(*), cast(sum(value) AS INTEGER), min(ts), max(ts)
             FROM counter JOIN counter_track ON counter_track.id = counter.track_id GROUP BY 1, 2",
        "annotations":
            "SELECT category, count(*), sum(dur) FROM slice WHERE category IN ('user_task', 'user_region', 'user_log',
             'cpu_sample', 'runtime') GROUP BY 1",
        "regions_below":
            "SELECT DISTINCT substr(parent.name, 1, 1) FROM slice JOIN track ON slice.track_id = track.id
             JOIN track parent ON parent.id = track.parent_id WHERE category = 'user_region'",
        "wall": "SELECT ts, to_realtime(ts) FROM clock_snapshot WHERE clock_name = 'REALTIME'",
        "bounds": "SELECT start_ts, end_ts FROM trace_bounds",
        // Where stacks begin that end in a wait for a group.
        "outermost":
            "WITH RECURSIVE up(id, name, parent_id) AS (
               SELECT site.id, frame.name, site.parent_id FROM stack_profile_callsite site
               JOIN stack_profile_frame frame ON frame.id = site.frame_id WHERE frame.name = 'sync.(*WaitGroup).Wait'
               UNION ALL SELECT site.id, frame.name, site.parent_id FROM up
               JOIN stack_profile_callsite site ON site.id = up.parent_id
               JOIN stack_profile_frame frame ON frame.id = site.frame_id)
             SELECT DISTINCT name FROM up WHERE parent_id IS NULL",
    })
}

#[test]
fn the_trace_processor_finds_every_nanosecond_of_the_recording() {
    let traces = traces::all();
    for (trace, answers) in traces.iter().zip(ask(&traces)) {
        check(trace, &answers);
    }
}

/// Lost generations, goroutine ids that are used again, calls from C, procs stolen from threads in system calls.
#[test]
fn unusual_traces_load_without_a_complaint() {
    let traces = traces::unusual();
    for (trace, answers) in traces.iter().zip(ask(&traces)) {
        let Trace { name, recording, .. } = trace;
        assert_eq!(answers["problems"], json!([]), "{name}");
        assert_eq!(answers["cut"], json!([[0]]), "{name}");
        assert_eq!(
            totals(&answers["by_goroutine"]),
            owned(expected::by_goroutine(recording)),
            "{name}"
        );
        assert_eq!(
            totals(&answers["by_proc"]),
            owned(expected::by_proc(recording)),
            "{name}"
        );
    }
}

/// The answers for each trace; none if the trace processor is not here.
fn ask(traces: &[Trace]) -> Vec<Map<String, Value>> {
    let here = are_here(
        "Perfetto's trace processor",
        &mut [
            version_of("node", "--version"),
            version_of("npm", "--version"),
            install("viewers-env.sh"),
        ],
    );
    if !here {
        return Vec::new();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut node = Command::new("node");
    node.arg(repository().join("profiles/viewers/tests/readers/trace_processor.mjs"));
    node.arg(repository().join(".tools/viewers/trace-processor"));
    for (number, trace) in traces.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        let options = Options {
            title: &trace.name,
            system: false,
            rules: StateRules::built_in(),
        };
        let out = std::fs::File::create(&file).unwrap();
        let summary = perfetto::write(trace.open(), &options, std::io::BufWriter::new(out)).unwrap();
        assert_eq!(summary.end, trace.recording.end);
        node.arg(file);
    }
    let answers = read(&mut node, &queries().to_string());
    assert_eq!(answers.lines().count(), traces.len());
    answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn check(trace: &Trace, answers: &Map<String, Value>) {
    let Trace { name, recording, .. } = trace;
    assert_eq!(answers["problems"], json!([]), "{name}");
    assert_eq!(answers["cut"], json!([[0]]), "{name}");
    assert_eq!(answers["process"], json!([[name]]));
    assert_eq!(
        totals(&answers["by_goroutine"]),
        owned(expected::by_goroutine(recording)),
        "{name}"
    );
    assert_eq!(
        totals(&answers["by_state"]),
        owned(expected::by_state(recording, true)),
        "{name}"
    );
    assert_eq!(
        totals(&answers["by_proc"]),
        owned(expected::by_proc(recording)),
        "{name}"
    );
    check_nesting(trace, &answers["depths"]);
    check_flows(trace, &answers["flows"]);
    check_annotations(trace, &answers["annotations"]);
    check_tasks(trace, answers);
    check_counters(trace, &answers["counters"]);
    check_clock(trace, answers);
    if !recording.regions.is_empty() {
        assert_eq!(answers["regions_below"], json!([["G"]]), "{name}");
    }
    let outermost = rows(&answers["outermost"]);
    assert!(!outermost.is_empty(), "{name}");
    assert!(
        outermost
            .iter()
            .all(|row| !row[0].as_str().unwrap().starts_with("sync.")),
        "{name}: {outermost:?}"
    );
}

/// States never lie inside each other, nor does what runs on a proc; what happens at an instant lies in a state.
fn check_nesting(Trace { name, .. }: &Trace, depths: &Value) {
    for row in rows(depths) {
        let (category, depth) = (row[0].as_str().unwrap(), row[1].as_i64().unwrap());
        match category {
            "scheduler" | "user_log" | "cpu_sample" => assert_eq!(depth, 1, "{name}: {category}"),
            "user_task" | "user_region" => {}
            _ => assert_eq!(depth, 0, "{name}: {category}"),
        }
    }
}

fn check_flows(Trace { name, recording, .. }: &Trace, flows: &Value) {
    let mut counts = BTreeMap::from([("wake", 0), ("create", 0)]);
    for row in rows(flows) {
        let [cause, inside, effect, lag_ns, count] = &row[..] else {
            panic!("{row:?}");
        };
        assert_eq!(*lag_ns, json!(0), "{name}: {row:?}");
        assert!(
            ["running", "syscall"].contains(&inside.as_str().unwrap()),
            "{name}: {row:?}"
        );
        // Coroutines are switched to, and born waiting.
        assert!(
            ["runnable", "running", "waiting"].contains(&effect.as_str().unwrap()),
            "{name}: {row:?}"
        );
        *counts.get_mut(cause.as_str().unwrap()).unwrap() += count.as_i64().unwrap();
    }
    let (wakes, creations) = expected::causes(recording);
    assert_eq!(
        counts,
        BTreeMap::from([("wake", wakes), ("create", creations)]),
        "{name}"
    );
    assert!(wakes > 100, "{name}");
}

fn check_annotations(Trace { name, recording, .. }: &Trace, annotations: &Value) {
    let of = |category: &str| {
        let row = rows(annotations).into_iter().find(|row| row[0] == category);
        row.map_or((0, 0), |row| (row[1].as_i64().unwrap(), row[2].as_i64().unwrap()))
    };
    let count = |len: usize| i64::try_from(len).unwrap();
    let task_ns: i64 = (recording.tasks.iter())
        .map(|task| {
            let begin = task.begin.map_or(recording.start, |edge| edge.time);
            task.end.map_or(recording.end, |edge| edge.time).0 - begin.0
        })
        .sum();
    assert_eq!(of("user_task"), (count(recording.tasks.len()), task_ns), "{name}");
    assert_eq!(of("user_region").0, count(recording.regions.len()), "{name}");
    assert_eq!(of("user_log"), (count(recording.logs.len()), 0), "{name}");
    assert_eq!(of("cpu_sample"), (count(recording.cpu_samples.len()), 0), "{name}");
    let whole = recording.ranges.iter().filter(|range| {
        let kind = range.kind;
        matches!(
            kind,
            gotrace::RangeKind::GcMark | gotrace::RangeKind::StopTheWorld { .. }
        )
    });
    let (ranges_count, ranges_ns) = whole.fold((0, 0), |(n, ns), range| (n + 1, ns + range.end.0 - range.start.0));
    assert_eq!(of("runtime"), (ranges_count, ranges_ns), "{name}");
}

/// Regions and logs name the task that they belong to, and tasks stand below the outermost one that they were begun in.
fn check_tasks(Trace { name, recording, .. }: &Trace, answers: &Map<String, Value>) {
    let tasks: BTreeMap<TaskId, &UserTask> = recording.tasks.iter().map(|task| (task.id, task)).collect();
    let label = |id: TaskId| match tasks.get(&id).map(|task| recording.text(task.name)) {
        _ if id == TaskId::BACKGROUND => String::new(),
        Some(name) if !name.is_empty() => format!("{name} ({id})"),
        _ => format!("({id})"),
    };
    let mut names: BTreeMap<(String, String), i64> = BTreeMap::new();
    let logs = recording.logs.iter().map(|log| ("user_log", log.task));
    let regions = recording.regions.iter().map(|region| ("user_region", region.task));
    for (category, task) in logs.chain(regions) {
        *names.entry((category.to_owned(), label(task))).or_default() += 1;
    }
    assert_eq!(totals(&answers["task_names"]), names, "{name}");

    let mut families: BTreeMap<(String, String), i64> = BTreeMap::new();
    for mut task in &recording.tasks {
        while let Some(parent) = task.parent.and_then(|parent| tasks.get(&parent)) {
            task = parent;
        }
        let root = recording.text(task.name).into_owned();
        *families.entry(("user_task".to_owned(), root)).or_default() += 1;
    }
    assert_eq!(totals(&answers["families"]), families, "{name}");
}

/// Each number that the runtime tells is a value of a counter at its time.
fn check_counters(Trace { name, recording, .. }: &Trace, counters: &Value) {
    let of = |kind: MetricKind| -> Vec<i64> {
        let all: Vec<&Metric> = recording.metrics.iter().filter(|metric| metric.kind == kind).collect();
        let sum: u64 = all.iter().map(|metric| metric.value).sum();
        let [count, sum] = [all.len() as u64, sum].map(|number| i64::try_from(number).unwrap());
        vec![count, sum, all[0].time.0, all[all.len() - 1].time.0]
    };
    let expected = BTreeMap::from([
        (
            ("gomaxprocs".to_owned(), "count".to_owned()),
            of(MetricKind::Gomaxprocs),
        ),
        (("heap_alloc".to_owned(), "bytes".to_owned()), of(MetricKind::HeapAlloc)),
        (("heap_goal".to_owned(), "bytes".to_owned()), of(MetricKind::HeapGoal)),
    ]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found: BTreeMap<(String, String), Vec<i64>> = rows(counters)
        .iter()
        .map(|row| ((text(&row[0]), text(&row[1])), row[2..].iter().map(integer).collect()))
        .collect();
    assert_eq!(found, expected, "{name}");
}

/// Times are the trace's own; the wall clock is right at its snapshots and at the start.
fn check_clock(Trace { name, recording, .. }: &Trace, answers: &Map<String, Value>) {
    let bounds = rows(&answers["bounds"]).remove(0);
    assert_eq!(integer(&bounds[0]), recording.start.0, "{name}");
    let wall: BTreeMap<i64, i64> = rows(&answers["wall"])
        .iter()
        .map(|row| (integer(&row[0]), integer(&row[1])))
        .collect();
    let known = [recording.start]
        .into_iter()
        .chain(recording.clock.snapshots().iter().map(|snapshot| snapshot.trace));
    let known: BTreeMap<i64, i64> = known.filter_map(|at| Some((at.0, recording.unix(at)?.0))).collect();
    assert_eq!(wall, known, "{name}");
    assert_eq!(known.is_empty(), trace_is_old(name), "{name}");
}

fn trace_is_old(name: &str) -> bool {
    name.ends_with("without wall clock")
}

fn rows(answer: &Value) -> Vec<Vec<Value>> {
    serde_json::from_value(answer.clone()).unwrap()
}

/// Integers beyond 2^53 come as text.
fn integer(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn totals(answer: &Value) -> BTreeMap<(String, String), i64> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = rows(answer).into_iter();
    rows.map(|row| ((text(&row[0]), text(&row[1])), integer(&row[2])))
        .collect()
}

fn owned<A: Into<String>, B: Into<String>>(totals: BTreeMap<(A, B), i64>) -> BTreeMap<(String, String), i64> {
    let totals = totals.into_iter();
    totals.map(|((a, b), ns)| ((a.into(), b.into()), ns)).collect()
}

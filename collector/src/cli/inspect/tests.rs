//! The summary of a stream against sums over a recording that is in memory as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gotrace::{Goroutine, GoroutineState, RangeKind, Recording, StateInterval, TraceNanos};
use spandrel_profiles::go_execution_trace::{Refiner, StateRules};

use super::report::{Distribution, GcCost, LossKind, Report};
use super::survey::is_scheduling;
use super::{survey, text};

/// Every trace that the decoder is tested with.
fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/gotrace/tests/fixtures");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "trace"));
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    let read = |file: PathBuf| {
        let bytes = fs::read(&file).unwrap();
        (file, bytes)
    };
    files.into_iter().map(read).collect()
}

/// The fixtures, and each of them cut in the middle and damaged in the middle, where something of them is left.
fn traces() -> Vec<(String, Vec<u8>)> {
    let mut traces = Vec::new();
    for (file, bytes) in fixtures() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let cut = bytes[..bytes.len() - bytes.len() / 4].to_vec();
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 64].iter_mut().for_each(|byte| *byte = !*byte);
        traces.push((format!("{name}, cut"), cut));
        traces.push((format!("{name}, damaged"), damaged));
        traces.push((name, bytes));
    }
    traces.retain(|(_, bytes)| Recording::decode(bytes).is_ok());
    traces
}

fn report(bytes: &[u8]) -> Report {
    survey(bytes, StateRules::built_in(), true).unwrap()
}

/// Lengths as a list, of which [`Distribution`] is compared with the exact one.
fn assert_distribution(found: &Distribution, mut lengths: Vec<i64>, what: &str) {
    lengths.sort_unstable();
    assert_eq!(found.count, lengths.len() as u64, "{what}");
    assert_eq!(found.total_ns, lengths.iter().sum::<i64>(), "{what}");
    assert_eq!(found.max_ns, lengths.last().copied().unwrap_or(0), "{what}");
    let quantiles = [
        (500, found.p50_ns),
        (900, found.p90_ns),
        (990, found.p99_ns),
        (999, found.p999_ns),
    ];
    for (per_mille, found_ns) in quantiles {
        let rank = (lengths.len() * per_mille).div_ceil(1_000).max(1);
        let exact_ns = lengths.get(rank - 1).copied().unwrap_or(0);
        assert!(
            found_ns >= exact_ns && (found_ns - exact_ns) * 32 <= exact_ns,
            "{what}: {per_mille}: {found_ns} for {exact_ns}"
        );
    }
}

fn length(interval: &StateInterval) -> i64 {
    interval.end.0 - interval.start.0
}

fn word(state: &str, sub_state: &str) -> String {
    match sub_state {
        "" => state.to_owned(),
        _ => format!("{state}/{sub_state}"),
    }
}

#[test]
fn lengths_of_states_are_those_of_the_recording_to_the_nanosecond() {
    for (name, bytes) in traces() {
        let recording = Recording::decode(&bytes).unwrap();
        let mut refiner = Refiner::new(&recording);
        let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut scheduling = Vec::new();
        for goroutine in recording.goroutines.iter().filter(|goroutine| !goroutine.is_system) {
            for interval in recording.states_of(goroutine) {
                if is_scheduling(interval.state) {
                    scheduling.push(length(interval));
                }
                refiner.refine(interval, |piece| {
                    let lengths = expected.entry(word(piece.state.as_str(), piece.sub_state)).or_default();
                    lengths.push(piece.end.0 - piece.start.0);
                });
            }
        }
        let report = report(&bytes);
        assert_eq!(report.states.len(), expected.len(), "{name}");
        for state in &report.states {
            let word = word(state.state, &state.sub_state);
            assert_distribution(&state.lengths, expected[&word].clone(), &format!("{name}: {word}"));
        }
        assert_distribution(&report.scheduler_latency, scheduling, &format!("{name}: latency"));
    }
}

#[test]
fn groups_are_those_of_the_recording() {
    for (name, bytes) in traces() {
        let recording = Recording::decode(&bytes).unwrap();
        let mut expected: BTreeMap<Option<String>, [i64; 5]> = BTreeMap::new();
        for goroutine in &recording.goroutines {
            let function = goroutine.start_function.map(|name| recording.text(name).into_owned());
            let group = expected.entry(function).or_default();
            group[0] += 1;
            for interval in recording.states_of(goroutine) {
                let position = match interval.state {
                    GoroutineState::Undetermined => continue,
                    GoroutineState::Running { .. } => 1,
                    GoroutineState::Runnable { .. } => 2,
                    GoroutineState::Syscall | GoroutineState::SyscallBlocked => 3,
                    GoroutineState::Waiting { .. } => 4,
                };
                group[position] += length(interval);
            }
        }
        let found: BTreeMap<Option<String>, [i64; 5]> = (report(&bytes).groups.into_iter())
            .map(|group| {
                let count = i64::try_from(group.goroutines).unwrap();
                let times = [
                    count,
                    group.running_ns,
                    group.runnable_ns,
                    group.syscall_ns,
                    group.waiting_ns,
                ];
                (group.start_function, times)
            })
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn what_the_runtime_did_and_told_is_that_of_the_recording() {
    for (name, bytes) in traces() {
        let recording = Recording::decode(&bytes).unwrap();
        let report = report(&bytes);
        let lengths = |wanted: fn(&RangeKind) -> bool| -> Vec<i64> {
            let ranges = recording.ranges.iter().filter(|range| wanted(&range.kind));
            ranges.map(|range| range.end.0 - range.start.0).collect()
        };
        let gc = &report.gc;
        for (found, wanted) in [
            (&gc.marks, lengths(|kind| matches!(kind, RangeKind::GcMark))),
            (&gc.assists, lengths(|kind| matches!(kind, RangeKind::MarkAssist))),
            (&gc.sweeps, lengths(|kind| matches!(kind, RangeKind::Sweep { .. }))),
            (
                &gc.stops,
                lengths(|kind| matches!(kind, RangeKind::StopTheWorld { .. })),
            ),
        ] {
            assert_distribution(found, wanted, &name);
        }
        let by_kind: i64 = gc.stops_by_kind.iter().map(|stop| stop.lengths.total_ns).sum();
        assert_eq!(by_kind, gc.stops.total_ns, "{name}");
        let of_states = |words: &[&str]| -> i64 {
            let states = report.states.iter().filter(|state| words.contains(&state.state));
            states.map(|state| state.lengths.total_ns).sum()
        };
        let cost_ns = of_states(&["gc_assist", "gc_stw", "gc_sweep", "gc_other"]);
        let busy_ns = cost_ns + of_states(&["running", "runnable"]);
        assert_eq!(gc.cost, GcCost { cost_ns, busy_ns }, "{name}");

        let whole = recording
            .tasks
            .iter()
            .filter(|task| task.begin.is_some() && task.end.is_some());
        assert_eq!(report.user_tasks.whole, whole.count() as u64, "{name}");
        assert_eq!(report.cpu_samples, recording.cpu_samples.len() as u64, "{name}");
        assert_eq!(report.events, recording.event_counts, "{name}");
        assert_eq!(report.generations, recording.generations.len(), "{name}");
        assert_eq!(report.duration_ns, recording.end.0 - recording.start.0, "{name}");
        let goroutines = &recording.goroutines;
        let number = |of: fn(&Goroutine) -> bool| goroutines.iter().filter(|goroutine| of(goroutine)).count() as u64;
        let counts = &report.goroutine_counts;
        assert_eq!(counts.total, goroutines.len() as u64, "{name}");
        assert_eq!(counts.born, number(|goroutine| goroutine.birth.is_some()), "{name}");
        assert_eq!(counts.ended, number(|goroutine| goroutine.death.is_some()), "{name}");
        assert_eq!(
            counts.alive_at_end,
            number(|goroutine| goroutine.death.is_none()),
            "{name}"
        );
        assert_eq!(counts.system, number(|goroutine| goroutine.is_system), "{name}");
    }
}

#[test]
fn goroutines_are_those_of_the_recording_and_their_states_sum_to_their_lives() {
    for (name, bytes) in traces() {
        let recording = Recording::decode(&bytes).unwrap();
        let report = report(&bytes);
        let instant = |at: TraceNanos| recording.unix(at).map_or(at.0, |unix| unix.0);
        assert_eq!(report.goroutines.len(), recording.goroutines.len(), "{name}");
        let mut refiner = Refiner::new(&recording);
        for (found, goroutine) in report.goroutines.iter().zip(&recording.goroutines) {
            assert_eq!(found.id, goroutine.id.get(), "{name}");
            assert_eq!(found.birth_ns, goroutine.birth.map(instant), "{name}");
            assert_eq!(found.death_ns, goroutine.death.map(instant), "{name}");
            assert_eq!(
                found.created_by,
                goroutine.creator.map(|creator| creator.get()),
                "{name}"
            );
            let life_ns = instant(goroutine.last) - instant(goroutine.first);
            assert_eq!(found.raw_states_ns.values().sum::<i64>(), life_ns, "{name}: {found:?}");
            assert_eq!(found.states_ns.values().sum::<i64>(), life_ns, "{name}: {found:?}");
            let mut states_ns: BTreeMap<String, i64> = BTreeMap::new();
            for interval in recording.states_of(goroutine) {
                refiner.refine(interval, |piece| {
                    *states_ns
                        .entry(word(piece.state.as_str(), piece.sub_state))
                        .or_insert(0) += instant(piece.end) - instant(piece.start);
                });
            }
            assert_eq!(found.states_ns, states_ns, "{name}: goroutine {}", found.id);
        }
    }
}

#[test]
fn the_json_form_keeps_its_fields() {
    let (_, bytes) = fixtures().remove(0);
    let json = serde_json::to_value(report(&bytes)).unwrap();
    let keys = |value: &serde_json::Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let expected = |words: &[&str]| -> BTreeSet<String> { words.iter().map(|word| (*word).to_owned()).collect() };
    assert_eq!(
        keys(&json),
        expected(&[
            "format",
            "go_version",
            "clock",
            "clock_steps",
            "generations",
            "first_ns",
            "last_ns",
            "duration_ns",
            "events",
            "goroutine_counts",
            "gomaxprocs",
            "heap_alloc_bytes",
            "heap_goal_bytes",
            "states",
            "scheduler_latency",
            "gc",
            "groups",
            "user_tasks",
            "cpu_samples",
            "losses",
            "warnings",
            "goroutines",
        ])
    );
    let lengths = ["count", "total_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"];
    assert_eq!(keys(&json["scheduler_latency"]), expected(&lengths));
    assert_eq!(
        keys(&json["states"][0]),
        expected(&[&lengths[..], &["state", "sub_state"]].concat())
    );
    assert_eq!(
        keys(&json["goroutines"][0]),
        expected(&[
            "id",
            "start_function",
            "created_by",
            "birth_ns",
            "death_ns",
            "raw_states_ns",
            "states_ns",
        ])
    );
}

#[test]
fn a_cut_trace_says_where_it_is_cut_and_what_is_lost() {
    let (_, bytes) = fixtures()
        .into_iter()
        .find(|(file, _)| file.ends_with("mix.trace"))
        .unwrap();
    let report = report(&bytes[..bytes.len() - bytes.len() / 8]);
    let loss = report.losses.first().unwrap();
    assert!(loss.offset_bytes.is_some(), "{loss:?}");
    assert_ne!(loss.what, LossKind::GenerationsMissing);
    let page = text::render("cut.trace", &report, false);
    let warnings = &page[page.find("Warnings").unwrap()..];
    for words in ["byte ", "Lost: ", "in no total, count or percentile"] {
        assert!(warnings.contains(words), "no `{words}` in\n{page}");
    }
}

#[test]
fn a_whole_trace_has_no_warnings_and_its_page_has_every_section() {
    let (_, bytes) = fixtures()
        .into_iter()
        .find(|(file, _)| file.ends_with("mix.trace"))
        .unwrap();
    let page = text::render("mix.trace", &report(&bytes), false);
    for title in [
        "wall clock present",
        "GOMAXPROCS",
        "Time by state",
        "Longest waits",
        "Scheduler latency",
        "Garbage collection",
        "Goroutines that ran most",
        "Goroutines that waited most for a processor",
        "User tasks",
    ] {
        assert!(page.contains(title), "no `{title}` in\n{page}");
    }
    assert!(!page.contains("Warnings"), "{page}");
    assert!(!page.contains('\x1b'), "{page}");
    assert!(page.lines().all(|line| line == line.trim_end()), "{page}");
    assert!(text::render("mix.trace", &report(&bytes), true).contains("\x1b[1m"));
}

#[test]
fn the_text_form_gathers_no_goroutines() {
    let (_, bytes) = fixtures().remove(0);
    let report = survey(&*bytes, StateRules::built_in(), false).unwrap();
    assert!(report.goroutines.is_empty());
    assert!(report.goroutine_counts.total > 0);
}

//! `go tool pprof` reads the profile.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use spandrel_profiles::go_execution_trace::StateRules;
use spandrel_viewers::{Options, pprof};

use crate::expected;
use crate::tools::{are_here, read, version_of};
use crate::traces::{self, Trace};

#[test]
fn go_tool_pprof_finds_every_nanosecond_of_the_recording() {
    if !are_here("go tool pprof", &mut [version_of("go", "version")]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for trace in traces::all() {
        for system in [false, true] {
            let file = folder.path().join("profile.pb.gz");
            let options = Options {
                title: &trace.name,
                system,
                rules: StateRules::built_in(),
            };
            pprof::write(trace.open(), &options, std::fs::File::create(&file).unwrap()).unwrap();
            check_values(&trace, system, &go_tool_pprof(&file, &["-raw"]));
            check_top(&go_tool_pprof(&file, &["-top"]));
        }
    }
}

fn go_tool_pprof(file: &Path, options: &[&str]) -> String {
    let mut go = Command::new("go");
    go.args(["tool", "pprof", "-symbolize=none"]).args(options).arg(file);
    read(&mut go, "")
}

fn check_values(Trace { name, recording, .. }: &Trace, system: bool, raw: &str) {
    let found = Samples::parse(raw);
    let mut wait_ns: BTreeMap<String, i64> = BTreeMap::new();
    let mut running_ns: BTreeMap<String, i64> = BTreeMap::new();
    for ((base, state), ns) in expected::by_state(recording, system) {
        match base {
            "running" => *running_ns.entry(state.to_owned()).or_default() += ns,
            "unknown" => {}
            _ => *wait_ns.entry(state.to_owned()).or_default() += ns,
        }
    }
    assert_eq!(found.by_state("wait/nanoseconds[dflt]"), wait_ns, "{name}");
    assert_eq!(found.by_state("running/nanoseconds"), running_ns, "{name}");
    let samples: i64 = found.by_state("cpu_samples/count").values().sum();
    assert_eq!(samples, expected::cpu_samples(recording, system), "{name}");
    let whole = expected::by_base_state(recording);
    if system {
        let off_proc = ["waiting", "runnable", "syscall"].map(|base| whole.get(base).copied().unwrap_or(0));
        assert_eq!(wait_ns.values().sum::<i64>(), off_proc.iter().sum::<i64>(), "{name}");
        assert_eq!(running_ns.values().sum::<i64>(), whole["running"], "{name}");
    }
    assert_eq!(raw.contains("goroutine:[runtime.gcBgMarkWorker]"), system, "{name}");
    assert_eq!(raw.contains("goroutines of the runtime"), !system, "{name}");
}

fn check_top(top: &str) {
    assert!(top.contains("Type: wait"), "{top}");
    assert!(
        top.contains("  runtime.selectgo\n") && !top.contains("not recorded"),
        "{top}"
    );
}

/// What `pprof -raw` prints of the samples.
struct Samples {
    types: Vec<String>,
    /// Values and labels.
    samples: Vec<(Vec<i64>, BTreeMap<String, String>)>,
}

impl Samples {
    /// Two lines a sample: `values: locations` and `key:[value] ...`.
    fn parse(raw: &str) -> Self {
        let (_, rest) = raw.split_once("Samples:\n").unwrap();
        let (samples, _) = rest.split_once("Locations\n").unwrap();
        let mut lines = samples.lines();
        let types = lines.next().unwrap().split_whitespace().map(str::to_owned).collect();
        let mut samples: Vec<(Vec<i64>, BTreeMap<String, String>)> = Vec::new();
        for line in lines {
            match line.split_once(": ") {
                Some((values, _)) if !line.contains(":[") => {
                    let values = values.split_whitespace().map(|value| value.parse().unwrap());
                    samples.push((values.collect(), BTreeMap::new()));
                }
                _ => samples.last_mut().unwrap().1.extend(labels(line)),
            }
        }
        Self { types, samples }
    }

    /// Sums the values of a type by the label `state`; states without any are left out.
    fn by_state(&self, r#type: &str) -> BTreeMap<String, i64> {
        let index = self.types.iter().position(|known| known == r#type).unwrap();
        let mut totals = BTreeMap::new();
        for (values, labels) in &self.samples {
            if values[index] != 0 {
                *totals.entry(labels["state"].clone()).or_default() += values[index];
            }
        }
        totals
    }
}

fn labels(line: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = line.trim().split("] ").filter_map(|pair| pair.split_once(":["));
    pairs.map(|(key, value)| (key.to_owned(), value.trim_end_matches(']').to_owned()))
}

//! Speedscope's own schema accepts the flame graphs.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Map, Value};
use spandrel_profiles::go_execution_trace::StateRules;
use spandrel_viewers::{Options, speedscope};

use crate::expected;
use crate::tools::{are_here, install, read, repository, version_of};
use crate::traces::{self, Trace};

#[test]
fn the_schema_accepts_the_file_and_its_weights_are_those_of_the_recording() {
    let here = are_here(
        "speedscope's schema",
        &mut [
            version_of("npm", "--version"),
            version_of("python3", "--version"),
            install("viewers-env.sh"),
            install("python-env.sh"),
        ],
    );
    if !here {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for trace in traces::all() {
        for system in [false, true] {
            let file = folder.path().join("profile.speedscope.json");
            let options = Options {
                title: &trace.name,
                system,
                rules: StateRules::built_in(),
            };
            speedscope::write(trace.open(), &options, std::fs::File::create(&file).unwrap()).unwrap();
            let mut python = Command::new(repository().join(".tools/venv/bin/python"));
            python.arg(repository().join("profiles/viewers/tests/readers/speedscope.py"));
            python.arg(repository().join(".tools/viewers/file-format-schema.json"));
            let summary = read(python.arg(&file), "");
            check(&trace, system, &serde_json::from_str(&summary).unwrap());
        }
    }
}

/// The summary has for each profile the weights by root frame.
fn check(Trace { name, recording, .. }: &Trace, system: bool, summary: &Map<String, Value>) {
    let mut times: BTreeMap<(String, String), i64> = BTreeMap::new();
    for ((base, state), ns) in expected::by_state(recording, system) {
        if base != "unknown" {
            times.insert((base.to_owned(), state.to_owned()), ns);
        }
    }
    let mut found: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut cpu_samples = 0;
    for (profile, weights) in summary {
        for (root, weight) in weights.as_object().unwrap() {
            let weight = weight.as_i64().unwrap();
            if profile == "running (CPU samples)" {
                cpu_samples += weight;
                continue;
            }
            // `[channel recv]` is a kind of `channel`.
            let state = root.trim_matches(['[', ']']).split(' ').next().unwrap();
            *found.entry((profile.clone(), state.to_owned())).or_default() += weight;
        }
    }
    assert_eq!(found, times, "{name}");
    assert_eq!(cpu_samples, expected::cpu_samples(recording, system), "{name}");
}

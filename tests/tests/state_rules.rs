//! State rules that a user adds: they show in everything that names states.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::process::Ended;
use spandrel_tests::sql::Tables;
use spandrel_tests::{binary, http, recording, repository};

/// Waits for a connection of the pool are the built-in `db_pool`.
const POOL: &str = "database/sql.(*DB).conn";
const RESOURCE: &str = "service.name=shop,service.instance.id=shop-1";

fn rule(sub_state: &str) -> String {
    format!("{{reason: select, frames: [\"{POOL}\"], state: sync, sub_state: {sub_state}}}")
}

/// A file with one rule.
fn rules_file(folder: &Path, sub_state: &str) -> PathBuf {
    let path = folder.join("rules.yaml");
    fs::write(&path, format!("- {}\n", rule(sub_state))).unwrap();
    path
}

/// A configuration whose connector has one rule.
fn config_file(folder: &Path, sub_state: &str) -> PathBuf {
    let path = folder.join("rule.yaml");
    let yaml = format!(
        "connectors:\n  attribution:\n    state_rules:\n      - {}\n",
        rule(sub_state)
    );
    fs::write(&path, yaml).unwrap();
    path
}

fn trace() -> PathBuf {
    recording::profile_files(recording::FIRST).remove(0)
}

fn attribute(out: &Path, options: &[&str]) -> Ended {
    let mut arguments = vec!["attribute", "--spans"];
    let spans = recording::span_files();
    arguments.extend(spans.iter().map(|path| path.to_str().unwrap()));
    let trace = trace();
    arguments.extend(["--profile", trace.to_str().unwrap(), "--resource", RESOURCE]);
    arguments.extend(["--out", out.to_str().unwrap()]);
    binary::run(&[&arguments, options].concat())
}

/// Nanoseconds of a state, as `state/sub_state`, in a table.
fn total_ns(tables: &Tables, table: &str, state: &str) -> i64 {
    let ns = if table == "attribution" { "ns" } else { "duration_ns" };
    tables.number(&format!(
        "SELECT coalesce(sum({ns}), 0) FROM {table} WHERE state || '/' || sub_state = '{state}'"
    ))
}

#[test]
fn a_rule_of_a_file_renames_waits_in_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let [without, with] = ["without", "with"].map(|name| folder.path().join(name));
    let rules = rules_file(folder.path(), "my_pool");
    attribute(&without, &[]).success();
    attribute(&with, &["--state-rules", rules.to_str().unwrap()]).success();
    let [without, with] = [&without, &with].map(|path| Tables::new(path));
    for table in ["task_states", "attribution"] {
        let ns = total_ns(&without, table, "select/db_pool");
        assert!(ns > 0);
        assert_eq!(total_ns(&with, table, "sync/my_pool"), ns);
        assert_eq!(total_ns(&with, table, "select/db_pool"), 0);
    }
}

#[test]
fn a_rule_of_a_file_comes_before_those_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let default = fs::read_to_string(default_config()).unwrap();
    let config = folder.path().join("whole.yaml");
    let ours = format!("  attribution:\n    state_rules: [{}]\n", rule("of_configuration"));
    assert!(default.contains("  attribution:\n"));
    fs::write(&config, default.replacen("  attribution:\n", &ours, 1)).unwrap();
    let rules = rules_file(folder.path(), "of_file");
    let config = ["--config", config.to_str().unwrap()];
    let states = |name: &str, options: &[&str]| {
        let out = folder.path().join(name);
        attribute(&out, &[&config, options].concat()).success();
        let tables = Tables::new(&out);
        ["of_configuration", "of_file"].map(|word| total_ns(&tables, "task_states", &format!("sync/{word}")))
    };
    let [ns, none] = states("one", &[]);
    assert!(ns > 0 && none == 0);
    assert_eq!(states("both", &["--state-rules", rules.to_str().unwrap()]), [0, ns]);
}

#[test]
fn a_rule_of_a_file_renames_waits_in_what_inspect_and_export_show() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules_file(folder.path(), "my_pool");
    let trace = trace();
    let (trace, rules) = (trace.to_str().unwrap(), rules.to_str().unwrap());
    let with_rules = ["--state-rules", rules];
    let inspect = |options: &[&str]| {
        let json = binary::run(&[&["inspect", trace, "--format", "json"], options].concat()).success();
        let inspection: Value = serde_json::from_str(&json).unwrap();
        let ns = |state: &str| -> i64 {
            let goroutines = inspection["goroutines"].as_array().unwrap().iter();
            goroutines
                .filter_map(|goroutine| goroutine["states_ns"][state].as_i64())
                .sum()
        };
        ["select/db_pool", "sync/my_pool"].map(ns)
    };
    let [ns, none] = inspect(&[]);
    assert!(ns > 0 && none == 0);
    assert_eq!(inspect(&with_rules), [0, ns]);

    let export = |to: &str, options: &[&str]| {
        let out = folder.path().join("exported");
        let arguments = ["export", "--to", to, trace, "-o", out.to_str().unwrap()];
        binary::run(&[&arguments, options].concat()).success();
        let bytes = fs::read(&out).unwrap();
        ["db_pool", "my_pool"].map(|word| contains(&bytes, word.as_bytes()))
    };
    for to in ["perfetto", "speedscope"] {
        assert_eq!(export(to, &[]), [true, false], "{to}");
        assert_eq!(export(to, &with_rules), [false, true], "{to}");
    }
}

#[test]
fn a_rule_of_the_connector_renames_waits_in_what_the_collector_stores() {
    let folder = tempfile::tempdir().unwrap();
    let rule = config_file(folder.path(), "my_pool");
    let collector = Collector::start(folder.path(), &[&default_config(), &rule], &QUICK);
    let trace = zstd::decode_all(fs::read(trace()).unwrap().as_slice()).unwrap();
    let resource = ("X-Spandrel-Resource", RESOURCE);
    let answer = http::post(collector.http, "/v1/runtime-profiles", &[resource], &trace);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let tables = collector.stop();
    assert!(total_ns(&tables, "task_states", "sync/my_pool") > 0);
    assert_eq!(total_ns(&tables, "task_states", "select/db_pool"), 0);
}

#[test]
fn a_rule_that_matches_nothing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yaml");
    let text = format!(
        "- {}\n- {{reason: select, frames: [main.(*Poll).get], state: sync, sub_state: x}}\n",
        rule("my_pool")
    );
    fs::write(&rules, text).unwrap();
    let trace = trace();
    let (trace, with_rules) = (trace.to_str().unwrap(), ["--state-rules", rules.to_str().unwrap()]);
    let ended = [
        attribute(&folder.path().join("out"), &with_rules),
        binary::run(&[&["inspect", trace][..], &with_rules].concat()),
    ];
    for ended in ended {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let warnings: Vec<&str> = ended
            .stderr
            .lines()
            .filter(|line| line.contains("state rule"))
            .collect();
        let expected = "warning: state rule 2 (reason select, frames main.(*Poll).get, state sync/x) matched no wait";
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(expected),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn problems_of_rules_are_all_reported_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yaml");
    fs::write(&rules, "- {reason: select, state: mutexx}\n- {state: mutex}\n").unwrap();
    let (trace, rules) = (trace(), rules.to_str().unwrap());
    let (trace, with_rules) = (trace.to_str().unwrap(), ["--state-rules", rules]);
    let out = folder.path().join("out");
    let ended = [
        attribute(&out, &with_rules),
        binary::run(&[&["inspect", trace][..], &with_rules].concat()),
        binary::run(
            &[
                &["export", trace, "--to", "pprof", "-o", out.to_str().unwrap()][..],
                &with_rules,
            ]
            .concat(),
        ),
    ];
    for ended in ended {
        let message = ended.failure();
        for words in [
            "rules.yaml:1:27",
            "did you mean `mutex`",
            "rules.yaml:2:",
            "needs a condition",
        ] {
            assert!(message.contains(words), "no `{words}` in: {message}");
        }
    }
    assert!(!out.exists());

    let config = folder.path().join("config.yaml");
    let yaml = "connectors:\n  attribution:\n    state_rules:\n      - {reason: select, state: mutexx}\n";
    fs::write(&config, yaml).unwrap();
    let message = binary::run(&["validate", "--config", config.to_str().unwrap()]).failure();
    for words in ["config.yaml:4:33", "did you mean `mutex`"] {
        assert!(message.contains(words), "no `{words}` in: {message}");
    }
}

fn default_config() -> PathBuf {
    repository::root().join("collector/src/default.yaml")
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

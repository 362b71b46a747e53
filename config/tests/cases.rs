//! Configurations in, problems or a summary out: one text file per case in `tests/cases`.
//!
//! A case is a list of parts, each under a line `-- kind name --`:
//!
//! | part | holds |
//! |---|---|
//! | `config NAME` | a configuration source; several are merged in order |
//! | `file NAME` | a file that `${file:NAME}` finds |
//! | `env` | environment variables, `NAME=value` a line |
//! | `set` | `--set` arguments, one a line |
//! | `lines` | expected: problems, one a line |
//! | `page` | expected: problems with excerpts |
//! | `loaded` | expected: what was loaded |
//!
//! Text before the first part says what the case shows. Components of type `sample` and `required` are read as the
//! structs below. `UPDATE_CASES=1 cargo test -p spandrel-config` rewrites the expected parts; review the difference.

#![allow(
    clippy::unwrap_used,
    reason = "a case that cannot be read or written must fail the test"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spandrel_config::{
    ByteSize, ComponentId, ConfigSource, Endpoint, Environment, HostPort, HumanDuration, Loaded, Problems, RenderStyle,
    ServiceConfig, Telemetry, load_with, present,
};

/// Fields of every type, all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code, reason = "read through Debug")]
struct RawSample {
    count: Option<u64>,
    port: Option<u16>,
    signed: Option<i32>,
    ratio: Option<f64>,
    enabled: bool,
    name: Option<String>,
    timeout: Option<HumanDuration>,
    limit: Option<ByteSize>,
    listen: Option<HostPort>,
    target: Option<Endpoint>,
    mode: Option<Mode>,
    policy: Option<Policy>,
    headers: BTreeMap<String, String>,
    items: Vec<u8>,
    rules: Vec<RawRule>,
    #[serde(deserialize_with = "present")]
    nested: Option<RawNested>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    Exact,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "read through Debug")]
enum Policy {
    Always,
    Ratio(f64),
    Rate { per_second: u32 },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code, reason = "read through Debug")]
struct RawNested {
    depth: Option<u8>,
    label: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read through Debug")]
struct RawRule {
    layer: String,
    #[serde(default)]
    weight: Option<std::num::NonZeroU32>,
}

/// Fields that must be there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read through Debug")]
struct RawRequired {
    endpoint: Endpoint,
    table: String,
    rule: RawRule,
    #[serde(default)]
    retries: u8,
}

struct Part {
    kind: String,
    name: String,
    text: String,
}

struct Case {
    intro: String,
    parts: Vec<Part>,
}

impl Case {
    fn parse(text: &str) -> Self {
        let mut case = Self {
            intro: String::new(),
            parts: Vec::new(),
        };
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
                let (kind, name) = head.split_once(' ').unwrap_or((head, ""));
                case.parts.push(Part {
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                    text: String::new(),
                });
                continue;
            }
            let text = case.parts.last_mut().map_or(&mut case.intro, |part| &mut part.text);
            text.push_str(line);
            text.push('\n');
        }
        case
    }

    fn print(&self) -> String {
        let mut text = self.intro.clone();
        for part in &self.parts {
            let head = format!("{} {}", part.kind, part.name);
            write!(text, "-- {} --\n{}", head.trim_end(), part.text).unwrap();
        }
        text
    }

    fn of_kind<'c>(&'c self, kind: &'c str) -> impl Iterator<Item = &'c Part> {
        self.parts.iter().filter(move |part| part.kind == kind)
    }

    fn lines_of<'c>(&'c self, kind: &'c str) -> impl Iterator<Item = &'c str> {
        self.of_kind(kind).flat_map(|part| part.text.lines())
    }
}

/// The variables and files of a case.
impl Environment for Case {
    fn variable(&self, name: &str) -> Option<String> {
        let mut pairs = self.lines_of("env").filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        let file = self.of_kind("file").find(|part| Path::new(&part.name) == path);
        file.map(|part| part.text.clone())
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// Loads the case and reads the components it knows. The summary is empty if there is an error.
fn run(case: &Case) -> (Problems, String) {
    let source = |part: &Part| ConfigSource::Text {
        name: part.name.clone(),
        text: part.text.clone(),
    };
    let sources: Vec<_> = case.of_kind("config").map(source).collect();
    let overrides: Vec<_> = case.lines_of("set").map(str::to_owned).collect();
    let mut summary = String::new();
    let loaded = load_with(&sources, &overrides, case, &mut |kind, id, section, problems| {
        let parsed = match id.component_type() {
            "sample" => section.parse::<RawSample>(problems).map(|raw| format!("{raw:#?}")),
            "required" => section.parse::<RawRequired>(problems).map(|raw| format!("{raw:#?}")),
            _ => None,
        };
        let line = format!("{} {id} {}", kind.as_str(), written_fields(parsed));
        writeln!(summary, "{}", line.trim_end()).unwrap();
    });
    match loaded.finish() {
        Err(problems) => (problems, String::new()),
        Ok(Loaded { config, warnings }) => (warnings, summary + &service_summary(&config.service)),
    }
}

fn service_summary(service: &ServiceConfig) -> String {
    let list = |ids: &[ComponentId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut summary = String::new();
    for (id, pipeline) in &service.pipelines {
        let stages = [&pipeline.receivers, &pipeline.processors, &pipeline.exporters];
        let stages = stages.map(|ids| format!("[{}]", list(ids))).join(" -> ");
        writeln!(summary, "pipeline {id} {stages}").unwrap();
    }
    let Telemetry { logs, metrics } = &service.telemetry;
    let (logs, level) = (logs.level.as_str(), metrics.level.as_str());
    writeln!(summary, "extensions [{}]", list(&service.extensions)).unwrap();
    writeln!(summary, "telemetry logs {logs}, metrics {level} at {}", metrics.address).unwrap();
    summary
}

/// A `{:#?}` on one line, without the fields that nobody wrote.
fn written_fields(parsed: Option<String>) -> String {
    let parsed = parsed.unwrap_or_default();
    let lines = parsed.lines().map(str::trim);
    let written = lines.filter(|line| !["None,", "false,", "{},", "[],"].iter().any(|end| line.ends_with(end)));
    written.collect::<Vec<_>>().join(" ")
}

fn check(path: &Path) -> Result<(), String> {
    let before = std::fs::read_to_string(path).unwrap();
    let mut case = Case::parse(&before);
    let (problems, summary) = run(&case);
    let mut checked_count = 0;
    for part in &mut case.parts {
        part.text = match part.kind.as_str() {
            "lines" if problems.is_empty() => String::new(),
            "lines" => format!("{problems}\n"),
            "page" => problems.render(RenderStyle::Plain),
            "loaded" => summary.clone(),
            "config" | "file" | "env" | "set" => continue,
            unknown => panic!("{}: unknown part `{unknown}`", path.display()),
        };
        checked_count += 1;
    }
    assert!(checked_count > 0, "{} expects nothing", path.display());
    let after = case.print();
    if before == after {
        return Ok(());
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(path, after).unwrap();
        return Ok(());
    }
    Err(format!("== {} ==\n{after}", path.display()))
}

fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 10, "the cases are missing");
    files
}

#[test]
fn every_case_gives_what_it_expects() {
    let failures: Vec<String> = case_files().iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Damaged configurations: no panic, and either errors or a configuration.
#[test]
fn damaged_configurations_never_panic() {
    const ROUNDS: u64 = 200;
    const FRAGMENTS: &[&str] = &[
        "${",
        "}",
        "$$",
        "&a ",
        "*a",
        "<<: ",
        "[",
        "{",
        "- ",
        "? ",
        ": ",
        "|\n",
        "!!int ",
        "\t",
        "\"",
        "'",
        "\u{e9}",
        "\0",
        "\n---\n",
        "${env:A:-",
        "null",
        "::",
    ];
    let mut random = Random(0x5eed);
    for path in case_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        for _ in 0..ROUNDS {
            let mut case = Case::parse(&text);
            for part in &mut case.parts {
                for _ in 0..random.below(4) {
                    damage(&mut part.text, FRAGMENTS, &mut random);
                }
            }
            let (problems, summary) = run(&case);
            assert_ne!(problems.has_errors(), !summary.is_empty(), "{}", case.print());
            problems.render(RenderStyle::Terminal { width: 80 });
        }
    }
}

fn damage(text: &mut String, fragments: &[&str], random: &mut Random) {
    let start = text.floor_char_boundary(random.below(text.len() + 1));
    let end = text.ceil_char_boundary((start + random.below(8)).min(text.len()));
    match random.below(3) {
        0 => text.replace_range(start..end, ""),
        1 => text.insert_str(start, fragments[random.below(fragments.len())]),
        _ => {
            let copy = text[start..end].to_owned();
            text.insert_str(start, &copy);
        }
    }
}

/// Xorshift: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

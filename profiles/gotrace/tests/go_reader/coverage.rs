//! What traces hold: events, reasons to wait and to stop, statuses. Counted from the bytes, not by the decoder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use gotrace::{SPECS, WireEvent};

use crate::support::go::Toolchain;

/// What some traces of one version hold.
#[derive(Default)]
pub(crate) struct Coverage {
    events: BTreeSet<&'static str>,
    /// Texts by the event that uses them: "GoBlock", "GoStop", "STWBegin", "GoLabel".
    texts: BTreeSet<(&'static str, String)>,
    /// Statuses by the event that announces them.
    statuses: BTreeSet<(&'static str, u64)>,
}

impl Coverage {
    /// Adds what one trace holds.
    pub(crate) fn add(&mut self, trace: &[u8]) {
        let mut generations: BTreeMap<u64, Generation> = BTreeMap::new();
        let mut bytes = Bytes(&trace[16..]);
        while let Some(kind) = bytes.byte() {
            let spec = WireEvent::spec_of(kind).unwrap();
            self.events.insert(spec.name);
            if spec.event == WireEvent::EndOfGeneration {
                continue;
            }
            let is_experimental = spec.event == WireEvent::ExperimentalBatch;
            if is_experimental {
                bytes.byte();
            }
            let [generation, _thread, _time, size] = [(); 4].map(|()| bytes.number());
            let payload = Bytes(bytes.take(size));
            if !is_experimental {
                self.add_batch(payload, generations.entry(generation).or_default());
            }
        }
        for generation in generations.into_values() {
            let named = generation.texts.iter().map(|(event, id)| {
                let text = generation.strings.get(id).cloned().unwrap_or_default();
                (*event, text)
            });
            self.texts.extend(named);
        }
    }

    fn add_batch(&mut self, mut payload: Bytes<'_>, generation: &mut Generation) {
        while let Some(kind) = payload.byte() {
            let spec = WireEvent::spec_of(kind).unwrap();
            self.events.insert(spec.name);
            let args: Vec<u64> = spec.args.iter().map(|_| payload.number()).collect();
            match spec.event {
                WireEvent::String => {
                    let length = payload.number();
                    let text = String::from_utf8_lossy(payload.take(length)).into_owned();
                    generation.strings.insert(args[0], text);
                }
                WireEvent::Stack => (0..4 * args[1]).for_each(|_| {
                    payload.number();
                }),
                WireEvent::GoBlock | WireEvent::GoStop | WireEvent::StwBegin | WireEvent::GoLabel => {
                    generation.texts.insert((spec.name, args[1]));
                }
                WireEvent::ProcStatus => {
                    self.statuses.insert((spec.name, args[2]));
                }
                WireEvent::GoStatus | WireEvent::GoStatusStack => {
                    self.statuses.insert((spec.name, args[3]));
                }
                _ => {}
            }
        }
    }

    /// Whether an event was seen.
    pub(crate) fn holds(&self, event: &str) -> bool {
        self.events.contains(event)
    }

    /// Events that a version of Go can write and that were not seen.
    pub(crate) fn missing(&self, minor: u32) -> Vec<&'static str> {
        let expected = SPECS.iter().filter(|spec| u32::from(spec.since) <= minor);
        let missing = expected.filter(|spec| !self.events.contains(spec.name));
        missing.map(|spec| spec.name).collect()
    }
}

/// Texts and their uses in one generation; they meet once all batches are read.
#[derive(Default)]
struct Generation {
    strings: HashMap<u64, String>,
    texts: BTreeSet<(&'static str, u64)>,
}

/// Bytes that a trace is known to hold.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.byte().unwrap();
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn take(&mut self, count: u64) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(usize::try_from(count).unwrap());
        self.0 = rest;
        taken
    }
}

const INTRODUCTION: &str = "\
<!-- Written by `make gotrace-coverage`. -->
# What the decoder was compared on

Every time the tests run, they record traces with each Go toolchain from 1.22 on and compare the decoder's reading of
them with that of Go's own reader (`profiles/gotrace/tests/go_reader`). This is what the traces of one such run held.

* **yes**: seen. The tests fail if an event of the first table is not.
* **-**: this version of Go cannot write it.
* **no**: not seen, for the reason given.
";

/// Why some of what Go can write is not in the traces.
const NOT_MADE: &[(&str, &str)] = &[
    ("wait for debug call", "needs a debugger that injects a call"),
    ("unspecified", "the runtime does not use it, but on js/wasm"),
    ("synctest", "an experiment of this version"),
    (
        "GC weak to strong wait",
        "needs a weak pointer to be followed in the last moments of a mark phase: luck",
    ),
    ("stop trace", "the runtime does not use it"),
    ("unknown", "the runtime does not use it"),
    (
        "ProcStatus Syscall",
        "a generation's first event about a proc must be of a system call: luck",
    ),
    (
        "ProcStatus SyscallAbandoned",
        "a generation's first event about a proc must be its theft: luck",
    ),
    (
        "GoStatusStack Runnable",
        "a goroutine must keep this state for a whole generation: luck",
    ),
    (
        "GoStatusStack Running",
        "a goroutine must keep this state for a whole generation: luck",
    ),
    (
        "GoStatusStack Syscall",
        "a goroutine must keep this state for a whole generation: luck",
    ),
];

/// Texts of Go that may be absent, by event, with the first minor version that has them (runtime/traceruntime.go).
const RARE_TEXTS: &[(&str, &str, u32)] = &[
    ("GoBlock", "wait for debug call", 22),
    ("GoBlock", "unspecified", 22),
    ("GoBlock", "GC weak to strong wait", 23),
    ("GoBlock", "synctest", 24),
    ("GoStop", "unspecified", 22),
    ("STWBegin", "stop trace", 22),
    ("STWBegin", "unknown", 22),
];

/// The tables of `docs/gotrace-coverage.md`.
pub(crate) fn table(columns: &[(Toolchain, Coverage)]) -> String {
    let mut out = INTRODUCTION.to_owned();
    heading(&mut out, "Events", "#", "event", columns);
    for spec in SPECS {
        let cells = columns.iter().map(|(toolchain, coverage)| {
            let can_be = u32::from(spec.since) <= toolchain.minor;
            cell(coverage.events.contains(spec.name), can_be)
        });
        row(&mut out, &spec.event.byte().to_string(), spec.name, cells, "");
    }
    let sections = [
        ("Why goroutines block", "GoBlock"),
        ("Why goroutines stop", "GoStop"),
        ("Why the world is stopped", "STWBegin"),
        ("Labels of goroutines", "GoLabel"),
    ];
    for (title, event) in sections {
        text_table(&mut out, title, event, columns);
    }
    status_table(&mut out, columns);
    out
}

fn text_table(out: &mut String, title: &str, event: &'static str, columns: &[(Toolchain, Coverage)]) {
    heading(out, title, "event", "text", columns);
    let seen = columns.iter().flat_map(|(_, coverage)| &coverage.texts);
    let mut texts: BTreeMap<&str, u32> = seen
        .filter(|(user, _)| *user == event)
        .map(|(_, text)| (text.as_str(), 0))
        .collect();
    let rare = RARE_TEXTS.iter().filter(|(user, ..)| *user == event);
    texts.extend(rare.map(|(_, text, since)| (*text, *since)));
    for (text, since) in texts {
        let holds = |coverage: &Coverage| coverage.texts.contains(&(event, text.to_owned()));
        let cells = columns
            .iter()
            .map(|(toolchain, coverage)| cell(holds(coverage), toolchain.minor >= since));
        row(out, event, text, cells, why_not(text));
    }
}

fn status_table(out: &mut String, columns: &[(Toolchain, Coverage)]) {
    const GO: [&str; 5] = ["bad", "Runnable", "Running", "Syscall", "Waiting"];
    const PROC: [&str; 5] = ["bad", "Running", "Idle", "Syscall", "SyscallAbandoned"];
    heading(out, "Statuses at the start of generations", "event", "status", columns);
    for (event, names, since) in [
        ("ProcStatus", PROC, 22),
        ("GoStatus", GO, 22),
        ("GoStatusStack", GO, 23),
    ] {
        for (number, name) in (0..).zip(names).skip(1) {
            let cells = columns.iter().map(|(toolchain, coverage)| {
                let holds = coverage.statuses.contains(&(event, number));
                cell(holds, toolchain.minor >= since)
            });
            row(out, event, name, cells, why_not(&format!("{event} {name}")));
        }
    }
}

fn why_not(what: &str) -> &'static str {
    NOT_MADE
        .iter()
        .find(|(name, _)| *name == what)
        .map_or("", |(_, why)| why)
}

fn heading(out: &mut String, title: &str, first: &str, second: &str, columns: &[(Toolchain, Coverage)]) {
    write!(out, "\n## {title}\n\n| {first} | {second} |").unwrap();
    for (toolchain, _) in columns {
        write!(out, " {} |", toolchain.name()).unwrap();
    }
    writeln!(out, " why not |\n|---|---|{}---|", "---|".repeat(columns.len())).unwrap();
}

fn cell(holds: bool, can_be: bool) -> &'static str {
    match (holds, can_be) {
        (true, _) => "yes",
        (false, true) => "no",
        (false, false) => "-",
    }
}

fn row<'a>(out: &mut String, first: &str, second: &str, cells: impl Iterator<Item = &'a str>, why: &str) {
    let cells: Vec<&str> = cells.collect();
    let why = if cells.contains(&"no") { why } else { "" };
    writeln!(out, "| {first} | {second} | {} | {why} |", cells.join(" | ")).unwrap();
}

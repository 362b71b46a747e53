//! The traces that the readers are compared on: what is recorded with each toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use gotrace::Recording;

use crate::coverage::Coverage;
use crate::support::go::{self, Program, Toolchain};

/// How to make a trace.
struct Recipe {
    name: &'static str,
    program: Program,
    args: &'static [&'static str],
    /// GOMAXPROCS.
    procs: u32,
    generation_ms: u32,
    alloc_free: bool,
    /// The first minor version of Go that can make it.
    since: u32,
    /// Events that this trace is there for, and that only a lucky moment brings: it is recorded again until it has them.
    until: &'static [&'static str],
}

/// A generation that lasts as long as the trace.
const WHOLE_MS: u32 = 10_000;

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "everything",
        program: Program::Workload,
        args: &["-mode", "mix", "-for", "300ms", "-profile"],
        procs: 2,
        generation_ms: 50,
        alloc_free: false,
        since: 22,
        until: &["ProcSteal", "CPUSample"],
    },
    Recipe {
        name: "one-proc",
        program: Program::Workload,
        args: &["-mode", "mix", "-for", "200ms", "-profile"],
        procs: 1,
        generation_ms: WHOLE_MS,
        alloc_free: false,
        since: 22,
        until: &[],
    },
    Recipe {
        name: "memory",
        program: Program::Workload,
        args: &["-mode", "memory", "-for", "300ms"],
        procs: 4,
        generation_ms: 1,
        alloc_free: false,
        since: 22,
        until: &["GCActive", "GCSweepActive", "GCMarkAssistActive"],
    },
    Recipe {
        name: "pingpong",
        program: Program::Workload,
        args: &["-mode", "pingpong", "-for", "20ms"],
        procs: 2,
        generation_ms: 5,
        alloc_free: false,
        since: 22,
        until: &[],
    },
    Recipe {
        name: "callbacks",
        program: Program::Callbacks,
        args: &["-for", "100ms"],
        procs: 2,
        generation_ms: 20,
        alloc_free: true,
        since: 22,
        until: &["GoCreateSyscall", "GoDestroySyscall"],
    },
    Recipe {
        name: "allocations",
        program: Program::Workload,
        args: &["-mode", "mix", "-for", "100ms"],
        procs: 2,
        generation_ms: 20,
        alloc_free: true,
        since: 23,
        until: &["SpanFree", "HeapObjectFree", "GoroutineStackFree"],
    },
    Recipe {
        name: "bubble",
        program: Program::Bubble,
        args: &[],
        procs: 2,
        generation_ms: WHOLE_MS,
        alloc_free: false,
        since: 25,
        until: &[],
    },
    Recipe {
        name: "flight-recorder",
        program: Program::Workload,
        args: &["-mode", "mix", "-for", "200ms", "-flight"],
        procs: 2,
        generation_ms: 10,
        alloc_free: false,
        since: 25,
        until: &[],
    },
];

/// How often a trace is recorded until it is of use.
const TRIES_MAX: u32 = 12;

/// Records the traces of a toolchain into a folder. What needs a C compiler is left out where there is none.
///
/// Now and then the runtime writes a trace that contradicts itself, in two ways that are known. With AllocFree on, a
/// thread that takes a proc writes of what it sweeps before it writes that it takes the proc (`acquirep` in
/// runtime/proc.go); if that is the first event about the proc in a generation, the status before it is wrong. And a
/// proc that GOMAXPROCS takes away and brings back may miss the status of a generation. Go's own reader rejects such a
/// trace. We must not accept it either, and it is recorded again.
pub(crate) fn record(toolchain: Toolchain, reference: &Path, folder: &Path) -> Vec<PathBuf> {
    let recipes = RECIPES.iter().filter(|recipe| recipe.since <= toolchain.minor);
    recipes
        .filter_map(|recipe| recipe.record(toolchain, reference, folder))
        .collect()
}

impl Recipe {
    fn record(&self, toolchain: Toolchain, reference: &Path, folder: &Path) -> Option<PathBuf> {
        let program = go::available(toolchain.build(self.program))?;
        let trace = folder.join(format!("{}-{}.trace", self.name, toolchain.name()));
        for _ in 0..TRIES_MAX {
            go::run(&mut self.command(&program, &trace));
            let bytes = std::fs::read(&trace).unwrap();
            if !go_accepts(reference, &trace) {
                let is_accepted = Recording::decode(&bytes).is_ok_and(|recording| recording.warnings.is_empty());
                assert!(!is_accepted, "Go's reader rejects {}", trace.display());
                continue;
            }
            let mut coverage = Coverage::default();
            coverage.add(&bytes);
            if self.until.iter().all(|event| coverage.holds(event)) {
                return Some(trace);
            }
        }
        panic!("{TRIES_MAX} tries, and {} is of no use", trace.display());
    }

    fn command(&self, program: &Path, trace: &Path) -> Command {
        let generation_ns = u64::from(self.generation_ms) * 1_000_000;
        let alloc_free = u8::from(self.alloc_free);
        let settings = format!("traceadvanceperiod={generation_ns},traceallocfree={alloc_free}");
        let mut command = Command::new(program);
        command
            .env("GOMAXPROCS", self.procs.to_string())
            .env("GODEBUG", settings)
            .args(self.args)
            .arg(self.program.trace_flag())
            .arg(trace);
        command
    }
}

fn go_accepts(reference: &Path, trace: &Path) -> bool {
    let read = Command::new(reference).arg("totals").arg(trace).output().unwrap();
    read.status.success()
}

//! What bounds a stage: its instructions, cache misses and mispredicted branches, counted by valgrind's cachegrind.
//!
//! The counts are of a simulated processor. They hold on a busy machine and in a virtual one that hides its counters, and
//! differ between two runs only by what hash maps do. Cycles are estimated from them, see [`Bound`].

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cachegrind::{Costs, Counts, parse};
use super::facts::Facts;
use super::files::FILES;
use super::measurement::Measurement;
use super::peer;
use super::scan::scan;
use super::stages::{Stage, stages_of};
use super::work::Work;
use crate::machine::Cores;
use crate::process::succeed;
use crate::table::table;

/// What to profile.
#[derive(Clone, Debug, clap::Args)]
pub struct ProfileOptions {
    /// Folder of the benchmark's traces
    #[arg(long, default_value = "target/bench")]
    pub folder: PathBuf,
    /// Only stages of this name; may be repeated
    #[arg(long = "stage", value_name = "NAME")]
    pub stages: Vec<String>,
    /// The trace; the benchmark's small file unless given
    pub file: Option<PathBuf>,
}

/// The caches that are simulated, whatever the machine has: bytes, ways, bytes of a line. The last level is what one core of
/// many may expect of a shared one.
const CACHES: [&str; 3] = ["--I1=32768,8,64", "--D1=49152,12,64", "--LL=8388608,16,64"];

/// How many functions and source files are listed.
const LISTED_MAX: usize = 15;

/// The longest name of a function that is shown whole.
const NAME_CHARS_MAX: usize = 90;

/// Runs stages under cachegrind and tells what they spend on each event: a line for each, then the costliest functions.
///
/// # Errors
/// Valgrind is not installed, a stage has an unknown name or fails, or the trace is not whole.
pub fn profile(options: &ProfileOptions) -> Result<String> {
    ensure!(
        succeed(Command::new("valgrind").arg("--version")).is_ok(),
        "valgrind is not installed, which counts the instructions: install the package valgrind"
    );
    let stages = stages_of(&options.stages)?;
    fs::create_dir_all(&options.folder).with_context(|| format!("create {}", options.folder.display()))?;
    let file = match &options.file {
        Some(file) => file.clone(),
        None => small_file(&options.folder)?,
    };
    let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let facts = scan(&bytes)
        .with_context(|| format!("scan {}", file.display()))?
        .facts();
    drop(bytes);
    let mut profiles = Vec::new();
    for stage in stages {
        eprintln!("counting {} of {}", stage.name, file.display());
        let counts = count(stage, &file, &options.folder, &facts)?;
        profiles.push((Work::Ours(stage), counts));
    }
    render(&file, facts.get("events")?, &profiles)
}

fn small_file(folder: &Path) -> Result<PathBuf> {
    let programs = peer::build(folder)?;
    let small = FILES.first().context("the benchmark has no file")?;
    small.make(folder, &programs.generator)
}

fn count(stage: &Stage, file: &Path, folder: &Path, scanned: &Facts) -> Result<Counts> {
    let counted = folder.join("cachegrind.out");
    // On one core a stage has one thread, whose instructions are all that there are.
    let mut valgrind = Cores::last(1)?.command(Path::new("valgrind"));
    valgrind
        .args(["--tool=cachegrind", "--cache-sim=yes", "--branch-sim=yes"])
        .args(CACHES)
        .arg(format!("--cachegrind-out-file={}", counted.display()))
        .arg(env::current_exe()?)
        .args(["measure", "--stage", stage.name])
        .arg(file);
    let output = succeed(&mut valgrind)?;
    let measurement: Measurement = serde_json::from_slice(&output.stdout).context("no measurement was printed")?;
    measurement
        .facts
        .agree(scanned)
        .with_context(|| format!("{} and the scan", stage.name))?;
    let text = fs::read_to_string(&counted).with_context(|| format!("read {}", counted.display()))?;
    parse(&text)
}

/// Cycles that something costs if nothing else is done meanwhile, of a processor of the 2020s: a model, to compare the
/// causes with each other. A real one overlaps them, and guesses more branches.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    name: &'static str,
    cycles: f64,
}

const INSTRUCTIONS_PER_CYCLE: f64 = 4.0;
/// The two levels of misses are those of cachegrind's manual.
const FIRST_LEVEL_MISS_CYCLES: f64 = 10.0;
const LAST_LEVEL_MISS_CYCLES: f64 = 200.0;
const MISPREDICTION_CYCLES: f64 = 15.0;

fn bounds(costs: &Costs) -> [Bound; 4] {
    let bound = |name, count: u64, cycles: f64| Bound {
        name,
        cycles: count as f64 * cycles,
    };
    let near_misses = costs.first_level_misses.saturating_sub(costs.last_level_misses);
    [
        bound("instructions", costs.instructions, 1.0 / INSTRUCTIONS_PER_CYCLE),
        bound("branches", costs.mispredictions, MISPREDICTION_CYCLES),
        bound("caches", near_misses, FIRST_LEVEL_MISS_CYCLES),
        bound("memory", costs.last_level_misses, LAST_LEVEL_MISS_CYCLES),
    ]
}

const COLUMNS: [&str; 4] = ["instructions", "mispredictions", "cache misses", "memory reads"];

/// Counts for each event.
fn cost_cells(costs: &Costs, events: i64) -> Vec<String> {
    let each = |count: u64| count as f64 / events.max(1) as f64;
    vec![
        format!("{:.2}", each(costs.instructions)),
        format!("{:.3}", each(costs.mispredictions)),
        format!("{:.3}", each(costs.first_level_misses)),
        format!("{:.4}", each(costs.last_level_misses)),
    ]
}

fn render(file: &Path, events: i64, profiles: &[(Work, Counts)]) -> Result<String> {
    let mut page = String::new();
    writeln!(
        page,
        "{}, {:.2} M events; all numbers are for each event",
        file.display(),
        events as f64 / 1e6
    )?;
    if let Some((_, counts)) = profiles.first() {
        writeln!(page, "simulated: {}", counts.caches.join("; "))?;
    }
    let header: Vec<&str> = ["stage"]
        .iter()
        .chain(&COLUMNS)
        .chain(&["cycles", "bound by"])
        .copied()
        .collect();
    let rows: Vec<Vec<String>> = profiles
        .iter()
        .map(|(work, counts)| stage_cells(*work, &counts.total, events))
        .collect();
    writeln!(page, "\n{}", table(&header, &rows))?;
    writeln!(
        page,
        "cycles are a model that overlaps nothing: {INSTRUCTIONS_PER_CYCLE} instructions each, {MISPREDICTION_CYCLES} a \
         misprediction, {FIRST_LEVEL_MISS_CYCLES} a cache miss, {LAST_LEVEL_MISS_CYCLES} a memory read"
    )?;
    for (work, counts) in profiles {
        writeln!(page, "\n{}: functions, with what is inlined into them\n", work.label())?;
        page.push_str(&costliest(&counts.functions, function_name, &counts.total, events));
        writeln!(page, "\n{}: source files, wherever they are inlined\n", work.label())?;
        page.push_str(&costliest(&counts.sources, source_name, &counts.total, events));
    }
    Ok(page)
}

fn stage_cells(work: Work, total: &Costs, events: i64) -> Vec<String> {
    let bounds = bounds(total);
    let cycles: f64 = bounds.iter().map(|bound| bound.cycles).sum();
    let shares = bounds.map(|bound| (bound.name, (100.0 * bound.cycles / cycles.max(1.0)).round() as u64));
    let (name, percent) = shares
        .into_iter()
        .max_by_key(|(_, percent)| *percent)
        .unwrap_or_default();
    let mut cells = vec![work.label()];
    cells.extend(cost_cells(total, events));
    cells.push(format!("{:.1}", cycles / events.max(1) as f64));
    cells.push(format!("{name} ({percent} %)"));
    cells
}

fn costliest(all: &BTreeMap<String, Costs>, name: fn(&str) -> String, total: &Costs, events: i64) -> String {
    let mut sorted: Vec<(&String, &Costs)> = all.iter().collect();
    sorted.sort_by_key(|(_, costs)| Reverse(costs.instructions));
    let rows: Vec<Vec<String>> = sorted
        .into_iter()
        .take(LISTED_MAX)
        .map(|(full_name, costs)| {
            let percent = 100.0 * costs.instructions as f64 / total.instructions.max(1) as f64;
            let mut cells = vec![name(full_name), format!("{percent:.1}")];
            cells.extend(cost_cells(costs, events));
            cells
        })
        .collect();
    let header: Vec<&str> = ["", "%"].iter().chain(&COLUMNS).copied().collect();
    table(&header, &rows)
}

/// A function without the hash that the compiler appends, and with at most [`NAME_CHARS_MAX`] characters.
fn function_name(name: &str) -> String {
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.chars().all(|digit| digit.is_ascii_hexdigit()) => name,
        _ => name,
    };
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    format!("{}...", name.chars().take(NAME_CHARS_MAX - 3).collect::<String>())
}

/// A source file from the root of its package's folder: the last folder before `src` says which package that is.
fn source_name(path: &str) -> String {
    let Some((package, file)) = path.rsplit_once("/src/") else {
        return path.to_owned();
    };
    let package = package.rsplit('/').next().unwrap_or_default();
    format!("{package}/src/{file}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotrace::stage;

    fn costs(instructions: u64, last_level_misses: u64) -> Costs {
        Costs {
            instructions,
            first_level_misses: last_level_misses,
            last_level_misses,
            mispredictions: 1,
        }
    }

    fn page(total: Costs) -> String {
        let counts = Counts {
            total,
            functions: (0..20).map(|n| (format!("f{n:02}"), costs(n, 0))).collect(),
            ..Counts::default()
        };
        render(
            Path::new("a.trace"),
            10,
            &[(Work::Ours(stage("scan").unwrap()), counts)],
        )
        .unwrap()
    }

    #[test]
    fn a_stage_is_bound_by_what_costs_it_the_most_cycles() {
        assert!(page(costs(4_000, 1)).contains("instructions (82 %)"));
        assert!(page(costs(400, 10)).contains("memory (95 %)"));
    }

    #[test]
    fn counts_are_for_each_event() {
        let page = page(costs(4_000, 10));
        let line = page.lines().find(|line| line.starts_with("| ours scan ")).unwrap();
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(
            cells[1..7],
            ["ours scan", "400.00", "0.100", "1.000", "1.0000", "301.5"]
        );
    }

    #[test]
    fn the_costliest_functions_are_listed() {
        let page = page(costs(190, 0));
        assert!(page.contains("| f19 ") && page.contains("| f05 "), "{page}");
        assert!(!page.contains("| f04 "), "{page}");
    }

    #[test]
    fn functions_lose_their_hash_and_are_cut() {
        let name = "gotrace::order::Order::next";
        assert_eq!(function_name(&format!("{name}::h0123456789abcdef")), name);
        assert_eq!(function_name("core::hash"), "core::hash");
        let cut = function_name(&"f".repeat(100));
        assert!(cut.ends_with("f...") && cut.len() == NAME_CHARS_MAX);
    }

    #[test]
    fn sources_are_named_from_their_package() {
        assert_eq!(
            source_name("/home/profiles/gotrace/src/order/mod.rs"),
            "gotrace/src/order/mod.rs"
        );
        assert_eq!(source_name("???"), "???");
    }
}

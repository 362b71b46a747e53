//! `make accuracy`: measures how right the attribution is, prints a report, and can put it into `docs/accuracy.md`. It fails
//! if an aim is missed.
//!
//! Arguments: `--requests N` for each configuration, `--seed N`, `--only WORDS` of a configuration, `--update`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

use spandrel_tests::accuracy::{CONFIGURATIONS, Measured, aims, measure, report, update};
use spandrel_tests::repository;

const PAGE: &str = "docs/accuracy.md";

struct Options {
    requests: usize,
    seed: u64,
    only: String,
    update: bool,
}

fn main() -> ExitCode {
    let options = options(env::args().skip(1));
    let machine = machine(&options);
    let root = repository::root().join("target/accuracy");
    let mut runs: Vec<Measured> = Vec::new();
    for configuration in CONFIGURATIONS {
        let label = configuration.label();
        if !label.contains(&options.only) {
            continue;
        }
        eprintln!("measuring {label}");
        let dir = root.join(label.replace([',', ' ', '='], "-"));
        // What a run leaves can be looked at until the next one.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        runs.extend(measure(&configuration, options.requests, options.seed, &dir));
    }
    let report = report(&machine, &runs);
    print!("{report}");
    if options.update {
        update(&repository::root().join(PAGE), &report);
    }
    let missed: Vec<String> = aims(&runs)
        .into_iter()
        .filter(|aim| !aim.is_reached())
        .map(|aim| aim.what)
        .collect();
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("missed: {}", missed.join("; "));
    ExitCode::FAILURE
}

fn options(mut arguments: impl Iterator<Item = String>) -> Options {
    let mut options = Options {
        requests: 250,
        seed: 1,
        only: String::new(),
        update: false,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        let number = |text: String| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        match argument.as_str() {
            "--requests" => options.requests = usize::try_from(number(value())).expect("a count fits"),
            "--seed" => options.seed = number(value()),
            "--only" => options.only = value(),
            "--update" => options.update = true,
            _ => panic!("no argument `{argument}`: --requests N, --seed N, --only WORDS, --update"),
        }
    }
    options
}

/// What the report says of the machine.
fn machine(options: &Options) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, name)| name);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let kernel = Command::new("uname").arg("-sr").output();
    let kernel = kernel.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    vec![
        format!("{cores} cores of {model}, {kernel}, load {load} at the start"),
        format!(
            "{} requests or more of each configuration, seed {}",
            options.requests, options.seed
        ),
    ]
}

//! Every input that fuzzing has found worth keeping (`make fuzz`): what must hold of any bytes holds of them (I-24).

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use support::drawn::{layout, script};
use support::fuzzing::Target;
use support::fuzzing::seeds::seeds;
use support::simulation::Simulation;
use support::simulation::clocks::Clocks;
use support::text::parse_test;
use support::writer::encode;

fn corpus(target: Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target.name());
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: Target) {
    let files = corpus(target);
    assert!(files.len() >= 10, "{} files", files.len());
    for file in files {
        println!("{}", file.display());
        target.check(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn i24_headers() {
    replay(Target::Header);
}

#[test]
fn i24_batches() {
    replay(Target::Batch);
}

#[test]
fn i24_generations() {
    replay(Target::Generation);
}

#[test]
fn i24_whole_files() {
    replay(Target::WholeFile);
}

/// Short traces: of programs of `tests/programs`, of the Go project where they are there, and simulated ones.
fn traces() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &str, extension: &str| -> Vec<PathBuf> {
        let entries = root.join(folder).read_dir().into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect()
    };
    let fixtures = files("tests/fixtures", "trace")
        .into_iter()
        .map(|path| std::fs::read(path).unwrap());
    let texts = files("../../../shared/corpora/go-text-traces", "test");
    let texts = texts
        .iter()
        .map(|path| parse_test(&std::fs::read_to_string(path).unwrap()).trace);
    let mut runner = TestRunner::deterministic();
    let simulated = (0..40).map(|_| {
        let script = script(60, true).new_tree(&mut runner).unwrap().current();
        let layout = layout().new_tree(&mut runner).unwrap().current();
        encode(&Simulation::run(&script).trace(Clocks::Agree), &layout).bytes
    });
    fixtures.chain(texts).chain(simulated).collect()
}

/// `make fuzz` starts from the corpus and from these.
#[test]
#[ignore = "writes files for fuzzing into the folder that FUZZ_SEEDS names"]
fn writes_the_seeds() {
    let root = PathBuf::from(std::env::var_os("FUZZ_SEEDS").unwrap());
    let traces = traces();
    for target in Target::ALL {
        let folder = root.join(target.name());
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds(target, &traces).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

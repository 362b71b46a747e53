//! Go for tests: toolchains of every version that a trace can come from, and the programs of `tests/programs` built
//! with them.
//!
//! Any `go` from 1.21 on brings the toolchains as modules (`GOTOOLCHAIN`). Where it is missing or cannot reach them, a
//! test says SKIPPED and why; with `CI=true` it fails.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A Go toolchain that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// The 22 of Go 1.22.
    pub(crate) minor: u32,
    /// As `GOTOOLCHAIN` names it.
    name: &'static str,
}

/// The version of each minor that traces are made with. Written nowhere else.
const TOOLCHAINS: [Toolchain; 6] = [
    Toolchain::new(22, "go1.22.12"),
    Toolchain::new(23, "go1.23.12"),
    Toolchain::new(24, "go1.24.13"),
    Toolchain::new(25, "go1.25.14"),
    Toolchain::new(26, "go1.26.11"),
    Toolchain::new(27, "go1.27.4"),
];

/// Why a test cannot run.
#[derive(Debug)]
pub(crate) struct Unavailable(String);

/// A program of `tests/programs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Records itself while it does a bit of everything.
    Workload,
    /// Records itself while C calls it.
    Callbacks,
    /// A test binary with goroutines on a clock of their own (Go 1.25 and later).
    Bubble,
    /// Reads traces with Go's own reader.
    Reference,
}

impl Toolchain {
    const fn new(minor: u32, name: &'static str) -> Self {
        Self { minor, name }
    }

    /// All of them, oldest first, whether they are there or not.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TOOLCHAINS.into_iter()
    }

    /// The toolchain of a minor version, downloaded if need be.
    pub(crate) fn of(minor: u32) -> Result<Self, Unavailable> {
        let toolchain = Self::all()
            .find(|toolchain| toolchain.minor == minor)
            .expect("a minor version of the list");
        check(toolchain.go().arg("version"), toolchain.name)?;
        Ok(toolchain)
    }

    /// The toolchain's name: "go1.22.12".
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    fn go(self) -> Command {
        let mut go = Command::new("go");
        go.env("GOTOOLCHAIN", self.name);
        go
    }

    /// Builds a program, unless this toolchain has built the same source before, and returns its path.
    pub(crate) fn build(self, program: Program) -> Result<PathBuf, Unavailable> {
        // Two builds at once would each compile the standard library.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _guard = BUILDING.lock();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gotrace-programs");
        let name = format!("{}-{}-{:016x}", program.folder(), self.name, program.hash());
        let binary = folder.join(&name);
        if binary.is_file() {
            return Ok(binary);
        }
        self.check_needs_of(program)?;
        std::fs::create_dir_all(&folder).expect("the target folder can be written");
        let unfinished = folder.join(format!("{name}.{}", std::process::id()));
        run(self
            .go()
            .args(program.build_args())
            .arg(&unfinished)
            .arg(".")
            .env("CGO_ENABLED", if program == Program::Callbacks { "1" } else { "0" })
            .current_dir(program.source()));
        std::fs::rename(&unfinished, &binary).expect("a file can be renamed in its folder");
        Ok(binary)
    }

    fn check_needs_of(self, program: Program) -> Result<(), Unavailable> {
        match program {
            Program::Workload | Program::Bubble => Ok(()),
            Program::Callbacks => {
                let compiler = run(self.go().args(["env", "CC"]));
                let compiler = String::from_utf8_lossy(&compiler).trim().to_owned();
                check(Command::new(&compiler).arg("--version"), &compiler)
            }
            Program::Reference => {
                let mut download = self.go();
                download.args(["mod", "download", "golang.org/x/exp"]);
                check(download.current_dir(program.source()), "golang.org/x/exp")
            }
        }
    }
}

impl Program {
    fn folder(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Callbacks => "callbacks",
            Self::Bubble => "bubble",
            Self::Reference => "reference",
        }
    }

    /// The flag before the file that it writes a trace to.
    pub(crate) fn trace_flag(self) -> &'static str {
        if self == Self::Bubble { "-test.trace" } else { "-out" }
    }

    fn source(self) -> PathBuf {
        crate_folder().join("tests/programs").join(self.folder())
    }

    fn build_args(self) -> Vec<&'static str> {
        let build: &[&str] = match self {
            Self::Bubble => &["test", "-c"],
            Self::Workload | Self::Callbacks | Self::Reference => &["build"],
        };
        // No path of this machine: stacks name files.
        [build, &["-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"]].concat()
    }

    /// Of everything that the binary depends on, but the toolchain.
    fn hash(self) -> u64 {
        let folder = std::fs::read_dir(self.source()).expect("programs are in the repository");
        let mut files: Vec<PathBuf> = folder
            .map(|entry| entry.expect("a folder can be read").path())
            .collect();
        files.sort();
        let mut hasher = DefaultHasher::new();
        self.build_args().hash(&mut hasher);
        for file in files {
            file.file_name().hash(&mut hasher);
            std::fs::read(file).expect("a program is files only").hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The program that reads traces with Go's own reader.
pub(crate) fn reference() -> Result<PathBuf, Unavailable> {
    let newest = Toolchain::all().last().expect("the list is not empty");
    Toolchain::of(newest.minor)?.build(Program::Reference)
}

/// Passes on what is there. What is not there fails the test where everything has to be (`CI=true`), and elsewhere says
/// why the test is left out.
pub(crate) fn available<T>(found: Result<T, Unavailable>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(Unavailable(reason)) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI=true, but {reason}");
            skipped(&reason);
            None
        }
    }
}

/// Says why a test is left out. Not with `println`, of which a test that passes shows nothing.
pub(crate) fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// The folder of this crate. Asked for when the test runs: a target folder may be shared by several checkouts.
pub(crate) fn crate_folder() -> PathBuf {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(OsString::from(env!("CARGO_MANIFEST_DIR")));
    PathBuf::from(folder)
}

/// Runs a command whose failure means that something is not there.
fn check(command: &mut Command, what: &str) -> Result<(), Unavailable> {
    let failure = match command.output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("{}: {error}", command.get_program().to_string_lossy()),
    };
    Err(Unavailable(format!(
        "{what} is not there: {}",
        failure.replace('\n', "; ")
    )))
}

/// Runs a command that has to succeed and returns what it prints.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

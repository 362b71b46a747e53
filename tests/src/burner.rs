//! The service of `tests/services/burner`, and what a run of it leaves.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::{process, repository};

/// The attributes that its spans have.
pub const RESOURCE: &str = "service.name=burner,service.instance.id=burner-1";

const BUILD_LIMIT: Duration = Duration::from_secs(300);
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// What a run left.
#[derive(Debug)]
pub struct Run {
    /// Its spans, one OTLP/JSON request.
    pub spans: PathBuf,
    /// An execution trace of its first half, without samples; with `-together` of everything.
    pub trace: PathBuf,
    /// A CPU profile of its second half; with `-together` of everything.
    pub cpu: PathBuf,
}

/// Builds the service in `dir`, and runs it with `options`. `None` where Go is missing, which is said on the terminal, past the
/// test harness.
///
/// # Panics
/// It does not compile or run. Go is missing, and the environment variable `CI` is set.
pub fn run(dir: &Path, options: &[&str]) -> Option<Run> {
    if Command::new("go").arg("version").output().is_err() {
        assert!(env::var_os("CI").is_none(), "go is missing");
        // A terminal that is gone needs no message.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED, no CPU profile of a Go program: go is missing"
        );
        return None;
    }
    let program = dir.join("burner");
    let mut go = Command::new("go");
    go.current_dir(repository::root().join("tests/services/burner"))
        .env("CGO_ENABLED", "0");
    process::run(go.args(["build", "-trimpath", "-o"]).arg(&program), BUILD_LIMIT).success();
    wait_for_a_window();
    process::run(Command::new(&program).arg("-out").arg(dir).args(options), RUN_LIMIT).success();
    let trace = if options.contains(&"-together") {
        "both.out"
    } else {
        "trace.out"
    };
    Some(Run {
        spans: dir.join("spans.json"),
        trace: dir.join(trace),
        cpu: dir.join("cpu.pprof"),
    })
}

/// Waits until a run fits into one window of attribution, a minute: samples say nothing of requests in another window than
/// theirs. On a busy machine a run takes several seconds.
fn wait_for_a_window() {
    const WINDOW_S: u64 = 60;
    const ENOUGH_S: u64 = 20;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left_s = WINDOW_S - now.expect("it is after 1970").as_secs() % WINDOW_S;
    if left_s < ENOUGH_S {
        thread::sleep(Duration::from_secs(left_s));
    }
}

//! Go's own reader, asked about simulated traces: it keeps the simulation to the rules that real traces follow.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::simulation::view::{Line, Subject};

/// The program `tests/programs/accepts`.
pub(crate) struct Accepts {
    folder: tempfile::TempDir,
    binary: PathBuf,
}

/// What Go's reader says of one trace.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// One line per event, as the program prints it.
    pub(crate) events: Vec<String>,
    pub(crate) error: Option<String>,
}

impl Accepts {
    /// Builds the program. `None` if Go or the modules it needs are not there; with `CI=true` that is a failure.
    pub(crate) fn build() -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/accepts");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let binary = folder.path().join("accepts");
        let mut download = Command::new("go");
        download
            .args(["mod", "download", "golang.org/x/exp"])
            .current_dir(&source);
        if let Err(reason) = succeed(&mut download) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI=true, but {reason}");
            crate::support::go::skipped(&reason);
            return None;
        }
        let mut build = Command::new("go");
        build
            .args(["build", "-trimpath", "-buildvcs=false", "-o"])
            .arg(&binary)
            .arg(".");
        succeed(build.current_dir(&source)).unwrap_or_else(|reason| panic!("{reason}"));
        Some(Self { folder, binary })
    }

    /// Reads traces with Go's reader.
    pub(crate) fn read(&self, traces: &[Vec<u8>]) -> Vec<Answer> {
        let mut command = Command::new(&self.binary);
        for (position, trace) in traces.iter().enumerate() {
            let path = self.folder.path().join(format!("{position}.trace"));
            std::fs::write(&path, trace).expect("a temporary file can be written");
            command.arg(path);
        }
        let printed = succeed(&mut command).unwrap_or_else(|reason| panic!("{reason}"));
        let mut answers: Vec<Answer> = Vec::new();
        for line in printed.lines() {
            if line.starts_with("==") {
                answers.push(Answer::default());
                continue;
            }
            let answer = answers.last_mut().expect("the first line names a file");
            match line.strip_prefix("!! ") {
                Some(error) => answer.error = Some(error.to_owned()),
                None => answer.events.push(line.to_owned()),
            }
        }
        answers
    }
}

fn succeed(command: &mut Command) -> Result<String, String> {
    let program = format!("{command:?}");
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// The events of a view in the words of the program. Go's reader ends a trace with one more `Sync`.
pub(crate) fn go_lines(events: &[Line]) -> Vec<String> {
    let mut generations_count = 0;
    let mut lines = Vec::new();
    for event in events {
        generations_count += u32::from(event.name == "GenerationStart");
        let words = go_words(event, generations_count == 1);
        let number = |id: Option<u64>| id.map_or("-1".to_owned(), |id| id.to_string());
        let (thread, proc, goroutine) = (number(event.thread), number(event.proc), number(event.goroutine));
        lines.push(format!("{} {thread} {proc} {goroutine} {words}", event.time));
    }
    let end = events.last().map_or(0, |event| event.time + 1);
    lines.push(format!("{end} -1 -1 -1 Sync"));
    lines
}

/// What an event is to Go: a kind, or a transition.
fn go_words(event: &Line, is_first_generation: bool) -> String {
    let transition = match event.name {
        "GenerationStart" => return "Sync".to_owned(),
        "CPUSample" => return "StackSample".to_owned(),
        "ProcsChange" | "HeapAlloc" | "HeapGoal" => return "Metric".to_owned(),
        "GoLabel" => return "Label".to_owned(),
        "UserLog" => return "Log".to_owned(),
        "UserTaskBegin" => return "TaskBegin".to_owned(),
        "UserTaskEnd" => return "TaskEnd".to_owned(),
        "UserRegionBegin" => return "RegionBegin".to_owned(),
        "UserRegionEnd" => return "RegionEnd".to_owned(),
        "GCActive" | "GCSweepActive" | "GCMarkAssistActive" => return "RangeActive".to_owned(),
        "GCBegin" | "GCSweepBegin" | "GCMarkAssistBegin" | "STWBegin" => return "RangeBegin".to_owned(),
        "GCEnd" | "GCSweepEnd" | "GCMarkAssistEnd" | "STWEnd" => return "RangeEnd".to_owned(),
        "ProcStart" => "Idle->Running".to_owned(),
        "ProcStop" => "Running->Idle".to_owned(),
        "ProcSteal" if event.detail == "from nobody" => "Idle->Idle".to_owned(),
        "ProcSteal" => "Running->Idle".to_owned(),
        "GoCreate" => "NotExist->Runnable".to_owned(),
        "GoCreateBlocked" => "NotExist->Waiting".to_owned(),
        "GoCreateSyscall" => "NotExist->Syscall".to_owned(),
        "GoStart" => "Runnable->Running".to_owned(),
        "GoDestroy" => "Running->NotExist".to_owned(),
        "GoDestroySyscall" => "Syscall->NotExist".to_owned(),
        "GoStop" => "Running->Runnable".to_owned(),
        "GoBlock" => "Running->Waiting".to_owned(),
        "GoUnblock" => "Waiting->Runnable".to_owned(),
        "GoSyscallBegin" => "Running->Syscall".to_owned(),
        "GoSyscallEnd" => "Syscall->Running".to_owned(),
        "GoSyscallEndBlocked" => "Syscall->Runnable".to_owned(),
        "ProcStatus" => status_transition(&event.detail, is_first_generation).replace("Syscall", "Running"),
        "GoStatus" => status_transition(&event.detail, is_first_generation),
        _ => return "Experimental".to_owned(),
    };
    match event.subject {
        Subject::Nothing => transition,
        Subject::Proc(id) => format!("proc {id} {transition}"),
        Subject::Goroutine(id) => format!("goroutine {id} {transition}"),
    }
}

/// A status is a transition from what was known before. To Go, a proc in a system call is `Running`.
fn status_transition(detail: &str, is_first_generation: bool) -> String {
    let (status, news) = detail.split_once(", ").expect("a status says whether it is news");
    let to = match status {
        "runnable" => "Runnable",
        "running" => "Running",
        "waiting" => "Waiting",
        "idle" | "abandoned" => "Idle",
        "syscall" => "Syscall",
        other => panic!("unknown status {other}"),
    };
    match news {
        "known" => format!("{to}->{to}"),
        _ if is_first_generation => format!("Undetermined->{to}"),
        _ => format!("NotExist->{to}"),
    }
}

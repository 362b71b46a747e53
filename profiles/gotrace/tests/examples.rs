//! The examples, run as a user runs them, against what a `Recording` of the same file says.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::cmp::Reverse;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use gotrace::{Goroutine, GoroutineState, Recording, RunnableCause, StackId, StateInterval, Waker};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");
const WAITS_COUNT: usize = 10;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(FOLDER).join("tests/fixtures").join(name)).unwrap()
}

/// Runs `longest-waits` with arguments. Cargo builds it if need be: an example has no path of its own in a test.
fn longest_waits(args: &[&Path]) -> Output {
    Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--locked",
            "-p",
            "gotrace",
            "--example",
            "longest-waits",
            "--",
        ])
        .args(args)
        .current_dir(FOLDER)
        .output()
        .unwrap()
}

/// Runs `longest-waits` on a file of these bytes. Returns what it writes and what it complains about.
fn longest_waits_of(trace: &[u8]) -> (bool, String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), trace).unwrap();
    let Output { status, stdout, stderr } = longest_waits(&[file.path()]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

/// One state of a goroutine, between those before and after it.
#[derive(Clone, Copy)]
struct Wait<'a> {
    recording: &'a Recording,
    goroutine: &'a Goroutine,
    position: usize,
}

impl Wait<'_> {
    fn all(recording: &Recording) -> Vec<Wait<'_>> {
        let of = |goroutine| {
            let states = recording.states_of(goroutine);
            let wait = move |position| Wait {
                recording,
                goroutine,
                position,
            };
            let is_runnable = |position: &usize| matches!(states[*position].state, GoroutineState::Runnable { .. });
            (0..states.len()).filter(is_runnable).map(wait)
        };
        recording.goroutines.iter().flat_map(of).collect()
    }

    fn state(&self, offset: isize) -> Option<&StateInterval> {
        let position = self.position.checked_add_signed(offset)?;
        self.recording.states_of(self.goroutine).get(position)
    }

    fn length_ns(&self) -> i64 {
        self.state(0).unwrap().duration_ns()
    }

    /// What the example writes of it, below the first line.
    fn lines(&self) -> Vec<String> {
        let name = self.goroutine.start_function.map(|name| self.recording.text(name));
        let name = name.unwrap_or("unknown function".into());
        let mut lines = vec![format!("goroutine {}, {name}", self.goroutine.id)];
        lines.push(self.cause());
        lines.push(match self.state(1).map(|after| after.state) {
            Some(GoroutineState::Running { proc: Some(proc), .. }) => format!("then ran on proc {proc}"),
            Some(GoroutineState::Undetermined) => "then events are missing".to_owned(),
            Some(state) => panic!("from runnable to {state:?}"),
            None => "had not run when the trace ended".to_owned(),
        });
        let stack = [0, -1].into_iter().find_map(|offset| self.state(offset)?.stack);
        lines.extend(stack.into_iter().flat_map(|stack| self.frames(stack)));
        lines
    }

    fn cause(&self) -> String {
        let GoroutineState::Runnable { cause } = self.state(0).unwrap().state else {
            panic!("not runnable");
        };
        match cause {
            RunnableCause::Created => match self.goroutine.creator {
                Some(creator) => format!("created by goroutine {creator}"),
                None => "created by the runtime".to_owned(),
            },
            RunnableCause::Unblocked => self.wake(),
            RunnableCause::Preempted => "preempted".to_owned(),
            RunnableCause::Yield => "yielded".to_owned(),
            RunnableCause::Stopped(reason) => format!("stopped: {}", self.recording.text(reason)),
            RunnableCause::SyscallExit => "came back from a system call that had cost it its proc".to_owned(),
            RunnableCause::Unknown => "runnable since before the trace shows it".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn wake(&self) -> String {
        let wait = self.state(-1).unwrap();
        let GoroutineState::Waiting {
            reason,
            waker,
            waker_stack,
        } = wait.state
        else {
            panic!("woken from {wait:?}");
        };
        let waker = match waker {
            Waker::Goroutine(id) => format!("goroutine {id}"),
            Waker::External => "the runtime".to_owned(),
            Waker::None => panic!("woken by nobody: {wait:?}"),
        };
        let frames = waker_stack.map_or(Vec::new(), |stack| self.frames(stack));
        let place = frames.iter().find(|frame| !frame.starts_with("runtime."));
        let place = place.map_or(String::new(), |frame| {
            format!(" in {}", frame.split(' ').next().unwrap())
        });
        let waited = Duration::from_nanos(wait.duration_ns() as u64);
        let reason = match &*self.recording.wait_reason(reason) {
            "" => "something that began before the trace".to_owned(),
            reason => reason.to_owned(),
        };
        format!("woken by {waker}{place}, after {waited:?} of {reason}")
    }

    fn frames(&self, stack: StackId) -> Vec<String> {
        let text = |id| self.recording.text(id);
        let frames = self.recording.frames(stack).iter();
        frames
            .map(|frame| format!("{} {}:{}", text(frame.function), text(frame.file), frame.line))
            .collect()
    }

    fn first_line(&self) -> String {
        let (runnable, recording) = (self.state(0).unwrap(), self.recording);
        let is_cut = matches!(
            runnable.state,
            GoroutineState::Runnable {
                cause: RunnableCause::Unknown
            }
        ) || self
            .state(1)
            .is_none_or(|after| after.state == GoroutineState::Undetermined);
        let at_least = if is_cut { "at least " } else { "" };
        let from = match recording.unix(runnable.start) {
            Some(unix) => jiff::Timestamp::from_nanosecond(unix.0.into()).unwrap().to_string(),
            None => {
                let into = Duration::from_nanos((runnable.start.0 - recording.start.0) as u64);
                format!("{into:?} into the trace")
            }
        };
        let length = Duration::from_nanos(self.length_ns() as u64);
        format!("{at_least}{length:?} from {from}")
    }
}

/// The lines that the example is to write.
fn expected(trace: &[u8]) -> Vec<String> {
    let recording = Recording::decode(trace).unwrap();
    let mut waits = Wait::all(&recording);
    assert!(waits.len() > WAITS_COUNT, "{} waits", waits.len());
    waits.sort_by_key(|wait| (Reverse(wait.length_ns()), wait.state(0).unwrap().end));
    let lines = |(wait, rank): (&Wait<'_>, usize)| {
        let first = format!("{rank}. {}", wait.first_line());
        [vec![first], wait.lines()].concat()
    };
    waits[..WAITS_COUNT].iter().zip(1..).flat_map(lines).collect()
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_start).collect()
}

#[test]
fn longest_waits_are_those_of_a_recording() {
    let fixtures = Path::new(FOLDER).join("tests/fixtures");
    let mut traces_count = 0;
    for entry in fixtures.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "trace") {
            let trace = std::fs::read(&path).unwrap();
            let (success, text, complaints) = longest_waits_of(&trace);
            assert!(success && complaints.is_empty(), "{}: {complaints}", path.display());
            assert_eq!(lines(&text), expected(&trace), "{}", path.display());
            traces_count += 1;
        }
    }
    assert!(traces_count > 0);
}

#[test]
fn longest_waits_of_a_damaged_trace_come_with_a_warning() {
    let mut trace = fixture("mix.trace");
    let third = Recording::decode(&trace).unwrap().generations[2];
    let payload = usize::try_from(third.offset_bytes + third.length_bytes / 2).unwrap();
    trace[payload..payload + 16].fill(0xff);
    let (success, text, complaints) = longest_waits_of(&trace);
    assert!(success, "{complaints}");
    assert_eq!(lines(&text), expected(&trace));
    assert!(
        complaints.contains("waits may be missing or cut short: generation"),
        "{complaints}"
    );
    assert!(complaints.contains("byte "), "{complaints}");
}

#[test]
fn longest_waits_refuses_what_is_no_trace() {
    let (success, text, complaints) = longest_waits_of(b"<html>502 Bad Gateway</html>");
    assert!(!success && text.is_empty(), "{text}");
    assert!(complaints.contains("an HTML or XML page"), "{complaints}");

    let (success, text, complaints) = longest_waits_of(&fixture("mix.trace")[..3000]);
    assert!(!success && text.is_empty(), "{text}");
    assert!(complaints.contains("no complete generation"), "{complaints}");
}

#[test]
fn longest_waits_says_how_to_call_it() {
    let Output { status, stderr, .. } = longest_waits(&[]);
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stderr).contains("usage: longest-waits FILE"));
}

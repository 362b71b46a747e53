//! The ten longest times that a goroutine was ready to run and did not: how long, when, who, why, and where in the code.
//!
//! `cargo run --release -p gotrace --example longest-waits -- FILE`
//!
//! The file is read as a stream. Memory is for one generation (about a second), for the latest state of each goroutine
//! that lives, and for ten waits.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use gotrace::{
    ExecTrace, Frame, Goroutine, GoroutineState, Lookup, RunnableCause, StateInterval, Summary, Symbols, TraceNanos,
    Visitor, WaitReason, Waker,
};

const WAITS_MAX: usize = 10;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: longest-waits FILE");
        return ExitCode::from(2);
    };
    match report(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(path: &str) -> Result<(), Box<dyn Error>> {
    let mut longest = LongestWaits::default();
    let summary = ExecTrace::read(File::open(path)?)?.visit(&mut longest)?;
    for (wait, rank) in longest.waits.iter().zip(1..) {
        wait.print(rank, &summary);
    }
    for warning in summary.warnings.as_slice() {
        eprintln!("{path}: waits may be missing or cut short: {warning}");
    }
    Ok(())
}

/// A goroutine was runnable, and what it did before and after.
struct Wait {
    runnable: StateInterval,
    before: Option<StateInterval>,
    after: Option<StateInterval>,
    goroutine: Option<Goroutine>,
}

#[derive(Default)]
struct LongestWaits {
    /// The longest first.
    waits: Vec<Wait>,
    /// The latest state of each goroutine that lives, by [`StateInterval::life`].
    latest: HashMap<u32, StateInterval>,
}

impl Visitor for LongestWaits {
    fn state(&mut self, interval: &StateInterval, _: Lookup<'_>) {
        for wait in self.waits_of(interval.life) {
            wait.after.get_or_insert(*interval);
        }
        let before = self.latest.insert(interval.life, *interval);
        if matches!(interval.state, GoroutineState::Runnable { .. }) {
            self.offer(*interval, before);
        }
    }

    fn goroutine(&mut self, goroutine: &Goroutine, _: Lookup<'_>) {
        self.latest.remove(&goroutine.life);
        for wait in self.waits_of(goroutine.life) {
            wait.goroutine = Some(goroutine.clone());
        }
    }
}

impl LongestWaits {
    fn waits_of(&mut self, life: u32) -> impl Iterator<Item = &mut Wait> {
        self.waits.iter_mut().filter(move |wait| wait.runnable.life == life)
    }

    fn offer(&mut self, runnable: StateInterval, before: Option<StateInterval>) {
        let is_longer = |wait: &Wait| wait.runnable.duration_ns() >= runnable.duration_ns();
        let place = self.waits.partition_point(is_longer);
        if place < WAITS_MAX {
            self.waits.truncate(WAITS_MAX - 1);
            let wait = Wait {
                runnable,
                before,
                after: None,
                goroutine: None,
            };
            self.waits.insert(place, wait);
        }
    }
}

impl Wait {
    fn print(&self, rank: usize, summary: &Summary) {
        let symbols = &summary.symbols;
        let (id, length) = (self.runnable.goroutine, duration(self.runnable.duration_ns()));
        let at_least = if self.is_whole() { "" } else { "at least " };
        let start = self.goroutine.as_ref().and_then(|goroutine| goroutine.start_function);
        let name = start.map_or("unknown function".into(), |name| symbols.text(name));
        println!("{rank:>2}. {at_least}{length:?} {}", when(self.runnable.start, summary));
        println!("    goroutine {id}, {name}");
        println!("    {}", self.cause(symbols));
        println!("    {}", self.outcome());
        // What a goroutine was doing when it came to wait is the stack of the state before, if not of this one.
        let stack = self.runnable.stack.or(self.before.and_then(|before| before.stack));
        for frame in stack.map_or(&[][..], |stack| symbols.frames(stack)) {
            let (function, file) = (symbols.text(frame.function), symbols.text(frame.file));
            println!("        {function} {file}:{}", frame.line);
        }
    }

    /// Whether the trace shows both ends.
    fn is_whole(&self) -> bool {
        let cause = RunnableCause::Unknown;
        let was_seen_to_end = |after: StateInterval| after.state != GoroutineState::Undetermined;
        self.runnable.state != GoroutineState::Runnable { cause } && self.after.is_some_and(was_seen_to_end)
    }

    fn cause(&self, symbols: &Symbols) -> String {
        let GoroutineState::Runnable { cause } = self.runnable.state else {
            return String::new();
        };
        match cause {
            RunnableCause::Created => match self.goroutine.as_ref().and_then(|goroutine| goroutine.creator) {
                Some(creator) => format!("created by goroutine {creator}"),
                None => "created by the runtime".to_owned(),
            },
            RunnableCause::Unblocked => self.wake(symbols).unwrap_or_default(),
            RunnableCause::Preempted => "preempted".to_owned(),
            RunnableCause::Yield => "yielded".to_owned(),
            RunnableCause::Stopped(reason) => format!("stopped: {}", symbols.text(reason)),
            RunnableCause::SyscallExit => "came back from a system call that had cost it its proc".to_owned(),
            RunnableCause::Unknown => "runnable since before the trace shows it".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn wake(&self, symbols: &Symbols) -> Option<String> {
        let waiting = self.before?;
        let GoroutineState::Waiting {
            reason,
            waker,
            waker_stack,
        } = waiting.state
        else {
            return None;
        };
        let reason = match reason {
            WaitReason::Runtime(word) => symbols.text(word),
            WaitReason::CoroutineSwitch => "coroutine switch".into(),
            WaitReason::Unknown => "something that began before the trace".into(),
        };
        let waker = match waker {
            Waker::Goroutine(waker) => format!("goroutine {waker}"),
            Waker::External | Waker::None => "the runtime".to_owned(),
        };
        let place = waker_stack.and_then(|stack| symbols.frames(stack).iter().find(|frame| is_outside(frame, symbols)));
        let place = place.map_or(String::new(), |frame| format!(" in {}", symbols.text(frame.function)));
        let waited = duration(waiting.duration_ns());
        Some(format!("woken by {waker}{place}, after {waited:?} of {reason}"))
    }

    fn outcome(&self) -> String {
        match self.after.map(|after| after.state) {
            Some(GoroutineState::Running { proc: Some(proc), .. }) => format!("then ran on proc {proc}"),
            Some(GoroutineState::Undetermined) => "then events are missing".to_owned(),
            Some(state) => format!("then {state:?}"),
            None => "had not run when the trace ended".to_owned(),
        }
    }
}

/// Whether a frame is the program's rather than the scheduler's.
fn is_outside(frame: &Frame, symbols: &Symbols) -> bool {
    !symbols.bytes(frame.function).starts_with(b"runtime.")
}

/// Wall time, which traces of Go 1.25 and later have, or else time since the trace began.
fn when(at: TraceNanos, summary: &Summary) -> String {
    let unix = summary.clock.unix(at);
    match unix.and_then(|unix| jiff::Timestamp::from_nanosecond(unix.0.into()).ok()) {
        Some(wall) => format!("from {wall}"),
        None => format!("from {:?} into the trace", duration(at.0 - summary.start.0)),
    }
}

fn duration(ns: i64) -> Duration {
    Duration::from_nanos(ns.unsigned_abs())
}
